/* SPDX-License-Identifier: BSD-2-Clause */
/* What went wrong lately, for `mimeo errors` and for the counters by peer and reason. */
#ifndef MIMEO_AGENT_ERRORS_H
#define MIMEO_AGENT_ERRORS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define ERRORS_KEPT_MAX 1000 /* newest ones; older ones are forgotten, the counters stay */
#define ERRORS_COUNTERS_MAX                                                                        \
	1024 /* distinct (peer, reason); beyond it they count under reason "other" */

/* Reasons are a fixed vocabulary: short words, documented in README: "connect", "hostkey", "auth",
 * "protocol", "identity", "hash", "gone", "nospace", "io", "permission", "busy", "path", "timeout",
 * "delta", "wal", "hook", "serf", "dns", "clock". */
struct error_row {
	uint64_t wall_ms;
	char peer[64];      /* empty: local */
	const char *reason; /* static string */
	char *path;         /* bytes, may be NULL */
	size_t path_len;
	char *text; /* one line */
};
struct error_counter {
	char peer[64];
	const char *reason;
	uint64_t n;
};
struct errors;

struct errors *errors_new(void);
void errors_free(struct errors *e);
/* reason must be a string literal. Out of memory: counted, not kept. */
void errors_add(struct errors *e, uint64_t wall_ms, const char *peer, const char *reason,
		const void *path, size_t path_len, const char *text);
/*
 * A counter of 0 where there is none yet, so that those who watch it see the first error as a rise.
 * Nothing is added once half of the table is used.
 */
void errors_expect(struct errors *e, const char *peer, const char *reason);
/* Newest first; NULL behind the last. */
const struct error_row *errors_row(const struct errors *e, size_t i);
const struct error_counter *errors_counter(const struct errors *e,
					   size_t i); /* NULL behind the last */
uint64_t errors_total(const struct errors *e);

#endif
