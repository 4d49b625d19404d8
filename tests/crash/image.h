/* SPDX-License-Identifier: GPL-2.0 */
/* A volume in a file in memory, that e2fsck(8) can repair, and the kernel can mount. */
#ifndef CRASH_IMAGE_H
#define CRASH_IMAGE_H

#include <stdint.h>

#include "tree.h"

struct image_file {
	int fd;
	uint32_t size;
	unsigned char *bytes;
	char path[32];
};

int image_make(struct image_file *im, uint32_t size);
void image_drop(struct image_file *im);
/* The exit status of e2fsck -fy, or -errno. */
int image_repair(const struct image_file *im);
/* Nothing is left to repair. */
int image_recheck(const struct image_file *im);
/* What the driver under test finds in it; 0 or -errno. */
int image_mounted(const struct image_file *im, struct tree *t);

#endif
