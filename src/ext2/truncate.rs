// SPDX-License-Identifier: GPL-2.0

//! Freeing the blocks of a file from some block on.
//!
//! Pointers are cleared before the blocks they lead to are freed. After an error no more blocks
//! are freed, but the pointers are cleared all the same: blocks may be lost until the next
//! `e2fsck`, but none can appear in the file again when it grows. That also bounds the time that
//! a crafted image can take: who has the same blocks in a file a thousand times makes the second
//! attempt to free them fail.

use zerocopy::{little_endian::U32, FromZeros, IntoBytes};

use super::{
    block_map::{Branch, Mapping, Path, PointerBlocks, Slot, Window, DIRECT, WINDOW},
    inode::Pointers,
    Layout, Place,
};

/// What freeing the blocks of a file needs from the device.
pub(crate) trait FreeBlocks: PointerBlocks {
    /// Clears `len` bytes from byte `offset` on of block `block`, which holds pointers.
    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), Self::Error>;

    /// Frees the `len` blocks of data from `start` on, which are blocks that may hold data. Fails
    /// when one of them is free already.
    fn free_data(&mut self, start: u32, len: u32) -> Result<(), Self::Error>;

    /// Frees `block`, which held pointers: what was written to it must not reach the device any
    /// more. Fails when it is free already.
    fn free_pointers(&mut self, block: u32) -> Result<(), Self::Error>;
}

/// Frees the blocks of inode `ino` from block `keep` of the file on; `root` are its pointers.
///
/// # Errors
///
/// The first error: a pointer that leads to a block that may not hold data, or an error of
/// `device`. The file then has no blocks from `keep` on all the same, as far as pointers could be
/// cleared.
pub(crate) fn truncate<D: FreeBlocks>(
    layout: &Layout<'_>,
    ino: u32,
    root: &mut Pointers,
    keep: u64,
    device: &mut D,
) -> Result<(), D::Error> {
    let block_bits = layout.geometry().block_bits();
    let Some(path) = Path::new(block_bits, keep) else {
        return Ok(());
    };
    let Some((&first, below)) = path.indexes().split_first() else {
        return Ok(());
    };
    let mut work = Work {
        layout,
        ino,
        device,
        run: None,
        error: None,
    };
    for (index, pointer) in root.iter_mut().enumerate().skip(first as usize) {
        let levels = (index + 1).saturating_sub(DIRECT);
        let cut_within = index == first as usize && below.iter().any(|&i| i != 0);
        if *pointer == 0 || (cut_within && !work.cut(*pointer, levels, below)) {
            continue;
        }
        let top = core::mem::take(pointer);
        if cut_within {
            // Its own pointers are all cleared.
            work.free_empty(top);
        } else {
            work.free_tree(top, levels);
        }
    }
    work.flush();
    work.error.map_or(Ok(()), Err)
}

/// Frees the block of inode `ino` that `path` leads to, and up to `max` blocks in all that follow it
/// in the file and on the device; `root` are its pointers. Blocks of pointers stay. Returns how many
/// blocks of the file were dealt with: those, or those of the hole that is there.
///
/// # Errors
///
/// A pointer that leads to a block that may not hold data, or an error of `device`.
pub(crate) fn punch<D: FreeBlocks>(
    layout: &Layout<'_>,
    ino: u32,
    root: &mut Pointers,
    path: Path,
    max: u32,
    device: &mut D,
) -> Result<u32, D::Error> {
    let branch = Branch::walk(layout, ino, root, path, device)?;
    let (start, len) = match branch.lookup(layout, root, max, device)? {
        Mapping::Hole { len } => return Ok(len),
        Mapping::Mapped { start, len } => (start, len),
    };
    match branch.slot() {
        Some(Slot::Inode(index)) => {
            for pointer in root.iter_mut().skip(index).take(len as usize) {
                *pointer = 0;
            }
        }
        Some(Slot::Block { block, index }) => {
            device.clear(block, index as usize * 4, len as usize * 4)?;
        }
        None => return Ok(len),
    }
    device.free_data(start, len)?;
    Ok(len)
}

struct Work<'a, D: FreeBlocks> {
    layout: &'a Layout<'a>,
    ino: u32,
    device: &'a mut D,
    /// Blocks of data to be freed together: the first, and how many.
    run: Option<(u32, u32)>,
    /// The first error.
    error: Option<D::Error>,
}

