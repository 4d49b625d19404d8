/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A pattern in which every 512 bytes say where in the file they belong and
 * which write they come from, so that a stale, misplaced, poisoned or zeroed
 * sector is named and not only noticed.
 */
#ifndef RFS_PATTERN_H
#define RFS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PATTERN_SECTOR	512

/* Fill @len bytes that belong at file offset @pos with generation @gen. */
void pattern_fill(void *buf, size_t len, uint64_t pos, uint64_t gen);

/*
 * NULL when the bytes are generation @gen of @pos, else a sentence (in a static
 * buffer of the thread) that says which byte differs and what is there instead.
 */
const char *pattern_diff(const void *buf, size_t len, uint64_t pos, uint64_t gen);

/* NULL when all bytes are zero, else the same kind of sentence. */
const char *zero_diff(const void *buf, size_t len, uint64_t pos);

/* What a sector holds that was read from @pos, in words (in a static buffer of the thread). */
const char *pattern_name(const void *sector, size_t len, uint64_t pos);

/* Does this sector carry the stamp of (pos, gen)? */
bool pattern_stamped(const void *sector, uint64_t pos, uint64_t gen);

/* What the device is filled with before mkfs: stale data. */
void poison_fill(void *buf, size_t len);
bool has_poison(const void *buf, size_t len);

/* NULL when @buf is as @want, which is the file from @pos on; else what is wrong. */
const char *same_diff(const char *buf, const char *want, size_t len, off_t pos);

/* What memory is filled with that a request must leave alone. */
#define UNTOUCHED	0xaa
bool untouched(const char *buf, size_t len);

#define EXPECT_SAME(buf, want, len, pos) \
	EXPECT_NULL_DIFF(same_diff(buf, want, len, pos))
#define EXPECT_PATTERN(buf, len, pos, gen) \
	EXPECT_NULL_DIFF(pattern_diff(buf, len, pos, gen))
#define EXPECT_ZERO(buf, len, pos) \
	EXPECT_NULL_DIFF(zero_diff(buf, len, pos))
#define EXPECT_NULL_DIFF(diff) do { \
	const char *diff_ = (diff); \
	if (diff_) \
		TH_LOG("%s", diff_); \
	EXPECT_TRUE(diff_ == NULL); \
} while (0)
#define ASSERT_PATTERN(buf, len, pos, gen) do { \
	const char *diff_ = pattern_diff(buf, len, pos, gen); \
	if (diff_) \
		TH_LOG("%s", diff_); \
	ASSERT_TRUE(diff_ == NULL); \
} while (0)

#endif
