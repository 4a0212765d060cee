/* SPDX-License-Identifier: BSD-2-Clause */
/* What happened since the agent started, as plain numbers that the parts raise where it happens. */
#ifndef MIMEO_AGENT_COUNTS_H
#define MIMEO_AGENT_COUNTS_H

#include <stdint.h>

/* Upper bounds of the propagation histogram, in ms; one more bucket is for what took longer. */
#define COUNTS_BOUNDS_MS                                                                           \
	{                                                                                          \
		5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000        \
	}
#define COUNTS_BOUNDS 14

struct counts {
	uint64_t applied;       /* versions of other nodes that this tree came to show, or lost */
	uint64_t applied_bytes; /* of files, of those */
	uint64_t local_bytes;   /* content that was here already and was not fetched */
	uint64_t delta_saved_bytes; /* content that a delta did not have to carry */
	uint64_t rot_found;         /* files whose content no longer had its hash */
	uint64_t rot_repaired;      /* of those, put right from a member */
	/* From being logged at the author to being applied here, in the author's clock as far as
	 * it is known. */
	uint64_t spread[COUNTS_BOUNDS + 1];
	uint64_t spread_ms; /* their sum */
	/* The miss handler: what became of its requests. */
	uint64_t miss_here, miss_streamed, miss_nobody, miss_late;
	uint64_t miss_asked; /* paths that members were asked for */
	uint64_t hook_runs, hook_failed;
	uint64_t hook_dropped; /* paths that it was not told */
};

/* One version took so long; a negative time (clocks differ) counts as 0. */
void counts_spread(struct counts *c, int64_t ms);

#endif
