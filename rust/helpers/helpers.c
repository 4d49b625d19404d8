// SPDX-License-Identifier: GPL-2.0
/*
 * Static inline functions and macros of the kernel as functions that Rust can
 * call. A helper converts nothing and decides nothing. kfs_helper_NAME() is
 * NAME() of the kernel and appears as bindings::NAME() in Rust.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/fileattr.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/mpage.h>
#include <linux/pagemap.h>
#include <linux/part_stat.h>
#include <linux/posix_acl.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

/* Buffer cache. */

void kfs_helper_brelse(struct buffer_head *bh)
{
	brelse(bh);
}

void kfs_helper_bforget(struct buffer_head *bh)
{
	bforget(bh);
}

void kfs_helper_get_bh(struct buffer_head *bh)
{
	get_bh(bh);
}

struct buffer_head *kfs_helper_sb_getblk(struct super_block *sb, sector_t block)
{
	return sb_getblk(sb, block);
}

/* What sb_breadahead() gets. */
struct buffer_head *kfs_helper_sb_getblk_nowait(struct super_block *sb, sector_t block)
{
	return bdev_getblk(sb->s_bdev, block, sb->s_blocksize, GFP_NOWAIT | __GFP_MOVABLE);
}

struct buffer_head *kfs_helper_sb_find_get_block(struct super_block *sb, sector_t block)
{
	return sb_find_get_block(sb, block);
}

struct buffer_head *kfs_helper_sb_find_get_block_nonatomic(struct super_block *sb, sector_t block)
{
	return sb_find_get_block_nonatomic(sb, block);
}

void kfs_helper_lock_buffer(struct buffer_head *bh)
{
	lock_buffer(bh);
}

bool kfs_helper_trylock_buffer(struct buffer_head *bh)
{
	return trylock_buffer(bh);
}

void kfs_helper_set_buffer_uptodate(struct buffer_head *bh)
{
	set_buffer_uptodate(bh);
}

void kfs_helper_set_buffer_new(struct buffer_head *bh)
{
	set_buffer_new(bh);
}

void kfs_helper_clear_buffer_new(struct buffer_head *bh)
{
	clear_buffer_new(bh);
}

int kfs_helper_buffer_new(const struct buffer_head *bh)
{
	return buffer_new(bh);
}

/* The first flag that is the filesystem's own: what is in the buffer was checked. */
static const enum bh_state_bits BH_checked = BH_PrivateStart;

bool kfs_helper_buffer_checked(const struct buffer_head *bh)
{
	return test_bit(BH_checked, &bh->b_state);
}

void kfs_helper_set_buffer_checked(struct buffer_head *bh)
{
	set_bit(BH_checked, &bh->b_state);
}

void kfs_helper_bh_read_nowait(struct buffer_head *bh)
{
	bh_read_nowait(bh, 0);
}

void kfs_helper_wait_on_buffer(struct buffer_head *bh)
{
	wait_on_buffer(bh);
}

int kfs_helper_buffer_dirty(const struct buffer_head *bh)
{
	return buffer_dirty(bh);
}

int kfs_helper_buffer_mapped(const struct buffer_head *bh)
{
	return buffer_mapped(bh);
}

int kfs_helper_buffer_locked(const struct buffer_head *bh)
{
	return buffer_locked(bh);
}

int kfs_helper_buffer_uptodate(const struct buffer_head *bh)
{
	return buffer_uptodate(bh);
}

void kfs_helper_clear_buffer_write_io_error(struct buffer_head *bh)
{
	clear_buffer_write_io_error(bh);
}

int kfs_helper_buffer_write_io_error(const struct buffer_head *bh)
{
	return buffer_write_io_error(bh);
}

void kfs_helper_map_bh(struct buffer_head *bh, struct super_block *sb, sector_t block)
{
	map_bh(bh, sb, block);
}

