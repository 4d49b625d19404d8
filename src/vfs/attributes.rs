// SPDX-License-Identifier: GPL-2.0

//! Inode attributes: `chmod(2)`, `chown(2)`, `truncate(2)`, `statx(2)`.

use crate::ext2::inode::InodeFlags;
use crate::inode::acl;
use crate::inode::block_map;
use crate::inode::data::{file_type, timespec, vfs_flags};
use crate::inode::errors::reported;
use crate::types::{Inode, InodeLocked, RetryFs};
use crate::vfs::address_space::{free_blocks_beyond_eof, zero_tail_of_block};
use crate::vfs::extents;
use crate::vfs::xattr;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::compat::EOPNOTSUPP;
use kfs::fs::fiemap::FiemapExtentInfo;
use kfs::fs::file_attr::FileAttr;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode_operations::{
    InodeOperations, Kstat, SetAcl, SetAttr, STATX_ATTR_APPEND, STATX_ATTR_COMPRESSED,
    STATX_ATTR_IMMUTABLE, STATX_ATTR_NODUMP,
};
use kfs::fs::posix_acl::{AclType, PosixAcl};
use kfs::fs::xattr::XattrBuffer;

/// The `inode_operations` of everything but directories, which use its `setattr` and `getattr`.
pub(crate) struct FileAttributes;

#[vtable]
impl InodeOperations<RetryFs> for FileAttributes {
    fn setattr(attr: &mut SetAttr<'_, RetryFs>) -> Result {
        let sb = attr.inode().sb();
        sb.data().check_writable(sb)?;
        attr.prepare()?;
        let resized = match attr.size() {
            Some(size) => set_size(attr.inode(), size)?,
            None => Resized::Same,
        };
        if let (Resized::Moved(freed), true) = (&resized, mutant!("resized-halfway")) {
            (*freed)?;
        }
        // With the size go the times, and the privileges that a file loses with it.
        attr.copy();
        attr.inode().mark_inode_dirty();
        let acl = match mutant!("acl-chmod-forgotten") {
            true => Ok(()),
            false => attr.posix_acl_chmod(),
        };
        match resized {
            Resized::Same => acl,
            Resized::Moved(freed) => {
                let synced = match mutant!("truncate-unflushed") && attr.inode().needs_sync() {
                    true => attr.inode().sync_metadata(),
                    false => xattr::sync_changed(attr.inode()),
                };
                freed.and(acl).and(synced)
            }
        }
    }

    fn fiemap(inode: &Inode, info: &mut FiemapExtentInfo<'_>) -> Result {
        extents::fiemap(inode, info)
    }

    fn getattr(inode: &Inode, stat: &mut Kstat<'_>) {
        let flags = inode.data().flags();
        let mut attributes = 0;
        let mut mask = 0;
        for (flag, attribute) in [
            (InodeFlags::APPEND, STATX_ATTR_APPEND),
            (InodeFlags::COMPRESSED, STATX_ATTR_COMPRESSED),
            (InodeFlags::IMMUTABLE, STATX_ATTR_IMMUTABLE),
            (InodeFlags::NODUMP, STATX_ATTR_NODUMP),
        ] {
            mask |= attribute;
            if flags.has(flag) && !(mutant!("compressed-untold") && flag == InodeFlags::COMPRESSED)
            {
                attributes |= attribute;
            }
        }
        stat.set_attributes(attributes, mask);
        if let Some(crtime) = inode.data().crtime.as_ref() {
            stat.set_btime(timespec(*crtime));
        }
        if stat.wants_change_cookie() && !mutant!("change-untold") {
            stat.set_change_cookie(inode);
        }
        if inode.is_reg() && stat.wants_dioalign() {
            let device = BlockDevice::of(inode.sb());
            stat.set_dioalign(device.dma_alignment() + 1, device.logical_block_size());
        }
    }

    fn listxattr(inode: &Inode, names: &mut XattrBuffer<'_>) -> Result {
        xattr::list(inode, names)
    }

