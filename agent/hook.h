/* SPDX-License-Identifier: BSD-2-Clause */
/* The program of [hook] applied: it is told which paths this node has taken over from others. */
#ifndef MIMEO_AGENT_HOOK_H
#define MIMEO_AGENT_HOOK_H

#include "agent/node.h"
#include "conf/loop.h"

/*
 * Paths of one operation from one node are collected for HOOK_BATCH_MS and handed over together:
 * the program is executed without a shell, gets them on its standard input, relative to the root,
 * each with a NUL behind it, and in its environment
 *
 *   MIMEO_OP      "changed" (made, written, or other mode or time) or "removed"
 *   MIMEO_ORIGIN  the node that it was done on
 *   MIMEO_NODE    this node
 *   MIMEO_ROOT    the mirrored directory
 *
 * Its standard output goes nowhere, its standard error where the agent's goes. One runs at a time,
 * and replication never waits for it. After HOOK_TIME_MS it gets SIGTERM, HOOK_KILL_MS later
 * SIGKILL. Whether it cannot be started, is killed or ends with another code than 0: that is
 * counted (counts.hook_failed, errors under "hook") and its batch is not tried again. Beyond
 * HOOK_QUEUE_BYTES_MAX of waiting paths new ones are dropped, counted (counts.hook_dropped) and
 * said. What was applied just before the agent was killed may never be told; so the hook is for
 * caches that also expire, not for keeping accounts. Batches may come in another order than the
 * changes: what counts is what lies at the path.
 */
#define HOOK_BATCH_MS 100
#define HOOK_BATCH_BYTES_MAX (256u * 1024) /* of paths with their NULs */
#define HOOK_QUEUE_BYTES_MAX (16u * 1024 * 1024)
#define HOOK_TIME_MS 60000
#define HOOK_KILL_MS 5000

struct hook;

/* NULL: out of memory. */
struct hook *hook_new(struct node *n, struct loop *l);
/* A program that runs gets SIGTERM and is not waited for. NULL is fine. */
void hook_free(struct hook *h);
/* This version of another node was applied at its path; origin is that node's name. */
void hook_applied(struct hook *h, const struct record *r, const char *origin);

#endif
