/* SPDX-License-Identifier: BSD-2-Clause */
/* One newcomer's conversation with the member that invited it (proto/PROTOCOL.md, "Joining"). */
#ifndef MIMEO_AGENT_WELCOME_H
#define MIMEO_AGENT_WELCOME_H

#include "agent/node.h"

#define WELCOME_VERSION 1
/* ASK: what does the cluster's tree show? blob: version u16, count bool (1: the count, too) */
#define WELCOME_ASK_LIST 1
#define WELCOME_COUNT_ID 0    /* the TELL before the rows: how many there are, about; blob: u64 */
#define WELCOME_IDLE_MS 30000 /* a newcomer that says nothing for so long is dropped */
#define WELCOMES_MAX 16       /* newcomers at once */
/* A row of the answer: kind u8, size u64, mtime u64 (ns, two's complement), SHA-256, path str16. */
#define WELCOME_ROW_BYTES_MAX (1 + 8 + 8 + 32 + 2 + 4095)

struct welcome;

/* id: of the invitation, as sshd's forced command has it. NULL: out of memory. */
struct welcome *welcome_new(struct node *n, const char *id);
void welcome_free(struct welcome *w);
/* Bytes from the newcomer; returns how many were taken: fewer while there is much to read. */
size_t welcome_input(struct welcome *w, const void *bytes, size_t len);
const uint8_t *welcome_output(struct welcome *w, size_t *len);
void welcome_consumed(struct welcome *w, size_t len);
/* Once a turn. */
void welcome_turn(struct welcome *w);
uint64_t welcome_deadline(const struct welcome *w);
/* All was said; what is left of the output may still go out. */
bool welcome_over(const struct welcome *w);

#endif
