/* SPDX-License-Identifier: BSD-2-Clause */
/* The tree is made to show what the index wants: stage, INTENT, rename under the lock, look at what
 * came out, sync, APPLIED. */
#ifndef MIMEO_AGENT_APPLY_H
#define MIMEO_AGENT_APPLY_H

#include "agent/node.h"

#define APPLY_TASKS_MAX 1024 /* paths under way at once; the rest waits in the index's list */

struct apply *apply_new(struct node *n);
void apply_free(struct apply *a);
/* Puts open intents in order after a crash; nothing else is started before it is done. */
void apply_recover(struct apply *a);
/* The index calls: a path is unsettled and changed; a path has settled. */
void apply_todo(struct apply *a, struct pathent *ent);
void apply_settled(struct apply *a, struct pathent *ent);
/* A peer connected, or has applied more: what waits for content that nobody had is tried again. */
void apply_peers_changed(struct apply *a);
void apply_tick(struct apply *a);
uint64_t apply_deadline(const struct apply *a);
/* Try everything that waits for a retry now: resume, a peer came, there is room again. */
void apply_kick(struct apply *a);
/* Somebody waits for this path: it comes before what only has to come some time. */
void apply_hurry(struct apply *a, const struct pathent *ent);
/* Is its content here and verified, or not needed, and the path being changed now? */
bool apply_applying(const struct apply *a, const struct pathent *ent);
size_t apply_active(const struct apply *a);
/* Is some change under way with a file of that name in the stage? */
bool apply_stages(const struct apply *a, const char *name);
/* Will a file with this content be placed somewhere? */
bool apply_wants(const struct apply *a, const uint8_t hash[RECORD_HASH_BYTES]);

/* Why a path is not settled, for `pending` and `explain`. */
struct apply_state {
	const char *state;  /* "queued", "fetching", "waiting", "applying", "held", "paused" */
	const char *reason; /* static or empty: "no peer has it", "disk is full", "local change not
			       logged yet", … */
	uint64_t retry_ms;  /* monotonic; 0: none */
	unsigned attempts;
	const struct fetch_job *fetch; /* progress; NULL */
};
struct apply_state apply_explain(const struct apply *a, const struct pathent *ent);

#endif
