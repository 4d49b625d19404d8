// SPDX-License-Identifier: GPL-2.0

//! Where the volume was mounted last, which the superblock says.

use crate::ext2::superblock::{update, LAST_MOUNTED_MAX};
use crate::volume::fault::Result;
use crate::volume::state::Volume;
use kernel::sync::atomic::ordering;

impl Volume {
    /// Whether the superblock says where the volume is mounted now, or nobody can tell it. Does not sleep.
    #[inline]
    pub(crate) fn is_place_known(&self) -> bool {
        self.is_place_known.load(ordering::Relaxed)
    }

    /// Whether the caller is the one to say where it is mounted: the first who asks. Does not sleep.
    pub(crate) fn may_tell_place(&self) -> bool {
        !self.is_stopped() && !self.is_place_known.xchg(true, ordering::Relaxed)
    }

    /// Records where it is mounted. The mount is not frozen meanwhile. Takes the lock of the superblock's
    /// buffer; may sleep.
    pub(crate) fn set_place(&self, place: &[u8; LAST_MOUNTED_MAX]) -> Result {
        self.update_superblock(false, |bytes, _| update::set_last_mounted(bytes, place))
    }
}
