// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attr.h"
#include "tree.h"

static char *contents(const char *path, const struct stat *st)
{
	char *data = calloc(1, st->st_size + 1);
	ssize_t n;
	int fd;

	if (S_ISFIFO(st->st_mode)) {
		n = 0;
	} else if (S_ISLNK(st->st_mode)) {
		n = readlink(path, data, st->st_size + 1);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : pread(fd, data, st->st_size + 1, 0);
		if (fd >= 0)
			close(fd);
	}
	if (n == st->st_size)
		return data;
	free(data);
	return NULL;
}

static int attribute(const char *path)
{
	char value[ATTR_MAX];
	ssize_t n = lgetxattr(path, ATTR_NAME, value, sizeof(value));

	return n < 0 ? 0 : attr_number(value, n);
}

static void walk(struct tree *t, int at, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	struct stat st;
	char below[512];

	if (!dir) {
		t->wrong = "a directory cannot be opened";
		return;
	}
	while (!t->wrong && (e = readdir(dir))) {
		struct node *n = &t->nodes[t->nr];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (t->nr == NODES || strlen(e->d_name) >= sizeof(n->name)) {
			t->wrong = "more names than were ever made";
			break;
		}
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (lstat(below, &st)) {
			t->wrong = "a name has no inode";
			break;
		}
		*n = (struct node){
			.parent = at, .ino = st.st_ino, .mode = st.st_mode, .size = st.st_size,
			.attr = attribute(below),
		};
		snprintf(n->name, sizeof(n->name), "%s", e->d_name);
		t->nr++;
		if (!S_ISDIR(st.st_mode)) {
			n->data = contents(below, &st);
			if (!n->data)
				t->wrong = "a file cannot be read";
		} else if (strcmp(n->name, "lost+found")) {
			walk(t, n - t->nodes, below);
		}
	}
	closedir(dir);
}

void tree_of_mount(struct tree *t, const char *dir)
{
	*t = (struct tree){ .nr = 1 };
	t->nodes[0] = (struct node){ .parent = -1 };
	walk(t, 0, dir);
}
