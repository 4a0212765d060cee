/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole states: do two nodes that hold the same dots show the same? And what a node does that was
 * away for longer than tombstones live. */
#ifndef MIMEO_AGENT_MERGE_H
#define MIMEO_AGENT_MERGE_H

#include "agent/exchange.h"

/*
 * Each side asks the other for its digests (MERGE_DIGEST) when a link opens and then every
 * MERGE_LOOK_MS. From the answer one of two things may follow; both fetch the other's whole state
 * (MERGE_STATE: what it holds, its floor, the dots of its heads) and the records missing here
 * (MERGE_RECORDS).
 *
 * - This node lacks dots of the other's floor: there, tombstones are gone that it has never seen.
 *   A head here whose dot the other has seen and holds no longer was deleted: it is removed, its
 *   content goes to the store. Then the floor and what the other holds are joined. Until that is
 *   done the other one sends no UPTO, or its dots would count as held here.
 * - Both hold the same dots and their live heads differ: a mistake, of ours or of a disk. It is
 *   counted and said, and both take over what they lack of the other's heads, whatever they have
 *   seen: only a record that covers another removes one. At most every MERGE_PAUSE_MS a peer.
 */
#define MERGE_DIGEST 240
#define MERGE_STATE 241
#define MERGE_RECORDS 242
#define MERGE_LOOK_MS 10000
#define MERGE_PAUSE_MS 3600000
#define MERGE_ANSWER_BYTES_MAX (128u * 1024 * 1024) /* a larger answer is refused */
#define MERGE_RECORDS_BYTES_MAX                                                                    \
	(4u * 1024 * 1024)    /* an answer ends behind this; the rest is asked again */
#define MERGE_RANGES_MAX 4096 /* asked for at a time */
#define MERGE_QUESTIONS_MAX 8 /* of one peer that wait or are being answered */

struct merge;

struct merge *merge_new(struct node *n);
void merge_free(struct merge *m);
void merge_link_opened(struct merge *m, struct peer *p);
void merge_link_closed(struct merge *m, const struct link *l);
/* A peer asks. False: no question of this kind. */
bool merge_asked(struct merge *m, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob,
		 size_t len);
/* The index is durable as it is: the moment to look at it. */
void merge_durable(struct merge *m);
void merge_tick(struct merge *m);
uint64_t merge_deadline(const struct merge *m);
/* How often digests differed since the start. */
uint64_t merge_mismatches(const struct merge *m);

#endif
