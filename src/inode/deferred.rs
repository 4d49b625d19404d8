// SPDX-License-Identifier: GPL-2.0

//! Pointers to new blocks: when they come to the device.
//!
//! A block of pointers that is new has on the device what its previous owner left there. A crash in
//! which a pointer to it is on the device and the block is not gives the file garbage for pointers,
//! and e2fsck clears the inode for that: a file that was synced is lost as a whole because it has
//! grown since. So a pointer to a new block of pointers is *deferred*, after the soft updates of BSD
//! (McKusick and Ganger, "Soft Updates", 1999): memory has it, and the device gets it when it has the
//! block.
//!
//! Pointers to blocks of data that were written directly are deferred, too, if the device has a volatile
//! cache: the data may still be in it, and be lost while a pointer that was written later is not. A file
//! that is written costs one flush for each time that its inode is written then, however many requests
//! there were. (FUA writes, or a flush in each request, would cost one for each.) Without such a cache
//! they are stored like those to blocks of the page cache, which may come to the device at any time.
//!
//! * In the inode: the slot is stored as a hole ([`with_stored_pointers`]).
//! * In a block of pointers: its buffer has the pointer, but is not dirty, so that nobody writes it, and
//!   other pointers that are stored in it meanwhile wait with it.
//! * In a block of pointers that is *new*, that is, nothing on the device leads to it as that is deferred, it is stored as
//!   any other: what is in there is found when the rest is settled, and not before.
//!
//! An inode that is new may be deferred as a whole ([`crate::inode::unborn`]).
//!
//! [`settle`] ends that, each time that the inode is written: it writes the new blocks, flushes the
//! cache of the device, and then the pointers are stored, or their buffers marked dirty. If the device fails, they stay
//! deferred: the inode is dirty again, and the next time that it is written all of it is tried again, by who syncs or
//! by writeback. When it leaves memory so, what is not on the device is lost ([`settle_last`]).
//!
//! Lock order: the block map, then this.

use crate::ext2::pointers::Pointers;
use crate::inode::dirty::{mark_buffer_dirty, mark_buffer_dirty_nowait};
use crate::inode::errors;
use crate::inode::rare_vec::RareVec;
use crate::types::Inode;
use crate::volume::fault::{Fault, Result};
use crate::volume::new_of_inodes::NewOfInodes;
use crate::volume::unwritten::First;
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::MutexGuard;
use kfs::block::bdev::BlockDevice;
use kfs::block::buffer_head::BufferHead;
use kfs::drop_in_atomic;
use kfs::mm::nofs::nofs;

/// The deferred pointers of an inode.
#[derive(Default)]
pub(crate) struct Deferred {
    /// The slots of the inode that have one, as bits.
    root: u16,
    /// The blocks of pointers that have some, in the order of the volume. What is in them is not on the device.
    parents: RareVec<BufferHead>,
    /// The blocks of pointers that nothing on the device leads to, in the order of the volume.
    new: RareVec<u32>,
    /// For how many more there is room whatever happens.
    promised: usize,
    /// Of an inode that was not stored since it was made, as it waits for its first block.
    unborn: Option<Unborn>,
    /// The device has failed since the last time that all of it was settled: that was told.
    has_failed: bool,
}

/// How far an inode is that is yet to be stored for the first time.
#[derive(Clone, Copy)]
enum Unborn {
    /// It must not be stored: its block is yet to come.
    InMaking,
    /// It must not be stored before this round of new blocks of inodes is settled.
    Until(u64),
    /// It may be stored.
    Due,
    /// It was.
    Stored,
}

drop_in_atomic!(plain Unborn);
drop_in_atomic!(struct Deferred { root, parents, new, promised, unborn, has_failed });

impl Deferred {
    fn is_empty(&self) -> bool {
        self.root == 0 && self.parents.is_empty()
    }

    fn clear(&mut self) {
        self.root = 0;
        self.has_failed = false;
        self.new = RareVec::new();
        match self.promised {
            0 => self.parents = RareVec::new(),
            _ => self.parents.clear(),
        }
    }

    fn has(&self, parent: &BufferHead) -> bool {
        self.place(parent).is_ok()
    }

    /// Which of the parents `parent` is, or, as an error, would be.
    fn place(&self, parent: &BufferHead) -> core::result::Result<usize, usize> {
        self.parents
            .binary_search_by_key(&parent.block(), BufferHead::block)
    }

