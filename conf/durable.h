/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which directories' own names are known to be on the disk. A directory that somebody made a moment
 * ago may be lost in a power cut with all that was synced in it, so whoever says that a name is
 * durable has synced every name above it once. This remembers for which that was done: it may
 * forget (then one is synced again), and never says yes to what was not added.
 */
#ifndef MIMEO_CONF_DURABLE_H
#define MIMEO_CONF_DURABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DURABLE_SLOTS 4096 /* directories that are remembered: 32 KiB */

/* All zero knows nothing. Threads may share it. */
struct durable {
	_Atomic uint64_t slot[DURABLE_SLOTS];
};

/* A directory: its number may be given anew to another one, so also when it was made. */
struct durable_dir {
	uint64_t ino;
	int64_t born_ns; /* 0: this file system does not tell */
};

/*
 * That `name` in `dir` is the directory `child`, in 64 bits (so two can be mistaken for one another
 * once in 2^64). 0, which is never known, if it cannot be told when one of them was made.
 */
uint64_t durable_key(const struct durable_dir *dir, const void *name, size_t len,
		     const struct durable_dir *child);
bool durable_has(struct durable *d, uint64_t key);
void durable_add(struct durable *d, uint64_t key);

#endif
