/* SPDX-License-Identifier: BSD-2-Clause */
/* What happened since the agent started. */
#include "config.h"

#include "agent/counts.h"

void
counts_spread(struct counts *c, int64_t ms)
{
	static const uint32_t bounds[COUNTS_BOUNDS] = COUNTS_BOUNDS_MS;
	uint64_t took = ms > 0 ? (uint64_t)ms : 0;
	unsigned i = 0;

	while (i < COUNTS_BOUNDS && took > bounds[i])
		i++;
	c->spread[i]++;
	c->spread_ms += took;
}
