// SPDX-License-Identifier: GPL-2.0

//! Reports of filesystem errors to fanotify(7): `FAN_FS_ERROR`.
//!
//! Nothing here sleeps or waits for memory. The kernel has a reserve for reports, which is filled
//! up again by a work item that drops references to inodes, and so may free blocks; the caller may
//! hold the locks that this takes, and must make progress when memory is short. A report for which
//! there is no memory is lost, and the kernel says so in its log.
//!
//! C header: [`include/linux/fserror.h`](srctree/include/linux/fserror.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use crate::fs::super_block::SuperBlock;
use crate::sync::once::read_once;
use core::ops::Range;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::rcu;

/// Reports an error of the kind `what` in the bytes `range` of a file. Does not sleep.
pub(crate) fn report_inode<F: FileSystemData>(
    inode: &Inode<F>,
    what: bindings::fserror_type,
    range: Range<u64>,
    error: Error,
) {
    // SAFETY: By the invariants of `Inode` it is valid, and belongs to that super block. The error
    // is negative.
    unsafe {
        bindings::fserror_report(
            inode.sb().as_raw(),
            inode.as_raw(),
            what,
            range.start as i64,
            range.end.saturating_sub(range.start),
            error.to_errno(),
            bindings::GFP_NOWAIT,
        )
    };
}

impl<F: FileSystemData> SuperBlock<F> {
    /// Reports an error in metadata to fanotify: in those of the inode `ino`, or else in those of
    /// the whole filesystem. An inode that is not in memory, or is being made, read or freed, may
    /// not be named in the report. Does not sleep. Not for interrupts, nor with them disabled: the lock of an inode's state may be taken.
    ///
    /// While the filesystem is being mounted or unmounted nobody listens.
    pub fn report_metadata_error(&self, ino: Option<u64>, error: Error) {
        let sb = self.as_raw();
        // SAFETY: The flags may change at any time; it is read once.
        if unsafe { read_once(&raw const (*sb).s_flags) } & bindings::SB_ACTIVE == 0 {
            return;
        }
        let _rcu = rcu::read_lock();
        let inode = ino.map_or(ptr::null_mut(), |ino| {
            // SAFETY: The super block is mounted, and the RCU read lock is held. This waits for no
            // inode, as it might be the caller who reads or frees it.
            unsafe { bindings::find_inode_by_ino_rcu(sb, ino) }
        });
        // SAFETY: The inode, if there is one, is of this super block and valid as long as the RCU
        // read lock is held; the function takes a reference, or finds that it is being freed. It
        // does not sleep with these flags. The error is negative.
        unsafe {
            bindings::fserror_report(
                sb,
                inode,
                bindings::fserror_type_FSERR_METADATA,
                0,
                0,
                error.to_errno(),
                bindings::GFP_NOWAIT,
            )
        };
    }
}
