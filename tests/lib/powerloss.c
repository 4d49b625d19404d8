// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "pattern.h"
#include "powerloss.h"
#include "vol.h"

#define COPY	"/tmp/rfs-powerloss"
#define CHUNK	(1UL << 20)

int lose_power_unrepaired(struct vol *v)
{
	char *buf = buf_alloc(CHUNK);
	uint64_t off, size = v->sectors * 512;
	int from, to, err = 0;

	from = open(env_dev(), O_RDONLY | O_DIRECT | O_CLOEXEC);
	to = open(COPY, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		err = -errno;
	for (off = 0; !err && off < size; off += CHUNK)
		if (pread(from, buf, CHUNK, off) != CHUNK || pwrite(to, buf, CHUNK, off) != CHUNK)
			err = -EIO;
	close(from);
	close(to);
	return vol_report("copying the disk", err);
}

static int repair(const char *how)
{
	const char *const argv[] = { "e2fsck", "-f", how, COPY, NULL };

	/* 1: it has repaired something */
	return vol_report("e2fsck after the loss of power", run(1, argv) > 1 ? -EUCLEAN : 0);
}

int lose_power(struct vol *v)
{
	return lose_power_unrepaired(v) ?: repair("-y");
}

int lose_power_in_memory(const char *disk, size_t len)
{
	const int to = open(COPY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const ssize_t n = to < 0 ? -1 : write(to, disk, len);

	close(to);
	return vol_report("copying the disk", n == (ssize_t)len ? 0 : -EIO) ?: repair("-y");
}

int lose_power_at_boot(struct vol *v)
{
	return lose_power_unrepaired(v) ?: repair("-p");
}

static FILE *ask(const char *request, const char *path)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "debugfs -R '%s \"/%s\"' " COPY " 2>/dev/null", request, path);
	return popen(cmd, "r");
}

ino_t lost_inode(const char *path)
{
	FILE *out = ask("stat", path);
	unsigned long ino = 0;

	if (!out)
		return 0;
	if (fscanf(out, "Inode: %lu", &ino) != 1)
		ino = 0;
	while (fgetc(out) != EOF)
		;
	pclose(out);
	return ino;
}

long lost_mode(const char *path)
{
	FILE *out = ask("stat", path);
	unsigned int mode;
	long err = 0;

	if (!out)
		return -errno;
	if (fscanf(out, "Inode: %*u Type: %*s Mode: %o", &mode) != 1)
		err = -ENOENT;
	while (fgetc(out) != EOF)
		;
	pclose(out);
	return err ?: (long)mode;
}

long lost_entries(const char *path)
{
	FILE *out = ask("ls -p", path);
	char line[512];
	long count = 0;

	if (!out)
		return -errno;
	/* of unused ones it says inode 0 */
	while (fgets(line, sizeof(line), out))
		count += line[0] == '/' && strncmp(line, "/0/", 3);
	pclose(out);
	return count;
}

bool lost_exists(const char *path)
{
	return lost_inode(path) != 0;
}

ssize_t lost_read(const char *path, void *buf, size_t len)
{
	FILE *out;
	size_t n;

	if (!lost_exists(path)) {
		printf("# %s: there is no such name\n", path);
		return -ENOENT;
	}
	out = ask("cat", path);
	if (!out)
		return -errno;
	n = fread(buf, 1, len, out);
	pclose(out);
	return n;
}

ssize_t lost_xattr(const char *path, const char *name, void *buf, size_t len)
{
	char cmd[512];
	FILE *out;
	size_t n;

	snprintf(cmd, sizeof(cmd), "debugfs -R 'ea_get -V \"/%s\" %s' " COPY " 2>/dev/null", path, name);
	out = popen(cmd, "r");
	if (!out)
		return -errno;
	/* and a newline behind it */
	n = fread(buf, 1, len, out);
	pclose(out);
	return n ? n - 1 : 0;
}

bool lost_holds(const char *path, size_t len, uint64_t gen)
{
	char *buf = buf_alloc(len + 1);
	ssize_t n = lost_read(path, buf, len + 1);
	const char *diff;

	if (n < 0)
		return false;
	diff = n != len ? "of another size" : pattern_diff(buf, len, 0, gen);
	if (diff)
		printf("# %s: %s\n", path, diff);
	return !diff;
}
