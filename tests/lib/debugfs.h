/* SPDX-License-Identifier: GPL-2.0 */
/* The volume by debugfs(8), while it is not mounted. */
#ifndef RFS_DEBUGFS_H
#define RFS_DEBUGFS_H

struct vol;

/* Change something: one command, as printf() makes it. 0 or an exit status. */
int debugfs(struct vol *v, const char *command, ...);
/* The number that follows @label in what a command prints; -errno if there is none. */
long debugfs_number(struct vol *v, const char *command, const char *label);
/* Block @n of a file or directory; -errno. */
long debugfs_block(struct vol *v, const char *name, unsigned int n);

#endif
