// SPDX-License-Identifier: GPL-2.0

//! `i_version`: a number that is another one whenever a user may see that an inode has changed, for those who cannot
//! go by the change time, which does not move between two changes within a tick, or a second.
//!
//! knfsd takes it for the change attribute of NFSv4, from `statx()` within the kernel. It is not `SB_I_VERSION` that
//! has the VFS count: with that a direct overwrite that must not wait fails whenever its time stamp is new. And it
//! is not stored: an inode that is read has a number that is larger than any that it has had, which is the time of day in
//! nanoseconds, as no two changes that count lie within one. A client that has cached something of an inode that
//! has left the memory of the server meanwhile asks for it again.
//!
//! A direct write counts when it begins, as it does elsewhere in the kernel, and again if it moves i_size when it
//! ends. If the clock is set back, an inode that is read again may get a number that it has had.
//!
//! C header: [`include/linux/iversion.h`](srctree/include/linux/iversion.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;
use crate::time::real_nanoseconds;

impl<F: FileSystemData> Inode<F> {
    /// Counts a change, if somebody has asked for the number since the last one. Does not sleep; any lock may be
    /// held.
    #[inline]
    pub(crate) fn inc_iversion(&self) {
        let inode = self.as_raw();
        // SAFETY: By the type invariant the inode is valid; the number is read and changed atomically.
        unsafe {
            // Most inodes are asked for by nobody.
            if bindings::inode_iversion_need_inc(inode) && !cfg!(mutant = "kfs-change-uncounted") {
                bindings::inode_maybe_inc_iversion(inode, false);
            }
        }
    }

    /// The number; the next change makes it another one.
    pub(crate) fn query_iversion(&self) -> u64 {
        // SAFETY: As in `inc_iversion`.
        unsafe { bindings::inode_query_iversion(self.as_raw()) }
    }
}

/// Gives an inode that is new in memory its first number.
///
/// # Safety
///
/// `inode` must be valid, and used by nobody else.
pub(super) unsafe fn init_iversion(inode: *mut bindings::inode) {
    // SAFETY: By the requirement.
    unsafe { bindings::inode_set_iversion(inode, real_nanoseconds()) };
}
