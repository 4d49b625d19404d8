// SPDX-License-Identifier: GPL-2.0
/* Stores through mappings: they allocate, and say so when there is no space; and what comes in between. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "blocks.h"
#include "harness.h"
#include "punch.h"
#include "stop.h"
#include "store.h"
#include "trace.h"

#define PAGE	4096
#define NOBODY	65534
#define S_BLOCKS	(1024 + 0x04)
#define S_RESERVED	(1024 + 0x08)

VOL_FIXTURE(fs_mkwrite);
FIXTURE_VARIANT_ADD(fs_mkwrite, bs1k) { .conf = SMALL_1K };
FIXTURE_VARIANT_ADD(fs_mkwrite, bs4k) { .conf = SMALL_4K };

/* A hole of @size bytes, mapped; the descriptor, or -errno. */
static int map_hole(const char *name, off_t size, char **map)
{
	int fd = vol_open(name, O_CREAT | O_RDWR);

	if (fd < 0)
		return fd;
	if (ftruncate(fd, size))
		return -errno;
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *map == MAP_FAILED ? -errno : fd;
}

/* The store says it, nobody else does, and all that was stored before is there. */
TEST_F(fs_mkwrite, without_space)
{
	const off_t size = 64 * PAGE;
	char *map, *back = buf_alloc(size);
	struct stat st;
	int fd, i, n = 0;

	fd = map_hole("f", size, &map);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fill_up(&self->v, 11 * PAGE / self->v.bs + 2));
	for (i = 0; i < 64 && !store(map + i * PAGE, 'x'); i++)
		n++;
	/* pointers take some; what is left is not enough for a page and its pointers */
	EXPECT_LE(10, n);
	EXPECT_GE(12, n);
	EXPECT_GE(PAGE / self->v.bs, free_blocks());
	for (i = n; i < 64; i++) {
		EXPECT_EQ(-ENOSPC, store(map + i * PAGE, 'y'));
		EXPECT_EQ(0, map[i * PAGE]);
	}
	/* where there are blocks, there is no need of space */
	EXPECT_EQ(0, store(map + PAGE + 1, 'z'));
	EXPECT_EQ(0, msync(map, size, MS_SYNC));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, store(map + PAGE + 2, 'z'));
	EXPECT_EQ(0, fsync(fd));
	ASSERT_EQ(0, unlink(vol_path("fill")));
	EXPECT_EQ(0, store(map + 63 * PAGE, 'y'));
	ASSERT_EQ(0, fstat(fd, &st));
	munmap(map, size);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(size, vol_read("f", O_RDONLY, back, size, 0));
	for (i = 0; i < n; i++)
		EXPECT_EQ('x', back[i * PAGE]);
	EXPECT_EQ('z', back[PAGE + 1]);
	EXPECT_EQ('z', back[PAGE + 2]);
	EXPECT_ZERO(back + n * PAGE, (63 - n) * PAGE, n * PAGE);
	EXPECT_EQ('y', back[63 * PAGE]);
}

/* Blocks that are reserved are not for everybody: it counts who stores, and not who writes back. */
TEST_F(fs_mkwrite, reserved_blocks)
{
	char *map;
	int fd, status;
	pid_t pid;

	fd = map_hole("f", 2 * PAGE, &map);
	ASSERT_LE(0, fd);
	/* all of them */
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_RESERVED, vol_dev_get(&self->v, 32, S_BLOCKS)));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(NOBODY) || store(map, 'x') != -ENOSPC);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, store(map + PAGE, 'x'));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, map[0]);
	ASSERT_EQ(0, vol_dev_set(&self->v, 32, S_RESERVED, 0));
	munmap(map, 2 * PAGE);
}

