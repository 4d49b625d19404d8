/* SPDX-License-Identifier: GPL-2.0 */
/* Settings of the kernel, in files below /proc and /sys. */
#ifndef RFS_PUT_H
#define RFS_PUT_H

/* Write @text to the file. 0 or -errno. */
int put(const char *path, const char *text);

#endif
