/* SPDX-License-Identifier: BSD-2-Clause */
/* One SSH connection that carries one stream of bytes; the only user of libssh2. */
#ifndef MIMEO_AGENT_SSH_H
#define MIMEO_AGENT_SSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/hostport.h"
#include "proto/attr.h"

/*
 * ssh_new, ssh_load_key and ssh_load_hosts come first: after them no file is opened any more, so
 * the process can be confined before ssh_open, which reads the first byte from outside. Only
 * Ed25519 is spoken, for users and for hosts: the library signs RSA with SHA-1, which sshd refuses
 * since 8.8. Ciphers: aes128-ctr first, with hmac-sha2-256; no compression.
 *
 * The functions that return int return 0 or one of these; ssh_error then has one line that says
 * what happened and what to do about it:
 *
 *     -ENOKEY        the key file cannot be used: unreadable, readable by others, encrypted,
 *                    not Ed25519
 *     -EKEYREJECTED  the host's key is not in the file, is not the one in the file, or is revoked
 *     -ENOTSUP       the file has keys of other kinds for that host, but none of Ed25519
 *     -ECONNABORTED  the other side hung up, or was no SSH server, before there were keys
 *     -EACCES        the other side does not accept our key
 *     -ETIMEDOUT     the deadline passed
 *     -ECANCELED     the agent went away
 *     -ECONNRESET    the link was lost
 *     -EPROTO        anything else that the protocol or the library did not like
 *     -ENOMEM
 */
struct ssh;

#define SSH_HOSTS_BYTES_MAX (1024 * 1024) /* of the file of host keys */
#define SSH_LINE_MAX 8192                 /* one line of it; longer ones are skipped */
#define SSH_ERROR_MAX 1024

/* What is known of the end of the peer's command. */
struct ssh_end {
	bool closed; /* the peer closed the stream in order; else the rest means nothing */
	bool killed; /* its command was ended by a signal */
	int status;  /* exit status of its command */
};

/* NULL when out of memory. Released by ssh_free, which also says goodbye to the peer, without
 * waiting, and accepts NULL. One struct belongs to one thread. */
struct ssh *ssh_new(void);
void ssh_free(struct ssh *s);

/* Reads the private key: OpenSSH's format, Ed25519, no passphrase, not readable by others. */
NODISCARD int ssh_load_key(struct ssh *s, const char *path);

/*
 * Reads the pinned keys of this host out of a file in OpenSSH's known_hosts format: those under
 * the name `bind`, or where bind is NULL, under "[host]:port" (port 22: or "host"). Names may be
 * lists or hashed; patterns are not looked at. A key with the marker @revoked is refused whatever
 * its names. Fails unless there is at least one Ed25519 key. *hp is copied.
 */
NODISCARD int ssh_load_hosts(struct ssh *s, const char *path, const struct hostport *hp,
			     const char *bind);

/*
 * From a connected TCP socket to a stream: key exchange, host key, authentication as user with the
 * key, one channel with a receive window of `window` bytes, and an exec request, which the forced
 * command replaces. What the peer writes to its standard error is thrown away. Waits for no
 * longer than until `deadline` (milliseconds of CLOCK_MONOTONIC), and only as long as stop_fd, the
 * agent's socket, is not closed at its other end. fd is non-blocking and stays the caller's.
 */
NODISCARD int ssh_open(struct ssh *s, int fd, int stop_fd, const char *user, uint32_t window,
		       int64_t deadline);

/*
 * The stream. Nothing here waits: -EAGAIN means, come again when ssh_events says so.
 * ssh_read: the number of bytes read, 0 at the end of the peer's stream. ssh_write: the number of
 * bytes taken (at least one); after -EAGAIN the next call must have the same bytes at the same
 * place, more of them may follow. ssh_send_eof: no more bytes will be written.
 * Both calls may have to be made again before the other can go on; they see to that themselves by
 * returning -EAGAIN.
 */
NODISCARD ssize_t ssh_read(struct ssh *s, void *buf, size_t len);
NODISCARD ssize_t ssh_write(struct ssh *s, const void *buf, size_t len);
NODISCARD int ssh_send_eof(struct ssh *s);

/* What to poll the socket for, given whether there is room to read into and something to write.
 * 0: nothing; then the socket should not be polled at all. */
NODISCARD short ssh_events(struct ssh *s, bool want_read, bool want_write);

/* To be called after ssh_read returned 0: has the peer closed the stream too, and how did its
 * command end? 0 and *end filled in (closed may be false: come again), or -ECONNRESET, -EPROTO. */
NODISCARD int ssh_finish(struct ssh *s, struct ssh_end *end);

/* The line of the last failure, printable ASCII; borrowed until the next call. */
const char *ssh_error(const struct ssh *s);

/* Copies text into out as printable ASCII, everything else as \xNN, cut to fit size bytes with its
 * NUL (size at least 1). */
void ssh_escape(const char *text, char *out, size_t size);

#endif
