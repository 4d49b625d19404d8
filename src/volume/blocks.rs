// SPDX-License-Identifier: GPL-2.0

//! The block allocator.

use crate::ext2::bitmap::{self, Run};
use crate::ext2::choose_group::groups_from;
use crate::ext2::free_runs::Wanted;
use crate::ext2::window::{Room, Size};
use crate::ext2::Place;
use crate::types::SuperBlock;
use crate::volume::bitmaps::copy_bits;
use crate::volume::fault::{Fault, Result};
use crate::volume::groups::GroupSet;
use crate::volume::in_window::Taken;
use crate::volume::released::Marked;
use crate::volume::state::Volume;
use crate::volume::usable::Usable;
use crate::volume::windows::NewWindow;
pub(crate) use crate::volume::windows::{AllocationRequest, Reservation};
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
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
/// What the blocks hold is stale, and the cache of the device has nothing of them to write. One task at a time allocates for
/// an inode with a window. Takes the lock of settling, and those of the groups; may sleep. `ENOSPC` when no free
/// block is left to the current task (see [`crate::volume::usable`]), `EROFS` when corruption in a bitmap stops
/// changes to the volume, `EIO` when there may be free blocks in groups whose bitmap cannot be read
/// only, or when all that are left have been given back, and that cannot be written.
pub(crate) fn allocate(sb: &SuperBlock, request: AllocationRequest<'_>) -> Result<Blocks> {
    let volume = sb.data();
    volume.allocate(sb, bitmap::Kind::Blocks, || search(sb, request))
}

/// [`allocate`] among the blocks that nobody has on the device either. `None` if there are none.
fn search(sb: &SuperBlock, request: AllocationRequest<'_>) -> Result<Option<Blocks>> {
    let volume = sb.data();
    let usable = Usable::of(volume)?;
    let len = request.len.min(usable.len);
    let request = AllocationRequest { len, ..request };
    let mut unread = None;
    match take_from_window(volume, &request, &usable) {
        Ok(Some(taken)) => {
            if !taken.is_clean {
                clean(sb, taken.run);
            }
            return Ok(Some(taken.run.into()));
        }
        Ok(None) => {}
        Err(fault) => fault.skip_group(sb, &mut unread)?,
    }
    loop {
        let found = search_groups(sb, &request, &usable, &mut unread)?;
        // What others might want later is for who needs it now.
        if found.is_some() || mutant!("windows-kept") || !volume.remove_windows() {
            return match unread {
                // Once those that were given back are settled, there may be some in the other groups.
                Some(error) if found.is_none() && volume.released_blocks.summary().is_empty() => {
                    Err(error.into())
                }
                _ => Ok(found),
            };
        }
    }
}

/// Takes blocks from the window of the inode, if the goal is in it.
fn take_from_window(
    volume: &Volume,
    request: &AllocationRequest<'_>,
    usable: &Usable,
) -> Result<Option<Taken>> {
    let geometry = volume.geometry();
    let Some(goal) = geometry.locate_block(request.goal) else {
        return Ok(None);
    };
    if !request.window.is_some_and(Reservation::is_there) {
        return Ok(None);
    }
    // Who goes on somewhere else has a window of another group, and does not find it there.
    let set = volume.groups.lock(goal.0)?;
    set.take_from_window(volume, request, goal, usable, |_| true)
}

