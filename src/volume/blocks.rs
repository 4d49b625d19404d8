// SPDX-License-Identifier: GPL-2.0

//! The block allocator.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::choose_group::groups_from;
use crate::ext2::window::Size;
use crate::ext2::Place;
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::groups::Groups;
use crate::volume::state::Volume;
pub(crate) use crate::volume::windows::{AllocationRequest, Reservation};
use kernel::alloc::Flags;
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

impl From<Run> for Blocks {
    fn from(Run { start, len }: Run) -> Self {
        Blocks { start, len }
    }
}

/// Allocates contiguous blocks near a goal.
///
/// What the blocks hold is stale. Takes the lock of settling, and that of the groups; may sleep. `ENOSPC` when no free
/// block is left to the current task (see [`usable`]), `EROFS` when corruption in a bitmap stops
/// changes to the volume, `EIO` when there may be free blocks in groups whose bitmap cannot be read
/// only, or when all that are left have been given back, and that cannot be written.
pub(crate) fn allocate(sb: &SuperBlock, request: AllocationRequest<'_>) -> Result<Blocks> {
    sb.data().allocate(
        sb,
        |groups| &groups.released_blocks,
        |groups| search(sb, groups, request),
    )
}

/// [`allocate`] among the blocks that nobody has on the device either. `None` if there are none.
fn search(
    sb: &SuperBlock,
    groups: &mut Groups,
    request: AllocationRequest<'_>,
) -> Result<Option<Blocks>> {
    let volume = sb.data();
    let len = request.len.min(usable(volume)?);
    let request = AllocationRequest { len, ..request };
    let read = |block| Ok(sb.bread(block)?);
    let mut unread = None;
    match groups.take_from_window(sb, &request, read, |_| true) {
        Ok(Some(run)) => return Ok(Some(run.into())),
        Ok(None) => {}
        Err(fault) => fault.skip_group(sb, &mut unread)?,
    }
    loop {
        let found = search_groups(sb, groups, &request, &mut unread)?;
        // What others might want later is for who needs it now.
        if found.is_some() || mutant!("windows-kept") || !groups.remove_windows(volume) {
            return match unread {
                // Once those that were given back are settled, there may be some in the other groups.
                Some(error) if found.is_none() && groups.released_blocks.is_empty() => {
                    Err(error.into())
                }
                _ => Ok(found),
            };
        }
    }
}

/// [`search`] without its own window, and outside those of others.
fn search_groups(
    sb: &SuperBlock,
    groups: &mut Groups,
    request: &AllocationRequest<'_>,
    unread: &mut Option<Error>,
) -> Result<Option<Blocks>> {
    /// In so many groups a run that is long enough is searched for, before a shorter one is taken.
    const TRIES: u32 = 8;
    let geometry = sb.data().geometry();
    let (goal_group, goal_index) = geometry.locate_block(request.goal).unwrap_or((0, u32::MAX));
    let size = groups.windows.next(request, sb.data().totals.free_blocks());
    let mut need = match mutant!("fragments-taken") {
        true => 1,
        false => size.map_or(request.len, |size| size.need),
    };
    let mut tries = TRIES;
    while need > 0 {
        let mut longest = 0;
        for group in groups_from(goal_group, geometry.groups()) {
            if groups.counts(group).free_blocks == 0 {
                continue;
            }
            let goal = match group == goal_group {
                true => goal_index,
                false => u32::MAX,
            };
            let known = groups.free_runs(group).longest();
            if known < need && group != goal_group {
                longest = longest.max(known);
                continue;
            }
            let plan = Plan {
                goal,
                need,
                size,
                flags: GFP_KERNEL,
            };
            match allocate_in(sb, groups, group, request, plan) {
                Ok(Found::Blocks(blocks)) => return Ok(Some(blocks)),
                Ok(Found::Shorter(len)) => {
                    longest = longest.max(len);
                    tries = tries.saturating_sub(1);
                    if tries == 0 && longest > 0 {
                        break;
                    }
                }
                Err(fault) => fault.skip_group(sb, unread)?,
            }
        }
        need = longest;
    }
    Ok(None)
}

