/* SPDX-License-Identifier: BSD-2-Clause */
/* Exponential back-off with jitter. */
#include "config.h"

#include "proto/backoff.h"

#define DOUBLINGS_MAX 32 /* more cannot matter: the delay is 32 bits wide */

void
backoff_init(struct backoff *b, uint32_t base_ms, uint32_t cap_ms, uint64_t seed)
{
	*b = (struct backoff){.base_ms = base_ms, .cap_ms = cap_ms, .seed = seed};
	if (base_ms == 0)
		b->base_ms = 1;
}

/* A splitmix64 step: any seed is good, 0 too. */
static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t
backoff_fail(struct backoff *b)
{
	uint32_t doublings = b->attempts < DOUBLINGS_MAX ? b->attempts : DOUBLINGS_MAX;
	uint64_t most = (uint64_t)b->base_ms << doublings;
	uint64_t jitter = draw(&b->seed);

	if (most > b->cap_ms)
		most = b->cap_ms;
	if (b->attempts < UINT32_MAX)
		b->attempts++;
	return (uint32_t)(most - jitter % (most / 2 + 1));
}

void
backoff_reset(struct backoff *b)
{
	b->attempts = 0;
}
