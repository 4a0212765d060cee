/* SPDX-License-Identifier: BSD-2-Clause */
/* The hybrid logical clock's arithmetic. */
#include "config.h"

#include "proto/hlc.h"

#define HLC_MS_MAX (UINT64_MAX >> HLC_COUNTER_BITS)

uint64_t
hlc_make(uint64_t wall_ms, uint16_t counter)
{
	if (wall_ms > HLC_MS_MAX)
		wall_ms = HLC_MS_MAX;
	return wall_ms << HLC_COUNTER_BITS | counter;
}

uint64_t
hlc_ms(uint64_t hlc)
{
	return hlc >> HLC_COUNTER_BITS;
}

uint64_t
hlc_next(uint64_t last, uint64_t wall_ms)
{
	uint64_t now = hlc_make(wall_ms, 0);

	if (now > last)
		return now;
	return last < UINT64_MAX ? last + 1 : last;
}

uint64_t
hlc_seen(uint64_t last, uint64_t remote, uint64_t wall_ms)
{
	uint64_t most;

	if (wall_ms > HLC_MS_MAX)
		wall_ms = HLC_MS_MAX;
	most = hlc_make(wall_ms + HLC_SKEW_MS_MAX, 0);
	if (remote > most)
		remote = most;
	return remote > last ? remote : last;
}
