// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "blocks.h"
#include "buf.h"
#include "env.h"
#include "pattern.h"

long free_blocks(void)
{
	struct statfs st;

	return statfs(env_dir(), &st) ? -errno : (long)st.f_bfree;
}

blkcnt_t blocks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -errno : st.st_blocks;
}

long block_of(int fd, int n)
{
	return ioctl(fd, FIBMAP, &n) ? -errno : n;
}

int pieces_of(int fd)
{
	struct fiemap f = { .fm_length = FIEMAP_MAX_OFFSET, .fm_flags = FIEMAP_FLAG_SYNC };

	return ioctl(fd, FS_IOC_FIEMAP, &f) ? -errno : (int)f.fm_mapped_extents;
}

static long up(long n, long by)
{
	return (n + by - 1) / by;
}

long blocks_needed(unsigned int bs, off_t size)
{
	const long data = up(size, bs), ptrs = bs / 4, most = ptrs * ptrs;
	long n = data, left = data - 12;

	if (left > 0)
		n++;
	left -= ptrs;
	if (left > 0)
		n += 1 + up(left < most ? left : most, ptrs);
	left -= most;
	if (left > 0)
		n += 1 + up(left, most) + up(left, ptrs);
	return n;
}

int fill_up(struct vol *v, long left)
{
	const size_t most = 1 << 20;
	int fd = vol_open("fill", O_CREAT | O_RDWR | O_APPEND);
	char *buf = buf_alloc(most);
	int err = 0;

	if (fd < 0)
		return fd;
	while (free_blocks() > left && !err) {
		size_t n = free_blocks() - left;
		/* pointers count too: room for them, and the end block by block */
		size_t data = n > 16 ? n - 8 : n > 4 ? n - 4 : 1;
		size_t len = data * v->bs > most ? most : data * v->bs;

		if (write(fd, buf, len) != (ssize_t)len)
			err = -ENOSPC;
		if (fsync(fd))
			err = -errno;
	}
	close(fd);
	return err;
}

/* Does each piece lie in one piece, and none right after the one before it? */
static int check_pieces(struct vol *v, int fd, size_t piece, int nr)
{
	int blocks = piece / v->bs, last = 0, block, i;

	for (i = 0; i < nr * blocks; i++, last = block) {
		block = i;
		if (ioctl(fd, FIBMAP, &block))
			return -errno;
		if (!block || (i && (block == last + 1) != (i % blocks != 0))) {
			printf("# block %d of the file is at %d, the one before at %d\n",
			       i, block, last);
			return -ENOTUNIQ;
		}
	}
	return 0;
}

int make_pieces(struct vol *v, const char *name, size_t piece, int nr)
{
	int fd = vol_open(name, O_CREAT | O_RDWR | O_DIRECT);
	char *buf = buf_alloc(piece);
	int err, i;

	if (fd < 0)
		return fd;
	/*
	 * The last one first: blocks are looked for upwards. Allocated at once, where that can be done: the page cache
	 * of a kernel without large folios (PREEMPT_RT) would fill the hole block by block.
	 */
	for (i = nr - 1; i >= 0; i--) {
		pattern_fill(buf, piece, i * piece, 1);
		if (fallocate(fd, 0, i * piece, piece) && errno != EOPNOTSUPP)
			return -errno;
		if (pwrite(fd, buf, piece, i * piece) != (ssize_t)piece)
			return -EIO;
	}
	if (fsync(fd))
		return -errno;
	err = check_pieces(v, fd, piece, nr);
	return err ? err : fd;
}

int make_held(struct vol *v, const char *name, size_t len, size_t routed, enum held what)
{
	struct vol_map map;
	int err, i;

	err = vol_prefill(name, 0, len, 1);
	if (err)
		return err;
	vol_sync();
	err = vol_find(v, 0, routed, 1, &map);
	if (err)
		return err;
	for (i = 0; i < map.nr; i++)
		map.e[i].reads = what == HELD_READS;
	return vol_route(v, &map);
}

void route_and_fail(struct vol_map *a, const struct vol_map *b)
{
	int i, at;

	for (i = 0; i < b->nr; i++) {
		for (at = a->nr++; at && a->e[at - 1].sector > b->e[i].sector; at--)
			a->e[at] = a->e[at - 1];
		a->e[at] = b->e[i];
		a->e[at].fails = true;
	}
}

ssize_t count_of(ssize_t want, ssize_t n)
{
	return env_is_retryfs() || n != -EIO ? want : n;
}
