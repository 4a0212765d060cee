/* SPDX-License-Identifier: BSD-2-Clause */
/* Relative paths as byte strings: what may be a replicated name. */
#ifndef MIMEO_PROTO_PATH_H
#define MIMEO_PROTO_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/attr.h"

#define PATH_BYTES_MAX 4095     /* whole path, without a terminating zero */
#define PATH_NAME_BYTES_MAX 255 /* one component, as on ext4 */
#define PATH_DEPTH_MAX 256      /* components */
#define PATH_MARKER ".mimeo-id" /* the root's marker: never mirrored, reserved at the top */
#define PATH_WORK ".mimeo"      /* where work lies in a root that is a mount point: reserved too */

/*
 * 0 if the path may name something replicated: components of 1..255 bytes joined by '/', none of
 * them "." or "..", no NUL, no leading or trailing '/', within the limits, and neither reserved
 * name as first component. -EINVAL otherwise; path_problem says what in plain words.
 */
NODISCARD int path_check(const void *path, size_t len);
const char *path_problem(const void *path, size_t len); /* NULL if it is fine */
/* Length of the parent's path (0: the root itself is the parent). */
size_t path_parent(const void *path, size_t len);
/* Is `path` strictly below `dir` (dir_len 0: the root)? */
bool path_below(const void *path, size_t len, const void *dir, size_t dir_len);
/* The same, or `dir` itself. */
bool path_within(const void *path, size_t len, const void *dir, size_t dir_len);
/* memcmp order with '/' sorting lowest, so that a directory is followed by what is below it. */
int path_cmp(const void *a, size_t alen, const void *b, size_t blen);
/*
 * 0 if a symlink at `path` with that target is relative and stays inside the root; -EINVAL
 * otherwise. Target 1..4095 bytes, no NUL. A ".." after a name is refused: the name may itself be a
 * symlink, so nobody can tell where its parent is.
 */
NODISCARD int path_link_check(const void *path, size_t len, const void *target, size_t target_len);

#endif
