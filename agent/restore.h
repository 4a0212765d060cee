/* SPDX-License-Identifier: BSD-2-Clause */
/* Brings a kept version back, as a user would: a file is put at a path, and the watcher logs it as
 * a new version. */
#ifndef MIMEO_AGENT_RESTORE_H
#define MIMEO_AGENT_RESTORE_H

#include "agent/keepers.h"

struct restore;

/*
 * Starts: the version goes to `path`. The content comes from here or, by hash, from whoever keeps
 * it; `all`, which found it, is borrowed until restore_free. What lies at the path goes to the
 * store. -EINVAL: not a path; -EREMOTE: rescued content, which has no hash, of another member;
 * -ENOMEM.
 */
NODISCARD int restore_start(struct node *n, const struct keepers *all,
			    const struct keepers_found *f, const void *path, size_t len,
			    struct restore **out);
/*
 * The same with the content, kind and mode of `rec`, copied, whatever path that has. The content
 * comes from here, from those who keep f, if that is not NULL, or from whoever acknowledged rec.
 */
NODISCARD int restore_version(struct node *n, const struct record *rec, const struct keepers *all,
			      const struct keepers_found *f, const void *path, size_t len,
			      struct restore **out);
/*
 * Takes a file or a symlink that the index shows away from its path, as a user would, into the
 * store. -EAGAIN: it is being changed just now; else as tree_take.
 */
NODISCARD int restore_remove(struct node *n, const void *path, size_t len);
/* 1: under way; 0: done; -errno: failed. */
int restore_state(const struct restore *r);
void restore_free(struct restore *r); /* stops it; NULL is fine */

#endif
