/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Workloads by number: up to three operations on a few names, each followed by one of several
 * things that make something durable, or by nothing; for all ways to begin, and to mount.
 */
#ifndef CRASH_GENERATE_H
#define CRASH_GENERATE_H

#include "model.h"
#include "rng.h"

/* If not @with_fallocate, without what other drivers refuse on such a volume. */
void generate_init(unsigned int bs, bool with_fallocate);
/* How many workloads of one operation there are, mounted in all ways, with those that are not possible. */
uint64_t generate_single(void);
uint64_t generate_single_nth(uint64_t n);
/* One of two or three operations, by chance: of all kinds of operations alike. */
uint64_t generate_any(struct rng *rng);
/* false if an operation is not possible, or does nothing, where it comes. */
bool generate(struct workload *w, uint64_t number);

/* What is there when a workload begins; fresh ones do it themselves. */
extern const int base_nr;
const struct step *base_steps(void);
/* The model at that point. */
void base_model(struct model *m, const struct workload *w);

#endif
