/* SPDX-License-Identifier: BSD-2-Clause */
/* Renames seen lately: where a name came from, so that its hash need not be computed again and its
 * delete is logged beside its add. */
#ifndef MIMEO_WATCHER_MOVES_H
#define MIMEO_WATCHER_MOVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOVES_MAX 4096      /* remembered; beyond it the oldest is forgotten, which costs a hash */
#define MOVES_KEEP_MS 30000 /* a rename is of interest until its names were looked at */

struct moves;

struct moves *moves_new(void);
void moves_free(struct moves *m);
/* MOVED_FROM. tainted: something at or below it was written and not logged yet, so no hash can be
 * trusted. */
void moves_from(struct moves *m, uint32_t cookie, const void *path, size_t len, bool tainted,
		uint64_t now_ms);
/* MOVED_TO with the same cookie. */
void moves_to(struct moves *m, uint32_t cookie, const void *path, size_t len);
/*
 * Where did this path lie before its rename, or the rename of a directory above it? Writes the old
 * path to old (PATH_BYTES_MAX) and returns its length; 0: not from a rename that is remembered and
 * untainted.
 */
size_t moves_origin(struct moves *m, const void *path, size_t len, char *old, uint64_t now_ms);
/* Was it this very name that was renamed, lately, and not a directory above it? */
bool moves_itself(const struct moves *m, const void *path, size_t len, uint64_t now_ms);

#endif
