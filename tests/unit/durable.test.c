/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/durable: nothing is known that was not added; two things are never one. */
#include "config.h"

#include "conf/durable.h"

#include <string.h>

#include "tests/tap.h"

static struct durable d;

static const struct durable_dir root = {2, 1700000000000000000}, a = {12, 1700000000000000001};

static void
test_keys(void)
{
	const struct durable_dir again = {12, a.born_ns + 4000000}, moved = {13, a.born_ns};
	uint64_t key = durable_key(&root, "a", 1, &a);

	ok(key != 0 && key == durable_key(&root, "a", 1, &a), "the same name has the same key");
	ok(durable_key(&root, "a", 1, &again) != key, "a directory made anew with the old number");
	ok(durable_key(&root, "a", 1, &moved) != key, "another directory of the same age");
	ok(durable_key(&root, "b", 1, &a) != key, "another name");
	ok(durable_key(&root, "aa", 2, &a) != key, "a longer one");
	ok(durable_key(&moved, "a", 1, &a) != key, "another directory above");
	ok(durable_key(&again, "a", 1, &a) != key, "that one made anew");
}

static void
test_unknown_age(void)
{
	const struct durable_dir ageless = {12, 0};

	is_int((long long)durable_key(&root, "a", 1, &ageless), 0, "it is not known how old it is");
	is_int((long long)durable_key(&ageless, "a", 1, &a), 0, "or the one above it");
	durable_add(&d, 0);
	ok(!durable_has(&d, 0), "such a name is never known");
}

static void
test_memory(void)
{
	uint64_t one = durable_key(&root, "a", 1, &a), wrong = 0, kept = 0;

	ok(!durable_has(&d, one), "at first nothing is known");
	durable_add(&d, one);
	ok(durable_has(&d, one), "what was added is");
	durable_add(&d, one + DURABLE_SLOTS);
	ok(!durable_has(&d, one) && durable_has(&d, one + DURABLE_SLOTS),
	   "a second one in its slot takes its place");

	for (uint64_t i = 0; i < 2 * DURABLE_SLOTS; i++) {
		const struct durable_dir dir = {100 + i, 1 + (int64_t)i};

		durable_add(&d, durable_key(&root, "dir", 3, &dir));
	}
	for (uint64_t i = 0; i < 4 * DURABLE_SLOTS; i++) {
		const struct durable_dir dir = {100 + i, 1 + (int64_t)i};
		bool known = durable_has(&d, durable_key(&root, "dir", 3, &dir));

		kept += known;
		wrong += known && i >= 2 * DURABLE_SLOTS;
	}
	is_int((long long)wrong, 0, "of many none is known that was not added");
	ok(kept > DURABLE_SLOTS / 2 && kept <= DURABLE_SLOTS, "the slots are used");
}

int
main(void)
{
	test_keys();
	test_unknown_age();
	test_memory();
	return tap_done();
}
