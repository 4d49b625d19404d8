// SPDX-License-Identifier: GPL-2.0
/* One image, from its seed to its end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "env.h"
#include "fuzz.h"

void step(struct fuzz *f, const char *fmt, ...)
{
	va_list ap;

	f->now->steps++;
	va_start(ap, fmt);
	vsnprintf(f->now->step, sizeof(f->now->step), fmt, ap);
	va_end(ap);
	if (f->verbose)
		printf("#   %s\n", f->now->step);
}

bool wrong(struct fuzz *f, const char *fmt, ...)
{
	size_t len = strlen(f->now->wrong);
	va_list ap;

	if (f->lenient)
		return true;
	va_start(ap, fmt);
	len += snprintf(f->now->wrong + len, sizeof(f->now->wrong) - len, "%s", len ? "; " : "");
	if (len < sizeof(f->now->wrong))
		vsnprintf(f->now->wrong + len, sizeof(f->now->wrong) - len, fmt, ap);
	va_end(ap);
	return false;
}

/* The number of an inode after this word. */
static uint32_t inode_of(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

static void note(struct said *said, const char *text, uint32_t ino)
{
	if (said->nr == SAID_MAX)
		return;
	said->line[said->nr].ino = ino;
	snprintf(said->line[said->nr++].text, sizeof(said->line[0].text), "%.130s", text);
}

bool log_check(struct fuzz *f)
{
	static const char *const complaints[] = {
		"WARNING: ", "BUG: ", "kernel BUG", "Oops", "general protection", "UBSAN: ", "KASAN: ",
		"INFO: task", "lockup", "possible circular", "suspicious RCU", "sleeping function",
		"beyond end of device", "panicked", "Busy inodes", "refcount_t", "bad unlock balance",
	};
	char rec[2048], *text, *end;
	bool ok = true;
	ssize_t n;
	size_t i;

	for (;;) {
		n = read(f->kmsg, rec, sizeof(rec) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return ok;
		rec[n] = 0;
		text = strchr(rec, ';');
		text = text ? text + 1 : rec;
		end = strchr(text, '\n');
		if (end)
			*end = 0;
		if (f->verbose)
			printf("#   log: %s\n", text);
		if (!strncmp(text, "retryfs: ", 9) && (strstr(text, "corrupt") || strstr(text, "cannot"))) {
			if (!f->lines++)
				snprintf(f->first_line, sizeof(f->first_line), "%.150s", text);
			note(&f->ours, text, inode_of(text, "inode ") ?: inode_of(text, "directory "));
		}
		if (strstr(text, "EXT4-fs error") || strstr(text, "EXT4-fs warning"))
			note(&f->theirs, text, inode_of(text, "inode #"));
		for (i = 0; i < sizeof(complaints) / sizeof(*complaints); i++) {
			if (strstr(text, complaints[i]))
				ok = wrong(f, "log: %s", text);
		}
	}
}

int volume_mount(struct fuzz *f, const struct image *im, const char *fstype, unsigned long flags,
		 const char *options)
{
	int err = mount(im->dev, env_dir(), fstype, flags | MS_NODEV | MS_NOSUID | MS_NOEXEC, options);

	return err ? -errno : 0;
}

bool volume_umount(struct fuzz *f)
{
	step(f, "umount");
	if (!umount(env_dir()))
		return true;
	wrong(f, "umount: %s", strerror(errno));
	umount2(env_dir(), MNT_DETACH);
	return false;
}

static const char *some_options(struct fuzz *f)
{
	static const char *const others[] = { ",discard", ",dirsync", ",sync", ",noacl", ",nouser_xattr", ",grpid" };
	static char options[80];

	snprintf(options, sizeof(options), "errors=%s%s%s", rng_percent(&f->rng, 75) ? "continue" : "remount-ro",
		 rng_percent(&f->rng, 50) ? ",async_alloc" : "",
		 rng_percent(&f->rng, 20) ? others[rng_below(&f->rng, sizeof(others) / sizeof(*others))] : "");
	return options;
}

/* Read-write, if not @read_only: what happens to it, from mount to unmount. */
static bool use(struct fuzz *f, const struct image *im, bool read_only)
{
	const char *options = some_options(f);
	static struct listing found;
	bool ok;
	int err;

	step(f, "mount %s %s", read_only ? "ro" : "rw", options);
	err = volume_mount(f, im, env_fstype(), read_only ? MS_RDONLY : 0, options);
	if (err) {
		f->now->refused++;
		if (err == -EINVAL || err == -EUCLEAN || err == -EIO || err == -ESTALE)
			return true;
		return wrong(f, "mount: %s", strerror(-err));
	}
	f->now->mounted++;
	step(f, "walk");
	ok = walk(f, &found, false);
	if (ok && !read_only)
		ok = act(f, &found);
	return volume_umount(f) && ok;
}

bool fuzz_one(struct fuzz *f, uint64_t seed)
{
	const struct image *im;
	bool clean = false, was_compared, ok;
	char name[32];

	/* Who is at work when the kernel dies: its last words have the name of the task. */
	snprintf(name, sizeof(name), "fuzz-%llu", (unsigned long long)seed);
	prctl(PR_SET_NAME, name);
	f->now->seed = seed;
	f->now->images++;
	f->lines = 0;
	f->first_line[0] = 0;
	rng_seed(&f->rng, seed, 0, 0);
	im = &f->set.im[rng_below(&f->rng, f->set.nr)];
	memcpy(f->buf, im->bytes, im->size);
	mutate(f, im);
	if (f->verbose)
		printf("# image %llu: %s,%s\n", (unsigned long long)seed, im->name, f->did);
	if (arena_put(&f->arena, im, f->buf))
		return wrong(f, "cannot write the image");

	was_compared = f->compare && !(seed % f->compare);
	ok = !was_compared || compare(f, im, &clean);
	f->lines = 0;
	ok = ok && use(f, im, im->read_only || rng_percent(&f->rng, 10));
	ok = log_check(f) && ok;
	f->now->reported += f->lines > 0;
	if (ok && clean && f->lines)
		ok = wrong(f, "e2fsck took it: %s", f->first_line);
	if (ok && clean) {
		step(f, "e2fsck, again");
		if (!is_clean(im))
			ok = wrong(f, "e2fsck took it, and now it is not clean");
	}
	if (!arena_intact(&f->arena, im))
		ok = wrong(f, "something was written outside of the image");
	if (!ok) {
		wrong(f, "[%s:%s]", im->name, f->did);
		/* all of it again */
		log_check(f);
	}
	return ok;
}