    fn is_new(&self, block: &BufferHead) -> bool {
        u32::try_from(block.block()).is_ok_and(|block| self.new.binary_search(&block).is_ok())
    }

    /// Makes room for as many of them.
    fn reserve_new(&mut self, more: &[u32]) -> Result {
        Ok(self.new.reserve(more.len(), GFP_KERNEL)?)
    }

    /// Remembers them, for which there is room.
    fn add_new(&mut self, more: &[u32]) -> Result {
        for &block in more {
            if let Err(place) = self.new.binary_search(&block) {
                self.new.insert_within_capacity(place, block)?;
            }
        }
        Ok(())
    }

    /// Forgets one that is about to be freed. Whether it was there.
    fn forget_new(&mut self, block: u32) -> bool {
        let place = self.new.binary_search(&block);
        place.is_ok_and(|place| self.new.remove(place).is_some())
    }

    /// Forgets the parent with the number `block`, which is about to be freed.
    fn forget_parent(&mut self, block: u32) -> Option<BufferHead> {
        let block = u64::from(block);
        let place = self
            .parents
            .binary_search_by_key(&block, BufferHead::block)
            .ok()?;
        self.parents.remove(place)
    }

    /// It is not freed after all: it stays, if there is room.
    fn keep_parent(&mut self, parent: BufferHead) {
        if let Err(place) = self.place(&parent) {
            let _ = self.parents.insert_within_capacity(place, parent);
        }
    }

    /// The device has failed, if so: tells that once.
    fn failed(&mut self, inode: &Inode, settled: kernel::error::Result) {
        if settled.is_err() && !self.has_failed {
            self.has_failed = true;
            let what = "cannot write what its new pointers lead to";
            errors::log(inode, what, settled.map_err(Fault::from));
        }
    }

    /// The buffers of the new blocks, also of those that could not be written.
    fn new_in_memory<'a>(&'a self, inode: &'a Inode) -> impl Iterator<Item = BufferHead> + 'a {
        let find = move |&block: &u32| inode.sb().find_any_block(block.into());
        let new = self.new.iter().filter_map(find);
        new.filter(|_| !mutant!("failed-pointers-passed"))
    }

    /// Writes the new blocks to the device, and waits. May sleep. `EIO` when one of them, or another block of the inode,
    /// could not be written.
    ///
    /// One that writeback could not write is clean, and not among the buffers of the inode any more; or somebody else has marked it
    /// dirty since. Those that are not in memory have been written.
    fn write_new(&self, inode: &Inode) -> kernel::error::Result {
        for buffer in self
            .new_in_memory(inode)
            .filter(BufferHead::has_write_error)
        {
            mark_buffer_dirty(inode, &buffer);
        }
        inode.sync_buffers()?;
        for buffer in self.new_in_memory(inode).filter(BufferHead::is_unwritten) {
            buffer.sync_dirty()?;
        }
        Ok(())
    }

    /// The device has the new blocks: what leads to them may follow.
    fn let_go(&mut self, inode: &Inode) {
        for parent in self.parents.iter() {
            mark_buffer_dirty(inode, parent);
        }
        self.clear();
    }

    /// From now on nobody writes `parent`. What it has had until now is on the device.
    fn hold(&mut self, inode: &Inode, parent: &BufferHead) -> Result {
        if let Err(place) = self.place(parent) {
            self.parents.reserve(1 + self.promised, GFP_KERNEL)?;
            if parent.has_write_error() {
                mark_buffer_dirty_nowait(inode, parent);
            }
            // A write in flight ends, too: it would take the pointer along.
            parent.sync_dirty()?;
            self.parents.insert_within_capacity(place, parent.get())?;
        }
        Ok(())
    }
}

/// Runs `link`, which stores a pointer to the blocks of pointers `new` of `inode` in its slot `index`, as
/// one that is deferred. Called with memory allocation in `nofs`. Does not sleep for the device.
///
/// `ENOMEM`: nothing is linked.
pub(super) fn in_root(
    inode: &Inode,
    index: usize,
    new: &[u32],
    link: impl FnOnce() -> Result,
) -> Result {
    let deferred = &mut *inode.data().get_ref().deferred.lock();
    deferred.reserve_new(new)?;
    link()?;
    if !mutant!("pointers-early") {
        deferred.root |= 1 << index;
        deferred.add_new(new)?;
    }
    Ok(())
}

