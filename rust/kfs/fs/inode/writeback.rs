// SPDX-License-Identifier: GPL-2.0

//! Writeback of an inode: of its data on the device, and of the buffers that belong to it.
//!
//! Writeback copies an inode to its buffer. Then the inode is clean, but is on the device only when that buffer is. The VFS
//! remembers it (`I_METADATA_WRITEBACK`), and calls `sync_inode_metadata` when the inode has to be on the device. Before 7.3 it leaves
//! that to the filesystem: then an inode here has a flag of its own, and what syncs inodes looks at it.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::bindings;
use crate::fs::file_system::FileSystem;
use crate::fs::inode::Inode;
use kernel::error::to_result;
use kernel::prelude::*;
#[cfg(not(kfs_has_sync_inode_metadata))]
use kernel::sync::atomic::{ordering, Atomic};

/// # Safety
///
/// Called by the VFS as `write_inode` of an inode of `F`.
///
/// The VFS takes the inode for clean from here on, whatever is returned, and only a sync that calls
/// this itself returns the error. So the error is recorded in the mapping for the next fsync, and
/// the inode is marked dirty again if the error may be transient (`ENOMEM`, `EIO`).
pub(crate) unsafe extern "C" fn write_inode<F: FileSystem>(
    inode: *mut bindings::inode,
    wbc: *mut bindings::writeback_control,
) -> c_int {
    // SAFETY: By the requirement the inode is valid and of `F`.
    let this = unsafe { Inode::<F>::from_raw(inode) };
    match F::write_inode(this) {
        // SAFETY: By the requirement.
        Ok(()) => match unsafe { this.set_metadata_writeback(wbc) } {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        },
        Err(error) => {
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

/// # Safety
///
/// Called by the VFS as `sync_inode_metadata` of an inode of `F`.
#[cfg(kfs_has_sync_inode_metadata)]
pub(crate) unsafe extern "C" fn sync_inode_metadata<F: FileSystem>(
    inode: *mut bindings::inode,
    _wbc: *mut bindings::writeback_control,
) -> c_int {
    // SAFETY: By the requirement the inode is valid and of `F`.
    match unsafe { Inode::<F>::from_raw(inode) }.sync_all_buffers() {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

impl<F: FileSystem> Inode<F> {
    /// Writes the inode and the buffers marked by [`Inode::mark_buffer_dirty`] to the device and
    /// waits for them. May sleep.
    pub fn sync_metadata(&self) -> Result {
        // SAFETY: By the type invariant the inode is valid.
        let written = to_result(unsafe { bindings::sync_inode_metadata(self.as_raw(), 1) });
        // Writeback that is under way has been waited for.
        #[cfg(not(kfs_has_sync_inode_metadata))]
        if self.metadata_writeback().xchg(0, ordering::Full) != 0 {
            return written.and(self.sync_all_buffers());
        }
        written
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

    /// The inode is in its buffer: who syncs it has to wait for that. May sleep.
    ///
    /// # Safety
    ///
    /// Called in `write_inode`, with its `wbc`.
    #[cfg(kfs_has_sync_inode_metadata)]
    unsafe fn set_metadata_writeback(&self, _wbc: *mut bindings::writeback_control) -> Result {
        // SAFETY: By the type invariant. The operations have `sync_inode_metadata`, which this flag asks for.
        unsafe { bindings::set_inode_metadata_writeback(self.as_raw()) };
        Ok(())
    }

    /// The inode is in its buffer: who syncs it has to wait for that, and here does. sync(2) syncs the whole device. May sleep.
    ///
    /// # Safety
    ///
    /// Called in `write_inode`, with its `wbc`.
    #[cfg(not(kfs_has_sync_inode_metadata))]
    unsafe fn set_metadata_writeback(&self, wbc: *mut bindings::writeback_control) -> Result {
        const SYNC: bindings::writeback_sync_modes = bindings::writeback_sync_modes_WB_SYNC_ALL;
        // SAFETY: By the requirement it is valid during the call.
        let (mode, for_sync) = unsafe { ((*wbc).sync_mode, (*wbc).for_sync()) };
        if mode == SYNC && for_sync == 0 {
            self.metadata_writeback().store(0, ordering::Relaxed);
            return self.sync_all_buffers();
        }
        self.metadata_writeback().store(1, ordering::Relaxed);
        Ok(())
    }

    #[cfg(not(kfs_has_sync_inode_metadata))]
    fn metadata_writeback(&self) -> &Atomic<i32> {
        // SAFETY: By the type invariant the fields of the object beside the inode are initialised.
        unsafe { &(*self.object()).metadata_writeback }
    }
}
