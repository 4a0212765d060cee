/* SPDX-License-Identifier: BSD-2-Clause */
/* Tombstones go when nobody can need them any more. */
#ifndef MIMEO_AGENT_COLLECT_H
#define MIMEO_AGENT_COLLECT_H

#include "agent/node.h"

/*
 * A path's tombstones are collected when it has no other heads, nothing is shown there or on its
 * way, every member has applied them, this node holds all that their contexts cover, and the
 * youngest is older than trash.tombstones. Their dots become part of the floor: a node that lacks
 * one of those has never seen the delete (merge.h).
 *
 * What some peer has collected is old enough here, too, and goes even beside an import. An import
 * ranks below a delete: where the delete is forgotten it is shown, where it is not it is not, and
 * while both are heads no node would collect the delete by itself.
 */
#define COLLECT_TURN_MAX 2000 /* records looked at in one turn */
#define COLLECT_PAUSE_MS_MAX 3600000

struct collect;

struct collect *collect_new(struct node *n);
void collect_free(struct collect *c);
/* These dots are a peer's floor; this node has seen them all. -ENOMEM. */
NODISCARD int collect_elsewhere(struct collect *c, const struct dotset *floor);
void collect_tick(struct collect *c);
uint64_t collect_deadline(const struct collect *c);

#endif