/// [`search`] without its own window, which it gives up, and outside those of others.
fn search_groups(
    sb: &SuperBlock,
    request: &AllocationRequest<'_>,
    usable: &Usable,
    unread: &mut Option<Error>,
) -> Result<Option<Blocks>> {
    /// In so many groups a run that is long enough is searched for, before a shorter one is taken.
    const TRIES: u32 = 8;
    let volume = sb.data();
    let geometry = volume.geometry();
    let (goal_group, goal_index) = geometry.locate_block(request.goal).unwrap_or((0, u32::MAX));
    let old = request
        .window
        .and_then(|of| volume.remove_window(request.ino, of));
    let size = request.next_window(old, room(volume));
    let mut need = match mutant!("fragments-taken") {
        true => 1,
        false => size.map_or(request.len, |size| size.need),
    };
    let mut tries = TRIES;
    // The group with the longest run, if none was long enough.
    let mut best = None;
    while need > 0 {
        let mut longest = 0;
        let first = best.take().into_iter();
        for group in Iterator::chain(first, groups_from(goal_group, geometry.groups())) {
            if volume.groups.counts(group).free_blocks == 0 {
                continue;
            }
            let goal = match group == goal_group {
                true => goal_index,
                false => u32::MAX,
            };
            if group != goal_group {
                let known = volume.groups.longest_run(group);
                if known < need {
                    if known > longest {
                        (longest, best) = (known, Some(group));
                    }
                    continue;
                }
            }
            let plan = Plan {
                goal,
                need,
                size,
                may_sleep: true,
                usable: *usable,
            };
            match allocate_in(sb, group, request, plan) {
                Ok(Found::Blocks { run, window }) => {
                    match window {
                        Some(window) if mutant!("window-cleaned-unlocked") => clean(sb, window.run),
                        Some(window) if window.is_clean => {}
                        _ => clean(sb, run),
                    }
                    return Ok(Some(run.into()));
                }
                Ok(Found::Shorter(len)) => {
                    if len > longest {
                        (longest, best) = (len, Some(group));
                    }
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

/// From here on no buffer of the cache of the device aliases the blocks of `run`, which the caller has: of others it would drop what
/// is in use. Without the lock of a group; sleeps.
fn clean(sb: &SuperBlock, run: Run) {
    if !mutant!("aliases-kept") {
        sb.clean_bdev_aliases(run.start.into(), run.len.into());
    }
}

/// The blocks of which windows can be made now.
fn room(volume: &Volume) -> Room {
    Room {
        in_group: volume.geometry().blocks_per_group(),
        free: volume.totals.free_blocks(),
    }
}

/// [`allocate`] of all of them in one piece, in the group of the goal, with what is in memory. Does not
/// sleep for locks or for the device: `EAGAIN` if it would have to, or if they are not there.
///
/// The cache of the device has nothing of them to write.
pub(crate) fn allocate_nowait(sb: &SuperBlock, request: AllocationRequest<'_>) -> Result<Blocks> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let (group, goal) = geometry.locate_block(request.goal).ok_or(EAGAIN)?;
    let released = volume.released_blocks.summary();
    // Those that others may have are left to who can say that they may.
    let usable = Usable::whole(volume, request.len)?;
    if released.is_due() || released.is_full() {
        return Err(EAGAIN.into());
    }
    let bitmap = volume.layout().group(group)?.block_bitmap();
    let buffer = sb.find_get_block_nowait(bitmap.into()).ok_or(EAGAIN)?;
    let start = request.window.and_then(Reservation::start);
    let mut old = None;
    // Its own lock is that of another group, and nobody holds two.
    if let Some((start, (other, _))) = start.and_then(|it| Some((it, geometry.locate_block(it)?))) {
        if other != group && !volume.groups.share_lock(other, group) {
            let mut set = volume.groups.try_lock(other)?.ok_or(EAGAIN)?;
            if request.window.and_then(Reservation::give_up).is_some() {
                old = set.remove_window(volume, request.ino, start);
                volume.groups.give();
            }
        }
    }
    let mut set = volume.groups.try_lock(group)?.ok_or(EAGAIN)?;
    if set.uninit(group).is_any() || !set.has_counted_blocks(group) {
        return Err(EAGAIN.into());
    }
    let is_fit = |found: Run| {
        let (start, count) = (found.start.into(), found.len.into());
        found.len == request.len && !sb.has_unwritten_buffers(start, count)
    };
    if let Some(taken) = set.take_from_window(volume, &request, (group, goal), &usable, is_fit)? {
        return Ok(taken.run.into());
    }
    let old = old.or_else(|| set.windows.of(&request));
    let plan = Plan {
        goal,
        need: request.len,
        size: request.next_window(old, room(volume)),
        may_sleep: false,
        usable,
    };
    match take(sb, &mut set, &buffer, group, &request, plan, is_fit)? {
        Found::Blocks { run, .. } => Ok(run.into()),
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
/// Takes the locks of the groups; may sleep, but does not wait for what was given back before to be
/// settled. Freeing a free block is corruption, and then nothing is freed in its group. The caller has
/// dropped what the blocks have in the page and buffer caches.
pub(crate) fn free(sb: &SuperBlock, blocks: Blocks, freed: Freed) -> Result {
    let geometry = sb.data().geometry();
    let mut rest = blocks;
    while rest.len > 0 {
        let Some((group, index)) = geometry.locate_block(rest.start) else {
            return Err(EINVAL.into());
        };
        let len = rest.len.min(geometry.group_blocks(group) - index);
        let run = Run { start: index, len };
        nofs(|| free_in(sb, group, run, freed))?;
        rest = Blocks {
            start: rest.start.saturating_add(len),
            len: rest.len - len,
        };
    }
    Ok(())
}

/// Frees the blocks of `run`, by their indices in one group.
fn free_in(sb: &SuperBlock, group: u32, run: Run, freed: Freed) -> Result {
    let volume = sb.data();
    let geometry = volume.geometry();
    let kind = bitmap::Kind::Blocks;
    let (buffer, mut set) = volume.lock_to_free(sb, group, kind)?;
    set.recount_blocks(sb, group, &buffer)?;
    let end = geometry.group_blocks(group);
    set.use_bits(&buffer, run)?;
    let changed = match bitmap::clear_run(&mut set.bitmap, end, run, group, kind) {
        Err(_) if mutant!("freed-twice") => 0..0,
        cleared => cleared?,
    };
    let start = geometry.group_first_block(group).saturating_add(run.start);
    let len = run.len;
    // They are free when the lock is given back. Had they not been freed, what is not
    // written of them would still be needed.
    volume.unwritten.forget(start, len);
    if freed == Freed::Released {
        volume.released_blocks.add(start, len);
    }
    set.freed(&volume.groups, geometry, Run { start, len });
    set.change_counts(&volume.groups, group, |counts| {
        counts.give_blocks(geometry, group, len)
    })?;
    volume.totals.give_blocks(len);
    volume.groups.give();
    set.write_bitmap(volume, &buffer, changed)?;
    set.store_counts(volume, group)
}

/// Takes note that one of the inodes that share `block` has it no more, but may have it on the device.
/// What led to it has been cleared, as for [`Freed::Released`]. May sleep.
pub(crate) fn drop_shared(sb: &SuperBlock, block: u32) {
    sb.data().released_blocks.add(block, 1);
}

/// Whether an inode may have `block` on the device that has it no more. May sleep.
pub(crate) fn was_shared(sb: &SuperBlock, block: u32) -> bool {
    sb.data().released_blocks.has(block)
}

/// Gives up the window of inode `ino`, if it has one. Takes the lock of its group then; may sleep.
pub(crate) fn drop_window(sb: &SuperBlock, ino: u32, of: &Reservation) {
    if of.is_there() {
        nofs(|| sb.data().remove_window(ino, of));
    }
}

/// Whether the current task may allocate `blocks` now. Does not sleep.
pub(crate) fn has_room(sb: &SuperBlock, blocks: u32) -> bool {
    Usable::of(sb.data()).is_ok_and(|usable| usable.len >= blocks)
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
    /// Memory may be waited for.
    may_sleep: bool,
    /// What the task may have.
    usable: Usable,
}

/// What there is in a group.
enum Found {
    /// They were allocated.
    Blocks {
        run: Run,
        /// The window that was made, which begins with them.
        window: Option<NewWindow>,
    },
    /// No run is longer than this; 0 when there is none, whatever the counter of the group says.
    Shorter(u32),
}

/// Allocates blocks in one group.
fn allocate_in(
    sb: &SuperBlock,
    group: u32,
    request: &AllocationRequest<'_>,
    plan: Plan,
) -> Result<Found> {
    let kind = bitmap::Kind::Blocks;
    let (buffer, mut set) = sb.data().lock_to_allocate(sb, group, kind)?;
    take(sb, &mut set, &buffer, group, request, plan, |_| true)
}

/// Takes blocks of a group from its bitmap, which has been read from `buffer`, if `is_fit` says so of what it
/// finds; and makes a window of those behind them.
fn take(
    sb: &SuperBlock,
    set: &mut GroupSet,
    buffer: &BufferHead,
    group: u32,
    request: &AllocationRequest<'_>,
    plan: Plan,
    is_fit: impl FnOnce(Run) -> bool,
) -> Result<Found> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let end = geometry.group_blocks(group);
    set.recount_blocks(sb, group, buffer)?;
    // One that was counted was checked. It is not again, but what is found in it.
    if !set.has_counted_blocks(group) {
        set.use_bitmap(buffer)?;
        bitmap::check_block_bitmap(&volume.layout(), group, &set.bitmap)?;
    }
    let len = request
        .len
        .min(volume.groups.counts(group).free_blocks.into());
    if len == 0 {
        return Ok(Found::Shorter(0));
    }
    let first = geometry.group_first_block(group);
    let wanted = Wanted {
        goal: plan.goal,
        need: plan.need,
        behind: plan.size.map_or(0, |size| size.len),
    };
    let mut known = set.free_runs(group);
    let windows = &set.windows;
    let mut is_any_released = false;
    let found = known.find(&mut set.taken, end, &wanted, |taken, part| {
        copy_bits(buffer, part.clone(), taken)?;
        let marked = match plan.usable.is_whole {
            true => volume
                .released_blocks
                .try_mark(first, part.clone(), taken)
                .ok_or(EAGAIN)?,
            false => volume.released_blocks.mark(first, part.clone(), taken),
        };
        // That is settled first, and the group is left as it was known.
        if marked == Marked::Any {
            is_any_released = true;
            return Err(EAGAIN.into());
        }
        windows.mark(first, part, request, taken);
        Ok::<_, Fault>(())
    });
    if is_any_released {
        return Ok(Found::Shorter(0));
    }
    let found = found?;
    set.change_free_runs(&volume.groups, group, |runs| *runs = known);
    let Some(run) = found else {
        return Ok(Found::Shorter(known.longest()));
    };
    let len = run.len.min(len);
    let found = Run {
        start: first.saturating_add(run.start),
        len,
    };
    if !is_fit(found) {
        return Ok(Found::Shorter(0));
    }
    let place = Place::Inode(request.ino);
    let checked = volume.layout().check_data(place, found.start, len);
    if checked.is_err() && !mutant!("metadata-taken") {
        set.use_bitmap(buffer)?;
        bitmap::check_block_bitmap(&volume.layout(), group, &set.bitmap)?;
        checked?;
    }
    let len = plan.usable.take(volume, len)?;
    let run = Run { len, ..run };
    let found = Run { len, ..found };
    set.use_bits(buffer, run)?;
    let changed = bitmap::set_run(&mut set.bitmap, end, run).map_err(|_| EINVAL)?;
    set.change_counts(&volume.groups, group, |counts| {
        counts.take_blocks(group, len)
    })?;
    set.write_bitmap(volume, buffer, changed)?;
    set.store_counts(volume, group)?;
    let first_free = set.first_free(buffer, known.first(), end)?;
    set.change_free_runs(&volume.groups, group, |known| known.taken(first_free));
    let window = plan.size.and_then(|size| {
        let free = bitmap::next_run(&set.taken, run.start, end, size.len)?;
        let start = found.start;
        let run = Run { start, ..free };
        let new = NewWindow {
            run,
            wanted: size.len,
            is_clean: !sb.has_unwritten_buffers(start.into(), free.len.into())
                || mutant!("window-unclean"),
            may_sleep: plan.may_sleep,
        };
        set.replace_window(volume, request, &new, buffer)
            .then_some(new)
    });
    Ok(Found::Blocks { run: found, window })
}
