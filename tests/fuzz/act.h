/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of act(): changes to a volume that may fail, with an errno that says why. */
#ifndef FUZZ_ACT_H
#define FUZZ_ACT_H

#include "fuzz.h"

/* Is it an errno that a corrupt volume, or one that is full, may give? */
bool act_may_be(int err);
/* Was @result no error, or is errno one of those? */
bool act_done(struct fuzz *f, const char *what, long result);
/* The same, with these two that the request itself may give. */
bool act_done_or(struct fuzz *f, const char *what, long result, int one, int other);
/* A path below the mount point, in one of a few static buffers. */
const char *act_path(const char *path);

/* Change what is in a file; with O_CREAT in @flags, which is new then. */
bool act_file(struct fuzz *f, const char *path, int flags);
/* Change the extended attributes of what is there, its lists, flags or times. */
bool act_attributes(struct fuzz *f, const char *path, mode_t mode);
/* Something with the volume as a whole. */
bool act_volume(struct fuzz *f);

#endif
