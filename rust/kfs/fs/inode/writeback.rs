// SPDX-License-Identifier: GPL-2.0

//! Writeback of an inode: of its data on the device, and of the buffers that belong to it.
//!
//! Writeback copies an inode to its buffer. Then the inode is clean, but is on the device only when that buffer is. An inode
//! counts that ([`InBuffer`](crate::fs::inode::in_buffer::InBuffer)), and what syncs inodes looks at it.
//!
//! From 7.3 on the VFS has such a flag, too (`I_METADATA_WRITEBACK`, with `super_operations::sync_inode_metadata`), which only a
//! sync of the inode itself takes away, and memory reclaim passes over inodes that have it.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::bindings;
use crate::compat::{smp_mb, Read};
use crate::fs::file_system::FileSystem;
use crate::fs::inode::Inode;
use kernel::error::to_result;
use kernel::prelude::*;

/// # Safety
///
/// Called by the VFS as `write_inode` of an inode of `F`.
///
/// The VFS takes the inode for clean from here on, whatever is returned, and only a sync that calls
/// this itself returns the error. So the error is recorded in the mapping for the next fsync, and
/// the inode is marked dirty again if the error may be transient (`ENOMEM`, `EIO`).
///
/// With an error it may be in its buffer, too, and be clean: a device has more errors than these. So that is counted, and the
/// next fsync does not succeed before the buffer is written.
pub(crate) unsafe extern "C" fn write_inode<F: FileSystem>(
    inode: *mut bindings::inode,
    wbc: *mut bindings::writeback_control,
) -> c_int {
    // SAFETY: By the requirement the inode is valid and of `F`.
    let this = unsafe { Inode::<F>::from_raw(inode) };
    match F::write_inode(this) {
        // SAFETY: By the requirement.
        Ok(()) => match unsafe { this.is_in_buffer(wbc) } {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        },
        Err(error) => {
            this.in_buffer().add();
            if !cfg!(mutant = "kfs-inode-error-lost") {
                this.page_cache().set_error(error);
            }
            let may_pass = error == ENOMEM || error == EIO;
            if may_pass && !cfg!(mutant = "kfs-inode-not-retried") {
                this.mark_inode_dirty();
            }
            error.to_errno()
        }
    }
}

impl<F: FileSystem> Inode<F> {
    /// Writes the inode and the buffers marked by [`Inode::mark_buffer_dirty`] to the device and
    /// waits for them. May sleep.
    pub fn sync_metadata(&self) -> Result {
        // SAFETY: By the type invariant the inode is valid.
        let written = to_result(unsafe { bindings::sync_inode_metadata(self.as_raw(), 1) });
        // Writeback that was under way has been waited for.
        written.and(self.in_buffer().sync(|| self.sync_all_buffers()))
    }

    /// Copies the inode to its buffer if it is dirty, for who writes all buffers next. May sleep, also for writeback that
    /// is under way.
    pub fn store(&self) -> Result {
        // SAFETY: By the type invariant the inode is valid.
        let stored = to_result(unsafe { bindings::sync_inode_metadata(self.as_raw(), 0) });
        // It does not wait for another one, who may not have copied it yet.
        // SAFETY: As above.
        match unsafe { bindings::inode_in_writeback(self.as_raw()) } {
            true => self.sync_metadata(),
            false => stored,
        }
    }

    /// If the inode was copied to its buffer, writes that and the other buffers of the inode to the device, and waits. What is dirty of
    /// the inode need not be written. May sleep.
    pub(crate) fn sync_written(&self) -> Result {
        // SAFETY: By the type invariant the inode is valid.
        if unsafe { bindings::inode_in_writeback(self.as_raw()) } {
            return self.sync_metadata();
        }
        // The inode is looked at before the count.
        smp_mb(Read);
        self.in_buffer().sync(|| self.sync_all_buffers())
    }

    /// Writes the buffers of the inode to the device and waits for them: that of the inode, and those marked by
    /// [`Inode::mark_buffer_dirty`]. May sleep.
    fn sync_all_buffers(&self) -> Result {
        self.sync_buffers()?;
        match F::HAS_SYNC_INODE_METADATA {
            true => F::sync_inode_metadata(self),
            false => Ok(()),
        }
    }

    /// The inode is in its buffer: who syncs it has to wait for that, and here does. sync(2) syncs the whole device. May sleep.
    ///
    /// # Safety
    ///
    /// Called in `write_inode`, with its `wbc`.
    unsafe fn is_in_buffer(&self, wbc: *mut bindings::writeback_control) -> Result {
        const SYNC: bindings::writeback_sync_modes = bindings::writeback_sync_modes_WB_SYNC_ALL;
        // SAFETY: By the requirement it is valid during the call.
        let (mode, for_sync) = unsafe { ((*wbc).sync_mode, (*wbc).for_sync()) };
        self.in_buffer().add();
        match mode == SYNC && for_sync == 0 {
            true => self.in_buffer().sync(|| self.sync_all_buffers()),
            false => Ok(()),
        }
    }
}
