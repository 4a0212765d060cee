/* SPDX-License-Identifier: BSD-2-Clause */
/* work/kept: displaced versions. The WAL says which is a conflict and which is trash; this part
 * lets old trash go. */
#ifndef MIMEO_AGENT_STORE_H
#define MIMEO_AGENT_STORE_H

#include "agent/node.h"

/*
 * Trash goes after trash.keep; above trash.max_size the oldest goes, but nothing younger than
 * STORE_YOUNG_MS. Conflicts and rescued content stay until they are dropped or restored. Before a
 * file is purged it is looked at: a writer that held it open when it was displaced may have gone
 * on; what no longer has the recorded size and mtime is not purged but becomes rescued content.
 * Files below work/kept that the WAL does not know, and stage files that no intent or record names,
 * are dealt with at start: unknown kept files are left and reported, stage leftovers of superseded
 * records are removed.
 */
#define STORE_YOUNG_MS (24ull * 3600 * 1000)
#define STORE_LOOK_MS 60000 /* how often expiry is looked at */
#define STORE_FULL_MS 5000  /* how often, when it is full */

struct store;

struct store *store_new(struct node *n);
void store_free(struct store *s);
void store_tick(struct store *s);
uint64_t store_deadline(const struct store *s);
/*
 * May so many bytes be displaced, while `coming` others are on their way to the store? Not if the
 * trash would be larger than trash.max_size and none of it may go yet; one file that is larger than
 * that may, into an empty trash. Conflicts do not count.
 */
bool store_room(struct store *s, uint64_t size, uint64_t coming);
/* The configuration is another one: looks at once. */
void store_reconfigured(struct store *s);
/* Forgets one kept version now: its file is removed, PURGED is put. -ENOENT. */
NODISCARD int store_drop(struct store *s, struct dot dot);
/*
 * Moves what was displaced from the stage into the store, as `kept`; rec is the version that it is.
 * What has that name already goes if it looks like the same version (size and time), and else is
 * kept as rescued content: nothing is ever replaced by something else.
 */
NODISCARD int store_keep(struct node *n, const char *stage, const char *kept,
			 const struct record *rec);
/* Wall ms when trash expires; 0: a conflict or rescued content, which does not. */
uint64_t store_expires(const struct store *s, const struct kept *k);
/* Makes of the record of what was shown one that describes rescued content: whatever it is, it is
 * kept as a file nobody hashed. */
void store_rescued_record(struct record *rec, const struct sig *sig);
/* The file name of a kept version: its dot, or rescued-N. */
void store_name(const struct kept *k, char out[48]);

#endif
