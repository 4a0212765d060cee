/* SPDX-License-Identifier: BSD-2-Clause */
/* One SSH connection with one stream, through libssh2, without ever blocking in it. */
#include "config.h"

#include "agent/ssh.h"

#include <assert.h>
#include <errno.h>
#include <libssh2.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "agent/keyfile.h"

#define SSH_PACKET_BYTES 32768 /* more than the library's receive buffer takes ends the session */
#define SSH_WRITE_BYTES 32700  /* what the library puts into one packet */
#define SSH_WAIT_MS 1000       /* longest sleep while waiting for an answer */
#define SSH_COMMAND "mimeo attach"
#define SSH_ED25519 "ssh-ed25519"
#define SSH_KNOWN (LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEY_ED25519)

/* The name under which revoked keys are kept in their own collection. */
#define SSH_REVOKED "revoked"

/* The library has one buffer for the packet under way. While part of one is unsent, only the call
 * that made it may go on: any other would be an error to it, or mangle the stream. */
enum pending { PENDING_NONE, PENDING_READ, PENDING_WRITE };

struct ssh {
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
	LIBSSH2_KNOWNHOSTS *pinned;
	LIBSSH2_KNOWNHOSTS *revoked;
	bool library; /* libssh2_init was called */

	char *key;
	size_t key_len;
	char *key_path;
	char *hosts_path;
	char pin[2][HOSTPORT_TEXT_MAX + 1]; /* names to look for; the second may be empty */
	char where[HOSTPORT_TEXT_MAX + 1];  /* host and port, for messages */
	bool other_kinds;                   /* the file has other kinds of keys for this host */

	int fd;
	int stop_fd;
	int64_t deadline;

	enum pending pending;
	size_t read_max; /* at most this much is read at once */
	size_t read_len; /* of the last read, if it has to be made again; else 0 */
	char error[SSH_ERROR_MAX];
};

/* ---- messages ---- */

void
ssh_escape(const char *text, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = c >= 0x20 && c < 0x7f;

		if (size - n <= (plain ? 1u : 4u))
			break;
		if (plain) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
}

