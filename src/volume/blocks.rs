// SPDX-License-Identifier: GPL-2.0

//! The block allocator.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::choose_group::groups_from;
use crate::ext2::Place;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::groups::Groups;
use crate::volume::state::Volume;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::cred;
use kfs::mm::nofs::nofs;

/// Contiguous blocks of the volume.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    /// The first block.
    pub(crate) start: u32,
    /// The number of blocks, at least one.
    pub(crate) len: u32,
}

impl Blocks {
    /// A single block.
    pub(crate) const fn one(block: u32) -> Self {
        Blocks {
            start: block,
            len: 1,
        }
    }
}

/// Allocates up to `want` contiguous blocks near the block `goal` for inode `ino`.
///
/// What the blocks hold is stale. Takes the lock of settling, and that of the groups; may sleep. `ENOSPC` when no free
/// block is left to the current task (see [`usable`]), `EROFS` when corruption in a bitmap stops
/// changes to the volume, `EIO` when there may be free blocks in groups whose bitmap cannot be read
/// only, or when all that are left have been given back, and that cannot be written.
pub(crate) fn allocate(sb: &SuperBlock, ino: u32, goal: u32, want: u32) -> Result<Blocks> {
    sb.data().allocate(
        sb,
        |groups| &groups.released_blocks,
        |groups| search(sb, groups, ino, goal, want),
    )
}

/// [`allocate`] among the blocks that nobody has on the device either. `None` if there are none.
fn search(
    sb: &SuperBlock,
    groups: &mut Groups,
    ino: u32,
    goal: u32,
    want: u32,
) -> Result<Option<Blocks>> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let (goal_group, goal_index) = geometry.locate_block(goal).unwrap_or((0, 0));
    let want = want.min(usable(volume, groups)?);
    let mut unread = None;
    for group in groups_from(goal_group, geometry.groups()) {
        if groups.counts(group).free_blocks == 0 {
            continue;
        }
        let goal_index = if group == goal_group { goal_index } else { 0 };
        match allocate_in(sb, groups, group, goal_index, want) {
            Ok(Some(blocks)) => {
                volume
                    .layout()
                    .check_data(Place::Inode(ino), blocks.start, blocks.len)?;
                return Ok(Some(blocks));
            }
            Ok(None) => {}
            Err(fault) => fault.skip_group(sb, &mut unread)?,
        }
    }
    match unread {
        // Once those that were given back are settled, there may be some in the other groups.
        Some(error) if groups.released_blocks.is_empty() => Err(error.into()),
        _ => Ok(None),
    }
}

/// [`allocate`] of all of `len` blocks in one piece, in the group of the goal, with what is in memory. Does not
/// sleep for locks or for the device: `EAGAIN` if it would have to, or if they are not there.
///
/// The cache of the device has nothing of them to write.
pub(crate) fn allocate_nowait(sb: &SuperBlock, ino: u32, goal: u32, len: u32) -> Result<Blocks> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let mut groups = volume.groups.try_lock().ok_or(EAGAIN)?;
    let (group, index) = geometry.locate_block(goal).ok_or(EAGAIN)?;
    let released = &groups.released_blocks;
    let free = groups.totals.free_blocks;
    // Those that others may have are left to who can say that they may.
    if released.is_due()
        || released.is_full()
        || free.saturating_sub(volume.reserved_blocks()) < len
        || !groups.has_counted_blocks(group)
    {
        return Err(EAGAIN.into());
    }
    let bitmap = volume.layout().group(group)?.block_bitmap();
    let buffer = sb.find_get_block(bitmap.into()).ok_or(EAGAIN)?;
    groups.use_bitmap(&buffer)?;
    let is_fit = |found: Blocks| {
        let (start, count) = (found.start.into(), found.len.into());
        found.len == len && !sb.has_unwritten_buffers(start, count)
    };
    let blocks = take(sb, &mut groups, &buffer, (group, index, len), is_fit)?.ok_or(EAGAIN)?;
    volume
        .layout()
        .check_data(Place::Inode(ino), blocks.start, blocks.len)?;
    Ok(blocks)
}

/// What blocks that are freed have been.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freed {
    /// They were just allocated, and no pointer led to them.
    Unused,
    /// A file had them, and may have them on the device. What led to them has been cleared, in
    /// buffers that are [`First::Release`](crate::volume::unwritten::First).
    Released,
}

