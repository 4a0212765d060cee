/* SPDX-License-Identifier: BSD-2-Clause */
/* The hybrid clock: never back, always past what it saw, never dragged far ahead. */
#include "config.h"

#include "proto/hlc.h"

#include "tests/tap.h"

#define SEED 20240118u
#define MS_MAX (((uint64_t)1 << 48) - 1)

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
test_make(void)
{
	ok(hlc_make(1, 2) == 0x10002, "milliseconds above, counter below");
	ok(hlc_ms(hlc_make(1700000000000u, 65535)) == 1700000000000u, "and the milliseconds back");
	ok(hlc_make(MS_MAX, 65535) == UINT64_MAX, "the highest time is the highest number");
	ok(hlc_make(MS_MAX + 1, 0) == hlc_make(MS_MAX, 0), "more than 48 bits is the highest ms");
	ok(hlc_make(UINT64_MAX, 7) == hlc_make(MS_MAX, 7), "however much more");
}

static void
test_next(void)
{
	uint64_t last = hlc_make(1000, 5);

	ok(hlc_next(last, 2000) == hlc_make(2000, 0), "the wall clock when it is ahead");
	ok(hlc_next(last, 1000) == hlc_make(1000, 6), "the counter in the same millisecond");
	ok(hlc_next(last, 10) == hlc_make(1000, 6), "the counter when the wall clock is behind");
	ok(hlc_next(hlc_make(1000, 65535), 1000) == hlc_make(1001, 0),
	   "a full counter spills into the milliseconds");
	ok(hlc_next(0, 0) == 1, "above 0 even at 0");
	ok(hlc_next(UINT64_MAX, 5) == UINT64_MAX, "the highest time does not wrap");
	ok(hlc_next(UINT64_MAX, UINT64_MAX) == UINT64_MAX, "whatever the wall clock says");
}

static void
test_seen(void)
{
	uint64_t last = hlc_make(1000, 5);

	ok(hlc_seen(last, hlc_make(900, 0), 1000) == last, "an older time changes nothing");
	ok(hlc_seen(last, hlc_make(1500, 3), 1000) == hlc_make(1500, 3), "a later one is taken");
	ok(hlc_seen(last, hlc_make(1000 + HLC_SKEW_MS_MAX, 0), 1000) ==
		   hlc_make(1000 + HLC_SKEW_MS_MAX, 0),
	   "up to the limit");
	ok(hlc_seen(last, hlc_make(1000 + HLC_SKEW_MS_MAX, 1), 1000) ==
		   hlc_make(1000 + HLC_SKEW_MS_MAX, 0),
	   "not one count above it");
	ok(hlc_seen(last, UINT64_MAX, 1000) == hlc_make(1000 + HLC_SKEW_MS_MAX, 0),
	   "and no further");
	ok(hlc_seen(hlc_make(900000, 9), UINT64_MAX, 1000) == hlc_make(900000, 9),
	   "never below what was seen before");
	ok(hlc_seen(last, UINT64_MAX, UINT64_MAX) == hlc_make(MS_MAX, 0),
	   "an impossible wall clock does not wrap");
	ok(hlc_seen(last, UINT64_MAX, MS_MAX - 5) == hlc_make(MS_MAX, 0), "nor the highest one");
}

/* Any mix of steps, with a wall clock that jumps both ways and peers that lie. */
static void
test_random(void)
{
	uint64_t seed = SEED, last = 0, wall = 1000000, next;
	bool above = true, not_below = true, bounded = true;

	for (unsigned i = 0; i < 20000; i++) {
		wall = 1000000 + draw(&seed) % 100000;
		if (draw(&seed) % 2) {
			next = hlc_next(last, wall);
			above = above && next > last && hlc_ms(next) >= wall;
		} else {
			next = hlc_seen(last, draw(&seed) >> draw(&seed) % 64, wall);
			not_below = not_below && next >= last;
		}
		bounded = bounded && hlc_ms(next) <= 1100000 + HLC_SKEW_MS_MAX + 1;
		last = next;
	}
	ok(above, "a new time is above the last and not below the wall clock, seed %u", SEED);
	ok(not_below, "what is seen never takes it back");
	ok(bounded, "nobody drags it further than the limit");
}

int
main(void)
{
	test_make();
	test_next();
	test_seen();
	test_random();
	return tap_done();
}
