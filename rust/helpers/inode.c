// SPDX-License-Identifier: GPL-2.0
/* Inodes. */
#include <linux/fs.h>
#include <linux/iversion.h>

void kfs_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

int kfs_helper_inode_trylock(struct inode *inode)
{
	return inode_trylock(inode);
}

int kfs_helper_inode_trylock_shared(struct inode *inode)
{
	return inode_trylock_shared(inode);
}

void kfs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

void kfs_helper_inode_lock_shared(struct inode *inode)
{
	inode_lock_shared(inode);
}

void kfs_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

bool kfs_helper_IS_NOSEC(const struct inode *inode)
{
	return IS_NOSEC(inode);
}

void kfs_helper_inode_has_no_xattr(struct inode *inode)
{
	inode_has_no_xattr(inode);
}

loff_t kfs_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

void kfs_helper_i_size_write(struct inode *inode, loff_t i_size)
{
	i_size_write(inode, i_size);
}

uid_t kfs_helper_i_uid_read(const struct inode *inode)
{
	return i_uid_read(inode);
}

gid_t kfs_helper_i_gid_read(const struct inode *inode)
{
	return i_gid_read(inode);
}

void kfs_helper_i_uid_write(struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

void kfs_helper_i_gid_write(struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}

time64_t kfs_helper_inode_get_atime_sec(const struct inode *inode)
{
	return inode_get_atime_sec(inode);
}

long kfs_helper_inode_get_atime_nsec(const struct inode *inode)
{
	return inode_get_atime_nsec(inode);
}

time64_t kfs_helper_inode_get_mtime_sec(const struct inode *inode)
{
	return inode_get_mtime_sec(inode);
}

long kfs_helper_inode_get_mtime_nsec(const struct inode *inode)
{
	return inode_get_mtime_nsec(inode);
}

time64_t kfs_helper_inode_get_ctime_sec(const struct inode *inode)
{
	return inode_get_ctime_sec(inode);
}

long kfs_helper_inode_get_ctime_nsec(const struct inode *inode)
{
	return inode_get_ctime_nsec(inode);
}

void kfs_helper_inode_set_iversion(struct inode *inode, u64 val)
{
	inode_set_iversion(inode, val);
}

bool kfs_helper_inode_iversion_need_inc(struct inode *inode)
{
	return inode_iversion_need_inc(inode);
}

void kfs_helper_inode_set_atime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_atime(inode, sec, nsec);
}

void kfs_helper_inode_set_mtime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_mtime(inode, sec, nsec);
}

void kfs_helper_inode_set_ctime(struct inode *inode, time64_t sec, long nsec)
{
	inode_set_ctime(inode, sec, nsec);
}

void kfs_helper_inode_set_mtime_to_ts(struct inode *inode, struct timespec64 ts)
{
	inode_set_mtime_to_ts(inode, ts);
}

void kfs_helper_mark_inode_dirty(struct inode *inode)
{
	mark_inode_dirty(inode);
}

void kfs_helper_inode_inc_link_count(struct inode *inode)
{
	inode_inc_link_count(inode);
}

void kfs_helper_inode_dec_link_count(struct inode *inode)
{
	inode_dec_link_count(inode);
}

void kfs_helper_inode_dio_begin(struct inode *inode)
{
	inode_dio_begin(inode);
}

void kfs_helper_inode_dio_end(struct inode *inode)
{
	inode_dio_end(inode);
}
