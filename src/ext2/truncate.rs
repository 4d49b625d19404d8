// SPDX-License-Identifier: GPL-2.0

//! Freeing a range of the blocks of a file, for truncate and hole punching.
//!
//! Pointers are cleared before the blocks they lead to are freed, and a block of pointers is freed
//! when it is empty. The first error ends that. The pointers to blocks that could not be freed are
//! then restored: the file has lost the blocks that are free, and no block leaks. See [`Unfreed`]
//! for where blocks must leave the file nevertheless.
//!
//! That the first error ends it also bounds the time that a crafted image can take: one with the
//! same blocks in a file a thousand times fails at the second attempt to free them.

use core::ops::Range;

use zerocopy::{little_endian::U32, FromZeros, IntoBytes};

use super::{
    block_map::{store_root, PointerBlocks, Window, WINDOW},
    pointers::{pointer_bits, Pointers, DIRECT},
    Corrupt, Layout, Place,
};

/// What freeing the blocks of a file needs of the device.
pub(crate) trait FreeBlocks: PointerBlocks {
    /// The pointers in the inode are `root` now.
    fn root_changed(&mut self, root: &Pointers);

    /// Clears `len` bytes from byte `offset` on of block `block`, a block of pointers.
    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), Self::Error>;

    /// The pointers of the inode are `root` now, some having been cleared. What these led to is freed
    /// when this returns.
    fn clear_root(&mut self, root: &Pointers) -> Result<(), Self::Error>;

    /// Stores pointers to the `len` blocks from `start` on in block `block`, a block of pointers,
    /// from `index` on: those that were just cleared.
    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<(), Self::Error>;

    /// Frees the `len` blocks of data from `start` on, which are in one group and no metadata of
    /// it. Fails when one of them is free already. Frees all or none.
    fn free_data(&mut self, start: u32, len: u32) -> Result<(), Self::Error>;

    /// Frees `block`, a block of pointers: a dirty buffer of it is dropped, and must not be written
    /// any more. Fails when it is free already.
    fn free_pointers(&mut self, block: u32) -> Result<(), Self::Error>;

    /// Whether `error` is corruption: what could not be freed may be free already, or belong to
    /// another file.
    fn is_corrupt(error: &Self::Error) -> bool;
}

/// What becomes of blocks that cannot be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfreed {
    /// They stay in the file, unless their pointers are corrupt.
    Keep,
    /// They are dropped from the file, as far as pointers can be cleared, and leak until `e2fsck`:
    /// for blocks with data that must not reappear in the file.
    Lose,
}

/// Frees the blocks of inode `ino` that are in `range`, in blocks of the file, and the blocks of
/// pointers that become empty; `root` are the pointers of the inode.
///
/// # Errors
///
/// The first error: a pointer that leads outside the volume or to metadata of a group, or an error
/// of `device`. See [`Unfreed`].
pub(crate) fn free_range<D: FreeBlocks>(
    layout: &Layout<'_>,
    ino: u32,
    root: &mut Pointers,
    range: Range<u64>,
    unfreed: Unfreed,
    device: &mut D,
) -> Result<(), D::Error> {
    let mut work = Work {
        layout,
        ino,
        root,
        device,
    };
    let result = work.free(&range);
    if result.is_err() && unfreed == Unfreed::Lose {
        work.clear_all(&range);
    }
    result
}

/// What holds pointers: a block of pointers, or the inode for `None`.
type Holder = Option<u32>;

/// Consecutive pointers of one holder to contiguous blocks.
struct Run {
    index: u32,
    start: u32,
    len: u32,
}

struct Work<'a, D: FreeBlocks> {
    layout: &'a Layout<'a>,
    ino: u32,
    root: &'a mut Pointers,
    device: &'a mut D,
}

/// The part of `range` that is in the `len` blocks from `start` on, relative to `start`.
fn within(range: &Range<u64>, start: u64, len: u64) -> Range<u64> {
    let clip = |at: u64| at.saturating_sub(start).min(len);
    clip(range.start)..clip(range.end)
}

/// The indexes of the direct pointers to blocks in `range`.
fn direct(range: &Range<u64>) -> Range<u32> {
    let part = within(range, 0, DIRECT as u64);
    part.start as u32..part.end as u32
}

