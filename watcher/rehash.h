/* SPDX-License-Identifier: BSD-2-Clause */
/* After a salvage: every file is hashed again, at a gentle pace, as records of changes may be lost.
 */
#ifndef MIMEO_WATCHER_REHASH_H
#define MIMEO_WATCHER_REHASH_H

#include "proto/index.h"
#include "watcher/dirty.h"

#define REHASH_AHEAD_MAX 64 /* names that wait for their turn: what users change comes between */

struct rehash;

/* rate: bytes a second. NULL: out of memory. Both outlive it. */
struct rehash *rehash_new(struct index *index, struct dirty *dirty, uint64_t rate);
void rehash_free(struct rehash *r); /* NULL is fine */
/* Marks as many files as it is time for. True: there are no more. */
bool rehash_turn(struct rehash *r, uint64_t now_ms);
uint64_t rehash_deadline(const struct rehash *r); /* monotonic ms */

#endif
