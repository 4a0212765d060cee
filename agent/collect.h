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
 */
#define COLLECT_TURN_MAX 2000 /* records looked at in one turn */
#define COLLECT_PAUSE_MS_MAX 3600000

struct collect;

struct collect *collect_new(struct node *n);
void collect_free(struct collect *c);
void collect_tick(struct collect *c);
uint64_t collect_deadline(const struct collect *c);

#endif