/* What is stored beyond EOF is in no block, and zero when EOF moves; and then it is a store as others. */
TEST_F(fs_mkwrite, beyond_eof)
{
	const off_t bs = self->v.bs;
	char *map;
	int fd;

	fd = map_hole("f", 100, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, store(map + 3000, 'x'));
	EXPECT_EQ(bs, blocks_of(fd) * 512);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(bs, blocks_of(fd) * 512);
	EXPECT_EQ(0, store(map, 'x'));
	EXPECT_EQ(0, store(map + 3000, 'x'));
	ASSERT_EQ(0, fill_up(&self->v, 0));
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	/* what is a hole now stays one */
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(bs, blocks_of(fd) * 512);
	EXPECT_EQ(0, map[3000]);
	EXPECT_EQ(bs < PAGE ? -ENOSPC : 0, store(map + 3000, 'y'));
	EXPECT_EQ('x', map[0]);
	ASSERT_EQ(0, unlink(vol_path("fill")));
	EXPECT_EQ(0, store(map + 3000, 'y'));
	EXPECT_EQ(PAGE, blocks_of(fd) * 512);
	/* a page that is beyond it as a whole */
	ASSERT_EQ(0, ftruncate(fd, 0));
	EXPECT_EQ(-ENOSPC, store(map, 'x'));
	munmap(map, PAGE);
}

/* A hole that is punched in a page that stays: a store to it needs its blocks, again. */
TEST_F(fs_mkwrite, punched_in_a_page)
{
	const off_t bs = self->v.bs;
	char *map;
	int fd;

	if (bs == PAGE)
		SKIP(return, "pages have one block");
	fd = map_hole("f", 2 * PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, store(map, 'x'));
	EXPECT_EQ(0, store(map + PAGE, 'x'));
	EXPECT_EQ(2 * PAGE, blocks_of(fd) * 512);
	ASSERT_EQ(0, punch(fd, bs, PAGE));
	EXPECT_EQ(PAGE, blocks_of(fd) * 512);
	ASSERT_EQ(0, fill_up(&self->v, 0));
	EXPECT_EQ(-ENOSPC, store(map + bs, 'y'));
	EXPECT_EQ(-ENOSPC, store(map + PAGE, 'y'));
	EXPECT_EQ('x', map[0]);
	EXPECT_EQ(0, map[bs]);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(PAGE, blocks_of(fd) * 512);
	munmap(map, 2 * PAGE);
}

TEST_F(fs_mkwrite, frozen)
{
	struct store_op op;
	struct task t;
	char *map;
	int fd;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, map[0]);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	op = (struct store_op){ map, 'x' };
	ASSERT_EQ(0, task_start(&t, op_store, &op));
	EXPECT_BLOCKED(&t);
	EXPECT_EQ(0, blocks_of(fd));
	ASSERT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(PAGE, blocks_of(fd) * 512);
	munmap(map, PAGE);
}

/* Immutable is immutable. */
TEST_F(fs_mkwrite, immutable)
{
	int fd, flags = FS_IMMUTABLE_FL;
	char *map;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	EXPECT_EQ(-ENOSPC, store(map, 'x'));
	flags = 0;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	EXPECT_EQ(0, store(map, 'x'));
	munmap(map, PAGE);
}

/* Start @fn, which is stopped in the first of the @functions that this kernel has. */
static int stop_in(struct probed *p, struct task *t, const char *const *functions,
		   long (*fn)(void *arg), void *arg)
{
	char probe[128];
	int err = -ENOENT;

	for (; *functions && err == -ENOENT; functions++) {
		snprintf(probe, sizeof(probe), "p:" STOP_PROBE " %s\n", *functions);
		err = stop_in_probe(p, t, probe, fn, arg);
	}
	return err;
}

/* The same with a store: while its block is being allocated. */
static int stop_in_store(struct probed *p, struct task *t, char *at)
{
	static const char *const functions[] = { "kfs_helper_has_unwritten_buffers", NULL };
	static struct store_op op;

	op = (struct store_op){ at, 'x' };
	return stop_in(p, t, functions, op_store, &op);
}