/// Frees blocks, group by group.
///
/// Takes the lock of the groups; may sleep, but does not wait for what was given back before to be
/// settled. Freeing a free block is corruption, and then nothing is freed in its group. The caller has
/// dropped what the blocks have in the page and buffer caches.
pub(crate) fn free(sb: &SuperBlock, blocks: Blocks, freed: Freed) -> Result {
    let volume = sb.data();
    let geometry = volume.geometry();
    let layout = volume.layout();
    nofs(|| {
        let mut groups = volume.groups.lock();
        let mut rest = blocks;
        while rest.len > 0 {
            let Some((group, index)) = geometry.locate_block(rest.start) else {
                return Err(EINVAL.into());
            };
            let len = rest.len.min(geometry.group_blocks(group) - index);
            let run = Run { start: index, len };
            let block = layout.group(group)?.block_bitmap();
            let buffer = groups.read_bitmap(sb, group, block)?;
            groups.recount_blocks(sb, group)?;
            let end = geometry.group_blocks(group);
            let kind = bitmap::Kind::Blocks;
            let changed = match bitmap::clear_run(&mut groups.bitmap, end, run, group, kind) {
                Err(_) if mutant!("freed-twice") => 0..0,
                cleared => cleared?,
            };
            // They are free when the lock is given back. Had they not been freed, what is not
            // written of them would still be needed.
            volume.unwritten.forget(rest.start, len);
            if freed == Freed::Released {
                groups.released_blocks.add(rest.start, len);
            }
            if let Some(counts) = groups.counts.get_mut(group as usize) {
                counts.give_blocks(geometry, group, len)?;
            }
            groups.totals.free_blocks = groups.totals.free_blocks.saturating_add(len);
            groups.write_bitmap(volume, &buffer, changed)?;
            groups.store_counts(volume, group)?;
            rest = Blocks {
                start: rest.start.saturating_add(len),
                len: rest.len - len,
            };
        }
        Ok(())
    })
}

/// Takes note that one of the inodes that share `block` has it no more, but may have it on the device.
/// What led to it has been cleared, as for [`Freed::Released`]. Takes the lock of the groups; may sleep.
pub(crate) fn drop_shared(sb: &SuperBlock, block: u32) {
    nofs(|| sb.data().groups.lock().released_blocks.add(block, 1));
}

/// Whether an inode may have `block` on the device that has it no more. Takes the lock of the groups; may
/// sleep.
pub(crate) fn was_shared(sb: &SuperBlock, block: u32) -> bool {
    nofs(|| sb.data().groups.lock().released_blocks.has(block))
}

/// Whether the current task may allocate `blocks` now. Takes the lock of the groups; may sleep.
pub(crate) fn has_room(sb: &SuperBlock, blocks: u32) -> bool {
    let volume = sb.data();
    nofs(|| usable(volume, &volume.groups.lock()).is_ok_and(|usable| usable >= blocks))
}

/// How many blocks the current task may allocate: the reserved ones are for the user and the group
/// of the mount options and for `CAP_SYS_RESOURCE`. `ENOSPC` when there are none.
fn usable(volume: &Volume, groups: &Groups) -> Result<u32> {
    let free = groups.totals.free_blocks;
    let unreserved = free.saturating_sub(volume.reserved_blocks());
    if unreserved > 0 {
        return Ok(unreserved);
    }
    let options = volume.options();
    let privileged = free > 0
        && (cred::fsuid_is(options.reserved_uid)
            || (options.reserved_gid != 0 && cred::in_group(options.reserved_gid))
            || cred::capable_sys_resource());
    if privileged {
        Ok(free)
    } else {
        Err(ENOSPC.into())
    }
}

/// Allocates blocks in one group. `None` when the bitmap has no free block, whatever the counter of
/// the group says.
fn allocate_in(
    sb: &SuperBlock,
    groups: &mut Groups,
    group: u32,
    goal: u32,
    want: u32,
) -> Result<Option<Blocks>> {
    let block = sb.data().layout().group(group)?.block_bitmap();
    let buffer = groups.read_bitmap(sb, group, block)?;
    take(sb, groups, &buffer, (group, goal, want), |_| true)
}

/// Takes up to `want` blocks near block `goal` of a group from its bitmap, which has been read from `buffer`, if
/// `is_fit` says so of what it finds.
fn take(
    sb: &SuperBlock,
    groups: &mut Groups,
    buffer: &BufferHead,
    (group, goal, want): (u32, u32, u32),
    is_fit: impl FnOnce(Blocks) -> bool,
) -> Result<Option<Blocks>> {
    let geometry = sb.data().geometry();
    let end = geometry.group_blocks(group);
    bitmap::check_block_bitmap(&sb.data().layout(), group, &groups.bitmap)?;
    groups.recount_blocks(sb, group)?;
    let want = want.min(groups.counts(group).free_blocks.into());
    if want == 0 {
        return Ok(None);
    }
    let first = geometry.group_first_block(group);
    groups.taken.copy_from_slice(&groups.bitmap);
    let range = first..first.saturating_add(end);
    groups.released_blocks.mark(range, &mut groups.taken);
    let Some(run) = bitmap::find_run(&groups.taken, end, goal, want) else {
        return Ok(None);
    };
    let found = Blocks {
        start: first.saturating_add(run.start),
        len: run.len,
    };
    if !is_fit(found) {
        return Ok(None);
    }
    let changed = bitmap::set_run(&mut groups.bitmap, end, run).map_err(|_| EINVAL)?;
    if let Some(counts) = groups.counts.get_mut(group as usize) {
        counts.take_blocks(group, run.len)?;
    }
    groups.totals.free_blocks = groups.totals.free_blocks.saturating_sub(run.len);
    groups.write_bitmap(sb.data(), buffer, changed)?;
    groups.store_counts(sb.data(), group)?;
    Ok(Some(found))
}
