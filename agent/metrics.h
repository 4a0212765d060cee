/* SPDX-License-Identifier: BSD-2-Clause */
/* The node's numbers as Prometheus text. */
#ifndef MIMEO_AGENT_METRICS_H
#define MIMEO_AGENT_METRICS_H

#include "agent/history.h"
#include "agent/links.h"
#include "agent/node.h"
#include "agent/report.h"

#define METRICS_LOOK_MS 1000 /* so often the lag is noted, and disk and watcher are looked at */

struct metrics;

/* NULL: out of memory. */
struct metrics *metrics_new(struct node *n, const struct links *links);
void metrics_free(struct metrics *m);
/* Notes what has to be noted regularly: call it once a turn. */
void metrics_tick(struct metrics *m);
uint64_t metrics_deadline(const struct metrics *m);
/*
 * Appends everything, in text format 0.0.4. No part of it grows with the number of files. Names
 * are documented by their HELP lines.
 */
void metrics_text(struct metrics *m, struct buf *b);

/* For the status page and /readyz: as of the last look. */
const struct report *metrics_report(const struct metrics *m);
const struct history *metrics_history(const struct metrics *m);
/* Age of the oldest change that this node knows of and does not show yet, in ms; 0: none. */
uint64_t metrics_behind_ms(const struct node *n);

#endif
