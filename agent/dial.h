/* SPDX-License-Identifier: BSD-2-Clause */
/* What the agent must know of its child `dial`: arguments, limits, and how it ends. */
#ifndef MIMEO_AGENT_DIAL_H
#define MIMEO_AGENT_DIAL_H

/*
 * dial --host HOST --port PORT --user USER --key FILE --known-hosts FILE
 *      [--bind-name NAME] [--window BYTES] [--connect-timeout MS]
 *
 * Descriptor 0 is one end of a Unix stream socketpair whose other end the agent keeps: what the
 * agent writes there goes to the peer, what the peer sends comes out there, and nothing else ever
 * does. dial puts no byte of its own into the stream, so the agent learns that the tube stands
 * when the peer's first bytes arrive. Shutting down the agent's end for writing is passed on as
 * end of file; closing it ends dial. Descriptor 1 is not used. On descriptor 2 dial writes exactly
 * one line that begins with "error: " when it ends with anything but DIAL_CLOSED, and nothing
 * otherwise; bytes that are not printable ASCII are written \xNN. SIGTERM ends it at once.
 *
 * HOST is a name or a numeric address without brackets. One call tries every address that HOST
 * resolves to, in order. The host key must be the one that FILE has for "[HOST]:PORT" (for port 22
 * "HOST" is as good); with --bind-name it must be the one that FILE has for NAME, whatever the
 * address. Nothing is ever added to FILE.
 */

/* Bytes of the receive window. 2 MiB is best below 20 ms of round trip; a window that is large for
 * the link makes sshd 3 to 6 times slower, so more is for long links only (8 MiB at 50 ms). */
#define DIAL_WINDOW_DEFAULT (2u * 1024 * 1024)
#define DIAL_WINDOW_MIN (64u * 1024)
#define DIAL_WINDOW_MAX (64u * 1024 * 1024)

/* Milliseconds from the start until the tube stands: name lookup, connect, key exchange,
 * authentication, start of the peer's command. */
#define DIAL_CONNECT_MS_DEFAULT 15000
#define DIAL_CONNECT_MS_MAX 600000

/* Exit status of dial. An end by a signal is none of these: somebody killed it. */
enum dial_exit {
	DIAL_CLOSED = 0,    /* the tube stood and was closed in order, by either side */
	DIAL_USAGE = 2,     /* bad arguments, or descriptor 0 is no stream socket */
	DIAL_CONNECT = 10,  /* no such host, refused, timed out, or hung up before its first key */
	DIAL_HOSTKEY = 11,  /* host key not in the file, not the one there, or revoked there */
	DIAL_AUTH = 12,     /* the peer's sshd does not accept this key for this user */
	DIAL_KEY = 13,      /* our key file, or the pinned host key, is not a usable ed25519 key */
	DIAL_PROTOCOL = 14, /* no common algorithm, no channel, broken packets, no memory */
	DIAL_LOST = 15,     /* the tube stood, then the link or the peer's sshd went away */
	DIAL_PEER = 16,     /* the peer's command failed: its agent does not run, ... */
};

#endif