impl<D: FreeBlocks> Work<'_, D> {
    /// Base-2 logarithm of the number of blocks that a pointer maps through `levels` levels of
    /// blocks of pointers.
    fn span_bits(&self, levels: u32) -> u32 {
        pointer_bits(self.layout.geometry().block_bits()) * levels
    }

    /// The three trees of an inode: the index of the pointer in the inode, the levels of blocks of
    /// pointers, and the part of the tree that is in `range`.
    fn trees(&self, range: &Range<u64>) -> [(u32, u32, Range<u64>); 3] {
        let mut start = DIRECT as u64;
        [1, 2, 3].map(|levels| {
            let len = 1 << self.span_bits(levels);
            let part = within(range, start, len);
            start += len;
            (DIRECT as u32 + levels - 1, levels, part)
        })
    }

    /// The indexes in a block of pointers with `levels` levels, itself included, that lead to
    /// blocks in `part` of its tree, and the part of the subtree of each.
    fn below(&self, levels: u32, part: &Range<u64>) -> impl Iterator<Item = (u32, Range<u64>)> {
        let bits = self.span_bits(levels - 1);
        let part = part.clone();
        let indexes = part.start >> bits..part.end.div_ceil(1 << bits);
        indexes.map(move |index| (index as u32, within(&part, index << bits, 1 << bits)))
    }

    fn read(&mut self, at: Holder, index: u32, out: &mut [U32]) -> Result<(), D::Error> {
        match at {
            Some(block) => self
                .device
                .read(block, index as usize * 4, out.as_mut_bytes()),
            None => {
                let from = self.root.iter().skip(index as usize);
                for (to, &pointer) in out.iter_mut().zip(from) {
                    to.set(pointer);
                }
                Ok(())
            }
        }
    }

    fn pointer(&mut self, at: Holder, index: u32) -> Result<u32, D::Error> {
        let mut pointer = [U32::ZERO];
        self.read(at, index, &mut pointer)?;
        let [pointer] = pointer;
        Ok(pointer.get())
    }

    fn clear(&mut self, at: Holder, index: u32, count: u32) -> Result<(), D::Error> {
        match at {
            Some(block) => self
                .device
                .clear(block, index as usize * 4, count as usize * 4),
            None => {
                let pointers = self.root.iter_mut().skip(index as usize);
                pointers.take(count as usize).for_each(|p| *p = 0);
                self.device.root_changed(self.root);
                Ok(())
            }
        }
    }

    /// Checks that the `len` blocks from `block` on may belong to the file.
    fn check(&self, block: u32, len: u32) -> Result<(), Corrupt> {
        self.layout.check_data(Place::Inode(self.ino), block, len)
    }

    fn free(&mut self, range: &Range<u64>) -> Result<(), D::Error> {
        self.free_data(None, direct(range))?;
        for (index, levels, part) in self.trees(range) {
            self.free_tree(None, index, levels, part)?;
        }
        Ok(())
    }

    /// Frees the blocks in `part` of the tree that the pointer `index` in `at` leads to, through
    /// `levels` levels of blocks of pointers; and the blocks of pointers that become empty.
    fn free_tree(
        &mut self,
        at: Holder,
        index: u32,
        levels: u32,
        part: Range<u64>,
    ) -> Result<(), D::Error> {
        if part.is_empty() {
            return Ok(());
        }
        let block = self.pointer(at, index)?;
        if block == 0 {
            return Ok(());
        }
        self.check(block, 1)?;
        if levels == 1 {
            self.free_data(Some(block), part.start as u32..part.end as u32)?;
        } else {
            for (index, part) in self.below(levels, &part) {
                self.free_tree(Some(block), index, levels - 1, part)?;
            }
        }
        if part == (0..1 << self.span_bits(levels)) || self.is_empty(block)? {
            let pointer = Run {
                index,
                start: block,
                len: 1,
            };
            self.free_run(at, &pointer, |work| work.device.free_pointers(block))?;
        }
        Ok(())
    }

    /// Frees the blocks of data that the pointers `part` in `at` lead to.
    fn free_data(&mut self, at: Holder, part: Range<u32>) -> Result<(), D::Error> {
        let mut run = Run {
            index: 0,
            start: 0,
            len: 0,
        };
        let mut index = part.start;
        while index < part.end {
            let mut window: Window = FromZeros::new_zeroed();
            let count = (part.end - index).min(WINDOW as u32);
            let window = window.get_mut(..count as usize).unwrap_or_default();
            self.read(at, index, window)?;
            for (index, pointer) in (index..).zip(window) {
                let pointer = pointer.get();
                if pointer == 0 {
                    continue;
                }
                if !self.continues(&run, index, pointer) {
                    self.free_data_run(at, &run)?;
                    run = Run {
                        index,
                        start: pointer,
                        len: 0,
                    };
                }
                run.len += 1;
            }
            index += count;
        }
        self.free_data_run(at, &run)
    }

    /// Whether the pointer at `index` is the next one of `run`, to a block of the same group.
    fn continues(&self, run: &Run, index: u32, pointer: u32) -> bool {
        let is_first_of_group =
            || matches!(self.layout.geometry().locate_block(pointer), Some((_, 0)));
        run.len > 0
            && run.index + run.len == index
            && run.start.checked_add(run.len) == Some(pointer)
            && !is_first_of_group()
    }

    fn free_data_run(&mut self, at: Holder, run: &Run) -> Result<(), D::Error> {
        if run.len == 0 {
            return Ok(());
        }
        self.free_run(at, run, |work| {
            work.check(run.start, run.len)?;
            work.device.free_data(run.start, run.len)
        })
    }

    /// Clears pointers in `at`, and then frees what they lead to with `free`. If that fails, other
    /// than by corruption, restores them.
    fn free_run(
        &mut self,
        at: Holder,
        run: &Run,
        free: impl FnOnce(&mut Self) -> Result<(), D::Error>,
    ) -> Result<(), D::Error> {
        self.clear(at, run.index, run.len)?;
        let cleared = match at {
            Some(_) => Ok(()),
            None => self.device.clear_root(self.root),
        };
        let result = cleared.and_then(|()| free(self));
        match (&result, at) {
            (Err(error), Some(block)) if !D::is_corrupt(error) => {
                self.device.restore(block, run.index, run.start, run.len)?;
            }
            (Err(error), None) if !D::is_corrupt(error) => {
                // They fit, as they were there before.
                let _ = store_root(self.root, run.index as usize, run.start, run.len);
                self.device.root_changed(self.root);
            }
            _ => {}
        }
        result
    }

    /// Whether all pointers in `block` are 0.
    fn is_empty(&mut self, block: u32) -> Result<bool, D::Error> {
        let end = self.layout.geometry().pointers_per_block();
        let mut index = 0;
        while index < end {
            let mut window: Window = FromZeros::new_zeroed();
            let count = (end - index).min(WINDOW as u32);
            let window = window.get_mut(..count as usize).unwrap_or_default();
            self.read(Some(block), index, window)?;
            if window.iter().any(|p| p.get() != 0) {
                return Ok(false);
            }
            index += count;
        }
        Ok(true)
    }

    /// Clears the pointers to all blocks in `range`, and frees nothing.
    fn clear_all(&mut self, range: &Range<u64>) {
        let part = direct(range);
        // Those in the inode can always be cleared.
        let _ = self.clear(None, part.start, part.end.saturating_sub(part.start));
        for (index, levels, part) in self.trees(range) {
            self.clear_tree(None, index, levels, part);
        }
    }

    /// Clears the pointer `index` in `at` if its whole tree, of `levels` levels of blocks of
    /// pointers, is in `part`, and otherwise the pointers of the subtrees that are.
    fn clear_tree(&mut self, at: Holder, index: u32, levels: u32, part: Range<u64>) {
        if part.is_empty() {
            return;
        }
        if part == (0..1 << self.span_bits(levels)) {
            // A pointer that cannot be cleared, because its block cannot be read, cannot be
            // followed.
            let _ = self.clear(at, index, 1);
            return;
        }
        let Ok(block @ 1..) = self.pointer(at, index) else {
            return;
        };
        if self.check(block, 1).is_err() {
            return;
        }
        for (index, part) in self.below(levels, &part) {
            self.clear_tree(Some(block), index, levels - 1, part);
        }
    }
}
