/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast somebody delivers what was asked for. */
#include "config.h"

#include "agent/meter.h"

/* At least 1, so that it is one that is known. */
static uint64_t
per_second(uint64_t bytes, uint64_t ms)
{
	uint64_t rate = meter_time_ms(bytes, ms); /* the same product and quotient */

	return rate > 0 ? rate : 1;
}

void
meter_look(struct meter *m, uint64_t now_ms)
{
	uint64_t rate;

	if (!m->busy)
		return;
	m->ms += now_ms > m->since_ms ? now_ms - m->since_ms : 0;
	m->since_ms = now_ms;
	if (m->ms < METER_MS && (m->rate != 0 || m->bytes < METER_FIRST_BYTES))
		return;
	rate = per_second(m->bytes, m->ms > 0 ? m->ms : 1);
	m->rate = m->rate == 0 ? rate : m->rate / 2 + rate / 2;
	m->rate = m->rate > 0 ? m->rate : 1;
	m->bytes = 0;
	m->ms = 0;
}

void
meter_begin(struct meter *m, uint64_t now_ms)
{
	if (m->busy)
		return;
	m->busy = true;
	m->since_ms = now_ms;
}

void
meter_took(struct meter *m, uint64_t bytes, uint64_t now_ms)
{
	if (!m->busy)
		return;
	m->bytes += bytes < UINT64_MAX - m->bytes ? bytes : 0;
	meter_look(m, now_ms);
}

void
meter_end(struct meter *m, uint64_t now_ms)
{
	meter_look(m, now_ms);
	m->busy = false;
}

uint64_t
meter_time_ms(uint64_t bytes, uint64_t rate)
{
	if (rate == 0)
		return 0;
	if (bytes <= UINT64_MAX / 1000)
		return bytes * 1000 / rate;
	return bytes / rate <= UINT64_MAX / 1000 ? bytes / rate * 1000 : UINT64_MAX;
}
