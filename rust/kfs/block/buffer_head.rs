// SPDX-License-Identifier: GPL-2.0

//! Buffers of metadata blocks in the buffer cache.
//!
//! The content of a buffer may change under a reader at any time: another path of the filesystem,
//! or a program that writes to the device. So there is no reference to the content: it is copied
//! out and copied in, and what was copied out is checked before it is used. Writers agree among
//! themselves by the locks of the filesystem. A buffer that may not have been read is an [`unread::UnreadBuffer`].
//!
//! A reference may outlive the mount, and even the device. When the device is closed, the kernel
//! takes a buffer that is in use out of the cache, under the lock of the buffer: it is no longer
//! *mapped*, and belongs to no device. The memory of buffer and block stays until the reference is
//! given back. It can still be read, written and marked dirty, to no effect; writing it to the
//! device fails with `EIO`. Only what reads a buffer from the device needs a mapped one, and does
//! so with a mount at hand ([`crate::fs::super_block::SuperBlock::bread`]).
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)

pub mod unread;

use crate::bindings;
use crate::compat::{smp_mb, Full, Read};
use crate::types::DropInAtomic;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;
use kernel::prelude::*;
use kernel::sync::rcu;

/// That a read is ahead of any need, as `REQ_RAHEAD`: the block layer may fail it early.
const READ_AHEAD: bindings::blk_opf_t = 1 << bindings::req_flag_bits___REQ_RAHEAD;

/// A reference to a buffer, given back when dropped.
///
/// # Invariants
///
/// The pointer is valid and owns one reference (`b_count`), by which the block in memory stays too.
/// The buffer was mapped when the reference was made. Its content is from the device or from the filesystem: the buffer was seen
/// *uptodate*, or with the error of a write, since it had memory.
pub struct BufferHead(NonNull<bindings::buffer_head>);

// SAFETY: The reference may be given back by any thread; the methods need no certain thread.
unsafe impl Send for BufferHead {}
// SAFETY: The methods copy with functions that tolerate concurrent changes, and the flags of a
// buffer are changed by atomic operations.
unsafe impl Sync for BufferHead {}

// SAFETY: `brelse` may be called in any context.
unsafe impl DropInAtomic for BufferHead {}