impl<D: FreeBlocks> Work<'_, D> {
    fn pointers_per_block(&self) -> u32 {
        self.layout.geometry().pointers_per_block()
    }

    /// Runs `step` unless there was an error before, and keeps its error.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> Result<(), D::Error>) -> bool {
        if self.error.is_none() {
            self.error = step(self).err();
        }
        self.error.is_none()
    }

    /// Whether `block` is one that the file can have.
    fn check(&mut self, block: u32) -> bool {
        let at = Place::Inode(self.ino);
        self.attempt(|work| Ok(work.layout.check_data(at, block, 1)?))
    }

    /// Frees the blocks in `run`.
    fn flush(&mut self) {
        let Some((start, len)) = self.run.take() else {
            return;
        };
        let at = Place::Inode(self.ino);
        self.attempt(|work| {
            work.layout.check_data(at, start, len)?;
            work.device.free_data(start, len)
        });
    }

    /// Frees a block of data, together with those that follow it.
    fn free_block(&mut self, block: u32) {
        match &mut self.run {
            Some((start, len)) if start.checked_add(*len) == Some(block) => *len += 1,
            _ => {
                self.flush();
                self.run = Some((block, 1));
            }
        }
    }

    /// Frees a block of pointers without pointers.
    fn free_empty(&mut self, block: u32) {
        self.attempt(|work| work.device.free_pointers(block));
    }

    /// Frees `block` and all that it leads to; it has `levels` levels of blocks of pointers, 0
    /// for data.
    fn free_tree(&mut self, block: u32, levels: usize) {
        let Some(below) = levels.checked_sub(1) else {
            self.free_block(block);
            return;
        };
        if !self.check(block) {
            return;
        }
        self.for_each_window(block, 0, |work, pointers, _| {
            for pointer in pointers.iter().filter(|p| p.get() != 0) {
                work.free_tree(pointer.get(), below);
            }
            work.error.is_none()
        });
        self.free_empty(block);
    }

    /// Runs `visit` (pointers, index of the first of them) on the pointers in `block` from
    /// `start` on, a window at a time, while it returns true.
    fn for_each_window(
        &mut self,
        block: u32,
        start: u32,
        mut visit: impl FnMut(&mut Self, &[U32], u32) -> bool,
    ) {
        let end = self.pointers_per_block();
        let mut index = start;
        while index < end {
            let mut window: Window = FromZeros::new_zeroed();
            let count = (end - index).min(WINDOW as u32);
            let part = window.get_mut(..count as usize).unwrap_or_default();
            let read = self.attempt(|work| {
                work.device
                    .read(block, index as usize * 4, part.as_mut_bytes())
            });
            if !read || !visit(self, part, index) {
                return;
            }
            index += count;
        }
    }

    /// Frees what the block of pointers `block`, with `levels` levels from itself on, leads to
    /// from the block of the file on that has the indexes `path` in it; not all of them are 0.
    /// Returns whether no pointer is left in it.
    fn cut(&mut self, block: u32, levels: usize, path: &[u32]) -> bool {
        let Some((&index, below)) = path.split_first() else {
            return false;
        };
        let child_levels = levels.saturating_sub(1);
        if !self.check(block) {
            return false;
        }
        let mut start = index;
        if below.iter().any(|&i| i != 0) {
            // The pointer at `index` stays, unless nothing is left behind it.
            let mut pointer = U32::ZERO;
            self.attempt(|work| {
                let offset = index as usize * 4;
                work.device.read(block, offset, pointer.as_mut_bytes())
            });
            let child = pointer.get();
            start += 1;
            if child != 0 && self.cut(child, child_levels, below) {
                self.clear(block, index, 1);
                self.free_empty(child);
            }
        }
        self.clear_from(block, start, child_levels);
        self.is_empty(block, start)
    }

    /// Clears `count` pointers in `block`, even after an error.
    fn clear(&mut self, block: u32, index: u32, count: u32) {
        let cleared = self
            .device
            .clear(block, index as usize * 4, count as usize * 4);
        if let Err(error) = cleared {
            self.error.get_or_insert(error);
        }
    }

    /// Clears the pointers in `block` from `start` on, and frees what they lead to.
    fn clear_from(&mut self, block: u32, start: u32, levels: usize) {
        let mut left = start;
        self.for_each_window(block, start, |work, pointers, index| {
            // At most a window.
            let count = pointers.len() as u32;
            left = index + count;
            if pointers.iter().any(|p| p.get() != 0) {
                work.clear(block, index, count);
                for pointer in pointers.iter().filter(|p| p.get() != 0) {
                    work.free_tree(pointer.get(), levels);
                }
            }
            work.error.is_none()
        });
        let end = self.pointers_per_block();
        if left < end {
            self.clear(block, left, end - left);
        }
    }

    /// Whether the pointers in `block` before `end` are all 0; false after an error.
    fn is_empty(&mut self, block: u32, end: u32) -> bool {
        let mut empty = true;
        self.for_each_window(block, 0, |_, pointers, index| {
            let count = end.saturating_sub(index) as usize;
            empty = pointers.iter().take(count).all(|p| p.get() == 0);
            empty && (count > pointers.len())
        });
        empty && self.error.is_none()
    }
}
