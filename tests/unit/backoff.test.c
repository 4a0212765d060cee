/* SPDX-License-Identifier: BSD-2-Clause */
/* Back-off: every delay in its range, the cap, the reset, and that the jitter is one. */
#include "config.h"

#include "proto/backoff.h"

#include "proto/attr.h"
#include "tests/tap.h"

/* Are `n` delays in a row within half and all of what the contract says. */
static bool
in_range(struct backoff *b, unsigned n)
{
	uint64_t most = b->base_ms;

	for (unsigned i = 0; i < n; i++) {
		uint64_t top = most < b->cap_ms ? most : b->cap_ms;
		uint64_t delay = backoff_fail(b);

		if (delay > top || delay * 2 < top) {
			diag("failure %u: %llu, wanted up to %llu", i, (unsigned long long)delay,
			     (unsigned long long)top);
			return false;
		}
		if (most <= UINT32_MAX)
			most *= 2;
	}
	return true;
}

static void
test_range(void)
{
	const struct {
		uint32_t base_ms, cap_ms;
	} with[] = {
		{1, 1},   {1, 60000}, {500, 60000},    {100, 100},
		{100, 7}, {3, 1000},  {1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX},
		{5, 0},
	};
	struct backoff b;

	for (size_t i = 0; i < ARRAY_LEN(with); i++) {
		bool good = true;

		for (uint64_t seed = 0; seed < 50; seed++) {
			backoff_init(&b, with[i].base_ms, with[i].cap_ms, seed);
			good = good && in_range(&b, 100);
		}
		ok(good, "base %u, cap %u: 100 delays in range", with[i].base_ms, with[i].cap_ms);
	}
}

static void
test_no_zero(void)
{
	struct backoff b;
	bool good = true;

	for (uint64_t seed = 0; seed < 100; seed++) {
		backoff_init(&b, 0, 1000, seed);
		good = good && backoff_fail(&b) == 1;
		good = good && backoff_fail(&b) >= 1;
	}
	ok(good, "a base of 0 is 1: no delay is 0");
}

static void
test_reset(void)
{
	struct backoff b;

	backoff_init(&b, 100, 100000, 1);
	for (unsigned i = 0; i < 20; i++)
		backoff_fail(&b);
	is_int(b.attempts, 20, "failures are counted");
	backoff_reset(&b);
	is_int(b.attempts, 0, "reset forgets them");
	ok(in_range(&b, 20), "after it the first delay is base again");
}

static void
test_saturation(void)
{
	struct backoff b;
	uint32_t delay;

	backoff_init(&b, 1, 60000, 1);
	b.attempts = UINT32_MAX;
	delay = backoff_fail(&b);
	ok(delay >= 30000 && delay <= 60000, "the highest count waits for the cap");
	ok(b.attempts == UINT32_MAX, "and does not wrap");
}

static void
test_jitter(void)
{
	struct backoff a, b, c;
	bool same = true, differs = false;
	unsigned low = 0, high = 0;

	backoff_init(&a, 1000, 1000, 42);
	backoff_init(&b, 1000, 1000, 42);
	backoff_init(&c, 1000, 1000, 43);
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t delay = backoff_fail(&a);

		same = same && backoff_fail(&b) == delay;
		differs = differs || backoff_fail(&c) != delay;
		low += delay < 625;
		high += delay > 875;
	}
	ok(same, "the same seed gives the same delays");
	ok(differs, "another seed gives others");
	ok(low > 150 && high > 150, "both ends are used: %u low, %u high of 1000", low, high);
}

int
main(void)
{
	test_range();
	test_no_zero();
	test_reset();
	test_saturation();
	test_jitter();
	return tap_done();
}
