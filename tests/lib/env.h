/* SPDX-License-Identifier: GPL-2.0 */
/* The settings of a test, and running the tools it needs. */
#ifndef RFS_ENV_H
#define RFS_ENV_H

#include <stdbool.h>
#include <stdint.h>

const char *env_fstype(void);	/* FSTYPE, "retryfs" */
const char *env_options(void);	/* MOUNT_OPTIONS, or NULL: of mounts that ask for no others */
bool env_async_alloc(void);	/* the option is among them */
const char *env_dev(void);	/* TEST_DEV, "/dev/vda": is overwritten */
const char *env_dir(void);	/* TEST_DIR, "/mnt/retryfs": the mount point */
const char *env_module(void);	/* RETRYFS_KO, the module's file, or NULL */
bool env_is_retryfs(void);
/* RIG_KERNEL is "debug": everything takes ten times as long. */
bool env_on_debug(void);
/* A number that the environment may set; else @other. */
uint64_t env_number(const char *name, uint64_t other);
/* TEST_SCALE multiplies the bounds of the tests that run for a time (1). */
unsigned int env_scale(void);

/*
 * Run a program to its end. Its exit status; what it printed goes to our
 * output, each line commented, when that is not one of 0 and @quiet.
 */
int run(int quiet, const char *const argv[]);

/* Follow the kernel log from now on; -errno or a file descriptor. */
int kmsg_open(void);
/* Is there a line since kmsg_open() with all of these words (NULL ends)? */
bool kmsg_has(int fd, const char *const words[]);

/* Have the kernel say so of a task that waits for so long. What it was before; -errno, -ENOENT if it does not look. */
int hung_task_seconds(int seconds);

#endif
