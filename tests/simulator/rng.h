/* SPDX-License-Identifier: BSD-2-Clause */
/* All chance of a simulation comes from one number. */
#ifndef MIMEO_TESTS_SIMULATOR_RNG_H
#define MIMEO_TESTS_SIMULATOR_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t
rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0..n-1; 0 for n 0 */
static inline uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return n == 0 ? 0 : rng_next(r) % n;
}

/* True once in n times; never for n 0. */
static inline bool
rng_once_in(struct rng *r, uint64_t n)
{
	return n != 0 && rng_next(r) % n == 0;
}

/* Mostly short, sometimes long: 0..max, half of them below max/16. */
static inline uint64_t
rng_delay(struct rng *r, uint64_t max)
{
	return rng_below(r, max >> rng_below(r, 8));
}

#endif
