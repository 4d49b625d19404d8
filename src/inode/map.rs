// SPDX-License-Identifier: GPL-2.0

//! The pointers of a file: who may change them, and how they are read without a lock.
//!
//! Pointers are in the inode and in blocks of pointers. They are changed by one task at a time, which
//! holds a mutex, also while it reads blocks of pointers and bitmaps from the device
//! ([`Map::lock`]). Who looks up a block does not wait for that: it takes no lock, reads what it
//! needs from the device, and then asks whether any pointer has been changed since it began
//! ([`Map::view`], [`Map::is_current`]; the counts are in [`crate::inode::sequence`]). If so, what
//! it has read may be what a block of pointers was used for after it was freed, or half of a
//! pointer, and it starts again, with the blocks in memory this time.
//!
//! So that this works:
//!
//! * pointers are changed in a section that counts, before and after ([`Changing::store`]). It
//!   holds a spinlock: what begins in the middle waits for the end, and does not read at all;
//! * pointers are cleared before the blocks to which they lead are free;
//! * blocks that are reserved have no pointer, and are in no run, before they are written and linked
//!   ([`crate::inode::new_blocks`]).
//!
//! Runs that were looked up are cached. Clearing pointers makes the file *older*, and runs of
//! before that are not valid any more, even if they are put into the cache later.
//!
//! A look-up says what was true at some time during it. That it still is, is up to the caller: with
//! the inode lock, `invalidate_lock` or a folio lock nobody frees the blocks meanwhile. Direct I/O
//! counts itself in with the inode lock held, and who frees blocks waits for that count with the
//! lock: its blocks stay until its last bio has ended. FIBMAP has none of these, and promises
//! nothing.
//!
//! The buffer of a block of pointers is referenced while it is read, so that its memory stays. If the
//! block was freed meanwhile, reading it may leave in the cache of the device what it is used for
//! now. That is clean, and never written; when the block becomes metadata again, it is zeroed and
//! not read, with the buffer locked, as it is while it is read
//! ([`kfs::block::buffer_head::unread::UnreadBuffer::init_zeroed`]). Corruption that is found, and errors of the
//! device, count only if no pointer was changed meanwhile.

use crate::ext2::block_map::Mapping;
use crate::ext2::pointers::{Pointers, DIRECT, POINTERS};
use crate::inode::last_block::LastBlock;
use crate::inode::run_slot::LookedUp;
use crate::inode::runs::Runs;
use crate::inode::sequence::{Sequence, Stamp};
use crate::inode::tail::Tail;
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::{new_mutex, new_spinlock, Mutex, MutexGuard, SetOnce, SpinLock};
use kfs::drop_in_atomic;
use kfs::sync::unordered::Unordered;

/// The block map of an inode.
#[pin_data]
pub(crate) struct Map {
    /// Held by who changes pointers; and where the file goes on, if that is known.
    #[pin]
    changing: Mutex<Option<Tail>>,
    /// Held while pointers are stored.
    #[pin]
    storing: SpinLock<()>,
    /// Counts that.
    sequence: Sequence,
    /// The pointers in the inode itself.
    root: [Unordered<u32>; POINTERS],
    /// The block that was allocated last.
    pub(super) last_block: LastBlock,
    /// Runs that were looked up or allocated; allocated when there is the first to keep.
    runs: SetOnce<KBox<Runs>>,
}

drop_in_atomic!(plain Sequence);
drop_in_atomic!(struct Map { changing, storing, sequence, root, last_block, runs });

/// The pointers in the inode, and which changes a look-up knows of.
pub(super) struct View {
    pub(super) root: Pointers,
    stamp: Stamp,
}

impl View {
    /// The age of the file then.
    pub(super) fn age(&self) -> usize {
        self.stamp.age
    }
}

