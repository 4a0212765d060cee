/* SPDX-License-Identifier: BSD-2-Clause */
/* A scan of the tree, in slices: every directory is watched, then listed; what differs from the
 * index becomes dirty. */
#ifndef MIMEO_WATCHER_SCAN_H
#define MIMEO_WATCHER_SCAN_H

#include "conf/ignore.h"
#include "conf/log.h"
#include "proto/index.h"
#include "watcher/dirty.h"
#include "watcher/watch.h"

#define SCAN_SLICE_NAMES 2000 /* names a slice: a few ms, then events are drained */

struct scan;

struct scan_opts {
	struct tree *tree;
	struct index *index;
	struct watch *watch;
	struct dirty *dirty;
	struct log *log;
	const struct ignore *const *ignore; /* the one in force now */
};

struct scan *scan_new(const struct scan_opts *o);
void scan_free(struct scan *s);
/* Scans the whole tree (from the beginning again if one is running). */
void scan_all(struct scan *s);
/* Scans one directory and what is below it, soon. */
void scan_below(struct scan *s, const void *path, size_t len);
/* One slice. Returns true while there is more to do. */
bool scan_slice(struct scan *s, uint64_t now_ms);
bool scan_running(const struct scan *s);
bool scan_full_done(struct scan *s); /* true once after a scan_all came to its end */
/* True once after something could not be looked at for a reason that may pass (an I/O error, no
 * memory, no descriptor, no permission): it needs another scan. */
bool scan_unsure(struct scan *s);
size_t scan_done_names(const struct scan *s);
bool scan_ignored(const struct scan *s, const void *path, size_t len, bool dir);

#endif
