/* SPDX-License-Identifier: BSD-2-Clause */
/* An invitation as text: what `mimeo invite` prints and `mimeo join -` reads. */
#ifndef MIMEO_AGENT_TICKET_H
#define MIMEO_AGENT_TICKET_H

#include "agent/keyfile.h"
#include "proto/member.h"

#define TICKET_BYTES_MAX 32768 /* of the text that is read */

/* Whom to dial, how to know it, and the secret that lets one in, once. */
struct ticket {
	char member[MEMBER_NAME_BYTES_MAX + 1];
	char address[MEMBER_ADDRESS_BYTES_MAX + 1];
	char user[33];
	char host_key[MEMBER_KEY_BYTES_MAX + 1];
	char id[17];
	char expires[40];                /* for people */
	char key[KEYFILE_BYTES_MAX + 1]; /* the private key's file; wiped by the caller */
};

/* Appends the block. */
void ticket_print(struct buf *out, const struct ticket *t);
/*
 * Finds the block in a text: what stands before and behind it, blanks at the ends of lines and the
 * line ends of mail programs do not matter. -EINVAL with err: one line, which never holds any of
 * the secret.
 */
NODISCARD int ticket_parse(const char *text, struct ticket *t, char *err, size_t err_len);

#endif