impl BufferHead {
    /// The C buffer head.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::buffer_head {
        self.0.as_ptr()
    }

    /// The number of the block, in units of its own size.
    #[inline]
    pub fn block(&self) -> u64 {
        // SAFETY: By the type invariant; the number does not change once the buffer is mapped.
        unsafe { (*self.as_raw()).b_blocknr }
    }

    /// Size of the block in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: By the type invariant; the size does not change while there is a reference.
        unsafe { (*self.as_raw()).b_size }
    }

    /// Whether the content is valid (`BH_Uptodate`).
    #[inline]
    pub fn is_uptodate(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::buffer_uptodate(self.as_raw()) != 0 }
    }

    /// Whether the filesystem has checked the content ([`BufferHead::set_checked`]).
    #[inline]
    pub fn is_checked(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::buffer_checked(self.as_raw()) }
    }

    /// Takes note that the filesystem has checked the content, for as long as the buffer is in memory: what changes it
    /// from then on is the filesystem, which keeps it as it has to be.
    ///
    /// A program that writes to the device is not noticed, so that nothing but a better answer may depend on this.
    #[inline]
    pub fn set_checked(&self) {
        // SAFETY: By the type invariant; the flag is the filesystem's own.
        unsafe { bindings::set_buffer_checked(self.as_raw()) }
    }

    #[inline]
    fn data(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if offset.checked_add(len).is_none_or(|end| end > self.size()) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant the block is in memory, at `b_data`, `b_size` bytes long.
        Ok(unsafe { (*self.as_raw()).b_data.cast::<u8>().add(offset) })
    }

    /// Copies bytes from `offset` on into `to`. `EINVAL` when that is not all in the block.
    #[inline]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        let data = self.data(offset, to.len())?;
        // SAFETY: `data` is valid for that many bytes, and `to` is not part of the page cache. A
        // concurrent writer is tolerated as C does: the copy is made by the kernel's memcpy().
        unsafe { bindings::memcpy(to.as_mut_ptr().cast(), data.cast(), to.len()) };
        Ok(())
    }

    /// Runs `f` on a copy of `len` bytes from `offset` on, `N` at most. It is on the stack, where nothing is cleared for it.
    /// `EINVAL` when they are more, or not all in the block.
    #[inline(always)]
    pub fn with_copy<const N: usize, R>(
        &self,
        offset: usize,
        len: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        let data = self.data(offset, len)?;
        if len > N {
            return Err(EINVAL);
        }
        let mut copy = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: As in `read`; `copy` has room for so many bytes.
        unsafe { bindings::memcpy(copy.as_mut_ptr().cast(), data.cast(), len) };
        // SAFETY: So many bytes of it have just been written, and it is not changed any more.
        Ok(f(unsafe {
            slice::from_raw_parts(copy.as_ptr().cast(), len)
        }))
    }

    /// Copies all of the block to `to`, in the place of what that has. Its memory is used if it is enough: who
    /// reads many blocks needs it once, and need not have cleared it.
    ///
    /// May sleep. `ENOMEM` when it is not enough, and there is no more.
    pub fn read_all(&self, to: &mut KVVec<u8>) -> Result {
        to.clear();
        to.reserve(self.size(), GFP_KERNEL)?;
        let data = self.data(0, self.size())?;
        // SAFETY: As in `read`: `to` has room for so many bytes.
        unsafe {
            bindings::memcpy(
                to.spare_capacity_mut().as_mut_ptr().cast(),
                data.cast(),
                self.size(),
            );
        }
        // SAFETY: So many bytes of it have just been written, and it was empty.
        unsafe { to.inc_len(self.size()) };
        Ok(())
    }

    /// Copies a value from `offset` on. `EINVAL` when that is not all in the block.
    pub fn read_obj<T: FromBytes>(&self, offset: usize) -> Result<T> {
        let data = self.data(offset, size_of::<T>())?;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: As in `read`; `value` has room for it.
        unsafe { bindings::memcpy(value.as_mut_ptr().cast(), data.cast(), size_of::<T>()) };
        // SAFETY: All bytes are initialised and every bit pattern is a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Copies `from` to the bytes from `offset` on. `EINVAL` when they are not all in the block.
    ///
    /// The buffer is not marked dirty.
    #[inline]
    pub fn write(&self, offset: usize, from: &[u8]) -> Result {
        let data = self.data(offset, from.len())?;
        // SAFETY: As in `read`.
        unsafe { bindings::memcpy(data.cast(), from.as_ptr().cast(), from.len()) };
        Ok(())
    }

    /// Runs `change`, which changes the content in several places that belong together. A write of the buffer that is
    /// under way ends first, and none begins before `change` returns: the device, which may read the memory piece by piece,
    /// gets all of them or none.
    ///
    /// May sleep, for as long as that write takes. `change` must not have the buffer read, written or marked dirty, as
    /// these wait for the same lock.
    pub fn change_at_once<T>(&self, change: impl FnOnce() -> T) -> T {
        // SAFETY: By the type invariant; the lock is given back below. All that reads the buffer from its device
        // or writes it there has the lock until it has ended.
        unsafe { bindings::lock_buffer(self.as_raw()) };
        let result = change();
        // SAFETY: By the type invariant; the lock was taken above.
        unsafe { bindings::unlock_buffer(self.as_raw()) };
        result
    }

    /// Another reference to the buffer.
    #[inline]
    pub fn get(&self) -> BufferHead {
        // SAFETY: By the type invariant.
        unsafe { bindings::get_bh(self.as_raw()) };
        // INVARIANT: It owns the reference that was just taken.
        BufferHead(self.0)
    }

    /// Whether writing the buffer has failed, and its content has not been changed since.
    #[inline]
    pub fn has_write_error(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::buffer_write_io_error(self.as_raw()) != 0 }
    }

    /// Whether what was written to the buffer may not be on the device: it is dirty, under
    /// writeback, or could not be written.
    pub fn is_unwritten(&self) -> bool {
        let bh = self.as_raw();
        // In this order: a writer of the buffer locks it, then clears the dirty flag, and
        // sets that of an error before the lock is given back.
        // SAFETY: By the type invariant.
        if unsafe { bindings::buffer_dirty(bh) } != 0 {
            return true;
        }
        smp_mb(Read);
        // SAFETY: As above.
        if unsafe { bindings::buffer_locked(bh) } != 0 {
            return true;
        }
        smp_mb(Read);
        self.has_write_error()
    }

    /// Whether the buffer is dirty, and no write of it has failed: all that it has now will be written back, as if
    /// [`BufferHead::mark_dirty`] were called. Does not sleep.
    #[inline]
    pub fn will_be_written(&self) -> bool {
        let bh = self.as_raw();
        // As in mark_buffer_dirty(): who writes the buffer clears the flag first, and then finds what it has now.
        smp_mb(Full);
        // SAFETY: By the type invariant.
        unsafe {
            bindings::buffer_dirty(bh) != 0
                && bindings::buffer_uptodate(bh) != 0
                && bindings::buffer_write_io_error(bh) == 0
        }
    }

    /// Marks the buffer dirty: it will be written back. May sleep.
    pub fn mark_dirty(&self) {
        self.mark_dirty_by(|bh| {
            // SAFETY: By the type invariant.
            unsafe { bindings::mark_buffer_dirty(bh) }
        });
    }

    /// Calls `mark`, a function of the kernel that marks the buffer dirty and does not sleep, unless the device is gone.
    ///
    /// That an earlier write of it failed is over then: what is in memory is to be written, and it
    /// has to be *uptodate* for that.
    pub(crate) fn mark_dirty_by(&self, mark: impl FnOnce(*mut bindings::buffer_head)) {
        let bh = self.as_raw();
        // SAFETY: By the type invariant.
        if unsafe { bindings::buffer_uptodate(bh) != 0 && bindings::buffer_write_io_error(bh) == 0 }
        {
            return self.mark_if_mapped(mark);
        }
        // SAFETY: By the type invariant. With the lock, no write of it is under way that could
        // fail, nobody reads it, and it is not taken from its device.
        unsafe {
            bindings::lock_buffer(bh);
            if bindings::buffer_mapped(bh) != 0 {
                bindings::clear_buffer_write_io_error(bh);
                bindings::set_buffer_uptodate(bh);
                mark(bh);
            }
            bindings::unlock_buffer(bh);
        }
    }

    /// Calls `mark`, unless the device is gone. The buffer is not locked: the device may go at the same time.
    ///
    /// The function finds the inode of the device by way of the folio. That inode is freed after a grace period of RCU, which
    /// cannot have begun before the buffer was seen mapped; whether the folio is still in its page cache the
    /// function looks up under the lock of that.
    fn mark_if_mapped(&self, mark: impl FnOnce(*mut bindings::buffer_head)) {
        let bh = self.as_raw();
        let _inode_stays = rcu::read_lock();
        // SAFETY: By the type invariant.
        if unsafe { bindings::buffer_mapped(bh) } != 0 {
            mark(bh);
        }
    }

    /// Begins to write the buffer to the device if it is dirty, and there is one. May sleep, but does not wait for
    /// the end.
    pub fn write_dirty(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::write_dirty_buffer_if_mapped(self.as_raw()) };
    }

    /// Writes the buffer to the device if it is dirty and waits for it. May sleep.
    ///
    /// `EIO` when this or an earlier write of the buffer failed, and it has not been changed since.
    pub fn sync_dirty(&self) -> Result {
        // SAFETY: By the type invariant.
        let error = unsafe { bindings::sync_dirty_buffer(self.as_raw()) };
        // SAFETY: As above.
        if error != 0 || unsafe { bindings::buffer_write_io_error(self.as_raw()) } != 0 {
            return Err(EIO);
        }
        Ok(())
    }

    /// Drops the reference, clears the dirty flag and takes the buffer off the list of its inode:
    /// the content is not written back. For blocks that were freed. Does not sleep.
    pub fn forget(self) {
        // SAFETY: By the type invariant; the reference is consumed.
        unsafe { bindings::bforget(self.as_raw()) };
        core::mem::forget(self);
    }
}

impl Drop for BufferHead {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and this is its end.
        unsafe { bindings::brelse(self.as_raw()) };
    }
}
