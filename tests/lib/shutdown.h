/* SPDX-License-Identifier: GPL-2.0 */
/* FS_IOC_SHUTDOWN, which older headers do not have. */
#ifndef RFS_SHUTDOWN_H
#define RFS_SHUTDOWN_H

#include <linux/fs.h>
#include <linux/ioctl.h>

#ifndef FS_IOC_SHUTDOWN
#define FS_IOC_SHUTDOWN			_IOR('X', 125, __u32)
#define FS_SHUTDOWN_FLAGS_DEFAULT	0x0
#define FS_SHUTDOWN_FLAGS_LOGFLUSH	0x1
#define FS_SHUTDOWN_FLAGS_NOLOGFLUSH	0x2
#endif

#endif
