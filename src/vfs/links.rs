// SPDX-License-Identifier: GPL-2.0

//! The links of an inode: checks of their number, and bringing them to the device.

use crate::ext2::features::RO_COMPAT_DIR_NLINK;
use crate::ext2::inode::{InodeFlags, LINKS_MAX};
use crate::ext2::{Corrupt, Place};
use crate::inode::data::ino32;
use crate::inode::names;
use crate::types::Inode;
use crate::volume::fault;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;

/// The link count of a directory whose subdirectories are not counted: there are, or were, too many, on a
/// volume with the feature `dir_nlink`.
const UNCOUNTED: u32 = 1;

/// Whether the volume may have directories whose subdirectories are not counted.
fn has_dir_nlink(inode: &Inode) -> bool {
    let features = &inode.sb().data().superblock.features;
    features.ro_compat(RO_COMPAT_DIR_NLINK)
}

/// Whether the subdirectories of `dir` are not counted.
fn is_uncounted(dir: &Inode) -> bool {
    dir.nlink() == UNCOUNTED && has_dir_nlink(dir)
}

/// Checks that `inode` can have one more link. `EMLINK` if it cannot: as for ext4, only a directory with
/// an index may have subdirectories that are not counted.
pub(super) fn check_room(inode: &Inode) -> Result {
    let may_be_uncounted =
        has_dir_nlink(inode) && inode.is_dir() && inode.data().flags().has(InodeFlags::INDEX);
    match inode.nlink() >= LINKS_MAX.into() && !may_be_uncounted {
        true => Err(EMLINK),
        false => Ok(()),
    }
}

/// Counts one more subdirectory of `dir`, for which there is room: see [`check_room`].
pub(super) fn add_subdirectory(dir: &Inode) {
    if is_uncounted(dir) && !mutant!("uncounted-counted") {
        return;
    }
    match dir.nlink() >= LINKS_MAX.into() {
        true => dir.set_link_count(UNCOUNTED),
        false => dir.inc_link_count(),
    }
}

/// Counts one subdirectory of `dir` less.
pub(super) fn drop_subdirectory(dir: &Inode) {
    if !is_uncounted(dir) {
        dir.dec_link_count();
    }
}

/// Drops the links of a directory without subdirectories, which loses its name: that, and its own `.`.
pub(super) fn drop_own_links(dir: &Inode) {
    if !is_uncounted(dir) {
        dir.dec_link_count();
    }
    dir.dec_link_count();
}

/// Checks that `inode`, which is about to lose a name, has the links for it: one, or for a directory
/// without subdirectories, two. With fewer, it would count as deleted while another name leads to
/// it; a directory with more would not be deleted.
pub(super) fn check_own_links(inode: &Inode) -> fault::Result {
    let links = inode.nlink();
    let what = match inode.is_dir() {
        true if links != 2 && !is_uncounted(inode) => {
            "links of a directory without subdirectories are not two"
        }
        false if links == 0 => "no link for a name that it has",
        _ => return Ok(()),
    };
    if mutant!("entry-unchecked") {
        return Ok(());
    }
    Err(Corrupt::found(Place::Inode(ino32(inode)), what, links.into()).into())
}

/// Checks the link count of `dir`, from which a subdirectory is about to be removed: its name, its
/// own `.` and the `..` of the subdirectory make three. With fewer, dropping one could make an
/// inode that still has a name count as deleted.
pub(super) fn check_links(dir: &Inode) -> fault::Result {
    let links = dir.nlink();
    if links < 3 && !is_uncounted(dir) {
        let what = "too few links for the directories in it";
        return Err(Corrupt::found(Place::Inode(ino32(dir)), what, links.into()).into());
    }
    Ok(())
}

/// Writes `inode`, its names and what leads to them. The cache of the device is not flushed: when it was, [`names::flushed`] takes what
/// this returns.
pub(super) fn sync(inode: &Inode) -> fault::Result<names::Mark> {
    let mark = names::begin(inode);
    if inode.is_lnk() {
        // The target, which nobody can sync by itself.
        inode.write_and_wait()?;
    }
    inode.sync_metadata()?;
    names::sync(inode)?;
    Ok(mark)
}

/// The same, with the flush: it is on the device before anything that is written later.
pub(super) fn sync_now(inode: &Inode) -> fault::Result {
    let mark = sync(inode)?;
    BlockDevice::of(inode.sb()).issue_flush()?;
    names::flushed(inode, mark);
    Ok(())
}
