/* SPDX-License-Identifier: GPL-2.0 */
/* A process that takes memory until little is left, and keeps it so. */
#ifndef RFS_HOG_H
#define RFS_HOG_H

#include <sys/types.h>

struct hog {
	pid_t pid;
	unsigned long *shared;	/* MiB it has, and had at most */
	unsigned long most;	/* after hog_stop() */
};

/* Leave about @mib. Returns when so little is left; 0 or -errno. */
int hog_start(struct hog *h, unsigned int mib);
void hog_stop(struct hog *h);

#endif
