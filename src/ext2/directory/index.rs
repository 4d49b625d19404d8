// SPDX-License-Identifier: GPL-2.0

//! The hash index of a directory (`dir_index`): its blocks.
//!
//! The names are in *leaves*: blocks of entries, as in any directory. Each leaf has the names of a range
//! of hashes, in any order. The first block of the directory is the *root* of the index: after the entries
//! `.` and `..`, in what looks like slack, it has pointers to blocks of the directory, sorted by the first
//! hash of each. They lead to leaves or, if the index has two levels, to *nodes*, whose pointers lead to
//! leaves. A node looks like a block with one unused entry. The first pointer of a block has no hash: in
//! its place are the numbers of pointers that there are, and can be.
//!
//! Names of one hash may be in several leaves, one after the other: the pointers to all of these but the
//! first have the lowest bit of their hash set ([`CONTINUED`]).
//!
//! The walk through the index is in [`super::path`].

use super::{hash::Function, rec_len, sector::SECTOR, DirBlock, HEADER, SHORTEST};
use crate::ext2::Corrupt;
use core::ops::Range;
use zerocopy::little_endian::U16;

/// Bit of the hash in a pointer: the leaf before has names of this hash, too.
pub(crate) const CONTINUED: u32 = 1;

/// How many blocks of an index can be on the way to a leaf.
pub(crate) const LEVELS: usize = 2;

/// Where the root has its numbers: after the entries `.` and `..`.
const ROOT_INFO: usize = 2 * SHORTEST;
const ROOT_INFO_LEN: usize = 8;
/// Where it has the pointers.
const ROOT_POINTERS: usize = ROOT_INFO + ROOT_INFO_LEN;
/// Size of a pointer.
pub(crate) const POINTER: usize = 8;

/// How many bytes of an index block [`Root::parse`] and [`Node::parse`] need.
pub(crate) const HEAD: usize = ROOT_POINTERS + POINTER;

/// A pointer of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The first hash, and [`CONTINUED`]; 0 in the first pointer of a block.
    pub(crate) hash: u32,
    /// The index of the block in the directory.
    pub(crate) block: u32,
}

impl Pointer {
    /// A pointer as it is on the disk: `bytes` are its [`POINTER`] bytes.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Pointer {
            hash: get32(bytes, 0),
            // Linux has 28 bits for it, and uses the others for nothing.
            block: get32(bytes, 4) & 0x0fff_ffff,
        }
    }
}

/// The pointers of a root or node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Byte offset of the first one.
    start: usize,
    /// How many there are; at least 1.
    pub(crate) count: usize,
    /// How many there can be.
    pub(crate) limit: usize,
}

/// The root of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// The function that it is sorted by.
    pub(crate) function: Function,
    /// How many levels of nodes there are below it: 0 or 1.
    pub(crate) nodes: usize,
    /// Its pointers.
    pub(crate) node: Node,
}