PRINTF(3, 4) static int
fail(struct ssh *s, int err, const char *fmt, ...)
{
	char raw[SSH_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	ssh_escape(raw, s->error, sizeof(s->error));
	return err;
}

const char *
ssh_error(const struct ssh *s)
{
	return s->error;
}

static bool
is_lost(long rc)
{
	return rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_SOCKET_RECV ||
	       rc == LIBSSH2_ERROR_SOCKET_SEND || rc == LIBSSH2_ERROR_SOCKET_TIMEOUT ||
	       rc == LIBSSH2_ERROR_TIMEOUT;
}

/* A failure that the library reported as rc while we did `what`. */
static int
fail_library(struct ssh *s, long rc, const char *what)
{
	char *text = NULL;

	if (is_lost(rc))
		return fail(s, -ECONNRESET, "%s: lost the link (%s)", s->where, what);
	if (rc == LIBSSH2_ERROR_ALLOC)
		return fail(s, -ENOMEM, "%s: out of memory (%s)", s->where, what);
	libssh2_session_last_error(s->session, &text, NULL, 0);
	return fail(s, -EPROTO, "%s: %s failed: %s (libssh2 %ld)", s->where, what,
		    text ? text : "no reason given", rc);
}

/* ---- making and freeing ---- */

static int
set_methods(LIBSSH2_SESSION *session)
{
	static const struct {
		int method;
		const char *list;
	} methods[] = {
		{LIBSSH2_METHOD_KEX, "curve25519-sha256,curve25519-sha256@libssh.org,"
				     "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521"},
		{LIBSSH2_METHOD_HOSTKEY, SSH_ED25519},
		{LIBSSH2_METHOD_CRYPT_CS, "aes128-ctr,aes192-ctr,aes256-ctr"},
		{LIBSSH2_METHOD_CRYPT_SC, "aes128-ctr,aes192-ctr,aes256-ctr"},
		{LIBSSH2_METHOD_MAC_CS, "hmac-sha2-256,hmac-sha2-512"},
		{LIBSSH2_METHOD_MAC_SC, "hmac-sha2-256,hmac-sha2-512"},
		{LIBSSH2_METHOD_COMP_CS, "none"},
		{LIBSSH2_METHOD_COMP_SC, "none"},
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (libssh2_session_method_pref(session, methods[i].method, methods[i].list) != 0)
			return -ENOMEM;
	return 0;
}

struct ssh *
ssh_new(void)
{
	struct ssh *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = s->stop_fd = -1;
	/* libcrypto reads its configuration at its first use, which would be too late. */
	s->library =
		OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1 && libssh2_init(0) == 0;
	if (!s->library)
		goto out;
	s->session = libssh2_session_init();
	if (!s->session)
		goto out;
	libssh2_session_set_blocking(s->session, 0);
	s->pinned = libssh2_knownhost_init(s->session);
	s->revoked = libssh2_knownhost_init(s->session);
	if (!s->pinned || !s->revoked || set_methods(s->session) < 0)
		goto out;
	return s;
out:
	ssh_free(s);
	return NULL;
}

static void
forget_key(struct ssh *s)
{
	if (s->key)
		explicit_bzero(s->key, s->key_len);
	free(s->key);
	s->key = NULL;
	s->key_len = 0;
}

void
ssh_free(struct ssh *s)
{
	if (!s)
		return;
	/* Not while a packet is partly sent: the goodbye would land in its middle. */
	if (s->session && s->channel && s->pending == PENDING_NONE)
		libssh2_session_disconnect(s->session, "bye");
	if (s->pinned)
		libssh2_knownhost_free(s->pinned);
	if (s->revoked)
		libssh2_knownhost_free(s->revoked);
	/* The session frees its channel; freeing that itself would want to talk to the peer. */
	if (s->session)
		libssh2_session_free(s->session);
	if (s->library)
		libssh2_exit();
	forget_key(s);
	free(s->key_path);
	free(s->hosts_path);
	free(s);
}

/* ---- our key ---- */

int
ssh_load_key(struct ssh *s, const char *path)
{
	const char *problem;
	int rc;

	forget_key(s);
	free(s->key_path);
	s->key_path = strdup(path);
	if (!s->key_path)
		return fail(s, -ENOMEM, "out of memory");
	rc = keyfile_read(path, KEYFILE_BYTES_MAX, &s->key, &s->key_len);
	if (rc == 0)
		rc = keyfile_private(path);
	if (rc == -EPERM)
		return fail(s, -ENOKEY, "key %s can be read by others: chmod 600 it", path);
	if (rc < 0)
		return fail(s, -ENOKEY, "cannot read key %s: %s", path, strerror(-rc));
	problem = keyfile_problem(s->key);
	if (problem)
		return fail(s, -ENOKEY, "key %s %s: make one with ssh-keygen -t ed25519", path,
			    problem);
	return 0;
}

/* ---- host keys ---- */

/* The next word of *line, NUL-terminated in place; "" at the end. */
static char *
next_word(char **line)
{
	char *word = *line + strspn(*line, " \t");
	size_t n = strcspn(word, " \t");

	*line = word + n;
	if (word[n] != '\0') {
		word[n] = '\0';
		*line = word + n + 1;
	}
	return word;
}

static int
add_key(LIBSSH2_KNOWNHOSTS *to, const char *name, const char *key)
{
	int rc = libssh2_knownhost_addc(to, name, NULL, key, strlen(key), NULL, 0,
					SSH_KNOWN | LIBSSH2_KNOWNHOST_KEYENC_BASE64, NULL);

	return rc == LIBSSH2_ERROR_ALLOC ? -ENOMEM : 0;
}

/* A hashed name is left to the library, which can compute the hash. It cannot be told from here
 * whether the line is this host's, so its kind of key counts only if it is Ed25519. */
static int
add_hashed(struct ssh *s, const char *name, const char *kind, const char *key)
{
	char line[SSH_LINE_MAX];
	int n;

	if (strcmp(kind, SSH_ED25519) != 0)
		return 0;
	n = snprintf(line, sizeof(line), "%s %s %s", name, kind, key);
	if (n < 0 || (size_t)n >= sizeof(line))
		return 0;
	return libssh2_knownhost_readline(s->pinned, line, (size_t)n,
					  LIBSSH2_KNOWNHOST_FILE_OPENSSH) == LIBSSH2_ERROR_ALLOC
		       ? -ENOMEM
		       : 0;
}

static bool
is_our_name(const struct ssh *s, const char *name)
{
	return strcasecmp(name, s->pin[0]) == 0 ||
	       (s->pin[1][0] != '\0' && strcasecmp(name, s->pin[1]) == 0);
}

static int
add_named(struct ssh *s, char *names, const char *kind, const char *key)
{
	char *save = NULL;

	for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		if (!is_our_name(s, name))
			continue;
		if (strcmp(kind, SSH_ED25519) != 0) {
			s->other_kinds = true;
			return 0;
		}
		return add_key(s->pinned, s->pin[0], key);
	}
	return 0;
}

/* One line of known_hosts. A line that makes no sense is no key, and no error. */
static int
add_line(struct ssh *s, char *line)
{
	char *names, *kind, *key, *marker = NULL;

	names = next_word(&line);
	if (names[0] == '@') {
		marker = names;
		names = next_word(&line);
	}
	kind = next_word(&line);
	key = next_word(&line);
	if (names[0] == '\0' || names[0] == '#' || key[0] == '\0')
		return 0;
	if (marker && strcmp(marker, "@revoked") == 0)
		return strcmp(kind, SSH_ED25519) == 0 ? add_key(s->revoked, SSH_REVOKED, key) : 0;
	if (marker)
		return 0;
	if (strncmp(names, "|1|", 3) == 0)
		return add_hashed(s, names, kind, key);
	return add_named(s, names, kind, key);
}

static int
add_lines(struct ssh *s, char *text)
{
	char *save = NULL;
	int rc = 0;

	for (char *line = strtok_r(text, "\r\n", &save); line && rc == 0;
	     line = strtok_r(NULL, "\r\n", &save))
		if (strlen(line) < SSH_LINE_MAX)
			rc = add_line(s, line);
	return rc;
}

/* Compares a key with what was read: LIBSSH2_KNOWNHOST_CHECK_*. Without a port, or the library
 * would also be content with an entry for another port of the host. */
static int
check_key(struct ssh *s, const char *key, size_t len, int encoding)
{
	int rc, second;

	rc = libssh2_knownhost_check(s->pinned, s->pin[0], key, len, SSH_KNOWN | encoding, NULL);
	if (rc == LIBSSH2_KNOWNHOST_CHECK_MATCH || s->pin[1][0] == '\0')
		return rc;
	second =
		libssh2_knownhost_check(s->pinned, s->pin[1], key, len, SSH_KNOWN | encoding, NULL);
	return second == LIBSSH2_KNOWNHOST_CHECK_NOTFOUND ? rc : second;
}

static int
set_names(struct ssh *s, const struct hostport *hp, const char *bind)
{
	int rc, n;

	memset(s->pin, 0, sizeof(s->pin));
	if ((rc = hostport_pin(hp, true, s->where, sizeof(s->where))) < 0)
		return rc;
	if (bind) {
		n = snprintf(s->pin[0], sizeof(s->pin[0]), "%s", bind);
		return n < 0 || (size_t)n >= sizeof(s->pin[0]) ? -ENAMETOOLONG : 0;
	}
	if ((rc = hostport_pin(hp, true, s->pin[0], sizeof(s->pin[0]))) < 0)
		return rc;
	if (hp->port != HOSTPORT_PORT_SSH)
		return 0;
	return hostport_pin(hp, false, s->pin[1], sizeof(s->pin[1]));
}

int
ssh_load_hosts(struct ssh *s, const char *path, const struct hostport *hp, const char *bind)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	free(s->hosts_path);
	s->hosts_path = strdup(path);
	if (!s->hosts_path)
		return fail(s, -ENOMEM, "out of memory");
	if (set_names(s, hp, bind) < 0)
		return fail(s, -EKEYREJECTED, "the name of the host is too long");
	rc = keyfile_read(path, SSH_HOSTS_BYTES_MAX, &text, &len);
	if (rc < 0)
		return fail(s, -EKEYREJECTED, "cannot read %s: %s", path, strerror(-rc));
	rc = add_lines(s, text);
	free(text);
	if (rc < 0)
		return fail(s, -ENOMEM, "out of memory");
	/* No key is "-": a mismatch means that there is some key to compare with. */
	if (check_key(s, "-", 1, LIBSSH2_KNOWNHOST_KEYENC_BASE64) !=
	    LIBSSH2_KNOWNHOST_CHECK_NOTFOUND)
		return 0;
	if (s->other_kinds)
		return fail(s, -ENOTSUP,
			    "%s has no ed25519 host key for %s, only other kinds, which do not "
			    "work here: add that host's /etc/ssh/ssh_host_ed25519_key.pub",
			    path, s->pin[0]);
	return fail(s, -EKEYREJECTED,
		    "%s has no host key for %s: run `mimeo key` there and `mimeo authorize` here",
		    path, s->pin[0]);
}

