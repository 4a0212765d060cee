/* SPDX-License-Identifier: BSD-2-Clause */
/* Linear probing with backward-shift deletion, so that no tombstones pile up. */
#include "config.h"

#include "proto/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

#define MAP_CAP_MIN 16

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ (h >> 32);
}

uint64_t
map_hash(uint64_t seed, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15u), word = 0;

	for (; len >= 8; p += 8, len -= 8)
		h = mix(h ^ bytes_get_u64(p)) + seed;
	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return mix(h ^ word);
}

void
map_free(struct map *m)
{
	free(m->slot);
	*m = (struct map){0};
}

static void
put(struct map *m, uint64_t hash, void *item)
{
	size_t i = hash & (m->cap - 1);

	while (m->slot[i].item != NULL)
		i = (i + 1) & (m->cap - 1);
	m->slot[i] = (struct map_slot){hash, item};
}

static int
grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : MAP_CAP_MIN, .n = m->n};

	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (bigger.slot == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slot[i].item != NULL)
			put(&bigger, m->slot[i].hash, m->slot[i].item);
	free(m->slot);
	*m = bigger;
	return 0;
}

int
map_add(struct map *m, uint64_t hash, void *item)
{
	assert(item != NULL);
	if (m->n + 1 > m->cap / 4 * 3) {
		int r = grow(m);

		if (r < 0)
			return r;
	}
	put(m, hash, item);
	m->n++;
	return 0;
}

void *
map_find(const struct map *m, uint64_t hash, bool (*match)(const void *item, const void *key),
	 const void *key)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1); m->slot[i].item != NULL; i = (i + 1) & (m->cap - 1))
		if (m->slot[i].hash == hash && match(m->slot[i].item, key))
			return m->slot[i].item;
	return NULL;
}

/* May the item of slot `from` move into the hole: only if its home is not cyclically between them.
 */
static bool
movable(const struct map *m, size_t hole, size_t from)
{
	size_t home = m->slot[from].hash & (m->cap - 1);

	return ((from - home) & (m->cap - 1)) >= ((from - hole) & (m->cap - 1));
}

void
map_del(struct map *m, uint64_t hash, const void *item)
{
	size_t hole;

	assert(m->cap > 0);
	for (hole = hash & (m->cap - 1); m->slot[hole].item != item;
	     hole = (hole + 1) & (m->cap - 1))
		assert(m->slot[hole].item != NULL);
	m->n--;
	for (size_t i = (hole + 1) & (m->cap - 1); m->slot[i].item != NULL;
	     i = (i + 1) & (m->cap - 1)) {
		if (!movable(m, hole, i))
			continue;
		m->slot[hole] = m->slot[i];
		hole = i;
	}
	m->slot[hole].item = NULL;
}
