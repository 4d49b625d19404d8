// SPDX-License-Identifier: GPL-2.0
/*
 * usage: work create|stat|list|unlink|append DIRECTORY COUNT [THREADS]
 *
 * Does that with COUNT files in DIRECTORY, or in THREADS directories below it, each with its part of them,
 * and prints how long it took, in nanoseconds. list is what `ls -l` does: it reads the directory and looks at
 * each name that it has. append writes COUNT times 4 KiB through the page cache, each thread to a file of its
 * own.
 *
 * It is small so that what is counted is the kernel's work.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define NAME_ROOM 32

struct part {
	pthread_t thread;
	int dir;
	unsigned int count;
};

static void name_of(char *name, unsigned int i)
{
	snprintf(name, NAME_ROOM, "file-%07u.c", i);
}

static void create(struct part *part)
{
	char name[NAME_ROOM];
	unsigned int i;
	int fd;

	for (i = 0; i < part->count; i++) {
		name_of(name, i);
		fd = openat(part->dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			err(1, "%s", name);
		close(fd);
	}
}

static void look(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		err(1, "cannot stat %s", name);
}

static void stat_each(struct part *part)
{
	char name[NAME_ROOM];
	unsigned int i;

	for (i = 0; i < part->count; i++) {
		name_of(name, i);
		look(part->dir, name);
	}
}

static void list(struct part *part)
{
	DIR *dir = fdopendir(dup(part->dir));
	unsigned int found = 0;
	struct dirent *entry;

	if (!dir)
		err(1, "cannot read the directory");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		look(part->dir, entry->d_name);
		found++;
	}
	closedir(dir);
	if (found != part->count)
		errx(1, "%u names, not %u", found, part->count);
}

static void unlink_each(struct part *part)
{
	char name[NAME_ROOM];
	unsigned int i;

	for (i = 0; i < part->count; i++) {
		name_of(name, i);
		if (unlinkat(part->dir, name, 0))
			err(1, "cannot unlink %s", name);
	}
}

static void append(struct part *part)
{
	static char block[4096];
	int fd = openat(part->dir, "log", O_CREAT | O_APPEND | O_WRONLY, 0644);
	unsigned int i;

	if (fd < 0)
		err(1, "no file to write to");
	for (i = 0; i < part->count; i++) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			err(1, "cannot write");
	}
	close(fd);
}

static const struct {
	const char *name;
	void (*work)(struct part *part);
} kinds[] = {
	{ "create", create },
	{ "stat", stat_each },
	{ "list", list },
	{ "unlink", unlink_each },
	{ "append", append },
};

static void (*work)(struct part *part);

static void *run(void *part)
{
	work(part);
	return NULL;
}

static int directory(int above, const char *name)
{
	int fd;

	mkdirat(above, name, 0755);
	fd = openat(above, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct part parts[MAX_THREADS];
	unsigned int threads = 1, i;
	long long start;
	char name[NAME_ROOM];
	int dir;

	if (argc < 4)
		errx(2, "see the first lines of the source");
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (!strcmp(kinds[i].name, argv[1]))
			work = kinds[i].work;
	}
	if (argc > 4)
		threads = atoi(argv[4]);
	if (!work || !threads || threads > MAX_THREADS)
		errx(2, "see the first lines of the source");
	dir = directory(AT_FDCWD, argv[2]);
	for (i = 0; i < threads; i++) {
		parts[i].dir = dir;
		parts[i].count = atoi(argv[3]) / threads;
		if (threads > 1) {
			snprintf(name, sizeof(name), "%u", i);
			parts[i].dir = directory(dir, name);
		}
	}
	start = now();
	if (threads == 1)
		work(&parts[0]);
	for (i = 0; threads > 1 && i < threads; i++) {
		if (pthread_create(&parts[i].thread, NULL, run, &parts[i]))
			errx(1, "cannot make a thread");
	}
	for (i = 0; threads > 1 && i < threads; i++)
		pthread_join(parts[i].thread, NULL);
	printf("%lld\n", now() - start);
	return 0;
}
