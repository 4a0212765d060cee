/* SPDX-License-Identifier: BSD-2-Clause */
/* Every record that this node's log still has, superseded or not, in the order of their times. */
#ifndef MIMEO_AGENT_ANNALS_H
#define MIMEO_AGENT_ANNALS_H

#include "agent/node.h"

/*
 * Both generations of the log are read, a piece a step; of each record that is wanted time, dot and
 * place are kept (32 bytes), and the record is read again when its turn comes. What compaction has
 * forgotten is not there; what the next one will forget still is.
 */
#define ANNALS_ROWS_MAX 2000000u     /* the latest; twice as many while they are gathered: 128 MB */
#define ANNALS_STEP_BYTES (1u << 20) /* of the log, in one step */

struct annals_want {
	const char *path;  /* it and what is below it, terminated; NULL: everything */
	uint64_t since_ms; /* wall clock; 0: all */
	uint64_t limit;    /* the latest so many */
};

/* But for the limit. */
bool annals_wants(const struct annals_want *want, const struct record *r);

struct annals;

/* want is borrowed. What is appended from now on is not read. -ENOMEM, or an errno of the log. */
NODISCARD int annals_new(struct node *n, const struct annals_want *want, struct annals **out);
void annals_free(struct annals *a);
/* 1: there is more to gather; 0: done; -ENOMEM, or what the device says. */
NODISCARD int annals_step(struct annals *a);
/* After that: the next one, oldest first, borrowed until the next call. 1; 0: no more; or as above.
 */
NODISCARD int annals_next(struct annals *a, const struct record **r);
/* There were more than ANNALS_ROWS_MAX, and more than that were wanted: the oldest are missing. */
bool annals_cut(const struct annals *a);

#endif
