/* SPDX-License-Identifier: BSD-2-Clause */
/* check-config's look at the tree: does what the daemons do to files work here, as this user? */
#ifndef MIMEO_AGENT_CMD_PROBE_H
#define MIMEO_AGENT_CMD_PROBE_H

#include "conf/settings.h"
#include "conf/tree.h"

/* So many entries are looked at to find files of other owners; what is behind them is not. */
#define PROBE_LOOK_MAX 100000
#define PROBE_OWNERS_MAX 8 /* one file of each is tried */

/*
 * In the root, and beside one file of each owner but this user: a file is read and leased, a new
 * one is staged, given that owner (if sync.owner = inherit), mode and mtime, renamed in, exchanged,
 * and taken out again. No file that was there is changed. Each thing that fails is one call of
 * problem, with a negative errno or 0; where is printable.
 */
typedef void probe_problem(void *arg, const char *what, const char *where, int error);
void probe_tree(const struct settings *s, struct tree *t, probe_problem *problem, void *arg);

#endif
