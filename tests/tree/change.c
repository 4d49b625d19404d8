// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "env.h"
#include "steps.h"
#include "tree.h"

static void move(struct tree *t, const char *from, const char *to, unsigned int flags)
{
	if (t->plain && (flags & RENAME_EXCHANGE)) {
		move(t, from, "exchanged", 0);
		move(t, to, from, 0);
		move(t, "exchanged", to, 0);
		return;
	}
	step(t, !renameat2(AT_FDCWD, from, AT_FDCWD, to, flags), "rename", from);
}

static void drop(struct tree *t, const char *name)
{
	step(t, !remove(name), "remove", name);
}

static void punch(struct tree *t, const char *name, off_t pos, off_t len)
{
	int fd;

	if (t->plain)
		return;
	fd = open(name, O_WRONLY | O_CLOEXEC);
	step(t, fd >= 0 && !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos, len), "punch",
	     name);
	close(fd);
}

static void store(struct tree *t, const char *name, off_t pos, int byte)
{
	int fd = open(name, O_RDWR | O_CLOEXEC);
	char *at = mmap(NULL, pos + 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (step(t, at != MAP_FAILED, "mmap", name)) {
		at[pos] = byte;
		step(t, !munmap(at, pos + 1), "munmap", name);
	}
	close(fd);
}

static void append(struct tree *t, const char *name, unsigned int round)
{
	char text[32];
	const int n = snprintf(text, sizeof(text), "round %u\n", round);
	int fd = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);

	step(t, fd >= 0 && write(fd, text, n) == n, "append", name);
	close(fd);
}

static void change_data(struct tree *t, unsigned int round)
{
	unsigned int i;

	for (i = 0; i < SIZES; i++) {
		const char *name = nth("size", i);
		const off_t size = size_near(t, i);

		/* the third one has other names, which go with it */
		switch ((i + round) % 5) {
		case 0:
			set_size(t, name, size / 2);
			break;
		case 1:
			set_size(t, name, size + t->bs + 3);
			break;
		case 2:
			append(t, name, round);
			break;
		case 3:
			put(t, name, size / 3, 700, round, false);
			break;
		default:
			if (i != 3)
				drop(t, name);
			put(t, name, 0, size_near(t, (i + round) % SIZES), round, false);
		}
	}
	put(t, "direct", 4096L * round, 8192, round, true);
	put(t, "direct", (64 << 10) * (1 + round), 8192, round, true);
	for (i = round % 5; i < PLACES; i += 5) {
		put(t, "sparser", place(t, i), t->bs, round, i % 2);
		punch(t, "sparse", place(t, i) - (i ? t->bs / 2 : 0), t->bs);
		put(t, "hole", place(t, i) + 7, 5, round, false);
	}
	set_size(t, "hole", place(t, PLACES - 1 - round) + round);
	set_size(t, "tail", 100 + round);
	set_size(t, "tail", (9L + round) * t->bs + 5);
	punch(t, "punched", (3L + 5 * round) * t->bs, 3L * t->bs + 10);
	put(t, "punched", (1L + 5 * round) * t->bs, 10, round, false);
	store(t, "mapped", 2 * t->bs + round, round);
	store(t, "tail", 5 * t->bs + round, round);
}

static void change_names(struct tree *t, unsigned int round)
{
	char target[4096];
	unsigned int i;

	step(t, !chdir("odd"), "chdir", "odd");
	for (i = 0; i < ODD_NAMES; i++)
		switch ((i + round) % 4) {
		case 0:
			drop(t, odd_name(i));
			put(t, odd_name(i), 0, 20 + round, i, false);
			break;
		case 1:
			move(t, odd_name(i), "for a moment", 0);
			move(t, "for a moment", odd_name(i), RENAME_NOREPLACE);
			break;
		case 2:
			move(t, odd_name(i), odd_name((i + 3) % ODD_NAMES), RENAME_EXCHANGE);
			break;
		default:
			append(t, odd_name(i), round);
		}
	step(t, !chdir(".."), "chdir", "..");

	drop(t, nth("links/l", 2 * round - 1));
	for (i = 2; i <= 3; i++)
		step(t, !link("size3", nth("links/l", 2 * round + i)), "link", "size3");
	move(t, nth("links/l", 2 * round), nth("links/renamed", round), 0);
	for (i = 0; i < 5; i++) {
		const unsigned int lens[] = { 60, t->bs - 1, 2, 59, 61 };
		const unsigned int len = lens[(i + round) % 5];

		memset(target, 's', len);
		target[len] = 0;
		if ((i + round) % 2) {
			drop(t, nth("symlink", i));
			step(t, !symlink(target, nth("symlink", i)), "symlink", nth("symlink", i));
		} else {
			move(t, nth("symlink", i), "moved", 0);
			move(t, "moved", nth("symlink", i), 0);
		}
	}
	set_xattr(t, "symlink1", "trusted.l", 10 * round, round);
	drop(t, "blk");
	step(t, !mknod("blk", S_IFBLK | 0600, makedev(round, 1 << (6 * round))), "mknod", "blk");
	step(t, !chmod("fifo", 0600 + round), "chmod", "fifo");
	step(t, !mknod(nth("chr-new", round), S_IFCHR | 0600, makedev(255, 255 + round % 2)), "mknod", "chr");
	step(t, !mknod(nth("sock-new", round), S_IFSOCK | 0600, 0), "mknod", "sock");
	for (i = 0; i < 8; i++) {
		if ((i + round) % 3)
			step(t, !chown(nth("mode", i), 65534 + i * round, -1), "chown", "mode");
		if ((i + round) % 2)
			step(t, !chmod(nth("mode", i), (i ^ round) % 8 << 9 | 0710), "chmod", "mode");
	}
}

