// SPDX-License-Identifier: GPL-2.0

//! The block map: from blocks of a file to blocks of the volume.
//!
//! An inode has 12 direct pointers to the first blocks of its file, and one pointer each to a tree
//! of blocks of pointers of one level (single indirect), of two (double) and of three (triple). A
//! pointer that is 0 is a hole: of one block, or of all blocks that the missing block of pointers
//! would map.
//!
//! The indexes from the inode to a pointer are a [`Path`]. [`Branch::walk`] follows it as far as it
//! exists; from there, [`Branch::lookup`] finds the run of blocks or the hole that starts at the
//! block, and [`Branch::growth`] what has to be allocated for it.

use core::ops::Range;

use zerocopy::{little_endian::U32, FromBytes, FromZeros, IntoBytes};

use super::{
    pointers::{Path, Pointers, DEPTH_MAX, DIRECT},
    Corrupt, Layout, Place,
};

/// The number of pointers that are read at once; they are on the stack.
pub(super) const WINDOW: usize = 64;

/// The number of pointers that [`Branch::around`] reads, in one aligned piece.
const NEAR: usize = 32;

/// A piece of a block of pointers.
pub(super) type Window = [U32; WINDOW];

/// Access to blocks of pointers.
pub(crate) trait PointerBlocks {
    /// Errors of the device, and corruption.
    type Error: From<Corrupt>;

    /// Copies `out.len()` bytes from byte `offset` on of block `block` into `out`.
    ///
    /// The caller has checked that `block` is no metadata of a group, and that the bytes are within
    /// a block.
    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// The location of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// In the inode, with this index.
    Inode(usize),
    /// In a block of pointers.
    Block {
        /// The block.
        block: u32,
        /// Index of the pointer in it.
        index: u32,
    },
}

/// The result of a look-up: what a file has from some block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Contiguous blocks of the volume, none of which is metadata of a group.
    Mapped {
        /// The first block.
        start: u32,
        /// The number of blocks, at least 1.
        len: u32,
    },
    /// No blocks are allocated.
    Hole {
        /// A lower bound of the length of the hole, in blocks; at least 1.
        len: u32,
    },
}

/// What has to be allocated for a block of a file that is in a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// The pointer that is 0. It is set to the first new block: that of pointers, or of data if no
    /// block of pointers is missing.
    pub(crate) slot: Slot,
    /// The index to set in each missing block of pointers, the one next to the inode first: to the
    /// next block of pointers, and in the last to the data.
    indexes: [u32; DEPTH_MAX - 1],
    missing: usize,
    /// The number of blocks of data, from the wanted one on, of which the pointers are in the same
    /// place: at most as many can be added at once. At least 1.
    pub(crate) data_blocks: u32,
}

impl Growth {
    /// The index to set in each missing block of pointers, of which there are as many.
    pub(crate) fn indexes(&self) -> &[u32] {
        self.indexes.get(..self.missing).unwrap_or_default()
    }

    /// The block of pointers that will have the pointer to the data, if there is one already.
    pub(crate) fn last_pointers(&self) -> Option<u32> {
        match (self.indexes(), self.slot) {
            ([], Slot::Block { block, .. }) => Some(block),
            _ => None,
        }
    }

    /// The index of the first block of data in what will have the pointer to it.
    pub(crate) fn data_index(&self) -> u32 {
        match (self.indexes().last(), self.slot) {
            (Some(&index), _) | (None, Slot::Block { index, .. }) => index,
            (None, Slot::Inode(index)) => index as u32,
        }
    }
}

/// A path, followed as far as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    path: Path,
    ino: u32,
    /// The pointers along the path. The first `found` are not 0, and none leads to metadata of a
    /// group.
    blocks: [u32; DEPTH_MAX],
    found: usize,
}

/// Reads the pointer `index` in the block of pointers `block`.
fn read_pointer<P: PointerBlocks>(block: u32, index: u32, device: &mut P) -> Result<u32, P::Error> {
    let mut pointer = U32::ZERO;
    device.read(block, index as usize * 4, pointer.as_mut_bytes())?;
    Ok(pointer.get())
}

