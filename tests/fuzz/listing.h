/* SPDX-License-Identifier: GPL-2.0 */
/* What a walk has found, so that two can be held against each other. */
#ifndef FUZZ_LISTING_H
#define FUZZ_LISTING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FOUND_MAX	400

struct found {
	char path[400];		/* from the root of the volume; "" is that itself */
	int nr;			/* its place in the listing */
	int err;		/* of lookup, stat, listing or reading; 0 */
	const char *what;	/* which of them */
	mode_t mode;
	uint64_t ino, links, owner, size, sectors;
	uint64_t times;		/* the sum of both */
	uint64_t sum;		/* of what is in it */
	int attributes_err;
	uint64_t attributes;	/* the same of its extended attributes */
	bool cut;		/* a directory with more names than are listed */
	bool indexed;		/* who uses the index does not see what is not in it */
};

struct listing {
	struct found f[FOUND_MAX];
	int nr;
};

#endif
