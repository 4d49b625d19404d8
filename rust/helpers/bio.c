// SPDX-License-Identifier: GPL-2.0
/* Bios. */
#include <linux/bio.h>

void kfs_helper_bio_inc_remaining(struct bio *bio)
{
	bio_inc_remaining(bio);
}