impl Branch {
    /// Follows `path` from the pointers `root` of inode `ino`.
    ///
    /// # Errors
    ///
    /// A pointer leads outside the volume or to metadata of a group; a block of pointers cannot be
    /// read.
    pub(crate) fn walk<P: PointerBlocks>(
        layout: &Layout<'_>,
        ino: u32,
        root: &Pointers,
        path: Path,
        device: &mut P,
    ) -> Result<Self, P::Error> {
        let mut branch = Branch {
            path,
            ino,
            blocks: [0; DEPTH_MAX],
            found: 0,
        };
        let mut parent = None;
        for (place, &index) in branch.blocks.iter_mut().zip(path.indexes()) {
            let pointer = match parent {
                None => root.get(index as usize).copied().unwrap_or_default(),
                Some(block) => read_pointer(block, index, device)?,
            };
            if pointer == 0 {
                break;
            }
            layout.check_data(Place::Inode(ino), pointer, 1)?;
            *place = pointer;
            branch.found += 1;
            parent = Some(pointer);
        }
        Ok(branch)
    }

    /// [`Branch::walk`] when it is known that the last block of pointers of `path` is `pointers`,
    /// which was validated.
    ///
    /// # Errors
    ///
    /// As [`Branch::walk`]; `path` has no block of pointers.
    pub(crate) fn walk_from<P: PointerBlocks>(
        layout: &Layout<'_>,
        ino: u32,
        pointers: u32,
        path: Path,
        device: &mut P,
    ) -> Result<Self, P::Error> {
        let mut blocks = [0; DEPTH_MAX];
        let place = Place::Inode(ino);
        let Some([.., last, data]) = blocks.get_mut(..path.depth) else {
            return Err(Corrupt::new(place, "pointer without a block of pointers").into());
        };
        *last = pointers;
        *data = read_pointer(pointers, path.last(), device)?;
        let mut found = path.depth - 1;
        if *data != 0 {
            layout.check_data(place, *data, 1)?;
            found += 1;
        }
        Ok(Branch {
            path,
            ino,
            blocks,
            found,
        })
    }

    /// The block of pointers with that to the data, if the path leads to data and there is one.
    pub(crate) fn last_pointers(&self) -> Option<u32> {
        self.data().and(self.parent())
    }

    /// The block that the path leads to; `None` when it ends in a hole.
    pub(crate) fn data(&self) -> Option<u32> {
        match self.path.depth == self.found {
            true => self.found().last().copied(),
            false => None,
        }
    }

    /// The pointers that are not 0, the one in the inode first.
    fn found(&self) -> &[u32] {
        self.blocks.get(..self.found).unwrap_or_default()
    }

    /// The block with the last pointer that was followed or found to be 0; `None` for the inode.
    fn parent(&self) -> Option<u32> {
        let blocks_of_pointers = self.found.min(self.path.depth.saturating_sub(1));
        let last = blocks_of_pointers.checked_sub(1)?;
        self.blocks.get(last).copied()
    }

    /// The number of consecutive pointers, from the last one of the path on and up to `max`, for
    /// which `matches` (index relative to the last one, pointer) holds. All but the last pointer of
    /// the path exist.
    fn count_matching<P: PointerBlocks>(
        &self,
        root: &Pointers,
        max: u32,
        device: &mut P,
        matches: impl Fn(u32, u32) -> bool,
    ) -> Result<u32, P::Error> {
        let max = max.min(self.path.room());
        let first = self.path.last();
        let Some(block) = self.parent() else {
            let pointers = root.iter().skip(first as usize);
            let same = (0..max).zip(pointers).take_while(|&(i, &p)| matches(i, p));
            // At most 12.
            return Ok(same.count() as u32);
        };
        let mut window: Window = FromZeros::new_zeroed();
        let mut count = 0;
        while count < max {
            let wanted = (max - count).min(WINDOW as u32);
            let part = window.get_mut(..wanted as usize).unwrap_or_default();
            device.read(block, (first + count) as usize * 4, part.as_mut_bytes())?;
            for pointer in part {
                if !matches(count, pointer.get()) {
                    return Ok(count);
                }
                count += 1;
            }
        }
        Ok(count)
    }