impl Root {
    /// Reads the root from its first [`HEAD`] bytes, or more of them.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn parse(at: &DirBlock, bytes: &[u8]) -> Result<Self, Corrupt> {
        let bad = |what, found: u32| Err(at.bad(ROOT_INFO, what, found.into()));
        for (offset, rec_len, name) in [
            (0, SHORTEST, &b"."[..]),
            (SHORTEST, at.block_size - SHORTEST, b".."),
        ] {
            let found = bytes.get(offset + HEADER..offset + HEADER + name.len());
            let is_it = entry_len(at, bytes, offset) == rec_len
                && usize::from(byte(bytes, offset + 6)) == name.len()
                && found == Some(name);
            if !is_it {
                return Err(at.bad(offset, "no root of an index", 0));
            }
        }
        if get32(bytes, ROOT_INFO) != 0 {
            return bad(
                "root of an index not as it must be",
                get32(bytes, ROOT_INFO),
            );
        }
        let code = byte(bytes, ROOT_INFO + 4);
        let Some(function) = Function::from_code(code) else {
            return bad("index by an unknown hash function", code.into());
        };
        let len = byte(bytes, ROOT_INFO + 5);
        if usize::from(len) != ROOT_INFO_LEN {
            return bad("impossible length of the root of an index", len.into());
        }
        let nodes = byte(bytes, ROOT_INFO + 6);
        if usize::from(nodes) >= LEVELS {
            return bad("too many levels in an index", nodes.into());
        }
        let flags = byte(bytes, ROOT_INFO + 7);
        if flags & 1 != 0 {
            return bad("unknown flags of an index", flags.into());
        }
        Ok(Root {
            function,
            nodes: nodes.into(),
            node: Node::at(at, bytes, ROOT_POINTERS)?,
        })
    }

    /// Makes `block`, which begins with `.` and `..`, the root of an index with these pointers. Returns
    /// the bytes that changed.
    ///
    /// # Errors
    ///
    /// It does not begin so, or they are too many.
    pub(crate) fn init(
        at: &DirBlock,
        block: &mut [u8],
        function: Function,
        pointers: &[Pointer],
    ) -> Result<Range<usize>, Corrupt> {
        at.check_dots(block)?;
        put16(block, SHORTEST + 4, at.block_size - SHORTEST);
        if let Some(rest) = block.get_mut(ROOT_INFO..) {
            rest.fill(0);
        }
        // If the device has these sectors, and not the first one, the entries of that are followed by unused ones: where none of
        // them lies across its end.
        for offset in (SECTOR..block.len()).step_by(SECTOR) {
            put16(block, offset + 4, SECTOR);
        }
        put_byte(block, ROOT_INFO + 4, function.code());
        put_byte(block, ROOT_INFO + 5, ROOT_INFO_LEN as u8);
        let end = Node::init(at, block, ROOT_POINTERS, pointers)?;
        // What was left of entries looks like some if the index is given up.
        Ok(SHORTEST + 4..end.max(block.len()))
    }

    /// After all its pointers were copied to a new node, block `block` of the directory, `root` leads to
    /// that. Returns the bytes that changed.
    ///
    /// # Errors
    ///
    /// The index would have too many levels.
    pub(crate) fn raise(
        &self,
        at: &DirBlock,
        root: &mut [u8],
        block: u32,
    ) -> Result<Range<usize>, Corrupt> {
        let nodes = self.nodes + 1;
        if nodes >= LEVELS {
            return Err(at.bad(ROOT_INFO, "too many levels in an index", nodes as u64));
        }
        put_byte(root, ROOT_INFO + 6, nodes as u8);
        let end = Node::init(at, root, ROOT_POINTERS, &[Pointer { hash: 0, block }])?;
        Ok(ROOT_INFO + 6..end)
    }
}

