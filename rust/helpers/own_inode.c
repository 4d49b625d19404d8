// SPDX-License-Identifier: GPL-2.0
/* The state of inodes, the directories in memory, and inodes that are left over. */
#include <linux/fs.h>
#include <linux/poison.h>

/*
 * The kernel itself only asserts it. With the lock held by the caller, in either mode, the answer
 * does not change.
 */
bool kfs_helper_inode_is_locked_exclusive(const struct inode *inode)
{
#ifdef CONFIG_PREEMPT_RT
	return rw_base_is_write_locked(&inode->i_rwsem.rwbase);
#else
	return atomic_long_read(&inode->i_rwsem.count) & RWSEM_WRITER_LOCKED;
#endif
}

bool kfs_helper_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

bool kfs_helper_inode_in_writeback(struct inode *inode)
{
	return inode_state_read_once(inode) & I_SYNC;
}

/*
 * A reference to the directory in memory that comes after @inode, to which the caller has a reference, or to the first one, if
 * that is NULL; NULL at the end. After so many others it is to one of these, so that the lock is given back. Those that are
 * not complete, or are being evicted, are passed over.
 */
struct inode *kfs_helper_next_cached_dir(struct super_block *sb, struct inode *inode)
{
	struct inode *next, *found = NULL;
	unsigned int passed = 0;

	spin_lock(&sb->s_inode_list_lock);
	next = inode ? list_next_entry(inode, i_sb_list) :
		       list_first_entry(&sb->s_inodes, struct inode, i_sb_list);
	list_for_each_entry_from(next, &sb->s_inodes, i_sb_list) {
		if (!S_ISDIR(READ_ONCE(next->i_mode)) && ++passed < 4096)
			continue;
		spin_lock(&next->i_lock);
		/* One that has no number yet is not hashed, and has no state. */
		if (!inode_unhashed(next) &&
		    !(inode_state_read(next) & (I_NEW | I_FREEING | I_WILL_FREE))) {
			__iget(next);
			found = next;
		}
		spin_unlock(&next->i_lock);
		if (found)
			break;
	}
	spin_unlock(&sb->s_inode_list_lock);
	return found;
}

/*
 * What generic_shutdown_super() does with inodes that are in use, which it does only if there is a root: they are found no more, not
 * even by the super block that gets the address of this one. Returns whether there are any.
 */
bool kfs_helper_poison_busy_inodes(struct super_block *sb)
{
	struct inode *inode;
	bool busy = false;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		inode->i_op = VFS_PTR_POISON;
		inode->i_sb = VFS_PTR_POISON;
		inode->i_mapping = VFS_PTR_POISON;
		busy = true;
	}
	spin_unlock(&sb->s_inode_list_lock);
	return busy;
}
