// SPDX-License-Identifier: GPL-2.0
/*
 * Files by their handles. A handle is good as long as its inode is there, whatever
 * is in memory of it, and no longer; and one that was made up is of no file, and no
 * reason to think that the volume is corrupt.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "caches.h"
#include "handle.h"
#include "harness.h"

VOL_FIXTURE(fs_handles);
FIXTURE_VARIANT_ADD(fs_handles, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_handles, bs4k) { .conf = SMALL_4K };

static int forget(void)
{
	vol_sync();
	return forget_all();
}

/* What a handle that is of no file may not leave. */
static const char *const corrupt[] = { "corrupt", NULL };

static ino_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

/* With everything in memory, with nothing, and in another mount. */
TEST_F(fs_handles, files_and_directories)
{
	static const char *const name[] = { ".", "f", "d", "d/e", "d/e/g" };
	struct handle h[ARRAY_SIZE(name)];
	ino_t ino[ARRAY_SIZE(name)];
	char *back = buf_alloc(4096), path[256] = "";
	const char *want = vol_path("d/e");
	struct stat st;
	int fd, i, k;

	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, mkdir(vol_path("d/e"), 0755));
	ASSERT_EQ(0, vol_prefill("f", 0, 4096, 1));
	ASSERT_EQ(0, vol_prefill("d/e/g", 0, 4096, 2));
	for (i = 0; i < ARRAY_SIZE(name); i++) {
		ASSERT_EQ(0, handle_of(vol_path(name[i]), &h[i]));
		ASSERT_EQ(0, stat(vol_path(name[i]), &st));
		EXPECT_EQ(HANDLE_INO32_GEN, h[i].type);
		EXPECT_EQ(8, h[i].bytes);
		EXPECT_EQ(st.st_ino, h[i].word[0]);
		ino[i] = st.st_ino;
	}
	for (k = 0; k < 3; k++) {
		/* the deepest first, of whose directories nothing is known yet */
		for (i = ARRAY_SIZE(name) - 1; i >= 0; i--) {
			if (k == 1)
				ASSERT_EQ(0, forget());
			fd = handle_open(&h[i], O_RDONLY);
			ASSERT_LE(0, fd) TH_LOG("%s, round %d", name[i], k);
			EXPECT_EQ(ino[i], ino_of(fd));
			close(fd);
		}
		if (k == 1)
			ASSERT_EQ(0, vol_remount(&self->v));
	}
	fd = handle_open(&h[4], O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(4096, pread(fd, back, 4096, 0));
	EXPECT_PATTERN(back, 4096, 0, 2);
	close(fd);
	/* it is found out where a directory is, from the inside out */
	ASSERT_EQ(0, forget());
	fd = handle_open(&h[3], O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, fd);
	snprintf(back, 4096, "/proc/self/fd/%d", fd);
	ASSERT_LT(0, readlink(back, path, sizeof(path) - 1));
	EXPECT_STREQ(want, path);
	EXPECT_EQ(0, faccessat(fd, "../e/g", F_OK, 0));
}

