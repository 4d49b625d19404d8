// SPDX-License-Identifier: GPL-2.0

//! New inodes that the device does not have yet, as it may not have the block that they lead to: see `crate::inode::unborn`.
//!
//! Who syncs a directory has to bring those to the device that it may have names of.

use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::{new_mutex, Mutex};
use kfs::mm::nofs::nofs;

/// The numbers of these inodes.
#[pin_data]
pub(crate) struct Unborn {
    #[pin]
    numbers: Mutex<RBTree<u32, ()>>,
}

impl Unborn {
    /// An initialiser; there are none.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            numbers <- new_mutex!(RBTree::new()),
        })
    }

    /// Adds the number of an inode. May sleep, as all that follow. `ENOMEM`.
    pub(crate) fn add(&self, ino: u32) -> Result {
        nofs(|| {
            let mut numbers = self.numbers.lock();
            numbers.try_create_and_insert(ino, (), GFP_KERNEL)?;
            Ok(())
        })
    }

    /// Removes one.
    pub(crate) fn remove(&self, ino: u32) {
        nofs(|| self.numbers.lock().remove(&ino));
    }

    /// The first one from `from` on.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        nofs(|| {
            let mut numbers = self.numbers.lock();
            let next = numbers.cursor_lower_bound_mut(&from)?;
            Some(*next.current().0)
        })
    }
}