/// Runs `link`, which stores a pointer to the blocks of pointers `new` of `inode` in `parent`, as one that
/// is deferred. Called with memory allocation in `nofs`. May sleep: what `parent` has had until now is written first.
///
/// If that is new itself, it may be written at any time.
///
/// `ENOMEM`, `EIO`: nothing is linked.
pub(super) fn in_block(
    inode: &Inode,
    parent: &BufferHead,
    new: &[u32],
    link: impl FnOnce() -> Result,
) -> Result {
    let deferred = &mut *inode.data().get_ref().deferred.lock();
    deferred.reserve_new(new)?;
    let is_reachable = !deferred.is_new(parent) || mutant!("new-parents-held");
    let is_held = is_reachable || deferred.has(parent);
    if !is_held || mutant!("pointers-early") {
        link()?;
        mark_buffer_dirty(inode, parent);
        return deferred.add_new(new);
    }
    deferred.hold(inode, parent)?;
    link()?;
    deferred.add_new(new)
}

/// Where pointers to blocks of data are.
pub(super) enum DataSlots<'a> {
    /// In the inode.
    Root(Range<usize>),
    /// In this block of pointers.
    Block(&'a BufferHead),
}

/// How far blocks of data have been written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As far as the cache of the device.
    Cached,
    /// That was flushed since.
    Flushed,
}

/// Makes room for what [`written`] has to remember of one more run, so that it needs no memory; until
/// [`forget_room`]. Called with memory allocation in `nofs`; may sleep. `ENOMEM`.
pub(super) fn make_room(inode: &Inode) -> Result {
    let deferred = &mut *inode.data().get_ref().deferred.lock();
    deferred
        .parents
        .reserve(1 + deferred.promised, GFP_KERNEL)?;
    deferred.promised += 1;
    Ok(())
}

/// Room for one more run, which nobody else gets as long as this is there.
pub(super) struct RoomForOne<'a>(MutexGuard<'a, Deferred>);

impl RoomForOne<'_> {
    /// Keeps it until [`forget_room`].
    pub(super) fn keep(mut self) {
        self.0.promised += 1;
    }
}

/// [`make_room`] with the memory there is, if it is kept then. Does not sleep. `EAGAIN`.
pub(super) fn room_nowait(inode: &Inode) -> Result<RoomForOne<'_>> {
    let mut deferred = inode.data().get_ref().deferred.try_lock().ok_or(EAGAIN)?;
    let more = 1 + deferred.promised;
    deferred
        .parents
        .reserve(more, GFP_NOWAIT)
        .map_err(|_| EAGAIN)?;
    Ok(RoomForOne(deferred))
}

/// The room of one run is not needed any more.
pub(super) fn forget_room(inode: &Inode) {
    inode.data().get_ref().deferred.lock().promised -= 1;
}

/// Runs `link`, which stores pointers to blocks of data in `slots`: blocks that have been written, as far
/// as `until` says. Called with memory allocation in `nofs`, for which it does not wait after
/// [`make_room`]. May sleep: what a block of pointers has had until now is written first, unless nothing leads to it
/// on the device.
///
/// `EIO`: nothing is linked.
pub(super) fn written(
    inode: &Inode,
    slots: DataSlots<'_>,
    until: Written,
    link: impl FnOnce() -> Result,
) -> Result {
    let is_durable = until == Written::Flushed || !BlockDevice::of(inode.sb()).has_volatile_cache();
    let is_deferred = !is_durable && !mutant!("data-pointers-early");
    let deferred = &mut *inode.data().get_ref().deferred.lock();
    match slots {
        DataSlots::Root(slots) => {
            link()?;
            if is_deferred {
                deferred.root |= slots.fold(0, |bits, slot| bits | 1 << slot);
            }
        }
        DataSlots::Block(parent) => {
            let is_new = deferred.is_new(parent) && !mutant!("new-pointers-held");
            if is_deferred && !is_new {
                deferred.promised -= 1;
                let held = deferred.hold(inode, parent);
                deferred.promised += 1;
                held?;
            }
            link()?;
            if !deferred.has(parent) {
                mark_buffer_dirty_nowait(inode, parent);
            }
        }
    }
    Ok(())
}

/// Runs `link`, which stores pointers to blocks of data in `parent` that may come to the device at any
/// time. May sleep.
pub(super) fn unordered(
    inode: &Inode,
    parent: &BufferHead,
    link: impl FnOnce() -> Result,
) -> Result {
    let deferred = inode.data().get_ref().deferred.lock();
    link()?;
    if !deferred.has(parent) || mutant!("data-pointers-mixed") {
        mark_buffer_dirty(inode, parent);
    }
    Ok(())
}

