/* SPDX-License-Identifier: BSD-2-Clause */
/* Every file is read again from time to time: what a disk has lost is found and put back. */
#ifndef MIMEO_AGENT_SCRUB_H
#define MIMEO_AGENT_SCRUB_H

#include "agent/node.h"

/*
 * A pass over all files shown begins scrub.every after the last one ended, and reads scrub.rate
 * bytes a second. A file whose signature is the known one and whose content is not, twice (the
 * second time from the disk and not from the cache), with nobody writing to it before and after, is
 * rotten: said, counted, logged as ALTERED; then apply puts the right bytes there, from wherever
 * they are, and keeps the others. A file that somebody has open or mapped for writing, or whose
 * signature differs, is the watcher's business and left alone.
 */
#define SCRUB_CHUNK_BYTES (1u << 20)
#define SCRUB_ASKED_MAX 1000 /* single paths that wait to be checked; beyond it a pass is begun */

struct scrub;

struct scrub *scrub_new(struct node *n);
void scrub_free(struct scrub *s); /* after work_free */
/* A whole pass now. */
void scrub_now(struct scrub *s);
/* This path, next. */
void scrub_path(struct scrub *s, const void *path, size_t len);
void scrub_tick(struct scrub *s);
uint64_t scrub_deadline(const struct scrub *s);

struct scrub_state {
	bool running;
	uint64_t files, bytes; /* read in this pass, or the last one */
	uint64_t rotten;       /* since the start */
	uint64_t done_ms;      /* wall clock when the last pass ended; 0 never */
};
struct scrub_state scrub_state(const struct scrub *s);

#endif