static int
check_host(struct ssh *s)
{
	size_t len = 0;
	int rc, type = 0;
	const char *key = libssh2_session_hostkey(s->session, &len, &type);

	if (!key || type != LIBSSH2_HOSTKEY_TYPE_ED25519)
		return fail(s, -EKEYREJECTED, "%s: its host key is not ed25519", s->where);
	rc = libssh2_knownhost_check(s->revoked, SSH_REVOKED, key, len,
				     SSH_KNOWN | LIBSSH2_KNOWNHOST_KEYENC_RAW, NULL);
	/* A mismatch: other keys are revoked, this one is not. */
	if (rc != LIBSSH2_KNOWNHOST_CHECK_NOTFOUND && rc != LIBSSH2_KNOWNHOST_CHECK_MISMATCH)
		return fail(s, -EKEYREJECTED, "%s: its host key is revoked in %s", s->where,
			    s->hosts_path);
	if (check_key(s, key, len, LIBSSH2_KNOWNHOST_KEYENC_RAW) != LIBSSH2_KNOWNHOST_CHECK_MATCH)
		return fail(s, -EKEYREJECTED,
			    "host key of %s is not the one in %s: another machine answers there, "
			    "or its key was changed; if that was meant, `mimeo forget` that member "
			    "and let it join again",
			    s->where, s->hosts_path);
	return 0;
}