/// [`allocate`] of all of them in one piece, in the group of the goal, with what is in memory. Does not
/// sleep for locks or for the device: `EAGAIN` if it would have to, or if they are not there.
///
/// The cache of the device has nothing of them to write.
pub(crate) fn allocate_nowait(sb: &SuperBlock, request: AllocationRequest<'_>) -> Result<Blocks> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let mut groups = volume.groups.try_lock().ok_or(EAGAIN)?;
    let (group, goal) = geometry.locate_block(request.goal).ok_or(EAGAIN)?;
    let released = &groups.released_blocks;
    let free = volume.totals.free_blocks();
    // Those that others may have are left to who can say that they may.
    if released.is_due()
        || released.is_full()
        || free.saturating_sub(volume.reserved_blocks()) < request.len
        || groups.uninit(group).is_any()
        || !groups.has_counted_blocks(group)
    {
        return Err(EAGAIN.into());
    }
    let is_fit = |found: Run| {
        let (start, count) = (found.start.into(), found.len.into());
        found.len == request.len && !sb.has_unwritten_buffers(start, count)
    };
    let find = |block| Ok(sb.find_get_block(block).ok_or(EAGAIN)?);
    if let Some(run) = groups.take_from_window(sb, &request, find, is_fit)? {
        return Ok(run.into());
    }
    let bitmap = volume.layout().group(group)?.block_bitmap();
    let buffer = find(bitmap.into())?;
    groups.use_bitmap(&buffer)?;
    let plan = Plan {
        goal,
        need: request.len,
        size: groups.windows.next(&request, free),
        flags: GFP_NOWAIT,
    };
    match take(sb, &mut groups, &buffer, group, &request, plan, is_fit)? {
        Found::Blocks(blocks) => Ok(blocks),
        Found::Shorter(_) => Err(EAGAIN.into()),
    }
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
    nofs(|| {
        let mut groups = volume.groups.lock();
        let mut rest = blocks;
        while rest.len > 0 {
            let Some((group, index)) = geometry.locate_block(rest.start) else {
                return Err(EINVAL.into());
            };
            let len = rest.len.min(geometry.group_blocks(group) - index);
            let run = Run { start: index, len };
            let kind = bitmap::Kind::Blocks;
            let buffer = groups.read_bitmap_in_use(sb, group, kind)?;
            groups.recount_blocks(sb, group)?;
            let end = geometry.group_blocks(group);
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
            groups.change_free_runs(group, |known| known.freed(run));
            if let Some(counts) = groups.counts.get_mut(group as usize) {
                counts.give_blocks(geometry, group, len)?;
            }
            volume.totals.give_blocks(len);
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

/// Gives up the window of inode `ino`, if it has one. Takes the lock of the groups then; may sleep.
pub(crate) fn drop_window(sb: &SuperBlock, ino: u32, of: &Reservation) {
    if of.start().is_none() {
        return;
    }
    let volume = sb.data();
    nofs(|| volume.groups.lock().remove_window(volume, ino, of));
}

/// Whether the current task may allocate `blocks` now. Does not sleep.
pub(crate) fn has_room(sb: &SuperBlock, blocks: u32) -> bool {
    usable(sb.data()).is_ok_and(|usable| usable >= blocks)
}

/// How many blocks the current task may allocate: the reserved ones are for the user and the group
/// of the mount options and for `CAP_SYS_RESOURCE`. `ENOSPC` when there are none.
fn usable(volume: &Volume) -> Result<u32> {
    let free = volume.totals.free_blocks();
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

/// What is looked for in a group.
#[derive(Clone, Copy)]
struct Plan {
    /// The block that should be the first, by its index; `u32::MAX` for none.
    goal: u32,
    /// The shortest run that will do, unless the goal itself is free.
    need: u32,
    /// The window that is to be made, if one is.
    size: Option<Size>,
    /// How to get memory for that.
    flags: Flags,
}

/// What there is in a group.
enum Found {
    /// They were allocated.
    Blocks(Blocks),
    /// No run is longer than this; 0 when there is none, whatever the counter of the group says.
    Shorter(u32),
}

/// Allocates blocks in one group.
fn allocate_in(
    sb: &SuperBlock,
    groups: &mut Groups,
    group: u32,
    request: &AllocationRequest<'_>,
    plan: Plan,
) -> Result<Found> {
    let block = sb.data().layout().group(group)?.block_bitmap();
    let buffer = groups.read_bitmap(sb, group, block)?;
    take(sb, groups, &buffer, group, request, plan, |_| true)
}

/// Takes blocks of a group from its bitmap, which has been read from `buffer`, if `is_fit` says so of what it
/// finds; and makes a window of those behind them.
fn take(
    sb: &SuperBlock,
    groups: &mut Groups,
    buffer: &BufferHead,
    group: u32,
    request: &AllocationRequest<'_>,
    plan: Plan,
    is_fit: impl FnOnce(Run) -> bool,
) -> Result<Found> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let end = geometry.group_blocks(group);
    bitmap::check_block_bitmap(&volume.layout(), group, &groups.bitmap)?;
    groups.recount_blocks(sb, group)?;
    let len = request.len.min(groups.counts(group).free_blocks.into());
    if len == 0 {
        return Ok(Found::Shorter(0));
    }
    let first = geometry.group_first_block(group);
    groups.taken.copy_from_slice(&groups.bitmap);
    let range = first..first.saturating_add(end);
    groups
        .released_blocks
        .mark(range.clone(), &mut groups.taken);
    groups.windows.mark(range, request, &mut groups.taken);
    let known = groups.free_runs(group);
    let is_goal_free = plan.goal < end && !bitmap::is_set(&groups.taken, plan.goal);
    if known.longest() < plan.need && !is_goal_free {
        return Ok(Found::Shorter(known.longest()));
    }
    let range = known.first().min(end)..end;
    let run = bitmap::find_run(&groups.taken, range, plan.goal, plan.need);
    let run = match run.filter(|run| is_goal_free || run.len >= plan.need) {
        Some(run) => run,
        None => {
            let longest = run.map_or(0, |run| run.len);
            groups.change_free_runs(group, |known| known.searched(longest));
            return Ok(Found::Shorter(longest));
        }
    };
    let len = run.len.min(len);
    let run = Run { len, ..run };
    let found = Run {
        start: first.saturating_add(run.start),
        len,
    };
    if !is_fit(found) {
        return Ok(Found::Shorter(0));
    }
    volume
        .layout()
        .check_data(Place::Inode(request.ino), found.start, found.len)?;
    let changed = bitmap::set_run(&mut groups.bitmap, end, run).map_err(|_| EINVAL)?;
    groups.take_counted(&volume.totals, group, len)?;
    groups.write_bitmap(volume, buffer, changed)?;
    groups.store_counts(volume, group)?;
    let bits = &groups.bitmap;
    if let Some(known) = groups.free_runs.get_mut(group as usize) {
        known.taken(bits, end);
    }
    if let Some(size) = plan.size {
        if let Some(free) = bitmap::next_run(&groups.taken, run.start, end, size.len) {
            let start = found.start;
            groups.replace_window(volume, request, Run { start, ..free }, size.len, plan.flags);
        }
    }
    Ok(Found::Blocks(found.into()))
}
