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
#include "way.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define JOIN_SECONDS	120

#define ASSERT_BLOCKED(t)	ASSERT_TRUE(task_settles(t, TASK_BLOCKED))
#define EXPECT_BLOCKED(t)	EXPECT_TRUE(task_settles(t, TASK_BLOCKED))
#define ASSERT_DONE(t)		ASSERT_TRUE(task_settles(t, TASK_DONE))

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

/* The block sizes, each inode size at least once. */
#define VOL_CONF(block, inode) \
	((struct vol_conf){ .bs = (block), .isize = (inode) })
#define VOL_1K	VOL_CONF(1024, 128)
#define VOL_2K	VOL_CONF(2048, 256)
#define VOL_4K	VOL_CONF(4096, 256)
/* The same of 16 MiB, for cases that do not need the room: less to poison, search and check. */
#define SMALL_CONF(block, inode) \
	((struct vol_conf){ .bs = (block), .isize = (inode), .mib = 16 })
#define SMALL_1K	SMALL_CONF(1024, 128)
#define SMALL_2K	SMALL_CONF(2048, 256)
#define SMALL_4K	SMALL_CONF(4096, 256)
/* And with the mount option async_alloc. */
#define ASYNC_ALLOC_CONF(block, inode) \
	((struct vol_conf){ .bs = (block), .isize = (inode), .mib = 16, .options = "async_alloc" })
#define ASYNC_ALLOC_1K	ASYNC_ALLOC_CONF(1024, 128)
#define ASYNC_ALLOC_4K	ASYNC_ALLOC_CONF(4096, 256)

#endif
