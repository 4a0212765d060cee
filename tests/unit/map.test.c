/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash table against a plain array, with colliding hashes; and the hash itself. */
#include "config.h"

#include "proto/map.h"

#include <stdlib.h>

#include "tests/fold.h"
#include "tests/tap.h"

#define ITEMS 300

struct item {
	uint64_t hash;
	unsigned key;
	bool in;
};

static bool
match(const void *item, const void *key)
{
	return ((const struct item *)item)->key == *(const unsigned *)key;
}

/* How many of the items are found although they are out, or the reverse. */
static unsigned
differences(const struct map *m, const struct item *items)
{
	unsigned wrong = 0;
	size_t n = 0;

	for (unsigned i = 0; i < ITEMS; i++) {
		const struct item *got = map_find(m, items[i].hash, match, &items[i].key);

		wrong += got != (items[i].in ? &items[i] : NULL);
		n += items[i].in;
	}
	return wrong + (m->n != n);
}

/* spread: how many different hashes there are; the fewer, the more collide. High ones wrap round
 * the table's end. */
static void
against_array(uint64_t spread, uint64_t base)
{
	static struct item items[ITEMS];
	struct map m = {0};
	uint64_t seed = spread;
	unsigned wrong = 0;

	for (unsigned i = 0; i < ITEMS; i++)
		items[i] = (struct item){base + draw(&seed) % spread, i, false};
	wrong += differences(&m, items);
	for (unsigned step = 0; step < 6000; step++) {
		struct item *it = &items[draw(&seed) % (step < 3000 ? ITEMS : ITEMS / 4)];

		if (it->in)
			map_del(&m, it->hash, it);
		else
			must(map_add(&m, it->hash, it));
		it->in = !it->in;
		if (step % 16 == 0)
			wrong += differences(&m, items);
	}
	wrong += differences(&m, items);
	is_int(wrong, 0, "%llu hashes from %llx on: always what a plain array says",
	       (unsigned long long)spread, (unsigned long long)base);
	ok(m.n <= m.cap / 4 * 3 && (m.cap & (m.cap - 1)) == 0, "never over three quarters full");
	map_free(&m);
	ok(m.cap == 0 && m.slot == NULL && map_find(&m, 1, match, &(unsigned){0}) == NULL,
	   "freed it is empty");
}

static void
hashes(void)
{
	uint8_t bytes[40];
	uint64_t seen[41];
	unsigned same = 0, weak = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		seen[n] = map_hash(1, bytes, n);
		same += map_hash(2, bytes, n) == seen[n];
		for (size_t k = 0; k < n; k++)
			same += seen[k] == seen[n];
	}
	is_int(same, 0, "another length or seed, another hash");
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		uint64_t was = map_hash(1, bytes, sizeof(bytes)), now;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		now = map_hash(1, bytes, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		weak += __builtin_popcountll(was ^ now) < 12;
	}
	is_int(weak, 0, "one bit of the input changes many of the hash");
	/* Peers compare digests made with it: these numbers are part of the protocol. */
	ok(map_hash(1, "", 0) == 0x4179b061e0c0e0d0u,
	   "the hash of nothing is what PROTOCOL.md says");
	ok(map_hash(1, "0123456789", 10) == 0xdc3587e87440d05eu,
	   "the hash of ten bytes is what PROTOCOL.md says");
}

int
main(void)
{
	against_array(1, 0);
	against_array(3, UINT64_MAX - 4);
	against_array(40, UINT64_MAX - 100);
	against_array(1u << 30, 0);
	hashes();
	return tap_done();
}
