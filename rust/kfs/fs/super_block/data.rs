// SPDX-License-Identifier: GPL-2.0

//! What `s_fs_info` of a super block points to.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::fs::file_system_data::FileSystemData;
use crate::kobject::Directory;
use crate::workqueue::OwnedWorkqueue;
use core::ops::Deref;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// The data of a mount, and what else belongs to it.
#[pin_data]
pub(super) struct Info<F: FileSystemData> {
    // Dropped first: nobody reads the numbers of a mount that goes.
    pub(super) sysfs: SetOnce<Directory>,
    // Dropped before the data, which their work uses. That on the first one may wait for that on the others.
    pub(super) dio_done_wq: OwnedWorkqueue,
    pub(super) dio_punt_wq: SetOnce<OwnedWorkqueue>,
    pub(super) dio_link_wq: SetOnce<OwnedWorkqueue>,
    #[pin]
    pub(super) data: F::SuperData,
}

/// The data of a mount that is being made. Dereferences to them.
pub struct SuperBox<F: FileSystemData>(Pin<KBox<Info<F>>>);

impl<F: FileSystemData> SuperBox<F> {
    pub(super) fn from_inner(info: Pin<KBox<Info<F>>>) -> Self {
        SuperBox(info)
    }

    /// The box, for `s_fs_info`.
    pub(super) fn into_inner(self) -> Pin<KBox<Info<F>>> {
        self.0
    }
}

impl<F: FileSystemData> Deref for SuperBox<F> {
    type Target = F::SuperData;

    fn deref(&self) -> &F::SuperData {
        &self.0.data
    }
}
