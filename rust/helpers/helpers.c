// SPDX-License-Identifier: GPL-2.0
/*
 * Static inline functions and macros of the kernel as functions that Rust can
 * call. A helper converts nothing and decides nothing. kfs_helper_NAME() is
 * NAME() of the kernel and appears as bindings::NAME() in Rust.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/fs.h>
#include <linux/mpage.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

void kfs_helper_brelse(struct buffer_head *bh)
{
	brelse(bh);
}
