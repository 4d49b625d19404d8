/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Hostile images: a real volume with some damage is put on a device, mounted, walked,
 * read, written and unmounted. All that is done to it depends on a seed and on nothing
 * else.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arena.h"
#include "image.h"
#include "listing.h"
#include "rng.h"

/* What the one who does it and the one who looks on have in common. */
struct progress {
	uint64_t seed;		/* the image at work */
	uint64_t steps;		/* counts on as long as anything goes on */
	char step[64];		/* what it does */

	/* what became of the images */
	unsigned int images, refused, mounted, reported, compared, clean, deliberate;
	char wrong[4096];	/* the first thing that went wrong */
};

#define SAID_MAX	512

/* What a driver has said about corruption. */
struct said {
	struct {
		uint32_t ino;	/* of what; 0: of the volume, or of a group */
		char text[140];
	} line[SAID_MAX];
	unsigned int nr;
};

struct fuzz {
	struct image_set set;
	struct arena arena;
	struct progress *now;
	int kmsg;
	unsigned int compare;	/* hold each such image against e2fsck and ext4; 0: none */
	bool verbose;
	bool lenient;		/* the volume is not ours: whatever it answers is no fault */

	char *buf;		/* the image, damaged */
	struct rng rng;
	char did[2048];		/* the damage, in words */
	unsigned int lines;	/* lines of the log about corruption */
	char first_line[160];	/* and the first of them */
	uint32_t orphan;	/* the inode that the superblock names as one */
	/* While verdicts are compared, all of these lines, and those of the ext4 driver. */
	struct said ours, theirs;
};

/* Say what goes on. */
void step(struct fuzz *f, const char *fmt, ...);
/* Something is wrong with this image: false, so that a caller can return it. */
bool wrong(struct fuzz *f, const char *fmt, ...);

/* Do all there is to be done with the image of @seed. False if anything was wrong. */
bool fuzz_one(struct fuzz *f, uint64_t seed);

/* Damage the image in f->buf, which was @im. */
void mutate(struct fuzz *f, const struct image *im);

/* Read the log so far. False if the kernel complains of anything. */
bool log_check(struct fuzz *f);

/* Mount it below env_dir(). 0 or -errno. */
int volume_mount(struct fuzz *f, const struct image *im, const char *fstype, unsigned long flags,
		 const char *options);
/* It must not be busy. */
bool volume_umount(struct fuzz *f);

/* Walk the mounted volume and read it; remember some of what is there. */
bool walk(struct fuzz *f, struct listing *found, bool all);
/* Change it in all ways there are. */
bool act(struct fuzz *f, const struct listing *found);

/* Before it is written to: whether e2fsck takes it, and whether we take what ext4 takes. */
bool compare(struct fuzz *f, const struct image *im, bool *clean);
/* The verdict of e2fsck alone: nothing to be mended. */
bool is_clean(const struct image *im);

#endif
