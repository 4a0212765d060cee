/* SPDX-License-Identifier: BSD-2-Clause */
/* How far long work has come: a line on standard error that is renewed, on a terminal only. */
#ifndef MIMEO_AGENT_CMD_PROGRESS_H
#define MIMEO_AGENT_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Nothing is shown of work that is over before, and no more often than that. */
#define PROGRESS_FIRST_MS 300
#define PROGRESS_EVERY_MS 100

struct progress;

/* what: a word that stays the caller's. bytes: it is bytes that are counted. NULL where standard
 * error is no terminal; all calls take that. */
struct progress *progress_new(const char *what, bool bytes);
/* So much is done, of so much; total 0: not known, then there is no bar and no time left. */
void progress_at(struct progress *p, uint64_t done, uint64_t total);
/* Takes the line away, as something else is to be written. It comes back with progress_at. */
void progress_hide(struct progress *p);
void progress_free(struct progress *p); /* and takes the line away */

#endif
