/* SPDX-License-Identifier: GPL-2.0 */
/* A file as a disk: the kernel's NVMe target has it, and its host is connected to that, by the loopback interface. */
#ifndef RFS_NVMET_H
#define RFS_NVMET_H

#include <stddef.h>

/*
 * Have @file as a disk, whose node is put to @node: it is read and written directly and asynchronously, with memory of the
 * kernel. 0 or -errno; -ENOENT where there are no such drivers.
 */
int nvmet_up(const char *file, char *node, size_t len);
/* Nobody must be using it. */
void nvmet_down(void);

#endif
