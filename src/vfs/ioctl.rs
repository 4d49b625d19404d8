// SPDX-License-Identifier: GPL-2.0

//! `ioctl(2)`.

use crate::ext2::label::LABEL_MAX;
use crate::types::{InodeLocked, RetryFs, SuperBlock};
use crate::vfs::ioctl_trim;
use crate::volume::errors::reported;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::ioctl::{Ioctl, Trim};
use kfs::fs::shutdown::Shutdown;

#[vtable]
impl Ioctl for RetryFs {
    const LABEL_MAX: usize = LABEL_MAX;

    fn set_generation(inode: &InodeLocked<Exclusive>, generation: u32) -> Result {
        inode.sb().data().check_writable(inode.sb())?;
        inode.set_generation(generation);
        inode.touch_ctime();
        inode.mark_inode_dirty();
        Ok(())
    }

    fn label(sb: &SuperBlock, label: &mut [u8]) -> Result {
        let found = reported(sb, sb.data().label())?;
        let len = found.iter().take_while(|&&byte| byte != 0).count();
        for (to, from) in label.iter_mut().zip(found).take(len) {
            *to = from;
        }
        Ok(())
    }

    fn set_label(sb: &SuperBlock, label: &[u8]) -> Result {
        let volume = sb.data();
        volume.check_writable(sb)?;
        let label = label.first_chunk().ok_or(EINVAL)?;
        reported(sb, volume.set_label(sb, label))
    }

    fn trim(sb: &SuperBlock, range: &Trim) -> Result<u64> {
        ioctl_trim::trim(sb, range)
    }
}

#[vtable]
impl Shutdown for RetryFs {
    fn check_up(sb: &SuperBlock) -> Result {
        sb.data().check_up()
    }

    fn shut_down(sb: &SuperBlock) {
        sb.data().shut_down(sb);
    }
}