/* An inode that is gone, and another one with its number. */
TEST_F(fs_handles, stale)
{
	struct handle old, new, dir;
	int fd, kept, k, log;

	ASSERT_EQ(0, vol_prefill("f", 0, 4096, 1));
	ASSERT_EQ(0, mkdir(vol_path("d"), 0755));
	ASSERT_EQ(0, handle_of(vol_path("f"), &old));
	ASSERT_EQ(0, handle_of(vol_path("d"), &dir));
	log = kmsg_open();
	ASSERT_LE(0, log);
	/* unlinked but open, it is there */
	kept = vol_open("f", O_RDONLY);
	ASSERT_LE(0, kept);
	ASSERT_EQ(0, unlink(vol_path("f")));
	ASSERT_EQ(0, rmdir(vol_path("d")));
	fd = handle_open(&old, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(ino_of(kept), ino_of(fd));
	close(fd);
	close(kept);
	for (k = 0; k < 2; k++) {
		EXPECT_EQ(-ESTALE, handle_open(&old, O_RDONLY));
		EXPECT_EQ(-ESTALE, handle_open(&dir, O_RDONLY));
		ASSERT_EQ(0, forget());
	}
	/* the lowest free number is taken next, once the device knows that it is free */
	vol_sync();
	ASSERT_EQ(0, vol_prefill("new", 0, 4096, 2));
	ASSERT_EQ(0, handle_of(vol_path("new"), &new));
	ASSERT_EQ(old.word[0], new.word[0]);
	for (k = 0; k < 2; k++) {
		EXPECT_EQ(-ESTALE, handle_open(&old, O_RDONLY));
		fd = handle_open(&new, O_RDONLY);
		ASSERT_LE(0, fd);
		close(fd);
		ASSERT_EQ(0, forget());
	}
	EXPECT_FALSE(kmsg_has(log, corrupt));
}

/* Numbers that no file can have, or has; types and lengths that there are not. */
TEST_F(fs_handles, made_up)
{
	struct handle good, h;
	struct statfs st;
	uint32_t ino, last;
	int log, i;

	ASSERT_EQ(0, vol_prefill("f", 0, 4096, 1));
	ASSERT_EQ(0, handle_of(vol_path("f"), &good));
	ASSERT_EQ(0, statfs(env_dir(), &st));
	last = st.f_files;
	log = kmsg_open();
	ASSERT_LE(0, log);
	for (i = 0; i < 64; i++) {
		const uint32_t far[] = { last - 1, last, last + 1, last * 2, 1U << 31, -2U, -1U };

		ino = i < ARRAY_SIZE(far) ? far[i] : i - ARRAY_SIZE(far);
		/* the root, the lost+found and our own */
		if (ino == 2 || ino == 11 || ino == good.word[0])
			continue;
		h = good;
		h.word[0] = ino;
		EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY)) TH_LOG("inode %u", ino);
		h.word[1] = 0;
		EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY)) TH_LOG("inode %u", ino);
	}
	/* no generation stands for all */
	for (i = 0; i < 32; i++) {
		h = good;
		h.word[1] ^= 1U << i;
		EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY));
	}
	h.word[1] = 0;
	if (env_is_retryfs())
		EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY));
	for (i = 0; i < 256; i++) {
		h = good;
		h.type = i;
		/* two types that only differ in what follows */
		if (i != HANDLE_INO32_GEN && i != HANDLE_INO32_GEN + 1)
			EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY)) TH_LOG("type %d", i);
	}
	for (i = 1; i < 8; i++) {
		h = good;
		h.bytes = i;
		EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY)) TH_LOG("%d bytes", i);
	}
	EXPECT_FALSE(kmsg_has(log, corrupt));
}

/* Change inode @ino of the volume, which is not mounted: @what says how, then its number. */
static int change(struct vol *v, const char *what, uint32_t ino, const char *field)
{
	char cmd[64];
	const char *const argv[] = { "debugfs", "-w", "-R", cmd, v->dev, NULL };

	snprintf(cmd, sizeof(cmd), "%s <%u> %s", what, ino, field);
	return run(0, argv);
}

/* A free place in the inode table may hold anything: it is not looked at. */
TEST_F(fs_handles, free_with_rubbish)
{
	static const char *const field[] = { "mode 0100644", "links_count 1", "block[0] 1", "block[IND] 1",
					     "flags 0x90000", "size 4096", "generation 7" };
	struct handle h;
	int log, i;

	if (!env_is_retryfs())
		SKIP(return, "the bitmap is looked at first");
	ASSERT_EQ(0, vol_prefill("f", 0, 4096, 1));
	ASSERT_EQ(0, handle_of(vol_path("f"), &h));
	h.word[0] += 20;
	h.word[1] = 7;
	ASSERT_EQ(0, vol_umount(&self->v));
	for (i = 0; i < ARRAY_SIZE(field); i++)
		ASSERT_EQ(0, change(&self->v, "set_inode_field", h.word[0], field[i]));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
	log = kmsg_open();
	ASSERT_LE(0, log);
	EXPECT_EQ(-ESTALE, handle_open(&h, O_RDONLY));
	EXPECT_FALSE(kmsg_has(log, corrupt));
	ASSERT_EQ(0, vol_umount(&self->v));
	ASSERT_EQ(0, change(&self->v, "clri", h.word[0], ""));
	ASSERT_EQ(0, vol_mount(&self->v, env_fstype(), 0, NULL));
}

TEST_HARNESS_MAIN