impl Map {
    /// An initialiser; the file has no blocks.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            changing <- new_mutex!(None),
            storing <- new_spinlock!(()),
            sequence: Sequence::new(),
            root: [const { Unordered::new(0) }; POINTERS],
            last_block: LastBlock::new(),
            runs: SetOnce::new(),
        })
    }

    /// Where the blocks are to which pointers in the inode lead, from its pointer `index` on, `max` at most, and if they follow
    /// each other; 0 is taken as 1. `None` for a hole, and while pointers are being stored. Does not sleep.
    pub(super) fn direct_run(&self, index: usize, max: u32) -> Option<(u32, u32)> {
        let stamp = self.sequence.begin()?;
        let mut direct = self.root.get(index..DIRECT)?.iter().map(Unordered::load);
        let start = direct.next().filter(|&start| start != 0)?;
        let mut len = 1;
        while len < max
            && direct
                .next()
                .is_some_and(|next| start.checked_add(len) == Some(next))
        {
            len += 1;
        }
        self.sequence.is_current(&stamp).then_some((start, len))
    }

    /// Begins a look-up. `None` while pointers are being stored. Does not sleep.
    pub(super) fn try_view(&self) -> Option<View> {
        let stamp = self.sequence.begin()?;
        let mut root = [0; POINTERS];
        for (to, from) in root.iter_mut().zip(&self.root) {
            *to = from.load();
        }
        Some(View { root, stamp })
    }

    /// The same; waits for a store that is under way, which does not take long. Does not sleep.
    pub(super) fn view(&self) -> View {
        loop {
            if let Some(view) = self.try_view() {
                return view;
            }
            drop(self.storing.lock());
        }
    }

    /// Whether no pointer was stored since `view`: what was read since then is true.
    pub(super) fn is_current(&self, view: &View) -> bool {
        self.sequence.is_current(&view.stamp)
    }

    /// The pointers in the inode. Does not sleep.
    pub(super) fn pointers(&self) -> Pointers {
        loop {
            let view = self.view();
            if self.is_current(&view) {
                return view.root;
            }
        }
    }

    /// Looks up in the cache of runs. Does not sleep.
    #[inline(always)]
    pub(super) fn cached(&self, block: u64, max: u32) -> Option<Mapping> {
        let age = self.sequence.age();
        self.runs.as_ref()?.get(age, block, max)
    }

    /// Looks up all of `len` blocks in the cache of runs. Does not sleep.
    #[inline(always)]
    pub(super) fn cached_all(&self, block: u64, len: u32) -> Option<u32> {
        let age = self.sequence.age();
        self.runs.as_ref()?.get_all(age, block, len)
    }

    /// The last block of pointers on the way to block `block` of the file, if it is cached. Does not sleep.
    pub(super) fn cached_pointers(&self, view: &View, block: u64) -> Option<u32> {
        self.runs.as_ref()?.pointers(view.age(), block)
    }

    /// The length of the cached run that would be given up for another one there, in blocks: 0 if there is room. Does not
    /// sleep.
    pub(super) fn shortest_run(&self, block: u64) -> u32 {
        self.runs.as_ref().map_or(0, |runs| runs.shortest(block))
    }

    /// Caches what was looked up when the file had the age `age`, with what there is of memory.
    pub(super) fn remember_nowait(&self, age: usize, new: LookedUp) {
        if let Some(runs) = self.runs.as_ref() {
            runs.put(age, new);
        }
    }

    /// Makes room for [`Map::remember_nowait`] of a run from block `block` of the file on, which has blocks of
    /// 2^`block_bits` bytes. Optional: without memory, the next look-up walks the pointers again. Called with memory
    /// allocation in `nofs`; may sleep, as `flags` say.
    pub(super) fn make_room(&self, block_bits: u32, block: u32, flags: Flags) {
        if self.runs.as_ref().is_none() {
            if let Ok(runs) = KBox::new(Runs::new(block_bits), flags) {
                self.runs.populate(runs);
            }
        }
        if let Some(runs) = self.runs.as_ref() {
            runs.make_room(block, flags);
        }
    }

    /// Caches what was looked up when the file had the age `age`, and has blocks of 2^`block_bits` bytes.
    /// Called with memory allocation in `nofs`; may sleep.
    pub(super) fn remember(&self, block_bits: u32, age: usize, new: LookedUp) {
        self.make_room(block_bits, new.run.block, GFP_KERNEL);
        self.remember_nowait(age, new);
    }

    /// How often pointers were stored. Who has found a block finds that it was counted. Does not sleep.
    pub(super) fn stored(&self) -> u64 {
        self.sequence.stored()
    }

    /// The same, if what was stored is in buffers that are dirty, or in the inode: `None` while
    /// somebody changes pointers. Does not sleep.
    pub(super) fn settled(&self) -> Option<u64> {
        let _changing = self.changing.try_lock()?;
        Some(self.stored())
    }

    /// Waits until nobody else changes pointers, and keeps others from it. May sleep; called with
    /// memory allocation in `nofs`.
    pub(super) fn lock(&self) -> Changing<'_> {
        Changing {
            map: self,
            tail: self.changing.lock(),
        }
    }

    /// [`Map::lock`], if nobody else changes pointers. Does not sleep.
    pub(super) fn try_lock(&self) -> Option<Changing<'_>> {
        Some(Changing {
            map: self,
            tail: self.changing.try_lock()?,
        })
    }
}

/// The right to change the pointers of a file.
pub(super) struct Changing<'a> {
    map: &'a Map,
    tail: MutexGuard<'a, Option<Tail>>,
}

impl Changing<'_> {
    /// What the file has now, which nobody else changes.
    pub(super) fn view(&self) -> View {
        self.map.view()
    }

    /// The age of the file, which nobody else changes.
    pub(super) fn age(&self) -> usize {
        self.map.sequence.age()
    }

    /// The block that was allocated last.
    pub(super) fn last_block(&self) -> &LastBlock {
        &self.map.last_block
    }

    /// Where the file goes on, if that is known.
    pub(super) fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// The same, to be changed. Who clears pointers sets it to `None`: its block of pointers may be freed.
    pub(super) fn tail_mut(&mut self) -> &mut Option<Tail> {
        &mut self.tail
    }

    /// Runs `store`, which stores pointers in a block of pointers. It must not sleep.
    pub(super) fn store<T>(&self, store: impl FnOnce() -> T) -> T {
        let _storing = self.map.storing.lock();
        self.map.sequence.store(store)
    }

    /// [`Changing::store`] for a `clear` that clears pointers, before the blocks are freed.
    pub(super) fn clear<T>(&self, clear: impl FnOnce() -> T) -> T {
        let _storing = self.map.storing.lock();
        self.map.sequence.clear(clear)
    }

    /// Sets the pointers in the inode. Not for clearing some.
    pub(super) fn set_root(&self, root: &Pointers) {
        self.store(|| self.store_root(root));
    }

    /// Sets the pointers in the inode, of which some may have been cleared.
    pub(super) fn clear_root(&self, root: &Pointers) {
        self.clear(|| self.store_root(root));
    }

    fn store_root(&self, root: &Pointers) {
        for (to, &from) in self.map.root.iter().zip(root) {
            to.store(from);
        }
    }
}
