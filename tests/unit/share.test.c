/* SPDX-License-Identifier: BSD-2-Clause */
/* Shares: even ones, whatever the names, and only those of a node that drops out are divided anew.
 */
#include "config.h"

#include "agent/share.h"

#include "proto/attr.h"
#include "tests/tap.h"

#define DOTS 20000
#define NAMES 16

static const char *const names[NAMES] = {"web1",  "web2", "web3", "web4", "a",   "b",
					 "c",     "aa",   "n1",   "n2",   "n10", "n11",
					 "paris", "rome", "oslo", "x"};

static unsigned
first_of(unsigned n, unsigned without, struct dot dot)
{
	unsigned best = without == 0 ? 1 : 0;

	for (unsigned i = 0; i < n; i++)
		if (i != without && share_rank(names[i], dot) > share_rank(names[best], dot))
			best = i;
	return best;
}

static void
test_even(unsigned n)
{
	unsigned count[NAMES] = {0}, least = DOTS, most = 0;

	for (uint64_t seq = 1; seq <= DOTS; seq++)
		count[first_of(n, NAMES, (struct dot){0x1234567890abcdef, seq})]++;
	for (unsigned i = 0; i < n; i++) {
		least = count[i] < least ? count[i] : least;
		most = count[i] > most ? count[i] : most;
	}
	ok(least > DOTS / n * 8 / 10 && most < DOTS / n * 12 / 10,
	   "%u nodes have even shares: %u to %u", n, least, most);
}

static void
test_origins(void)
{
	unsigned first = 0;

	for (uint64_t origin = 1; origin <= 1000; origin++)
		first += first_of(2, NAMES, (struct dot){origin, 1}) == 0;
	ok(first > 400 && first < 600, "so it is for the first record of each origin: %u", first);
}

static void
test_one_goes(void)
{
	unsigned moved = 0, gained[NAMES] = {0};

	for (uint64_t seq = 1; seq <= DOTS; seq++) {
		struct dot dot = {42, seq};
		unsigned before = first_of(4, NAMES, dot), after = first_of(4, 3, dot);

		moved += before != 3 && before != after;
		gained[after] += before == 3;
	}
	is_int(moved, 0, "when one goes, nobody else's share changes");
	ok(gained[0] > 1000 && gained[1] > 1000 && gained[2] > 1000,
	   "and its own is divided: %u %u %u", gained[0], gained[1], gained[2]);
}

int
main(void)
{
	test_even(2);
	test_even(4);
	test_even(NAMES);
	test_origins();
	test_one_goes();
	return tap_done();
}