    /// The run of blocks or the hole that starts here: up to `max` blocks, and not beyond the block
    /// of pointers that the path ends in.
    ///
    /// `root` are the pointers of the inode; a `max` of 0 is taken as 1.
    ///
    /// # Errors
    ///
    /// A block of the run is metadata of a group; a block of pointers cannot be read.
    pub(crate) fn lookup<P: PointerBlocks>(
        &self,
        layout: &Layout<'_>,
        root: &Pointers,
        max: u32,
        device: &mut P,
    ) -> Result<Mapping, P::Error> {
        if let Some(start) = self.data() {
            if max <= 1 || self.path.room() <= 1 {
                // `walk` has checked this block.
                return Ok(Mapping::Mapped { start, len: 1 });
            }
            let follows = |i, pointer| start.checked_add(i) == Some(pointer);
            let len = self.count_matching(root, max, device, follows)?.max(1);
            layout.check_data(Place::Inode(self.ino), start, len)?;
            return Ok(Mapping::Mapped { start, len });
        }
        let len = self.hole(root, max, device)?;
        Ok(Mapping::Hole { len })
    }

    /// The numbers of blocks right before and right after the one that the path leads to that are
    /// contiguous with it on the volume. Reads only a few pointers, of the same block of pointers.
    ///
    /// The blocks are not checked. 0 and 0 for a hole and for direct pointers.
    ///
    /// # Errors
    ///
    /// The block of pointers cannot be read.
    pub(crate) fn around<P: PointerBlocks>(&self, device: &mut P) -> Result<(u32, u32), P::Error> {
        let (Some(start), Some(parent)) = (self.data(), self.parent()) else {
            return Ok((0, 0));
        };
        // A block of pointers is a multiple of NEAR.
        let index = self.path.last() as usize;
        let at = index % NEAR;
        let mut near: [U32; NEAR] = FromZeros::new_zeroed();
        device.read(parent, (index - at) * 4, near.as_mut_bytes())?;
        let before = near.get(..at).unwrap_or_default().iter().rev();
        let before = before
            .zip(1..)
            .take_while(|(p, i)| start.checked_sub(*i) == Some(p.get()));
        let after = near.get(at + 1..).unwrap_or_default().iter();
        let after = after
            .zip(1..)
            .take_while(|(p, i)| start.checked_add(*i) == Some(p.get()));
        // At most NEAR.
        Ok((before.count() as u32, after.count() as u32))
    }

    /// The length of the hole that the path ends in, in blocks: at least 1 and at most `max`.
    fn hole<P: PointerBlocks>(
        &self,
        root: &Pointers,
        max: u32,
        device: &mut P,
    ) -> Result<u32, P::Error> {
        let len = if max <= 1 {
            1
        } else if self.found + 1 == self.path.depth {
            self.count_matching(root, max, device, |_, pointer| pointer == 0)?
        } else {
            u32::try_from(self.path.span(self.found)).unwrap_or(u32::MAX)
        };
        Ok(len.min(max).max(1))
    }

    /// What has to be allocated for the block, and for up to `max` blocks in all; `None` when the
    /// block exists.
    ///
    /// `root` are the pointers of the inode.
    ///
    /// # Errors
    ///
    /// A block of pointers cannot be read.
    pub(crate) fn growth<P: PointerBlocks>(
        &self,
        root: &Pointers,
        max: u32,
        device: &mut P,
    ) -> Result<Option<Growth>, P::Error> {
        let all = self.path.indexes();
        let Some((&index, below)) = all.get(self.found..).and_then(|rest| rest.split_first())
        else {
            return Ok(None);
        };
        let slot = match self.parent() {
            None => Slot::Inode(index as usize),
            Some(block) => Slot::Block { block, index },
        };
        let mut indexes = [0; DEPTH_MAX - 1];
        for (to, &from) in indexes.iter_mut().zip(below) {
            *to = from;
        }
        let data_blocks = self.hole(root, max, device)?.min(self.path.room());
        Ok(Some(Growth {
            slot,
            indexes,
            missing: below.len(),
            data_blocks,
        }))
    }

    /// The block before the one that the path leads to, which is in a hole; 0 if that is in a hole, too. `None` if its
    /// pointer is in another place.
    ///
    /// It is not checked.
    ///
    /// # Errors
    ///
    /// The block of pointers cannot be read.
    pub(crate) fn before<P: PointerBlocks>(
        &self,
        root: &Pointers,
        device: &mut P,
    ) -> Result<Option<u32>, P::Error> {
        let Some(index) = self.path.last().checked_sub(1) else {
            return Ok(None);
        };
        Ok(Some(match self.parent() {
            _ if self.found + 1 < self.path.depth => 0,
            None => root.get(index as usize).copied().unwrap_or_default(),
            Some(block) => read_pointer(block, index, device)?,
        }))
    }

