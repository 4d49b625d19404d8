// SPDX-License-Identifier: GPL-2.0

//! New inodes that the device has only when the block that they lead to is on stable storage.
//!
//! These are directories, and symbolic links that have a block. On the device, the block has what its owner of before has left
//! there: of another directory, names, with numbers that others have by now. The inode shares a block of the inode table with others, which
//! comes to the device with any of these. So as long as its own block may not be there, the inode is stored as one that is not in use:
//! it is *unborn*; and so it is while it has no block yet, as its access control lists and labels may be stored before. A name that leads to it is then one of an inode that is not in use, which `e2fsck -p` removes.
//!
//! It is stored as it is when it is written back, or synced, with one flush of the device for all of the volume that wait
//! for one ([`crate::volume::new_of_inodes`]). Who syncs a directory has all of them stored ([`crate::inode::names`]).

use crate::inode::data::ino32;
use crate::inode::deferred;
use crate::types::Inode;
use crate::volume::fault::Result;
use kfs::mm::nofs::nofs;

/// The new `inode` has no block yet. What is stored of it until then, as its attributes are, is stored of one that is not in use. May sleep.
pub(crate) fn in_making(inode: &Inode) {
    if !mutant!("in-making-stored") {
        deferred::set_in_making(inode);
    }
}

/// The new `inode` has a block now, marked dirty as [`First::OfInode`](crate::volume::unwritten::First::OfInode), or written. Before
/// it is stored for the first time. May sleep. `ENOMEM`.
pub(crate) fn begin(inode: &Inode) -> Result {
    if mutant!("unborn-stored") {
        deferred::set_born(inode);
        return Ok(());
    }
    let volume = inode.sb().data();
    volume.unborn.add(ino32(inode))?;
    deferred::set_unborn(inode, volume.new_of_inodes.round());
    Ok(())
}

/// The inode was copied to its slot, of which the buffer was marked as that of a new one: whoever looks for such finds that. May sleep.
pub(super) fn end(inode: &Inode) {
    nofs(|| {
        if deferred::born(inode) {
            inode.sb().data().unborn.remove(ino32(inode));
        }
    });
}

/// The inode leaves memory, or was deleted. Returns whether it is lost, as it has links, and the device does not have it. May sleep.
pub(crate) fn evict(inode: &Inode) -> bool {
    let is_listed = nofs(|| deferred::is_unborn_until(inode, u64::MAX));
    if is_listed {
        inode.sb().data().unborn.remove(ino32(inode));
    }
    is_listed && inode.nlink() != 0
}
