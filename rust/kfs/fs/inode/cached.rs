// SPDX-License-Identifier: GPL-2.0

//! The inodes of a super block that are in memory.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::reference::InodeRef;
use crate::fs::inode::Inode;
use crate::fs::super_block::SuperBlock;
use crate::task::cond_resched;
use core::ptr::{self, NonNull};

impl<F: FileSystemData> SuperBlock<F> {
    /// The inode `ino`, if it is in the inode cache. May sleep, also for another task that reads,
    /// makes or evicts the inode.
    pub fn ilookup(&self, ino: u64) -> Option<InodeRef<'_, F>> {
        // SAFETY: By the type invariant the super block is mounted.
        let inode = NonNull::new(unsafe { bindings::ilookup(self.as_raw(), ino) })?;
        // SAFETY: The inode is complete, and of the super block; the reference passes to the result.
        Some(unsafe { InodeRef::from_raw(inode) })
    }

    /// Calls `f` with each directory that is complete and in memory when its turn comes, until it returns an error. Those that
    /// come into memory meanwhile may be left out. May sleep; no lock is held.
    pub fn try_for_each_dir<E>(
        &self,
        mut f: impl FnMut(&Inode<F>) -> core::result::Result<(), E>,
    ) -> core::result::Result<(), E> {
        let mut last: Option<InodeRef<'_, F>> = None;
        loop {
            let before = last
                .as_ref()
                .map_or(ptr::null_mut(), |inode| inode.as_raw());
            // SAFETY: By the type invariant the super block is mounted. The inode before is one of it, to which there is a
            // reference, so that it is on the list.
            let next = unsafe { bindings::next_cached_dir(self.as_raw(), before) };
            let Some(next) = NonNull::new(next) else {
                return Ok(());
            };
            // SAFETY: The inode is hashed and not new, and so complete, and of the super block; the reference passes to `next`.
            let next = unsafe { InodeRef::from_raw(next) };
            if next.is_dir() {
                f(&next)?;
            }
            last = Some(next);
            cond_resched();
        }
    }
}