/* write_dirty_buffer(), of a buffer that may have lost its device: the flag is looked at with the lock, as by sync_dirty_buffer(). */
void kfs_helper_write_dirty_buffer_if_mapped(struct buffer_head *bh)
{
	lock_buffer(bh);
	if (!test_clear_buffer_dirty(bh) || !buffer_mapped(bh)) {
		unlock_buffer(bh);
		return;
	}
	bh_submit(bh, REQ_OP_WRITE, bh_end_write);
}

/* Directories. */

bool kfs_helper_in_compat_syscall(void)
{
	return in_compat_syscall();
}

/* Super block. */

loff_t kfs_helper_bdev_nr_bytes(struct block_device *bdev)
{
	return bdev_nr_bytes(bdev);
}

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

/* Inode. */

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

bool kfs_helper_IS_NOSEC(const struct inode *inode)
{
	return IS_NOSEC(inode);
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

u64 kfs_helper_ktime_get_real_ns(void)
{
	return ktime_get_real_ns();
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

#ifndef kfs_has_spinlock_irq
unsigned long kfs_helper_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void kfs_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

bool kfs_helper_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags)
{
	unsigned long f;

	if (!spin_trylock_irqsave(lock, f))
		return false;
	*flags = f;
	return true;
}
#endif

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

/* Labels of security modules. */

/* The kernel crate has a function of the whole name, where that is none of a header. */
int kfs_helper_inode_init_security(struct inode *inode, struct inode *dir,
				   const struct qstr *qstr, initxattrs store, void *data)
{
	return security_inode_init_security(inode, dir, qstr, store, data);
}

/* Access control lists. */

void kfs_helper_posix_acl_release(struct posix_acl *acl)
{
	posix_acl_release(acl);
}

/* Files and directories. */

bool kfs_helper_fileattr_has_fsx(const struct file_kattr *fa)
{
	return fileattr_has_fsx(fa);
}

struct mnt_idmap *kfs_helper_file_mnt_idmap(const struct file *file)
{
	return file_mnt_idmap(file);
}

ssize_t kfs_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

void kfs_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

int kfs_helper_finish_open_simple(struct file *file, int error)
{
	return finish_open_simple(file, error);
}

bool kfs_helper_dir_emit(struct dir_context *ctx, const char *name, int namelen,
			 u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, namelen, ino, type);
}

/* Page cache. */

void kfs_helper_filemap_invalidate_lock(struct address_space *mapping)
{
	filemap_invalidate_lock(mapping);
}

void kfs_helper_filemap_invalidate_unlock(struct address_space *mapping)
{
	filemap_invalidate_unlock(mapping);
}

void kfs_helper_mapping_set_folio_order_range(struct address_space *mapping, unsigned int min,
					      unsigned int max)
{
	mapping_set_folio_order_range(mapping, min, max);
}

struct folio *kfs_helper_write_begin_get_folio(const struct kiocb *iocb,
					       struct address_space *mapping, pgoff_t index,
					       size_t len)
{
	return write_begin_get_folio(iocb, mapping, index, len);
}

void kfs_helper_filemap_invalidate_lock_shared(struct address_space *mapping)
{
	filemap_invalidate_lock_shared(mapping);
}

void kfs_helper_filemap_invalidate_unlock_shared(struct address_space *mapping)
{
	filemap_invalidate_unlock_shared(mapping);
}

bool kfs_helper_filemap_range_needs_writeback(struct address_space *mapping,
					      loff_t start, loff_t end)
{
	return filemap_range_needs_writeback(mapping, start, end);
}

int kfs_helper_mpage_writepages(struct address_space *mapping,
				struct writeback_control *wbc, get_block_t get_block)
{
	return mpage_writepages(mapping, wbc, get_block);
}

/* The current task. */

bool kfs_helper_fatal_signal_pending_current(void)
{
	return fatal_signal_pending(current);
}

void kfs_helper_cond_resched(void)
{
	cond_resched();
}