/* The same if the page is stored to after the hole's range was written back. */
TEST_F(fs_mkwrite, while_it_is_punched)
{
	static const char *const functions[] = {
		"__filemap_get_folio_mpol", "__filemap_get_folio", NULL
	};
	const off_t bs = self->v.bs;
	struct probed p;
	struct task hole;
	struct io_op op;
	char *map;
	int fd, err;

	if (bs == PAGE)
		SKIP(return, "pages have one block");
	fd = map_hole("f", 2 * PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, store(map, 'x'));
	/* it stops at a part of a block */
	op = (struct io_op){ .fd = fd, .off = 100, .len = PAGE - 100 };
	err = stop_in(&p, &hole, functions, op_punch, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, store(map, 'y'));
	EXPECT_EQ(0, store(map + bs, 'y'));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&hole, JOIN_SECONDS));
	EXPECT_EQ(0, map[bs]);
	EXPECT_EQ(bs, blocks_of(fd) * 512);
	ASSERT_EQ(0, fill_up(&self->v, 0));
	EXPECT_EQ(-ENOSPC, store(map + bs, 'z'));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ('y', map[0]);
	munmap(map, 2 * PAGE);
}

/* Who finds the new block waits for its page: a direct read would have what was there before. */
TEST_F(fs_mkwrite, direct_read_beside)
{
	const off_t bs = self->v.bs;
	char *map, *back = buf_alloc(PAGE);
	struct probed p;
	struct task t, read;
	struct io_op op;
	int fd, dfd, err;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	dfd = vol_open("f", O_RDONLY | O_DIRECT);
	EXPECT_EQ(0, map[0]);
	memset(back, 'z', PAGE);
	err = stop_in_store(&p, &t, map + 10);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	op = (struct io_op){ dfd, back, bs, 0 };
	ASSERT_EQ(0, task_start(&read, op_pread, &op));
	EXPECT_BLOCKED(&read);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(bs, task_join(&read, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	EXPECT_ZERO(back, 10, 0);
	EXPECT_ZERO(back + 11, bs - 11, 11);
	munmap(map, PAGE);
}

/* A sync waits for it, and has what is stored, or it is another one's. */
TEST_F(fs_mkwrite, sync_beside)
{
	struct probed p;
	struct task t, sync;
	struct io_op op;
	char *map;
	int fd, err;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, map[0]);
	err = stop_in_store(&p, &t, map);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	op = (struct io_op){ .fd = fd };
	ASSERT_EQ(0, task_start(&sync, op_fsync, &op));
	EXPECT_BLOCKED(&sync);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&sync, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ('x', map[0]);
	EXPECT_EQ(0, fsync(fd));
	munmap(map, PAGE);
	close(fd);
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_read("f", O_RDONLY, &err, 0, 0));
}