/* ---- opening ---- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Sleeps until the library can go on. */
static int
wait_ready(struct ssh *s)
{
	struct pollfd p[2] = {{.fd = s->fd}, {.fd = s->stop_fd}};
	int dir = libssh2_session_block_directions(s->session);
	int64_t left = s->deadline - now_ms();

	if (left <= 0)
		return fail(s, -ETIMEDOUT, "%s: no answer in time", s->where);
	if (dir & LIBSSH2_SESSION_BLOCK_OUTBOUND)
		p[0].events |= POLLOUT;
	if (!p[0].events || (dir & LIBSSH2_SESSION_BLOCK_INBOUND))
		p[0].events |= POLLIN;
	if (poll(p, 2, left < SSH_WAIT_MS ? (int)left : SSH_WAIT_MS) < 0 && errno != EINTR)
		return fail(s, -EPROTO, "%s: poll: %s", s->where, strerror(errno));
	if (p[1].revents & (POLLHUP | POLLERR | POLLNVAL))
		return fail(s, -ECANCELED, "%s: the agent went away", s->where);
	return 0;
}

static int
handshake(struct ssh *s)
{
	int rc, err;

	while ((rc = libssh2_session_handshake(s->session, s->fd)) == LIBSSH2_ERROR_EAGAIN)
		if ((err = wait_ready(s)) < 0)
			return err;
	if (rc == 0)
		return 0;
	if (rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
		return fail(s, -EPROTO,
			    "%s: no agreement on keys: its sshd needs an ed25519 host key, "
			    "curve25519-sha256, aes128-ctr and hmac-sha2-256",
			    s->where);
	if (is_lost(rc) || rc == LIBSSH2_ERROR_BANNER_RECV)
		return fail(s, -ECONNABORTED,
			    "%s: hung up before it named its key: no SSH server, or too many "
			    "connections at once (MaxStartups)",
			    s->where);
	return fail_library(s, rc, "key exchange");
}

static int
authenticate(struct ssh *s, const char *user)
{
	int rc, err;

	while ((rc = libssh2_userauth_publickey_frommemory(s->session, user, strlen(user), NULL, 0,
							   s->key, s->key_len, NULL)) ==
	       LIBSSH2_ERROR_EAGAIN)
		if ((err = wait_ready(s)) < 0)
			return err;
	forget_key(s);
	if (rc == 0)
		return 0;
	if (rc == LIBSSH2_ERROR_FILE)
		return fail(s, -ENOKEY, "key %s is damaged", s->key_path);
	if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED || rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
		return fail(s, -EACCES,
			    "%s does not accept key %s for user %s: run `mimeo key` here and "
			    "`mimeo authorize` there",
			    s->where, s->key_path, user);
	return fail_library(s, rc, "authentication");
}

static int
open_channel(struct ssh *s, uint32_t window)
{
	int rc, err;

	/* Asked for more than the window that is open, the library grants some, and where that has
	 * to wait, as it does in a change of keys, goes on to grant something else under its name:
	 * the two sides count differently from then on. At least 3/4 of the window are open. */
	s->read_max = window / 2;
	for (;;) {
		s->channel = libssh2_channel_open_ex(s->session, "session", sizeof("session") - 1,
						     window, SSH_PACKET_BYTES, NULL, 0);
		if (s->channel)
			break;
		rc = libssh2_session_last_errno(s->session);
		if (rc != LIBSSH2_ERROR_EAGAIN)
			return fail_library(s, rc, "opening a session");
		if ((err = wait_ready(s)) < 0)
			return err;
	}
	/* Else what is written to the peer's standard error fills the window, and all stops. */
	while ((rc = libssh2_channel_handle_extended_data2(
			s->channel, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE)) == LIBSSH2_ERROR_EAGAIN)
		if ((err = wait_ready(s)) < 0)
			return err;
	if (rc < 0)
		return fail_library(s, rc, "opening a session");
	while ((rc = libssh2_channel_exec(s->channel, SSH_COMMAND)) == LIBSSH2_ERROR_EAGAIN)
		if ((err = wait_ready(s)) < 0)
			return err;
	return rc < 0 ? fail_library(s, rc, "starting the peer's command") : 0;
}

int
ssh_open(struct ssh *s, int fd, int stop_fd, const char *user, uint32_t window, int64_t deadline)
{
	int rc;

	assert(s->key && s->where[0]);
	s->fd = fd;
	s->stop_fd = stop_fd;
	s->deadline = deadline;
	if ((rc = handshake(s)) < 0)
		return rc;
	if ((rc = check_host(s)) < 0)
		return rc;
	if ((rc = authenticate(s, user)) < 0)
		return rc;
	return open_channel(s, window);
}

/* ---- the stream ---- */

/* What would block, and whether it leaves a packet half sent. */
static int
again(struct ssh *s, enum pending who)
{
	int dir = libssh2_session_block_directions(s->session);

	s->pending = dir & LIBSSH2_SESSION_BLOCK_OUTBOUND ? who : PENDING_NONE;
	return -EAGAIN;
}

ssize_t
ssh_read(struct ssh *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->pending == PENDING_WRITE)
		return -EAGAIN;
	/* A read that could not finish may have a grant of window under way. The library works out
	 * anew from len how much that was: with another len the two sides would count differently,
	 * and it would throw away what the peer may send in its opinion. */
	if (len > s->read_max)
		len = s->read_max;
	if (s->read_len) {
		assert(len >= s->read_len);
		len = s->read_len;
	}
	n = libssh2_channel_read(s->channel, buf, len);
	if (n == LIBSSH2_ERROR_EAGAIN) {
		s->read_len = len;
		return again(s, PENDING_READ);
	}
	s->read_len = 0;
	s->pending = PENDING_NONE;
	if (n < 0)
		return fail_library(s, n, "reading");
	if (n == 0 && !libssh2_channel_eof(s->channel))
		return -EAGAIN;
	return n;
}