/* A function of the kernel, where it has it. */
#ifdef synchronize_rcu_tasks
void kfs_helper_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}
#endif

/* Rights. */

kuid_t kfs_helper_current_fsuid(void)
{
	return current_fsuid();
}

/* Memory. */

unsigned int kfs_helper_memalloc_nofs_save(void)
{
	return memalloc_nofs_save();
}

void kfs_helper_memalloc_nofs_restore(unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

/* Work. */

void kfs_helper_INIT_WORK(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

bool kfs_helper_queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	return queue_work(wq, work);
}

/* Direct I/O. */

bool kfs_helper_iocb_is_dsync(const struct kiocb *iocb)
{
	return iocb_is_dsync(iocb);
}

unsigned int kfs_helper_bdev_logical_block_size(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

unsigned int kfs_helper_bdev_dma_alignment(struct block_device *bdev)
{
	return bdev_dma_alignment(bdev);
}

/* Both of them by one call, for what every request asks. */
void kfs_helper_bdev_dio_masks(struct block_device *bdev, u32 *memory, u32 *file)
{
	*memory = bdev_dma_alignment(bdev);
	*file = bdev_logical_block_size(bdev) - 1;
}

bool kfs_helper_bdev_stable_writes(struct block_device *bdev)
{
	return bdev_stable_writes(bdev);
}

unsigned int kfs_helper_bdev_max_discard_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

unsigned int kfs_helper_bdev_discard_granularity(struct block_device *bdev)
{
	return bdev_discard_granularity(bdev);
}

bool kfs_helper_bdev_write_cache(struct block_device *bdev)
{
	return bdev_write_cache(bdev);
}

bool kfs_helper_bdev_fua(struct block_device *bdev)
{
	return bdev_fua(bdev);
}

u64 kfs_helper_part_stat_read_sectors_written(struct block_device *bdev)
{
	return part_stat_read(bdev, sectors[STAT_WRITE]);
}

bool kfs_helper_bdev_is_zoned(struct block_device *bdev)
{
	return bdev_is_zoned(bdev);
}

bool kfs_helper_bdev_nowait(struct block_device *bdev)
{
	return bdev_nowait(bdev);
}

/* As get_max_io_size() and the count of segments of the block layer have it, for memory in whole pages. */
unsigned int kfs_helper_bdev_unsplit(struct block_device *bdev, sector_t sector)
{
	const struct queue_limits *lim = bdev_limits(bdev);
	unsigned int block = bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
	unsigned int sectors = READ_ONCE(lim->max_sectors);
	unsigned int chunk = READ_ONCE(lim->chunk_sectors);
	unsigned int segments = READ_ONCE(lim->max_segments);

	/* The first page may begin in the middle, and the last one end there. */
	segments = max(segments, 2U) - 1;
	if (segments < sectors / PAGE_SECTORS)
		sectors = segments * PAGE_SECTORS;
	if (chunk) {
		sector += get_start_sect(bdev);
		sectors = min(sectors, chunk - sector_div(sector, chunk));
	}
	return max(round_down(sectors, block), block) << SECTOR_SHIFT;
}

bool kfs_helper_iov_iter_extract_will_pin(struct iov_iter *iter)
{
	return iov_iter_extract_will_pin(iter);
}

int kfs_helper_iov_iter_npages_cap(struct iov_iter *iter, int maxpages, size_t max_bytes)
{
	return iov_iter_npages_cap(iter, maxpages, max_bytes);
}

void kfs_helper_release_fault_lock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

/* Whether it is a fault of a store to a shared mapping. */
bool kfs_helper_vmf_is_shared_store(const struct vm_fault *vmf)
{
	return vmf->flags & FAULT_FLAG_WRITE && vmf->vma->vm_flags & VM_SHARED;
}

struct folio *kfs_helper_filemap_get_folio(struct address_space *mapping, pgoff_t index)
{
	return filemap_get_folio(mapping, index);
}

struct folio *kfs_helper_page_folio(struct page *page)
{
	return page_folio(page);
}

struct folio *kfs_helper_filemap_lock_folio(struct address_space *mapping, pgoff_t index)
{
	return filemap_lock_folio(mapping, index);
}

/* -ENOENT if there is none, -EAGAIN if it is locked. */
struct folio *kfs_helper_filemap_trylock_folio(struct address_space *mapping, pgoff_t index)
{
	return __filemap_get_folio(mapping, index, FGP_LOCK | FGP_NOWAIT | FGP_WRITE, 0);
}

/* Whether a locked folio is being written, and must not change meanwhile. */
bool kfs_helper_folio_is_stable(struct folio *folio)
{
	return folio_test_writeback(folio) && mapping_stable_writes(folio->mapping);
}

bool kfs_helper_folio_test_uptodate(struct folio *folio)
{
	return folio_test_uptodate(folio);
}

/* What create_empty_buffers() does for an uptodate folio, but for waiting for memory. */
bool kfs_helper_folio_create_buffers_nowait(struct folio *folio, unsigned long size)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_ACCOUNT;
	struct buffer_head *head = folio_alloc_buffers(folio, size, gfp), *bh = head;

	if (!head)
		return false;
	spin_lock(&folio->mapping->i_private_lock);
	for (;;) {
		set_buffer_uptodate(bh);
		if (folio_test_dirty(folio))
			set_buffer_dirty(bh);
		if (!bh->b_this_page)
			break;
		bh = bh->b_this_page;
	}
	bh->b_this_page = head;
	folio_attach_private(folio, head);
	spin_unlock(&folio->mapping->i_private_lock);
	return true;
}

/* Who makes pages dirty waits now, if there are too many, or has to: -EAGAIN. */
int kfs_helper_balance_dirty_pages(struct address_space *mapping, bool may_wait)
{
	return balance_dirty_pages_ratelimited_flags(mapping, may_wait ? 0 : BDP_ASYNC);
}

/* Before the kernel writes to a page that may be mapped. */
void kfs_helper_flush_mapped_folio(struct folio *folio)
{
	if (mapping_writably_mapped(folio->mapping))
		flush_dcache_folio(folio);
}

vm_fault_t kfs_helper_vmf_fs_error(int err)
{
	return vmf_fs_error(err);
}

void kfs_helper_folio_lock(struct folio *folio)
{
	folio_lock(folio);
}

void kfs_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

bool kfs_helper_folio_trylock(struct folio *folio)
{
	return folio_trylock(folio);
}

bool kfs_helper_folio_test_dirty(const struct folio *folio)
{
	return folio_test_dirty(folio);
}

loff_t kfs_helper_folio_pos(const struct folio *folio)
{
	return folio_pos(folio);
}

size_t kfs_helper_folio_size(const struct folio *folio)
{
	return folio_size(folio);
}

void kfs_helper_folio_zero_range(struct folio *folio, size_t start, size_t length)
{
	folio_zero_range(folio, start, length);
}

struct buffer_head *kfs_helper_folio_buffers(const struct folio *folio)
{
	return folio_buffers(folio);
}

struct page *kfs_helper_zero_page(void)
{
	return ZERO_PAGE(0);
}

void kfs_helper_inode_dio_begin(struct inode *inode)
{
	inode_dio_begin(inode);
}

void kfs_helper_inode_dio_end(struct inode *inode)
{
	inode_dio_end(inode);
}

void kfs_helper_task_io_account_write(size_t bytes)
{
	task_io_account_write(bytes);
}

unsigned int kfs_helper_current_flags(void)
{
	return current->flags;
}

void kfs_helper_bio_inc_remaining(struct bio *bio)
{
	bio_inc_remaining(bio);
}

void kfs_helper_task_io_account_read(size_t bytes)
{
	task_io_account_read(bytes);
}
