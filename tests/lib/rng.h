/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that depend on a seed and on nothing else. */
#ifndef RFS_RNG_H
#define RFS_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t rng_next(struct rng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* A stream of its own for each round, thread and so on. */
static inline void rng_seed(struct rng *r, uint64_t seed, uint64_t a, uint64_t b)
{
	r->state = seed;
	r->state = rng_next(r) ^ a;
	r->state = rng_next(r) ^ b;
	rng_next(r);
}

/* 0 to n - 1 */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return n ? (rng_next(r) >> 11) % n : 0;
}

static inline bool rng_percent(struct rng *r, unsigned int percent)
{
	return rng_below(r, 100) < percent;
}

#endif
