// SPDX-License-Identifier: GPL-2.0
/*
 * usage: tree DIRECTORY COUNT
 *
 * Makes a tree of COUNT files that looks like the sources of something: nested directories of a dozen
 * files each, files of a few KiB for the most part, some of a hundred. It is the same for the same COUNT.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_PER_DIRECTORY 12
#define MAX_SIZE (128 * 1024)

static unsigned int state = 1;

/* The generator of Numerical Recipes, its upper bits. */
static unsigned int any(unsigned int below)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % below;
}

/* Doubles with a probability of a half: as files of sources are, there are less and less of larger ones. */
static unsigned int any_size(void)
{
	unsigned int size = 512 + any(2048);

	while (any(2) && size < MAX_SIZE / 2)
		size *= 2;
	return size;
}

static void path_of(char *path, size_t room, const char *top, unsigned int dir)
{
	size_t used = snprintf(path, room, "%s", top);

	/* The parent of a directory has been made before it. */
	for (; dir; dir = (dir - 1) / 8)
		used += snprintf(path + used, room - used, "/part-%u", (dir - 1) % 8);
}

int main(int argc, char **argv)
{
	static char text[MAX_SIZE];
	unsigned int count, i, size;
	char path[256], name[288];
	int fd;

	if (argc != 3)
		errx(2, "see the first lines of the source");
	count = atoi(argv[2]);
	memset(text, 'x', sizeof(text));
	for (i = 0; i < count; i++) {
		path_of(path, sizeof(path), argv[1], i / FILES_PER_DIRECTORY);
		if (i % FILES_PER_DIRECTORY == 0)
			mkdir(path, 0755);
		snprintf(name, sizeof(name), "%s/source-%u.c", path, i);
		fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		size = any_size();
		if (fd < 0 || write(fd, text, size) != size)
			err(1, "cannot write %s", name);
		close(fd);
	}
	return 0;
}
