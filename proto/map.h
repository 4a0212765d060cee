/* SPDX-License-Identifier: BSD-2-Clause */
/* A hash table of pointers: the caller hashes and compares. */
#ifndef MIMEO_PROTO_MAP_H
#define MIMEO_PROTO_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

/* Open addressing, 16 bytes a slot, at most three quarters full. All zero is an empty map. */
struct map_slot {
	uint64_t hash;
	void *item; /* NULL: free */
};
struct map {
	struct map_slot *slot;
	size_t cap; /* a power of two, or 0 */
	size_t n;
};

/*
 * A seeded 64-bit hash of bytes; not cryptographic: a random seed keeps collisions from being
 * chosen. The same on every machine: the digest that peers compare is made with it (PROTOCOL.md).
 */
uint64_t map_hash(uint64_t seed, const void *bytes, size_t len);

void map_free(struct map *m);                                    /* the items stay the caller's */
NODISCARD int map_add(struct map *m, uint64_t hash, void *item); /* -ENOMEM */
/* The first item with that hash for which match says true; NULL if none. */
void *map_find(const struct map *m, uint64_t hash, bool (*match)(const void *item, const void *key),
	       const void *key);
/* Takes out exactly that pointer; asserts that it is there. */
void map_del(struct map *m, uint64_t hash, const void *item);

#endif
