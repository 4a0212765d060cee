/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast somebody delivers: only busy time counts, silence makes slower, the largest numbers. */
#include "config.h"

#include "agent/meter.h"

#include "tests/tap.h"

static void
test_rate(void)
{
	struct meter m = {0};

	meter_begin(&m, 1000);
	for (uint64_t ms = 1100; ms <= 1500; ms += 100)
		meter_took(&m, 1000, ms);
	is_int((long long)m.rate, 10000, "5,000 bytes in 500 ms are 10,000 a second");
	for (uint64_t ms = 1600; ms <= 2000; ms += 100)
		meter_took(&m, 3000, ms);
	is_int((long long)m.rate, 20000, "the next measurement counts as much as the first");
	m = (struct meter){0};
	meter_begin(&m, 0);
	meter_took(&m, METER_FIRST_BYTES, 10);
	is_int((long long)m.rate, METER_FIRST_BYTES * 100, "the first one may end early");
	m = (struct meter){0};
	meter_begin(&m, 7);
	meter_took(&m, METER_FIRST_BYTES, 7);
	ok(m.rate > METER_FIRST_BYTES, "and in no time at all");
}

static void
test_idle(void)
{
	struct meter m = {0};

	for (uint64_t ms = 0; ms < 100000; ms += 10000) {
		meter_begin(&m, ms);
		meter_begin(&m, ms + 20);
		meter_took(&m, 5000, ms + 50);
		meter_end(&m, ms + 50);
		meter_took(&m, 5000, ms + 60); /* nobody asked for that */
		meter_look(&m, ms + 5000);
		meter_end(&m, ms + 6000);
	}
	is_int((long long)m.rate, 100000, "who is seldom asked for anything is not slow");
	is_int((long long)m.bytes, 0, "all of it is counted");
}

static void
test_silence(void)
{
	struct meter m = {.rate = 1000000};
	uint64_t ms = 0;

	meter_begin(&m, ms);
	for (unsigned i = 0; i < 100; i++)
		meter_look(&m, ms += METER_MS);
	is_int((long long)m.rate, 1, "who brings nothing becomes slow, but stays known");
	meter_look(&m, 5);
	is_int((long long)m.rate, 1, "a clock that went back does no harm");
}

static void
test_ends(void)
{
	struct meter m = {0};

	meter_begin(&m, 0);
	meter_took(&m, UINT64_MAX, 1);
	meter_took(&m, UINT64_MAX, UINT64_MAX);
	ok(m.rate >= 1, "numbers that are too large");
	ok(meter_time_ms(5000, 0) == 0, "no time at a rate that is not known");
	ok(meter_time_ms(5000, 1000) == 5000, "5,000 bytes at 1,000 a second");
	ok(meter_time_ms(UINT64_MAX, 1) == UINT64_MAX, "what takes for ever");
	ok(meter_time_ms(UINT64_MAX, 1000000) == UINT64_MAX / 1000000 * 1000, "or very long");
}

int
main(void)
{
	test_rate();
	test_idle();
	test_silence();
	test_ends();
	return tap_done();
}
