// SPDX-License-Identifier: GPL-2.0

//! Volumes that are shut down: from then on nothing is read or written any more (`FS_IOC_SHUTDOWN`).
//!
//! C headers: [`include/uapi/linux/fs.h`](srctree/include/uapi/linux/fs.h),
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::super_block::SuperBlock;
use kernel::error::to_result;
use kernel::prelude::*;

/// What a filesystem knows of its volumes that are shut down. Without [`Shutdown::shut_down`] none ever is.
#[vtable]
pub trait Shutdown: FileSystemData {
    /// `EIO` if the volume is shut down. Asked before a file is opened, mapped, spliced, synced, and
    /// before its pages are written back. Does not sleep.
    fn check_up(_sb: &SuperBlock<Self>) -> Result {
        Ok(())
    }

    /// Shuts the volume down, if it is not yet. May sleep.
    fn shut_down(_sb: &SuperBlock<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// Answers `FS_IOC_SHUTDOWN` with the argument `flags`. May sleep; no lock is held.
///
/// `EINVAL` for flags that there are not; the error of freezing the volume, which goes on then.
pub(super) fn shut_down<F: Shutdown>(sb: &SuperBlock<F>, flags: u32) -> Result {
    if flags > bindings::FS_SHUTDOWN_FLAGS_NOLOGFLUSH {
        return Err(EINVAL);
    }
    if F::check_up(sb).is_err() {
        return Ok(());
    }
    match flags {
        bindings::FS_SHUTDOWN_FLAGS_DEFAULT => {
            // Nobody is in the midst of a change then, and everything is on the device.
            let _frozen = match cfg!(mutant = "kfs-shutdown-unfrozen") {
                true => None,
                false => Some(Frozen::new(BlockDevice::of(sb))?),
            };
            F::shut_down(sb);
        }
        bindings::FS_SHUTDOWN_FLAGS_LOGFLUSH => {
            // As far as it can be written.
            let _ = sb.sync_filesystem();
            F::shut_down(sb);
        }
        _ => F::shut_down(sb),
    }
    Ok(())
}

/// A device whose filesystem is frozen, until this is dropped.
struct Frozen<'a>(&'a BlockDevice);

impl<'a> Frozen<'a> {
    fn new(device: &'a BlockDevice) -> Result<Self> {
        // SAFETY: By the invariant of `BlockDevice` it is open.
        to_result(unsafe { bindings::bdev_freeze(device.as_raw()) })?;
        Ok(Frozen(device))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // SAFETY: It is open, and was frozen by `new`.
        unsafe { bindings::bdev_thaw(self.0.as_raw()) };
    }
}
