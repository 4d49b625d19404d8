// SPDX-License-Identifier: GPL-2.0
/* Super blocks. */
#include <linux/fs.h>

void kfs_helper_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

void kfs_helper_super_set_sysfs_name_bdev(struct super_block *sb)
{
	super_set_sysfs_name_bdev(sb);
}

void kfs_helper_sb_start_write(struct super_block *sb)
{
	sb_start_write(sb);
}

void kfs_helper_sb_end_write(struct super_block *sb)
{
	sb_end_write(sb);
}

void kfs_helper_sb_start_pagefault(struct super_block *sb)
{
	sb_start_pagefault(sb);
}

void kfs_helper_sb_end_pagefault(struct super_block *sb)
{
	sb_end_pagefault(sb);
}

void kfs_helper_sb_start_intwrite(struct super_block *sb)
{
	sb_start_intwrite(sb);
}

bool kfs_helper_sb_start_intwrite_trylock(struct super_block *sb)
{
	return sb_start_intwrite_trylock(sb);
}

void kfs_helper_sb_end_intwrite(struct super_block *sb)
{
	sb_end_intwrite(sb);
}