static void make_tmpfile(struct tree *t, const char *name)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	step(t, fd >= 0 && write(fd, "x", 1) == 1, "O_TMPFILE", name);
	step(t, !linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW), "linkat", name);
	close(fd);
}

static void change_dirs(struct tree *t, unsigned int round)
{
	const char *deep = round % 2 ? "sticky/deep" : "deep";
	unsigned int i;

	for (i = round; i < 300; i += 10)
		drop(t, nth("hashed/a name that takes some room in the block ", i));
	for (i = 0; i < 50; i++)
		put(t, nth("hashed/new ones of a round, whatever that is, with a name that is longer ",
			   round * 100 + i), 0, 0, i, false);
	for (i = 0; i < 20; i++)
		put(t, nth("linear/", round * 20 + i), 0, 0, i, false);
	drop(t, nth("linear/", round * 20));
	drop(t, "empty");
	step(t, !mkdir(nth("fresh", round), 0700 + round), "mkdir", "fresh");
	step(t, !mkdir("empty", 0700 + round), "mkdir", "empty");
	/* a directory over one that is empty */
	put(t, nth(nth("fresh", round), 0), 0, 3, round, false);
	move(t, nth("fresh", round), "empty", 0);
	drop(t, nth(nth("fresh", round), 0));
	put(t, nth("emptied/", round), 0, 3, round, false);
	/* to another parent, and back the next time */
	move(t, round % 2 ? "deep" : "sticky/deep", deep, 0);
	put(t, nth(round % 2 ? "sticky/deep/d/d/d/new" : "deep/d/d/new", round), 0, 3, round, false);
	step(t, !mkdir(nth("set-group/new", round), 0755), "mkdir", "set-group/new");
	make_tmpfile(t, nth("tmpfile", round));
	move(t, "set-group/dir", "emptied", RENAME_EXCHANGE);
}

static void change_attributes(struct tree *t, unsigned int round)
{
	unsigned int i;

	/* between inode and block */
	set_xattr(t, "x-inode", "user.a", round % 2 ? 300 : 4, round);
	set_xattr(t, "x-inode", "trusted.b", round % 2 ? -1 : 20, round);
	set_xattr(t, "x-inode", nth("user.new", round), 6, round);
	set_xattr(t, "x-block", "user.big", round % 2 ? 8 : 450, round);
	for (i = 0; i < 8; i++)
		set_xattr(t, "x-both", nth("trusted.n", i), (i + round) % 4 ? (int)(i * 11 + round) : -1, round);
	/* one of several that have a block together, and then one that has another */
	set_xattr(t, nth("x-shared", round % 4), "user.same", 400, 7 + round);
	set_xattr(t, nth("x-shared", (round + 1) % 4), "user.same", round % 2 ? 400 : -1, 7 + round);
	set_xattr(t, nth("x-shared", (round + 2) % 4), nth("trusted.more", round), 10, round);
	set_xattr(t, "fifo", "trusted.f", 200 + round, round);
	set_xattr(t, "linear", nth("user.dir", round), 10, round);

	step(t, !chmod("acl-file", round % 2 ? 0705 : 0770), "chmod", "acl-file");
	set_acl(t, "acl/inherited", "system.posix_acl_access", round % 8);
	put(t, nth("acl/new", round), 0, 3, round, false);
	step(t, !mkdir(nth("acl/newdir", round), 0777), "mkdir", "acl/newdir");
	if (round % 2)
		step(t, !removexattr("acl/dir", "system.posix_acl_default"), "removexattr", "acl/dir");
	else
		set_acl(t, "acl/dir", "system.posix_acl_default", round % 8);
	set_acl(t, "acl", "system.posix_acl_default", (round + 3) % 8);
	/* a write takes it away */
	append(t, "cap", round);
	if (round % 2)
		set_capability(t, "cap", CAP_CHOWN + round);
	set_generation(t, "gen", 0x80000001 + round);
	for (i = 0; i < 40; i++)
		if ((i + round) % 3)
			set_times(t, nth("time", i), i * round);
	step(t, !utimensat(AT_FDCWD, "time0", NULL, 0), "utimensat", "time0");
}

static void change_flags(struct tree *t, unsigned int round)
{
	static const unsigned int flags[] = {
		FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL | FS_NOATIME_FL, FS_SYNC_FL, 0, FS_SECRM_FL,
	};
	unsigned int i;

	for (i = 0; i < 9; i++) {
		set_flags(t, nth("flag", i), 0);
		append(t, nth("flag", i), round);
		set_flags(t, nth("flag", i), flags[(i + round) % 6]);
	}
	put(t, nth("flag-dir2/appended", round), 0, 3, round, false);
	put(t, nth("flag-dir3/inherits", round), 0, 3, round, false);
	set_flags(t, "flag-dir0", round % 2 ? FS_NODUMP_FL : FS_DIRSYNC_FL | FS_NOATIME_FL);
}

const char *tree_change(unsigned int bs, unsigned int round, bool plain)
{
	static struct tree t;

	t = (struct tree){ .bs = bs, .late = true, .plain = plain };
	umask(0022);
	if (!step(&t, !chdir(env_dir()), "chdir", env_dir()))
		return t.wrong;
	change_data(&t, round);
	change_names(&t, round);
	change_dirs(&t, round);
	change_attributes(&t, round);
	change_flags(&t, round);
	step(&t, !chdir("/"), "chdir", "/");
	return t.wrong[0] ? t.wrong : NULL;
}