    fn get_inode_acl(inode: &Inode, acl_type: AclType) -> Result<Option<PosixAcl>> {
        reported(inode, acl::get(inode, acl_type))
    }

    fn fileattr_get(inode: &Inode, attr: &mut FileAttr<'_>) -> Result {
        attr.fill_flags(inode.data().flags().0 & InodeFlags::VISIBLE);
        Ok(())
    }

    fn fileattr_set(inode: &InodeLocked<Exclusive>, attr: &FileAttr<'_>) -> Result {
        inode.sb().data().check_writable(inode.sb())?;
        if attr.has_fsx() {
            return Err(EOPNOTSUPP);
        }
        let file_type = reported(inode, file_type(inode))?;
        let old = inode.data().flags();
        let new = old.with_settable(attr.flags(), file_type);
        let new = new.ok_or(EOPNOTSUPP)?;
        let set = || {
            inode.data().set_flags(new);
            if !mutant!("chattr-late") {
                inode.set_inode_flags(vfs_flags(new));
            }
        };
        if new.has(InodeFlags::IMMUTABLE) && !old.has(InodeFlags::IMMUTABLE) && inode.is_reg() {
            // What was written before is not to change it later, nor what is stored to its pages.
            inode.dio_wait();
            match mutant!("immutable-beside-stores") {
                true => inode.write_and_wait().map(|()| set())?,
                false => inode.without_stores(set)?,
            }
        } else {
            set();
        }
        inode.touch_ctime();
        inode.mark_inode_dirty();
        Ok(())
    }

    fn set_acl(acl: &SetAcl<'_, RetryFs>) -> Result {
        let inode = acl.inode();
        inode.sb().data().check_writable(inode.sb())?;
        acl.store(|| reported(inode, acl::set(inode, acl.acl_type(), acl.acl())))?;
        match mutant!("acl-late") {
            true => Ok(()),
            false => xattr::sync_changed(inode),
        }
    }
}

/// What has become of i_size.
enum Resized {
    /// It is as it was.
    Same,
    /// It is another one; and the error of freeing what is beyond it, or of what is to be on the device with it, if there was one.
    Moved(Result),
}

/// Sets i_size to `size` bytes. A shrinking truncate frees the blocks beyond the new EOF; bytes
/// that an extending one exposes read as zeroes. May sleep. Fails if i_size has not moved.
fn set_size(inode: &InodeLocked<Exclusive>, size: u64) -> Result<Resized> {
    if !inode.is_reg() {
        return Err(EINVAL);
    }
    if inode.is_append_or_immutable() {
        return Err(EPERM);
    }
    if mutant!("truncate-compares-early") && size == inode.i_size_read() {
        return Ok(Resized::Same);
    }
    // With the inode lock held, no new direct I/O can start. What is in flight may move i_size without it.
    let inode = inode.dio_wait();
    if size == inode.i_size_read() {
        return Ok(Resized::Same);
    }
    // The tail of the block at the smaller of old and new EOF may hold stale data (stored past
    // i_size through a mapping, or cut off by this truncate), which a later extend would expose.
    let tail = size.min(inode.i_size_read());
    zero_tail_of_block(&inode, tail)?;
    if size > inode.i_size_read() {
        free_blocks_beyond_eof(&inode)?;
    }
    let freed =
        inode.truncate_setsize(size, || reported(&inode, block_map::truncate(&inode, size)));
    if freed.is_ok() || !mutant!("resized-halfway") {
        inode.touch_cmtime();
        inode.mark_inode_dirty();
    }
    // A later size shows the zeroes: they are on the device, too, before the caller is told.
    let zeroed = match inode.needs_sync() && !mutant!("truncate-tail-unsynced") {
        true => {
            inode.write_back_watched(tail..tail.next_multiple_of(inode.sb().blocksize() as u64))
        }
        false => Ok(()),
    };
    Ok(Resized::Moved(freed.and(zeroed)))
}
