/* SPDX-License-Identifier: BSD-2-Clause */
/* Names known to be durable: one slot for each key, the last one stays. */
#include "config.h"

#include "conf/durable.h"

#include "proto/map.h"

uint64_t
durable_key(const struct durable_dir *dir, const void *name, size_t len,
	    const struct durable_dir *child)
{
	const uint64_t who[4] = {dir->ino, (uint64_t)dir->born_ns, child->ino,
				 (uint64_t)child->born_ns};
	uint64_t key;

	if (dir->born_ns == 0 || child->born_ns == 0)
		return 0;
	key = map_hash(map_hash(0, who, sizeof(who)), name, len);
	return key != 0 ? key : 1;
}

bool
durable_has(struct durable *d, uint64_t key)
{
	return key != 0 && atomic_load(&d->slot[key % DURABLE_SLOTS]) == key;
}

void
durable_add(struct durable *d, uint64_t key)
{
	if (key != 0)
		atomic_store(&d->slot[key % DURABLE_SLOTS], key);
}
