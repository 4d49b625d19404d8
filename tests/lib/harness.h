/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's harness with what every program of retryfs adds to it: a longer
 * limit, for emulated machines with a debug kernel, and the fixture of a fresh
 * volume per test that must be clean to e2fsck afterwards.
 */
#ifndef RFS_HARNESS_H
#define RFS_HARNESS_H

#include "kselftest_harness.h"

#include "aio.h"
#include "buf.h"
#include "env.h"
#include "pattern.h"
#include "task.h"
#include "vol.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define JOIN_SECONDS	120

#define VOL_FIXTURE(name) \
FIXTURE(name) { \
	struct vol v; \
}; \
FIXTURE_VARIANT(name) { \
	struct vol_conf conf; \
}; \
FIXTURE_SETUP(name) \
{ \
	ASSERT_EQ(0, vol_up(&self->v, &variant->conf)); \
} \
FIXTURE_TEARDOWN(name) \
{ \
	EXPECT_EQ(0, vol_down(&self->v)); \
}

/* The three block sizes, each inode size at least once. */
#define VOL_VARIANT_1K(name) \
FIXTURE_VARIANT_ADD(name, bs1k) { .conf = { .bs = 1024, .isize = 128 } }
#define VOL_VARIANT_2K(name) \
FIXTURE_VARIANT_ADD(name, bs2k) { .conf = { .bs = 2048, .isize = 256 } }
#define VOL_VARIANT_4K(name) \
FIXTURE_VARIANT_ADD(name, bs4k) { .conf = { .bs = 4096, .isize = 256 } }

#endif