/// Whether pointers of `inode` are deferred, or all of it. May sleep.
pub(super) fn has_some(inode: &Inode) -> bool {
    nofs(|| {
        let deferred = inode.data().get_ref().deferred.lock();
        !deferred.is_empty() || deferred.unborn.is_some()
    })
}

/// The new inode is not to be stored before `round` is settled. May sleep.
pub(super) fn set_unborn(inode: &Inode, round: u64) {
    nofs(|| inode.data().get_ref().deferred.lock().unborn = Some(Unborn::Until(round)));
}

/// The new inode is not to be stored before it has its block, and [`set_unborn`] is called. May sleep.
pub(super) fn set_in_making(inode: &Inode) {
    nofs(|| inode.data().get_ref().deferred.lock().unborn = Some(Unborn::InMaking));
}

/// The new inode may be stored. May sleep.
pub(super) fn set_born(inode: &Inode) {
    nofs(|| inode.data().get_ref().deferred.lock().unborn = None);
}

/// Whether an inode has not been taken for stored yet, and does not wait for a round after `round`. May sleep.
pub(super) fn is_unborn_until(inode: &Inode, round: u64) -> bool {
    let unborn = nofs(|| inode.data().get_ref().deferred.lock().unborn);
    match unborn {
        Some(Unborn::Until(own)) => own <= round,
        Some(Unborn::Due | Unborn::Stored) => true,
        Some(Unborn::InMaking) | None => false,
    }
}

/// Takes the inode for one that was stored before, if it was. Returns whether that is news. May sleep.
pub(super) fn born(inode: &Inode) -> bool {
    nofs(|| {
        let mut deferred = inode.data().get_ref().deferred.lock();
        let is_stored = matches!(deferred.unborn, Some(Unborn::Stored));
        if is_stored {
            deferred.unborn = None;
        }
        is_stored
    })
}

/// The first block of an inode that waits for it, if that is metadata, and in memory, also if it could not be written: what is not
/// has been.
fn first_block(inode: &Inode) -> Option<BufferHead> {
    let [first, ..] = inode.data().map.pointers();
    match inode.is_dir() {
        true => inode.sb().find_any_block(first.into()),
        false => None,
    }
}

/// If the directory `dir` waits for its first block, writes that, for who is about to flush the cache of the device anyway, and calls
/// [`flushed_first`] then. Its inode lock is held exclusively. May sleep. `EIO`, also when such a block of the volume is lost, which may
/// be that one.
pub(super) fn write_first(dir: &Inode) -> Result<bool> {
    let unborn = nofs(|| dir.data().get_ref().deferred.lock().unborn);
    if !matches!(unborn, Some(Unborn::Until(_))) {
        return Ok(false);
    }
    if dir.sb().data().unwritten.has_lost(First::OfInode) {
        return Err(EIO.into());
    }
    if let Some(first) = first_block(dir) {
        if first.has_write_error() {
            mark_buffer_dirty(dir, &first);
        }
        first.sync_dirty()?;
    }
    Ok(true)
}

/// The inode need not wait for its first block any more. May sleep.
pub(super) fn flushed_first(inode: &Inode) {
    nofs(|| {
        let mut deferred = inode.data().get_ref().deferred.lock();
        if let Some(Unborn::Until(_)) = deferred.unborn {
            deferred.unborn = Some(Unborn::Due);
        }
    });
}

/// Brings the first block of an inode that waits for it to stable storage, and others with it.
fn settle_unborn(inode: &Inode, deferred: &mut Deferred) -> Result {
    if let Some(Unborn::Until(round)) = deferred.unborn {
        let sb = inode.sb();
        if !sb.data().new_of_inodes.is_settled(round) {
            NewOfInodes::settle(sb, first_block(inode).as_ref())?;
        }
        deferred.unborn = Some(Unborn::Due);
    }
    Ok(())
}

/// Whether some of the pointers in `buffer` are deferred. May sleep.
pub(super) fn has_in(inode: &Inode, buffer: &BufferHead) -> bool {
    nofs(|| inode.data().get_ref().deferred.lock().has(buffer))
}