static long op_immutable(void *arg)
{
	const struct io_op *op = arg;
	int flags = FS_IMMUTABLE_FL;

	return ioctl(op->fd, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

/* Who makes the file immutable waits for a store that has begun, and there is none after that. */
TEST_F(fs_mkwrite, immutable_beside)
{
	/* with the lock, when the page is not dirty yet */
	static const char *const functions[] = { "create_empty_buffers", NULL };
	struct store_op st;
	struct probed p;
	struct task t, chattr;
	struct io_op op;
	int fd, err, flags = 0;
	char *map;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, map[0]);
	st = (struct store_op){ map, 'x' };
	err = stop_in(&p, &t, functions, op_store, &st);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	op = (struct io_op){ .fd = fd };
	ASSERT_EQ(0, task_start(&chattr, op_immutable, &op));
	EXPECT_BLOCKED(&chattr);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(0, task_join(&chattr, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(-ENOSPC, store(map, 'y'));
	EXPECT_EQ('x', map[0]);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	munmap(map, PAGE);
}

/* Nor one that had begun, and has found that it is not, before it is. */
TEST_F(fs_mkwrite, immutable_meanwhile)
{
	static const char *const functions[] = { "file_update_time", NULL };
	int fd, err, flags = FS_IMMUTABLE_FL;
	struct store_op op;
	struct probed p;
	struct task t;
	char *map;

	fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, map[0]);
	op = (struct store_op){ map, 'x' };
	err = stop_in(&p, &t, functions, op_store, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(-ENOSPC, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(0, map[0]);
	EXPECT_EQ(0, blocks_of(fd));
	flags = 0;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	munmap(map, PAGE);
}

static long op_punch_page(void *arg)
{
	const struct io_op *op = arg;
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(op->fd, mode, 0, PAGE) ? -errno : 0;
}

/* Nor is anything punched then, by who had found that it is not. */
TEST_F(fs_mkwrite, immutable_before_it_is_punched)
{
	static const char *const functions[] = { "down_write", NULL };
	int fd, err, flags = FS_IMMUTABLE_FL;
	struct probed p;
	struct io_op op;
	struct task t;

	ASSERT_EQ(0, vol_prefill("f", 0, PAGE, 1));
	fd = vol_open("f", O_RDWR);
	ASSERT_LE(0, fd);
	op = (struct io_op){ .fd = fd };
	err = stop_in(&p, &t, functions, op_punch_page, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	EXPECT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(-EPERM, task_join(&t, JOIN_SECONDS));
	EXPECT_TRUE(vol_holds("f", PAGE, 1));
	flags = 0;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	close(fd);
}

/* A file that is cut off meanwhile keeps no block of it; nor does a hole that is punched. */
static void cut_off(struct __test_metadata *_metadata, struct probed *p,
		    long (*how)(void *arg), struct io_op *op, char *map, int fd)
{
	struct task t, cut;
	int err;

	EXPECT_EQ(0, map[0]);
	err = stop_in_store(p, &t, map);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, task_start(&cut, how, op));
	EXPECT_BLOCKED(&cut);
	EXPECT_TRUE(let_go(p));
	EXPECT_EQ(0, task_join(&cut, JOIN_SECONDS));
	/* it may be done again, and find the file as it is now */
	task_join(&t, JOIN_SECONDS);
}

TEST_F(fs_mkwrite, truncate_beside)
{
	struct probed p;
	struct io_op op = {};
	char *map;

	op.fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, op.fd);
	cut_off(_metadata, &p, op_ftruncate, &op, map, op.fd);
	EXPECT_EQ(0, blocks_of(op.fd));
	EXPECT_EQ(-ENOSPC, store(map, 'x'));
	munmap(map, PAGE);
}

TEST_F(fs_mkwrite, punch_beside)
{
	struct probed p;
	struct io_op op = { .len = PAGE };
	char *map;
	bool stored;

	op.fd = map_hole("f", PAGE, &map);
	ASSERT_LE(0, op.fd);
	cut_off(_metadata, &p, op_punch, &op, map, op.fd);
	/* after the hole, or before it: whole, or not at all */
	stored = map[0] == 'x';
	EXPECT_EQ(stored ? PAGE : 0, blocks_of(op.fd) * 512);
	EXPECT_EQ(0, fsync(op.fd));
	EXPECT_EQ(stored ? 'x' : 0, map[0]);
	munmap(map, PAGE);
}

/* What is stored beyond EOF while a write behind it is under way is not in the file then; and what is stored later is. */
TEST_F(fs_mkwrite, stored_beside_a_gap)
{
	static const char *const functions[] = { "generic_perform_write", NULL };
	/* to the same page, and to the next one */
	static const off_t at[] = { 3000, 5000 };
	char *map, c = 'z', *back = buf_alloc(2 * PAGE);
	struct probed p;
	struct io_op op;
	struct task t;
	int fd, err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
		fd = vol_open("f", O_RDWR);
		ASSERT_LE(0, fd);
		map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		/* from now on it can be stored to */
		EXPECT_EQ(0, store(map, 'x'));
		op = (struct io_op){ fd, &c, 1, at[i] };
		err = stop_in(&p, &t, functions, op_pwrite, &op);
		if (err == -ENOENT)
			SKIP(return, "no kprobe events");
		ASSERT_EQ(0, err);
		EXPECT_EQ(0, store(map + 200, 'x'));
		EXPECT_EQ(0, store(map + 1500, 'x'));
		EXPECT_TRUE(let_go(&p));
		EXPECT_EQ(1, task_join(&t, JOIN_SECONDS));
		EXPECT_EQ(0, map[200]);
		EXPECT_EQ(0, map[1500]);
		EXPECT_EQ(0, store(map + 2500, 'y'));
		EXPECT_EQ(0, fsync(fd));
		munmap(map, 2 * PAGE);
		close(fd);
		ASSERT_EQ(at[i] + 1, vol_read("f", O_RDONLY | O_DIRECT, back, 2 * PAGE, 0));
		EXPECT_EQ('x', back[0]);
		EXPECT_ZERO(back + 100, 2400, 100);
		EXPECT_EQ('y', back[2500]);
		EXPECT_ZERO(back + 2501, at[i] - 2501, 2501);
		EXPECT_EQ('z', back[at[i]]);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

/* Nor is a page with EOF brought in while such a write is under way, which has not found it. */
TEST_F(fs_mkwrite, brought_in_beside_a_gap)
{
	static const char *const functions[] = { "block_write_end", NULL };
	char *map, c = 'z', *back = buf_alloc(2 * PAGE);
	struct store_op st;
	struct probed p;
	struct task t, stored;
	struct io_op op;
	int fd, err;

	fd = map_hole("f", 100, &map);
	ASSERT_LE(0, fd);
	op = (struct io_op){ fd, &c, 1, 5000 };
	err = stop_in(&p, &t, functions, op_pwrite, &op);
	if (err == -ENOENT)
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, err);
	st = (struct store_op){ map + 1500, 'x' };
	ASSERT_EQ(0, task_start(&stored, op_store, &st));
	EXPECT_BLOCKED(&stored);
	EXPECT_TRUE(let_go(&p));
	EXPECT_EQ(1, task_join(&t, JOIN_SECONDS));
	EXPECT_EQ(0, task_join(&stored, JOIN_SECONDS));
	EXPECT_EQ(0, fsync(fd));
	munmap(map, PAGE);
	close(fd);
	ASSERT_EQ(5001, vol_read("f", O_RDONLY | O_DIRECT, back, 2 * PAGE, 0));
	EXPECT_ZERO(back, 1500, 0);
	EXPECT_EQ('x', back[1500]);
	EXPECT_ZERO(back + 1501, 5000 - 1501, 1501);
	EXPECT_EQ('z', back[5000]);
}

/*
 * Such a write whose data is in the page with EOF, which it takes out of the mappings, ends: it is not brought in for the write
 * again and again. And one that gets no data leaves EOF where it is.
 */
TEST_F(fs_mkwrite, gap_from_its_own_page)
{
	static const off_t at[] = { 3000, 5000, PAGE, 10 * PAGE };
	char *map, *none, *back = buf_alloc(11 * PAGE);
	struct stat st;
	int fd, round;
	size_t i;

	none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, none);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		ASSERT_EQ(0, vol_prefill("f", 0, 100, 1));
		fd = vol_open("f", O_RDWR);
		ASSERT_LE(0, fd);
		map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(-1, pwrite(fd, none, 100, at[i]));
		EXPECT_EQ(EFAULT, errno);
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(100, st.st_size);
		/* there is no page; it is there, and is not mapped; it is mapped */
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		for (round = 0; round < 3; round++) {
			if (round == 1)
				madvise(map, PAGE, MADV_DONTNEED);
			EXPECT_EQ(100, pwrite(fd, map, 100, at[i]));
			ASSERT_EQ(at[i] + 100, pread(fd, back, 11 * PAGE, 0));
			EXPECT_PATTERN(back, 100, 0, 1);
			EXPECT_ZERO(back + 100, at[i] - 100, 100);
			EXPECT_PATTERN(back + at[i], 100, 0, 1);
			ASSERT_EQ(0, ftruncate(fd, 100));
		}
		munmap(map, PAGE);
		close(fd);
		ASSERT_EQ(0, unlink(vol_path("f")));
	}
}

TEST_HARNESS_MAIN
