// SPDX-License-Identifier: GPL-2.0

//! Buffers whose content may not have been read.
//!
//! The memory of a block comes into the page cache of the device as it is, with what somebody else has left there; and
//! with a block come its neighbours in the page, which nobody has asked for. Only what is read from the device, or filled anew, has
//! content: so that is all that can be done with such a buffer.

use super::{BufferHead, READ_AHEAD};
use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A reference to a buffer that may have no content yet, given back when dropped.
///
/// # Invariants
///
/// Those of [`BufferHead`], but for the content.
pub struct UnreadBuffer(NonNull<bindings::buffer_head>);

// SAFETY: As for `BufferHead`.
unsafe impl Send for UnreadBuffer {}
// SAFETY: As for `BufferHead`.
unsafe impl Sync for UnreadBuffer {}

impl UnreadBuffer {
    /// # Safety
    ///
    /// `bh` must be null or a mapped buffer of a block device with a reference that the caller
    /// owns.
    #[inline]
    pub(crate) unsafe fn from_owned(bh: *mut bindings::buffer_head) -> Option<Self> {
        // INVARIANT: By the requirement.
        NonNull::new(bh).map(Self)
    }

    #[inline]
    fn as_raw(&self) -> *mut bindings::buffer_head {
        self.0.as_ptr()
    }

    /// The buffer has content.
    ///
    /// # Safety
    ///
    /// It must have been seen *uptodate*, or with the error of a write.
    #[inline]
    unsafe fn into_filled(self) -> BufferHead {
        let bh = self.0;
        core::mem::forget(self);
        // INVARIANT: By the type invariant and the requirement; the reference passes on.
        BufferHead(bh)
    }

    /// Whether the content is valid (`BH_Uptodate`). Any context.
    #[inline]
    pub fn is_uptodate(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::buffer_uptodate(self.as_raw()) != 0 }
    }

    /// The buffer, if its content is valid. Any context.
    #[inline]
    pub fn if_uptodate(self) -> Option<BufferHead> {
        match self.is_uptodate() {
            // SAFETY: It is uptodate.
            true => Some(unsafe { self.into_filled() }),
            false => None,
        }
    }

    /// The buffer, if it has content, also such as could not be written. May sleep, for one that is being read or written.
    pub(crate) fn if_filled(self) -> Option<BufferHead> {
        let has_content = self.is_uptodate() || {
            let bh = self.as_raw();
            // The flags change from one to the other under the lock: a write that is tried again has neither.
            // SAFETY: By the type invariant; the lock is taken and given back here.
            unsafe {
                bindings::lock_buffer(bh);
                let has_failed = bindings::buffer_write_io_error(bh) != 0;
                let has_content = has_failed || bindings::buffer_uptodate(bh) != 0;
                bindings::unlock_buffer(bh);
                has_content
            }
        };
        // SAFETY: It was seen to have one of the flags.
        has_content.then(|| unsafe { self.into_filled() })
    }

    /// Makes this the buffer of a new block, all zeroes: what the device holds is not read.
    ///
    /// Takes it off the list of the inode that had the block before: while it is there, it would
    /// not get on that of its new one, whose fsync would miss it. May sleep. The buffer is locked
    /// meanwhile, so that nobody reads it from the device.
    pub fn init_zeroed(self) -> BufferHead {
        self.get().forget();
        // SAFETY: By the type invariant; the lock is taken and given back here. It is uptodate then.
        unsafe {
            let bh = self.as_raw();
            bindings::lock_buffer(bh);
            bindings::memset((*bh).b_data.cast(), 0, (*bh).b_size);
            bindings::set_buffer_uptodate(bh);
            bindings::unlock_buffer(bh);
            self.into_filled()
        }
    }

    /// Reads the buffer from the device, unless its content is in memory. May sleep. `EIO` when the device fails.
    ///
    /// A buffer that could not be written back is no longer *uptodate*, but has what should be on
    /// the device; what is there is older, and must not come back.
    #[inline]
    pub(crate) fn fill(self) -> Result<BufferHead> {
        if !self.is_uptodate() {
            self.fill_locked()?;
        }
        // SAFETY: It is, or was by the end of the read.
        Ok(unsafe { self.into_filled() })
    }

    /// [`UnreadBuffer::fill`], with the buffer locked: the flags do not change, as every read and
    /// write of the buffer takes the lock.
    fn fill_locked(&self) -> Result {
        let bh = self.as_raw();
        // SAFETY: By the type invariant; the lock is taken here and given back here, or at the end
        // of the read. A buffer that has just been looked up is mapped, as a read needs it.
        unsafe {
            bindings::lock_buffer(bh);
            let failed = bindings::buffer_write_io_error(bh) != 0;
            if failed && !cfg!(mutant = "kfs-stale-metadata") {
                bindings::set_buffer_uptodate(bh);
            }
            if bindings::buffer_uptodate(bh) != 0 {
                bindings::unlock_buffer(bh);
                return Ok(());
            }
            match bindings::__bh_read(bh, bindings::req_op_REQ_OP_READ, true) {
                0 => Ok(()),
                _ => Err(EIO),
            }
        }
    }

    /// Begins to read the buffer from the device ahead of any need: see [`UnreadBuffer::begin_read`]. The block layer
    /// may fail it early.
    pub(crate) fn readahead(&self) {
        self.begin_read(READ_AHEAD);
    }

    /// Begins to read the buffer from the device, as [`UnreadBuffer::fill`] would, if nobody has it locked.
    /// Nobody is told how that ends: if it fails, who needs the content reads it again. Does not wait for
    /// the lock, nor for the end of the read; the block layer may sleep.
    pub(crate) fn begin_read(&self, flags: bindings::blk_opf_t) {
        let bh = self.as_raw();
        // SAFETY: By the type invariant. The buffer has just been looked up, so that it is mapped; the lock is
        // taken here, and given back here or at the end of the read, which has a reference of its own.
        unsafe {
            if bindings::buffer_uptodate(bh) != 0 || !bindings::trylock_buffer(bh) {
                return;
            }
            // What could not be written must not be replaced by what is older; see `fill`.
            let failed =
                bindings::buffer_write_io_error(bh) != 0 && !cfg!(mutant = "kfs-stale-readahead");
            if failed || bindings::buffer_uptodate(bh) != 0 {
                return bindings::unlock_buffer(bh);
            }
            // With `wait` not set it returns 0.
            bindings::__bh_read(bh, flags, false);
        }
    }

    /// Another reference to the buffer.
    fn get(&self) -> UnreadBuffer {
        // SAFETY: By the type invariant.
        unsafe { bindings::get_bh(self.as_raw()) };
        // INVARIANT: It owns the reference that was just taken.
        UnreadBuffer(self.0)
    }

    /// Drops the reference, clears the dirty flag and takes the buffer off the list of its inode:
    /// the content is not written back. For blocks that were freed. Does not sleep.
    pub fn forget(self) {
        // SAFETY: By the type invariant; the reference is consumed.
        unsafe { bindings::bforget(self.as_raw()) };
        core::mem::forget(self);
    }
}

impl Drop for UnreadBuffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and this is its end.
        unsafe { bindings::brelse(self.as_raw()) };
    }
}
