/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks: units, order, and agreement with what the kernel says of files and of itself. */
#include "config.h"

#include "conf/clock.h"

#include <sys/stat.h>
#include <time.h>

#include "tests/tap.h"

#define ROUNDS 100000
#define NS_PER_MS 1000000
#define MS_PER_S 1000

/* 2020-01-01T00:00:00Z: a machine whose clock is before it is not set. */
#define AFTER_2020_S INT64_C(1577836800)

static void
test_mono(void)
{
	struct timespec before = {0};
	struct timespec after = {0};
	uint64_t last = clock_mono_ms();
	bool forward = true;
	uint64_t now = 0;

	for (int i = 0; i < ROUNDS; i++) {
		now = clock_mono_ms();
		forward = forward && now >= last;
		last = now;
	}
	ok(forward, "the monotonic clock never goes back");
	clock_gettime(CLOCK_MONOTONIC, &before);
	now = clock_mono_ms();
	clock_gettime(CLOCK_MONOTONIC, &after);
	ok(now / MS_PER_S >= (uint64_t)before.tv_sec && now / MS_PER_S <= (uint64_t)after.tv_sec,
	   "it is in milliseconds of the kernel's clock");
	do {
		now = clock_mono_ms();
	} while (now == last);
	ok(now > last, "and goes on");
}

static void
test_wall(void)
{
	struct timespec before = {0};
	struct timespec after = {0};
	int64_t ns = 0;
	uint64_t ms = 0;

	clock_gettime(CLOCK_REALTIME, &before);
	ns = clock_wall_ns();
	ms = clock_wall_ms();
	clock_gettime(CLOCK_REALTIME, &after);
	ok(ns >= before.tv_sec * INT64_C(1000000000) + before.tv_nsec, "nanoseconds: not early");
	ok(ns <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec, "and not late");
	ok((int64_t)ms >= ns / NS_PER_MS, "milliseconds are of the same clock");
	ok((int64_t)ms / MS_PER_S <= after.tv_sec, "and of no later moment");
	ok(ns / 1000000000 > AFTER_2020_S, "since 1970, not since the machine was started");
}

int
main(void)
{
	test_mono();
	test_wall();
	return tap_done();
}
