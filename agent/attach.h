/* SPDX-License-Identifier: BSD-2-Clause */
/* What the agent must know of `attach`, the command that a peer's key is bound to. */
#ifndef MIMEO_AGENT_ATTACH_H
#define MIMEO_AGENT_ATTACH_H

/*
 * attach --peer NAME | --invite ID  --socket PATH [--idle MS]
 *
 * sshd runs it for a key that is bound to it in authorized_keys:
 *
 *     restrict,command="LIBEXECDIR/mimeo/attach --peer NAME --socket PATH" ssh-ed25519 ...
 *
 * It connects to the agent's Unix stream socket at PATH, sends the header line
 *
 *     attach 1 NAME\n          or, for the key of an invitation,          invite 1 ID\n
 *
 * and then copies bytes both ways between standard input and output and the socket. The header is
 * the only thing that it says itself. NAME comes from authorized_keys, never from the peer, so the
 * agent may believe it when the socket's other end is root or its own user (SO_PEERCRED). What the
 * peer asked sshd to run (SSH_ORIGINAL_COMMAND) is ignored.
 *
 * End of file is passed on in both directions. When one side has ended, the other may finish, as
 * long as it does not pause for ATTACH_LINGER_MS.
 */

#define ATTACH_HEADER "attach 1 "
#define ATTACH_INVITED "invite 1 " /* as long as the other */
#define ATTACH_NAME_MAX 63         /* bytes of NAME: a-z 0-9 - */
#define ATTACH_HEADER_MAX (sizeof(ATTACH_HEADER) - 1 + ATTACH_NAME_MAX + 1) /* with the \n */

/* Milliseconds without a byte from the peer after which attach ends: sshd alone would keep a
 * session whose network is gone for ever. The agent's pings must come more often. */
#define ATTACH_IDLE_MS_DEFAULT 60000
#define ATTACH_IDLE_MS_MAX 86400000

#define ATTACH_CONNECT_MS 10000 /* at most so long for the agent to accept */
#define ATTACH_LINGER_MS 5000

/* Exit status of attach; each but the first comes with one line on standard error. */
enum attach_exit {
	ATTACH_CLOSED = 0,
	ATTACH_FAILED = 1, /* idle, or reading or writing failed */
	ATTACH_USAGE = 2,
	ATTACH_NO_AGENT = 4, /* nobody listens at PATH, or does not accept in time */
};

#endif