impl Node {
    /// Reads the head of a node from its first [`HEAD`] bytes, or more of them.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn parse(at: &DirBlock, bytes: &[u8]) -> Result<Self, Corrupt> {
        if get32(bytes, 0) != 0 || entry_len(at, bytes, 0) != at.block_size {
            return Err(at.bad(0, "no node of an index", 0));
        }
        Node::at(at, bytes, HEADER)
    }

    fn at(at: &DirBlock, bytes: &[u8], start: usize) -> Result<Self, Corrupt> {
        let (limit, count) = (get16(bytes, start), get16(bytes, start + 2));
        if limit != room(at, start) {
            let what = "wrong limit of pointers of an index";
            return Err(at.bad(start, what, limit as u64));
        }
        if count == 0 || count > limit {
            let what = "impossible number of pointers of an index";
            return Err(at.bad(start, what, count as u64));
        }
        Ok(Node {
            start,
            count,
            limit,
        })
    }

    /// Whether there is no room for another pointer.
    pub(crate) const fn is_full(&self) -> bool {
        self.count >= self.limit
    }

    /// Byte offset of pointer `index` in its block.
    pub(crate) const fn offset(&self, index: usize) -> usize {
        self.start + index * POINTER
    }

    /// Pointer `index` in `block`.
    pub(crate) fn pointer(&self, block: &[u8], index: usize) -> Pointer {
        let offset = self.offset(index);
        let mut pointer = Pointer::read(block.get(offset..).unwrap_or_default());
        if index == 0 {
            pointer.hash = 0;
        }
        pointer
    }

    /// The index of the pointer that leads to `hash`: the last one that is not beyond. `get` reads the hash of one
    /// other than the first.
    #[inline(always)]
    pub(crate) fn search<E>(
        &self,
        hash: u32,
        mut get: impl FnMut(usize) -> Result<u32, E>,
    ) -> Result<usize, E> {
        // The pointers before `low` are not beyond, those from `high` on are.
        let (mut low, mut high) = (1, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match get(middle)? > hash {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(low - 1)
    }

    /// Adds `pointer` after the one with the index `after` to `block`. Returns the bytes that changed.
    ///
    /// # Errors
    ///
    /// There is no room, or no such pointer.
    pub(crate) fn insert(
        &self,
        at: &DirBlock,
        block: &mut [u8],
        after: usize,
        pointer: Pointer,
    ) -> Result<Range<usize>, Corrupt> {
        let from = self.offset(after + 1);
        let end = self.offset(self.count);
        if self.is_full() || from > end || end + POINTER > block.len() {
            let what = "impossible number of pointers of an index";
            return Err(at.bad(self.start, what, self.count as u64));
        }
        block.copy_within(from..end, from + POINTER);
        put_pointer(block, from, pointer);
        put16(block, self.start + 2, self.count + 1);
        Ok(self.start..end + POINTER)
    }

    /// Changes pointer `index` of `block`, which is not the first one.
    pub(crate) fn set(&self, block: &mut [u8], index: usize, pointer: Pointer) {
        if index > 0 {
            put_pointer(block, self.offset(index), pointer);
        }
    }

    /// Keeps the first `count` pointers of `block`. Returns the bytes that changed.
    pub(crate) fn truncate(&self, block: &mut [u8], count: usize) -> Range<usize> {
        put16(block, self.start + 2, count.clamp(1, self.count));
        self.start..self.start + 4
    }

    /// Makes a new node of `block` with the pointers of `from`, which has this node, from the one with
    /// the index `first` on.
    ///
    /// # Errors
    ///
    /// They are too many.
    pub(crate) fn copy_from(
        &self,
        at: &DirBlock,
        block: &mut [u8],
        from: &[u8],
        first: usize,
    ) -> Result<(), Corrupt> {
        at.init_whole(block)?;
        let count = self.count.saturating_sub(first);
        let bytes = from.get(self.offset(first)..self.offset(self.count));
        let Some(bytes) = bytes.filter(|_| count > 0 && count <= room(at, HEADER)) else {
            let what = "impossible number of pointers of an index";
            return Err(at.bad(HEADER, what, count as u64));
        };
        if let Some(place) = block.get_mut(HEADER..HEADER + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        put16(block, HEADER, room(at, HEADER));
        put16(block, HEADER + 2, count);
        Ok(())
    }

    /// Stores pointers from byte `start` of `block` on. Returns their end.
    fn init(
        at: &DirBlock,
        block: &mut [u8],
        start: usize,
        pointers: &[Pointer],
    ) -> Result<usize, Corrupt> {
        let limit = room(at, start);
        if pointers.is_empty() || pointers.len() > limit {
            let what = "impossible number of pointers of an index";
            return Err(at.bad(start, what, pointers.len() as u64));
        }
        let mut end = start;
        for &pointer in pointers {
            put_pointer(block, end, pointer);
            end += POINTER;
        }
        put16(block, start, limit);
        put16(block, start + 2, pointers.len());
        Ok(end)
    }
}

/// How many pointers fit from byte `start` of a block on. A checksum, where there are any, takes the
/// place of one.
const fn room(at: &DirBlock, start: usize) -> usize {
    let checksum = (at.metadata_csum && !cfg!(mutant = "index-without-checksum")) as usize;
    (at.block_size - start) / POINTER - checksum
}

/// The length of the entry at byte `offset` of the block `at`.
fn entry_len(at: &DirBlock, bytes: &[u8], offset: usize) -> usize {
    let raw = U16::new(get16(bytes, offset + 4) as u16);
    rec_len::from_disk(raw, at.block_size)
}

fn put_pointer(block: &mut [u8], offset: usize, pointer: Pointer) {
    put(block, offset, &pointer.hash.to_le_bytes());
    put(block, offset + 4, &pointer.block.to_le_bytes());
}

fn put(block: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(offset..offset + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Stores a number that is less than 64 KiB, the size of the largest block.
fn put16(block: &mut [u8], offset: usize, value: usize) {
    put(block, offset, &(value as u16).to_le_bytes());
}

fn put_byte(block: &mut [u8], offset: usize, value: u8) {
    put(block, offset, &[value]);
}

fn byte(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or_default()
}

fn get16(bytes: &[u8], offset: usize) -> usize {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u16::from_le_bytes(*field)).into()
}

fn get32(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}
