// SPDX-License-Identifier: GPL-2.0
/*
 * Random operations of all kinds by many threads on a few files, each read held
 * against a model of what may be seen (soak/model.h). The free space is full of
 * poison, so that what was never written is known when it is seen.
 *
 * From the environment:
 *	SOAK_SECONDS	how long each test runs
 *	SOAK_SEED	do again what this seed did; one thread does exactly the same
 *	SOAK_THREADS	how many threads
 *	SOAK_OPS	operations of a thread in a round
 *	SOAK_ROUNDS	so many rounds, however long they take
 */
#include <sys/random.h>

#include "harness.h"
#include "soak/soak.h"

VOL_FIXTURE(soak);
FIXTURE_VARIANT_ADD(soak, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(soak, bs2k) { .conf = SMALL_2K };
FIXTURE_VARIANT_ADD(soak, bs4k) { .conf = SMALL_4K };
FIXTURE_VARIANT_ADD(soak, bs64k) { .conf = { .bs = 65536, .isize = 256, .mib = 32 } };
FIXTURE_VARIANT_ADD(soak, async_alloc) { .conf = ASYNC_ALLOC_1K };

static struct soak setup(struct vol *v, int seconds)
{
	struct soak s = { .v = v };

	if (getrandom(&s.seed, sizeof(s.seed), 0) != sizeof(s.seed))
		s.seed = time(NULL);
	s.seed = env_number("SOAK_SEED", s.seed);
	s.threads = env_number("SOAK_THREADS", 8);
	if (s.threads > THREADS_MAX)
		s.threads = THREADS_MAX;
	s.ops = env_number("SOAK_OPS", env_on_debug() ? 60 : 250);
	s.rounds = env_number("SOAK_ROUNDS", 0);
	s.seconds = env_number("SOAK_SECONDS", seconds);
	s.hang_seconds = env_on_debug() ? 180 : 60;
	if (!env_is_retryfs()) {
		/* They have large folios, and a buffered reader can meet the end early. */
		model_page_shift = 20;
		model_loose_end = true;
	} else if (v->bs > 4096) {
		/* No folio is smaller than a block, and none larger than 256 KiB. */
		model_page_shift = 18;
	}
	return s;
}

/* By hand it runs for days: it is soak_run() that sees whether anything hangs. */
#define A_WEEK	(7 * 24 * 3600)

TEST_F_TIMEOUT(soak, random, A_WEEK)
{
	struct soak s = setup(&self->v, 8 * env_scale());

	ASSERT_EQ(0, soak_run(&s));
	EXPECT_LT(0, s.done);
}

TEST_F_TIMEOUT(soak, errors, A_WEEK)
{
	struct soak s = setup(&self->v, 5 * env_scale());

	s.errors = true;
	ASSERT_EQ(0, soak_run(&s));
	EXPECT_LT(0, s.done);
}

TEST_HARNESS_MAIN
