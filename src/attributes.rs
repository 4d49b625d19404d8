// SPDX-License-Identifier: GPL-2.0

//! Attributes of inodes: `chmod(2)`, `chown(2)`, `truncate(2)`, `statx(2)`.

use crate::ext2::inode::InodeFlags;
use crate::file::zero_rest_of_block;
use crate::{file_map, Inode, InodeLocked, RetryFs};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode_operations::{
    InodeOperations, Kstat, SetAttr, STATX_ATTR_APPEND, STATX_ATTR_IMMUTABLE, STATX_ATTR_NODUMP,
};

/// The operations of inodes that are not directories; attributes of those too.
pub(crate) struct FileAttributes;

#[vtable]
impl InodeOperations<RetryFs> for FileAttributes {
    fn setattr(attr: &mut SetAttr<'_, RetryFs>) -> Result {
        attr.inode().sb().data().check_writable()?;
        attr.prepare()?;
        if let Some(size) = attr.size() {
            set_size(attr.inode(), size)?;
        }
        attr.copy();
        attr.inode().mark_inode_dirty();
        Ok(())
    }

    fn getattr(inode: &Inode, stat: &mut Kstat<'_>) {
        let flags = inode.data().flags();
        let mut attributes = 0;
        let mut mask = 0;
        for (flag, attribute) in [
            (InodeFlags::APPEND, STATX_ATTR_APPEND),
            (InodeFlags::IMMUTABLE, STATX_ATTR_IMMUTABLE),
            (InodeFlags::NODUMP, STATX_ATTR_NODUMP),
        ] {
            mask |= attribute;
            if flags.has(flag) {
                attributes |= attribute;
            }
        }
        stat.set_attributes(attributes, mask);
        if inode.is_reg() && stat.wants_dioalign() {
            let device = BlockDevice::of(inode.sb());
            stat.set_dioalign(device.dma_alignment() + 1, device.logical_block_size());
        }
    }
}

/// Sets the size of a file. Blocks behind the end are freed; a part of a block that comes in is
/// zero.
fn set_size(inode: &InodeLocked<Exclusive>, size: u64) -> Result {
    if !inode.is_reg() {
        return Err(EINVAL);
    }
    if inode.is_append_or_immutable() {
        return Err(EPERM);
    }
    // Nobody can begin while the lock is held.
    if !mutant!("truncate-no-wait") {
        inode.dio_wait();
    }
    // What lies in the last block behind the old or the new end must not come into sight later.
    zero_rest_of_block(inode, size.min(inode.i_size_read()))?;
    inode.truncate_setsize(size, || {
        file_map::truncate(inode, size).map_err(|fault| fault.report(inode.sb()))
    })?;
    inode.touch_cmtime();
    inode.mark_inode_dirty();
    if inode.needs_sync() {
        inode.sync_metadata()?;
    }
    Ok(())
}
