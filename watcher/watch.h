/* SPDX-License-Identifier: BSD-2-Clause */
/* Recursive inotify: which directories are watched, under which number; and which have to be
 * polled. */
#ifndef MIMEO_WATCHER_WATCH_H
#define MIMEO_WATCHER_WATCH_H

#include "conf/notify.h"
#include "conf/tree.h"

struct watch;

struct watch *watch_new(struct tree *tree, struct notify *notify); /* NULL: out of memory */
void watch_free(struct watch *w);
/*
 * Watches one directory (its own entries only). Done before it is listed, so that nothing is missed
 * in between. 0; -ENOSPC: no watch is left, the directory is remembered as one to poll
 * (watch_polled counts them); -ENOENT: it is gone; other errors.
 */
NODISCARD int watch_add(struct watch *w, const void *path, size_t len);
/* The directory of an event's number; NULL: not (any more) ours. */
const char *watch_path(const struct watch *w, int wd, size_t *len);
/* The kernel took the watch away (IN_IGNORED). */
void watch_gone(struct watch *w, int wd);
/* A directory was moved away or renamed: watches at and below it are given back. */
void watch_remove_below(struct watch *w, const void *path, size_t len);
size_t watch_count(const struct watch *w);
size_t watch_polled(const struct watch *w);
void watch_polled_reset(struct watch *w); /* a scan begins: it finds them anew */

#endif
