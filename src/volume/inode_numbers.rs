// SPDX-License-Identifier: GPL-2.0

//! The inode number allocator.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::choose_group::{self, groups_from, Spread};
use crate::ext2::free_runs::{FreeRuns, Wanted};
use crate::ext2::{Corrupt, Place};
use crate::types::SuperBlock;
use crate::volume::bitmaps::copy_bits;
use crate::volume::fault::{Fault, Result};
use crate::volume::released::Marked;
use kernel::prelude::*;
use kfs::mm::nofs::nofs;
use kfs::random::random_u32;

/// Allocates an inode number, for a `directory` or another file, near inode `parent` of the
/// directory that it is created in. Directories in a `top` directory are spread over the volume.
///
/// Takes the lock of settling, and those of the groups; may sleep. `ENOSPC` without a free inode, `EROFS` when
/// corruption in a bitmap stops changes to the volume, `EIO` when there may be free inodes in groups whose
/// bitmap cannot be read only, or when all that are left were given back, and that cannot be written.
pub(crate) fn allocate(sb: &SuperBlock, parent: u32, top: bool, directory: bool) -> Result<u32> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let parent_group = geometry.inode_slot(parent)?.group;
    volume.allocate(sb, bitmap::Kind::Inodes, || {
        let counts = |group: u32| volume.groups.counts(group);
        let first = if directory {
            let spread = Spread {
                groups: geometry.groups(),
                inodes_per_group: geometry.inodes_per_group(),
                blocks_per_group: geometry.blocks_per_group(),
                totals: volume.totals.get(),
            };
            choose_group::for_directory(&spread, counts, top, parent_group, random_u32())
        } else {
            choose_group::for_file(geometry.groups(), counts, parent_group, parent)
        };
        match first {
            Some(first) => search(sb, first, directory),
            None => Ok(None),
        }
    })
}

/// Allocates one that nobody has on the device either, in `first` or a group after it. `None` if
/// there is none.
fn search(sb: &SuperBlock, first: u32, directory: bool) -> Result<Option<u32>> {
    let volume = sb.data();
    let mut unread = None;
    for group in groups_from(first, volume.geometry().groups()) {
        match allocate_in(sb, group, directory) {
            Ok(Some(ino)) => return Ok(Some(ino)),
            Ok(None) => {}
            Err(fault) => fault.skip_group(sb, &mut unread)?,
        }
    }
    match unread {
        // Once those that were given back are settled, there may be some in the other groups.
        Some(error) if volume.released_numbers.summary().is_empty() => Err(error.into()),
        _ => Ok(None),
    }
}

/// Frees the inode number `ino`; `directory` says whether it counted as a directory in its group.
///
/// No entry on the device leads to the inode, or its buffer is [`First::Release`]. Takes the lock of its
/// group; may sleep. Freeing a free or reserved number is corruption.
///
/// [`First::Release`]: crate::volume::unwritten::First::Release
pub(crate) fn free(sb: &SuperBlock, ino: u32, directory: bool) -> Result {
    let geometry = sb.data().geometry();
    let slot = geometry.inode_slot(ino)?;
    if !geometry.is_file_ino(ino) {
        let what = "freeing a reserved inode";
        return Err(Corrupt::new(Place::Inode(ino), what).into());
    }
    let volume = sb.data();
    let run = Run {
        start: slot.index,
        len: 1,
    };
    nofs(|| {
        let kind = bitmap::Kind::Inodes;
        let (buffer, mut set) = volume.lock_to_free(sb, slot.group, kind)?;
        set.recount_inodes(sb, slot.group, &buffer)?;
        set.use_bits(&buffer, run)?;
        let in_group = geometry.inodes_per_group();
        let changed = bitmap::clear_run(&mut set.bitmap, in_group, run, slot.group, kind)?;
        volume.released_numbers.add(ino, 1);
        if !mutant!("first-inode-kept") {
            let first = set.first_inode(slot.group).min(slot.index);
            set.set_first_inode(slot.group, first);
        }
        set.change_counts(&volume.groups, slot.group, |counts| {
            counts.give_inode(geometry, slot.group, directory)
        })?;
        volume.totals.give_inode(directory);
        volume.groups.give();
        set.write_bitmap(volume, &buffer, changed)?;
        set.store_counts(volume, slot.group)
    })
}

/// Whether the inode bitmap has `ino` as in use. Waits for no lock, or only for that of its group, for a moment:
/// that would not keep the answer true after it was given back. May sleep.
pub(crate) fn is_allocated(sb: &SuperBlock, ino: u32) -> Result<bool> {
    let slot = sb.data().geometry().inode_slot(ino)?;
    if sb.data().geometry().has_uninit_groups()
        && nofs(|| {
            sb.data()
                .groups
                .lock(slot.group)
                .map(|set| set.uninit(slot.group))
        })?
        .has_no_inodes()
        && !mutant!("uninit-handle")
    {
        return Ok(false);
    }
    sb.data().last_bitmap.has(sb, &slot)
}

/// Allocates an inode number in one group. `None` when the counter of the group says none is free, or
/// all that are have been given back, and that may not be on the device.
fn allocate_in(sb: &SuperBlock, group: u32, directory: bool) -> Result<Option<u32>> {
    let volume = sb.data();
    let geometry = volume.geometry();
    if volume.groups.counts(group).free_inodes == 0 {
        return Ok(None);
    }
    let end = geometry.inodes_per_group();
    let (buffer, mut set) = volume.lock_to_allocate(sb, group, bitmap::Kind::Inodes)?;
    set.recount_inodes(sb, group, &buffer)?;
    if volume.groups.counts(group).free_inodes == 0 {
        return Ok(None);
    }
    let first_free = set.first_inode(group);
    let first_free = set.first_free(&buffer, first_free, end)?;
    set.set_first_inode(group, first_free);
    let first = geometry.ino_at(group, 0).unwrap_or(u32::MAX);
    let (mut some_released, mut any_released) = (false, false);
    let wanted = Wanted {
        goal: u32::MAX,
        need: 1,
        behind: 0,
    };
    let found = FreeRuns::from(first_free).find(&mut set.taken, end, &wanted, |taken, part| {
        copy_bits(&buffer, part.clone(), taken)?;
        let marked = volume.released_numbers.mark(first, part, taken);
        some_released |= marked == Marked::Some;
        // That is settled first.
        any_released = marked == Marked::Any;
        match any_released {
            true => Err(Fault::Error(EAGAIN)),
            false => Ok(()),
        }
    });
    if any_released {
        return Ok(None);
    }
    let Some(run) = found? else {
        if some_released {
            return Ok(None);
        }
        let what = "free inodes counted, but none in the inode bitmap";
        return Err(Corrupt::new(Place::Group(group), what).into());
    };
    let Some(ino) = geometry
        .ino_at(group, run.start)
        .filter(|&ino| geometry.is_file_ino(ino))
    else {
        let what = "inode bitmap has a reserved inode as free, by its index";
        return Err(Corrupt::found(Place::Group(group), what, run.start.into()).into());
    };
    set.use_bits(&buffer, run)?;
    let changed = bitmap::set_run(&mut set.bitmap, end, run).map_err(|_| EINVAL)?;
    set.change_counts(&volume.groups, group, |counts| {
        counts.take_inode(group, directory)
    })?;
    volume.totals.take_inode(directory);
    set.write_bitmap(volume, &buffer, changed)?;
    set.store_counts(volume, group)?;
    Ok(Some(ino))
}
