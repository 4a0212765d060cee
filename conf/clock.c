/* SPDX-License-Identifier: BSD-2-Clause */
/* What time it is: the kernel's clocks as plain numbers. */
#include "config.h"

#include "conf/clock.h"

#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

static int64_t
now_ns(clockid_t id)
{
	struct timespec ts = {0};

	/* Cannot fail for the two clocks that are asked for here. */
	(void)clock_gettime(id, &ts);
	return ts.tv_sec < 0 ? 0 : (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t
clock_mono_ms(void)
{
	return (uint64_t)(now_ns(CLOCK_MONOTONIC) / NS_PER_MS);
}

uint64_t
clock_wall_ms(void)
{
	return (uint64_t)(now_ns(CLOCK_REALTIME) / NS_PER_MS);
}

int64_t
clock_wall_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}
