// SPDX-License-Identifier: GPL-2.0
/*
 * What Rust cannot call: kfs_helper_NAME() appears as bindings::NAME(). A file
 * for each subject, all of one object.
 */

/*
 * Static inline functions and macros of the kernel. A helper is NAME(), converts
 * nothing and decides nothing, but for the current task and constants that it puts in.
 */
#include "bio.c"
#include "blkdev.c"
#include "buffer_head.c"
#include "file.c"
#include "inode.c"
#include "mm.c"
#include "pagemap.c"
#include "posix_acl.c"
#include "security.c"
#include "super.c"
#include "task.c"
#include "time.c"
#include "uio.c"
#include "workqueue.c"

/*
 * What the kernel has no function for, or none that a module may call. These
 * decide something: each says what, or what of the kernel it is like.
 */
#include "own_bdev.c"
#include "own_buffer_head.c"
#include "own_inode.c"
#include "own_pagemap.c"
#include "own_spinlock.c"
#include "own_uio.c"