ssize_t
ssh_write(struct ssh *s, const void *buf, size_t len)
{
	ssize_t n;

	if (s->pending == PENDING_READ)
		return -EAGAIN;
	if (len > SSH_WRITE_BYTES)
		len = SSH_WRITE_BYTES;
	n = libssh2_channel_write(s->channel, buf, len);
	if (n == LIBSSH2_ERROR_EAGAIN)
		return again(s, PENDING_WRITE);
	s->pending = PENDING_NONE;
	if (n < 0)
		return fail_library(s, n, "writing");
	return n == 0 ? -EAGAIN : n;
}

int
ssh_send_eof(struct ssh *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	int rc;

	/* The library keeps this packet on its stack and could not go on with it in a second call:
	 * only when there is room for all of it. */
	if (s->pending != PENDING_NONE || poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	rc = libssh2_channel_send_eof(s->channel);
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return -EAGAIN;
	return rc < 0 ? fail_library(s, rc, "closing") : 0;
}

short
ssh_events(struct ssh *s, bool want_read, bool want_write)
{
	int dir = libssh2_session_block_directions(s->session);
	short events = 0;

	/* While a packet is half sent nothing is read: asking for input would wake us in vain. */
	if (s->pending != PENDING_NONE)
		return POLLOUT;
	if (dir & LIBSSH2_SESSION_BLOCK_OUTBOUND)
		events |= POLLOUT;
	/* A writer waits for the peer's window, which comes as input. */
	if (want_read || want_write)
		events |= POLLIN;
	return events;
}

int
ssh_finish(struct ssh *s, struct ssh_end *end)
{
	char *name = NULL;
	int rc;

	*end = (struct ssh_end){0};
	if (s->pending != PENDING_NONE)
		return 0;
	rc = libssh2_channel_wait_closed(s->channel);
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return 0;
	if (rc < 0)
		return fail_library(s, rc, "closing");
	end->closed = true;
	end->status = libssh2_channel_get_exit_status(s->channel);
	libssh2_channel_get_exit_signal(s->channel, &name, NULL, NULL, NULL, NULL, NULL);
	end->killed = name != NULL;
	libssh2_free(s->session, name);
	return 0;
}
