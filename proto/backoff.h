/* SPDX-License-Identifier: BSD-2-Clause */
/* Exponential back-off with jitter and a cap: a pure function of the attempts and a seed. */
#ifndef MIMEO_PROTO_BACKOFF_H
#define MIMEO_PROTO_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint32_t base_ms; /* first delay, at least 1 (0 is taken as 1) */
	uint32_t cap_ms;  /* no delay is longer */
	uint32_t attempts;
	uint64_t seed; /* any number; moves on with each draw */
};

void backoff_init(struct backoff *b, uint32_t base_ms, uint32_t cap_ms, uint64_t seed);
/*
 * Counts one failure and returns the delay before the next try: between half and all of
 * min(cap, base * 2^attempts), with the attempts before this one. 0 only if cap is 0.
 */
uint32_t backoff_fail(struct backoff *b);
/* Success: the next failure starts at base again. */
void backoff_reset(struct backoff *b);

#endif
