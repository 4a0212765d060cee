/* SPDX-License-Identifier: BSD-2-Clause */
/* How far this node is with what it still has to apply, how fast, and how long it will take. */
#ifndef MIMEO_AGENT_CATCHUP_H
#define MIMEO_AGENT_CATCHUP_H

#include "agent/node.h"

/*
 * A catch-up begins when something becomes pending and ends when nothing is. Records may still come
 * in meanwhile: then the totals grow. What is pending is counted every second, less often where it
 * is much (CATCHUP_PER_MS) or where nothing moves (CATCHUP_STILL_MS).
 */
#define CATCHUP_EVERY_MS 1000
#define CATCHUP_PER_MS 500     /* so many pending paths add a millisecond to that */
#define CATCHUP_STILL_MS 10000 /* nothing moved for so long: it is counted as seldom as that */
#define CATCHUP_SHOWN_MS 1000  /* what is over sooner is no catch-up that is worth telling */

struct catchup_now {
	bool running;
	uint64_t paths_done, paths_total; /* names: files, directories, deletes */
	uint64_t bytes_done, bytes_total; /* of files; what is under way counts as far as it came */
	uint64_t bytes_per_second;        /* lately */
	uint64_t seconds;                 /* since it began */
	bool known;                       /* is seconds_left? */
	uint64_t seconds_left;
};

struct catchup;

struct catchup *catchup_new(struct node *n); /* NULL: out of memory */
void catchup_free(struct catchup *p);        /* NULL is fine */
void catchup_tick(struct catchup *p);
uint64_t catchup_deadline(const struct catchup *p);
struct catchup_now catchup_now(const struct catchup *p);

#endif
