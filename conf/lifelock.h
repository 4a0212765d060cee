/* SPDX-License-Identifier: BSD-2-Clause */
/* One lock held for life: there is one watcher and one agent for a state directory. */
#ifndef MIMEO_CONF_LIFELOCK_H
#define MIMEO_CONF_LIFELOCK_H

#include "proto/attr.h"

/*
 * Creates `path` if missing (0600) and locks it. Returns the descriptor that holds the lock
 * (close-on-exec); the caller keeps it open as long as it lives and never removes the file. The
 * lock is gone when the process is, however it ended.
 * -EBUSY: another process (or another descriptor of this one) has it. Otherwise what open(2),
 * fcntl(2) or stat(2) said; -ELOOP if path is a symlink.
 */
NODISCARD int lifelock_take(const char *path);

#endif
