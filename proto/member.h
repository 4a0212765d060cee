/* SPDX-License-Identifier: BSD-2-Clause */
/* A member: a node that may take part, as every node remembers it. */
#ifndef MIMEO_PROTO_MEMBER_H
#define MIMEO_PROTO_MEMBER_H

#include "proto/bytes.h"

#define MEMBER_NAME_BYTES_MAX 63
#define MEMBER_ADDRESS_BYTES_MAX 1024 /* all addresses, comma separated */
#define MEMBER_KEY_BYTES_MAX 512      /* one "ssh-ed25519 AAAA…" without comment */
#define MEMBERS_MAX 256

/* A plain value; strings are terminated. */
struct member {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	char address[MEMBER_ADDRESS_BYTES_MAX + 1]; /* host:port,…; empty: cannot be dialled */
	char user[33];                              /* login name at its sshd */
	char user_key[MEMBER_KEY_BYTES_MAX + 1];    /* what it logs in with */
	char host_key[MEMBER_KEY_BYTES_MAX + 1];    /* what its sshd shows */
	/* Who let it in; its own name: it was the first. Of one that is removed: who did that. */
	char admitted_by[MEMBER_NAME_BYTES_MAX + 1];
	/* 1: forgotten or left; keeps its name and keys from coming back unasked. */
	uint8_t removed;
	uint64_t store; /* its store id, 0 = not met yet */
	/* Wall ms of when a member let it in, or removed it; 0: nobody did yet. Only another member
	 * raises it: it is what brings a removed name back, and what no node can do for itself. */
	uint64_t admitted;
	uint64_t incarnation; /* wall ms of its last change; never goes back */
};

bool member_name_ok(const char *name, size_t len); /* a-z 0-9 -, 1..63, no - at an end */
/*
 * Which of two entries of one name counts: above 0 if a does, below 0 if b does, 0 if they are the
 * same. The later admission; of those the one that is removed; then the higher incarnation; then
 * the higher bytes, so that all nodes agree.
 */
int member_compare(const struct member *a, const struct member *b);
bool member_same_keys(const struct member *a, const struct member *b); /* user's and host's */
/*
 * name, address, user, user_key, host_key, admitted_by as str16, store u64, admitted u64,
 * incarnation u64, removed u8.
 */
void member_encode(struct buf *b, const struct member *m);
/*
 * -EPROTO: a field too long, a name that is not one (admitted_by may be empty), bytes outside
 * printable ASCII, a space in the address or the user, a key that is neither empty nor
 * "ssh-ed25519 AAAA" and base64, removed over 1. On an error *m is all zero.
 */
NODISCARD int member_decode(struct cur *c, struct member *m);

#endif
