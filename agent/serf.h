/* SPDX-License-Identifier: BSD-2-Clause */
/* A conversation with a Serf agent over its RPC protocol: who its members are, and what becomes of
 * them. Pure: bytes in, bytes out. */
#ifndef MIMEO_AGENT_SERF_H
#define MIMEO_AGENT_SERF_H

#include "proto/member.h"

/*
 * Handshake, auth if there is a key, the stream of member events, and then the list of members;
 * that one again whenever serf_ask is called. Serf's own members are not mimeo's: only those count
 * that carry the tag mimeo_ssh, their addresses as HOST:PORT with commas; their name is the tag
 * mimeo_name, or else Serf's. Whatever they say lets nobody in.
 */
#define SERF_TAG_SSH "mimeo_ssh"
#define SERF_TAG_NAME "mimeo_name"
#define SERF_KEY_BYTES_MAX 1024
#define SERF_MESSAGE_BYTES_MAX (4u * 1024 * 1024) /* what is larger is no list of members */

enum serf_fate { SERF_ALIVE, SERF_LEFT, SERF_FAILED };

struct serf_member {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	char address[MEMBER_ADDRESS_BYTES_MAX + 1]; /* as it says; not looked at */
	enum serf_fate fate;
	bool news; /* it is an event, and no line of the list */
};

struct serf;

/* key: NULL or empty, none; copied. member: for each one that counts. NULL: out of memory. */
struct serf *serf_new(const char *key, void (*member)(void *arg, const struct serf_member *m),
		      void *arg);
void serf_free(struct serf *s); /* NULL is fine */
/*
 * Bytes from Serf; calls member. 0; -EPROTO: it is not Serf that speaks; -EACCES: it wants another
 * key, or one; -EMSGSIZE; -ENOMEM. After an error nothing more is taken. *what: in words, static.
 */
NODISCARD int serf_input(struct serf *s, const void *bytes, size_t len, const char **what);
/* Bytes for Serf; borrowed until the next call. */
const uint8_t *serf_output(const struct serf *s, size_t *len);
void serf_consumed(struct serf *s, size_t len);
/* Asks for the list of members once more; nothing if an answer is still to come. */
void serf_ask(struct serf *s);
/* Has it told its members at least once? */
bool serf_ready(const struct serf *s);
/* Is an answer to come? */
bool serf_waits(const struct serf *s);
/* Members that were told and had a name or an address that is none, since the beginning. */
uint64_t serf_bad(const struct serf *s);

#endif