/// Brings the new blocks of `inode` to the device, after which what leads to them may
/// follow: the inode may be stored, and buffers are dirty. May sleep.
///
/// Takes no lock of the block map, and may be called with it. After an error, that of the device, the pointers stay deferred,
/// the inode is dirty, and the volume is not marked clean; an inode that is not stored yet still is not.
pub(super) fn settle(inode: &Inode) -> Result {
    nofs(|| {
        let deferred = &mut *inode.data().get_ref().deferred.lock();
        let unborn = settle_unborn(inode, deferred);
        if deferred.is_empty() {
            deferred.clear();
            return unborn;
        }
        let written = deferred.write_new(inode);
        let settled = written.and_then(|()| BlockDevice::of(inode.sb()).issue_flush());
        if settled.is_ok() || mutant!("deferral-given-up") {
            deferred.let_go(inode);
        } else {
            deferred.failed(inode, settled);
            inode.mark_inode_dirty();
        }
        Ok(settled?).and(unborn)
    })
}

/// [`settle`] of an inode that leaves memory, for the last time. What leads to blocks that were written may follow, also if the
/// device cannot flush them; pointers to others are lost. May sleep.
pub(super) fn settle_last(inode: &Inode) {
    nofs(|| {
        let deferred = &mut *inode.data().get_ref().deferred.lock();
        let written = deferred.write_new(inode);
        let is_written = written.is_ok();
        let settled = written.and_then(|()| BlockDevice::of(inode.sb()).issue_flush());
        deferred.failed(inode, settled);
        if is_written {
            deferred.let_go(inode);
        }
    });
}

/// Before pointers in a block of pointers of `inode` are cleared, after which it is dirty: if some of it
/// are deferred, settles all. May sleep. An error is that of the device: the block is not to be marked dirty then.
///
/// A block is freed when the pointer to it has been cleared, so that no block of pointers is freed with
/// deferred pointers in it: its buffer would be written over what the block is allocated for next.
pub(super) fn before_change(inode: &Inode, buffer: &BufferHead) -> Result {
    match has_in(inode, buffer) && !mutant!("deferred-kept") {
        true => settle(inode),
        false => Ok(()),
    }
}

/// Runs `free`, which frees a block of pointers of `inode` to which no pointer leads any more: from before that on it is not one
/// that is to be written, neither as a new one, nor for pointers in it, which were cleared in memory. The lock of the block map is held.
/// May sleep.
pub(super) fn free_pointers(inode: &Inode, block: u32, free: impl FnOnce() -> Result) -> Result {
    let deferred = &inode.data().get_ref().deferred;
    let (was_new, parent) = nofs(|| {
        let deferred = &mut *deferred.lock();
        let parent = match mutant!("freed-parents-kept") {
            true => None,
            false => deferred.forget_parent(block),
        };
        (deferred.forget_new(block), parent)
    });
    let freed = free();
    if freed.is_err() {
        nofs(|| {
            let deferred = &mut *deferred.lock();
            // There is room, unless they were settled meanwhile.
            if was_new {
                let _ = deferred.add_new(&[block]);
            }
            if let Some(parent) = parent {
                deferred.keep_parent(parent);
            }
        });
    }
    freed
}

/// After blocks of the file were freed, and the pointers of the inode are `root`: nothing is deferred
/// in slots that are 0 now, and what waits for its first block does not have one. The lock of the block map is held.
pub(super) fn freed(inode: &Inode, root: &Pointers) {
    let deferred = &mut *inode.data().get_ref().deferred.lock();
    if let (Some(Unborn::Until(_)), 0) = (deferred.unborn, root[0]) {
        deferred.unborn = Some(Unborn::Due);
    }
    for (slot, _) in root.iter().enumerate().filter(|(_, &block)| block == 0) {
        deferred.root &= !(1 << slot);
    }
}

/// Runs `store` with what the inode on the device may have of its pointers; `None` if the device is not to have the inode
/// yet. It must not sleep.
///
/// One at a time: what is stored last is what the inode has last, or a slot that was cleared could
/// come back, to blocks that others get.
pub(super) fn with_stored_pointers<T>(
    inode: &Inode,
    store: impl FnOnce(Option<Pointers>) -> T,
) -> T {
    let data = inode.data();
    nofs(|| {
        let mut deferred = data.get_ref().deferred.lock();
        match &mut deferred.unborn {
            Some(Unborn::InMaking | Unborn::Until(_)) => return store(None),
            Some(unborn) => *unborn = Unborn::Stored,
            None => {}
        }
        let mut root = data.map.pointers();
        for (slot, pointer) in root.iter_mut().enumerate() {
            if deferred.root >> slot & 1 != 0 {
                *pointer = 0;
            }
        }
        store(Some(root))
    })
}