    /// The goal for allocating the first missing block: as far after the block of the nearest
    /// pointer before as the pointer is, or else after the block of pointers. `None` when there is
    /// neither; the caller then takes one in the group of the inode.
    ///
    /// The goal is a hint and not checked.
    ///
    /// # Errors
    ///
    /// A block of pointers cannot be read.
    pub(crate) fn goal<P: PointerBlocks>(
        &self,
        root: &Pointers,
        device: &mut P,
    ) -> Result<Option<u32>, P::Error> {
        let nearest = self.nearest(root, device)?;
        Ok(nearest.or_else(|| Some(self.parent()?.saturating_add(1))))
    }

    /// Whether all blocks of pointers on the way to the block are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.found + 1 >= self.path.depth
    }

    /// As far after the block of the nearest pointer before the first missing one, in the same place, as the pointer is.
    /// `None` when there is none before.
    ///
    /// # Errors
    ///
    /// The block of pointers cannot be read.
    pub(crate) fn nearest<P: PointerBlocks>(
        &self,
        root: &Pointers,
        device: &mut P,
    ) -> Result<Option<u32>, P::Error> {
        let level = self.found.min(self.path.depth.saturating_sub(1));
        let index = self.path.indexes().get(level).copied().unwrap_or_default();
        let Some(block) = self.parent() else {
            let before = root.iter().take(index as usize).rposition(|&p| p != 0);
            let Some((at, &pointer)) = before.and_then(|at| Some((at, root.get(at)?))) else {
                return Ok(None);
            };
            return Ok(Some(pointer.saturating_add(index - at as u32)));
        };
        let mut window: Window = FromZeros::new_zeroed();
        let mut end = index;
        while end > 0 {
            let start = end.saturating_sub(WINDOW as u32);
            let part = window.get_mut(..(end - start) as usize).unwrap_or_default();
            device.read(block, start as usize * 4, part.as_mut_bytes())?;
            if let Some((at, pointer)) = (start..end).zip(part).rev().find(|(_, p)| p.get() != 0) {
                return Ok(Some(pointer.get().saturating_add(index - at)));
            }
            end = start;
        }
        Ok(None)
    }
}

/// The number of consecutive pointers that are 0, from `index` on and `max` at most, in a block of pointers of
/// `size` bytes. `read` reads bytes of it, from an offset on.
pub(crate) fn zero_pointers<E>(
    size: usize,
    index: u32,
    max: u32,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
) -> Result<u32, E> {
    let max = max.min((size as u32 / 4).saturating_sub(index));
    let mut count = 0;
    while count < max {
        let mut pointer = U32::ZERO;
        read((index + count) as usize * 4, pointer.as_mut_bytes())?;
        if pointer.get() != 0 {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// Writes pointers to the `len` blocks from `start` on into the block of pointers `bytes`, from
/// `index` on. Returns the range of bytes changed; `None`, with nothing changed, when they do not
/// fit.
pub(crate) fn store_pointers(
    bytes: &mut [u8],
    index: u32,
    start: u32,
    len: u32,
) -> Option<Range<usize>> {
    let first = (index as usize).checked_mul(4)?;
    let range = first..(len as usize).checked_mul(4)?.checked_add(first)?;
    let place = <[U32]>::mut_from_bytes(bytes.get_mut(range.clone())?).ok()?;
    start.checked_add(len)?;
    for (pointer, block) in place.iter_mut().zip(start..) {
        pointer.set(block);
    }
    Some(range)
}

/// Writes pointers to the `len` blocks from `start` on into the pointers `root` of an inode, from
/// `index` on. `None`, with nothing changed, when they do not fit among the direct pointers, or
/// when more than one is to be written beyond them.
pub(crate) fn store_root(root: &mut Pointers, index: usize, start: u32, len: u32) -> Option<()> {
    let end = index.checked_add(len as usize)?;
    if len > 1 && end > DIRECT {
        return None;
    }
    start.checked_add(len)?;
    for (pointer, block) in root.get_mut(index..end)?.iter_mut().zip(start..) {
        *pointer = block;
    }
    Some(())
}
