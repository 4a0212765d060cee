/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks others where members are: a Serf agent, the DNS. What they say are hints and no more. */
#ifndef MIMEO_AGENT_SCOUT_H
#define MIMEO_AGENT_SCOUT_H

#include "agent/links.h"
#include "agent/node.h"
#include "conf/loop.h"

/*
 * Where nothing is configured, nothing happens. A Serf agent that is away, that lies or that sends
 * garbage is said and counted (reason "serf"; of the DNS: "dns"), and asked again after a while;
 * what was known from it stays. It can make this node dial a wrong place, where no pinned host key
 * is, and call a member that this node has no session with suspect until that is heard of again.
 */
#define SCOUT_SERF_ANSWER_MS 5000 /* it has answered by then, connecting included */
#define SCOUT_SERF_ASK_MS 60000   /* so often the whole list is asked for, besides events */
/* The DNS is asked by a child (lookup), which has so long; so often again. */
#define SCOUT_DNS_ANSWER_MS 10000
#define SCOUT_DNS_ASK_MS 60000
#define SCOUT_HURRY_MS 1000 /* at most so often a member is dialled at once for what is told */

struct scout;

/* NULL: out of memory. */
struct scout *scout_open(struct node *n, struct loop *loop, struct links *links);
void scout_close(struct scout *s); /* NULL is fine */
/* The configuration was read again. */
void scout_configured(struct scout *s);
/* Once a turn. */
void scout_turn(struct scout *s);
uint64_t scout_deadline(const struct scout *s);

#endif
