// SPDX-License-Identifier: GPL-2.0

//! The way through the hash index of a directory to a leaf, and on to the next one.

use super::{
    blocks::DirBlocks,
    hash::Function,
    index::{Node, Pointer, Root, CONTINUED, HEAD, LEVELS, POINTER},
    DirBlock,
};
use crate::ext2::{Corrupt, Geometry};
use core::ops::RangeInclusive;

/// How many pointers are read at once to check them.
const CHECKED: usize = 32;

/// A block of the index on the way to a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The index of the block in the directory.
    pub(crate) block: u32,
    /// Its pointers.
    pub(crate) node: Node,
    /// The index of the pointer that is followed.
    pub(crate) at: usize,
}

/// A way to a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    directory: Directory<'a>,
    /// The hash that the leaf is for.
    pub(crate) hash: u32,
    /// The root of the index.
    pub(crate) root: Root,
    /// The root, and the node if there is one.
    frames: [Frame; LEVELS],
    /// The index of the leaf in the directory.
    pub(crate) leaf: u32,
}

/// The hashes of the names in a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The hash in the pointer to it.
    pub(crate) start: u32,
    /// The hash in the pointer to the next leaf, with [`CONTINUED`]; `None` if this is the last one.
    pub(crate) end: Option<u32>,
}

impl Range {
    /// Whether `hash` is one of them.
    pub(crate) fn has(&self, hash: u32) -> bool {
        let before = self.end.is_none_or(|end| hash < end);
        self.start & !CONTINUED <= hash && before
    }

    /// Whether this is the first leaf that may have names of the hash `hash`.
    pub(crate) fn is_first_of(&self, hash: u32) -> bool {
        self.start <= hash && self.end.is_none_or(|end| hash < end)
    }

    /// Whether the next leaf may have some, too.
    pub(crate) fn is_continued(&self, hash: u32) -> bool {
        self.end == Some(hash | CONTINUED)
    }
}

/// A directory whose index is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory<'a> {
    /// The geometry of the volume.
    pub(crate) geometry: &'a Geometry,
    /// The inode number.
    pub(crate) ino: u32,
}

impl<'a> Directory<'a> {
    fn block(&self, index: u32) -> DirBlock {
        DirBlock::new(self.geometry, self.ino, index)
    }

    /// Reads the root.
    ///
    /// # Errors
    ///
    /// The first block is no root, or cannot be read.
    pub(crate) fn root<D: DirBlocks>(&self, device: &mut D) -> Result<Root, D::Error> {
        let mut head = [0; HEAD];
        device.read(0, 0, &mut head)?;
        Ok(Root::parse(&self.block(0), &head)?)
    }

    /// The hash of pointer `at` of `frame`. A search needs no more of most of them.
    #[inline(always)]
    fn hash_at<D: DirBlocks>(frame: &Frame, at: usize, device: &mut D) -> Result<u32, D::Error> {
        let mut bytes = [0; 4];
        device.read(frame.block, frame.node.offset(at), &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Finds the leaf for the hash that `hash` returns for the function of the index: the first one that
    /// may have names of this hash.
    ///
    /// # Errors
    ///
    /// The index breaks the rules, or a block cannot be read.
    pub(crate) fn walk<D: DirBlocks>(
        &self,
        device: &mut D,
        hash: impl FnOnce(Function) -> u32,
    ) -> Result<Path<'a>, D::Error> {
        let root = self.root(device)?;
        let hash = hash(root.function);
        let frame = Frame {
            block: 0,
            node: root.node,
            at: 0,
        };
        let mut path = Path {
            directory: *self,
            hash,
            root,
            frames: [frame; LEVELS],
            leaf: 0,
        };
        path.check(&frame, 0..=u32::MAX, device)?;
        let mut frame = frame;
        for level in 0..=root.nodes {
            if level > 0 {
                frame = path.read_node(&frame, device)?;
            }
            frame.at = frame
                .node
                .search(hash, |at| Self::hash_at(&frame, at, device))?;
            if let Some(place) = path.frames.get_mut(level) {
                *place = frame;
            }
            path.leaf = path.follow(&frame, device)?;
        }
        Ok(path)
    }
}

impl Path<'_> {
    /// The blocks of the index, the root first.
    pub(crate) fn frames(&self) -> &[Frame] {
        self.frames.get(..=self.root.nodes).unwrap_or_default()
    }

    /// Reads the node that the pointer of `parent` leads to, which is in `leaf` so far.
    fn read_node<D: DirBlocks>(&self, parent: &Frame, device: &mut D) -> Result<Frame, D::Error> {
        let block = self.leaf;
        let mut head = [0; HEAD];
        device.read(block, 0, &mut head)?;
        let node = Node::parse(&self.directory.block(block), &head)?;
        let frame = Frame { block, node, at: 0 };
        if !device.is_checked(block)? {
            let mut hash = |at: usize, other: u32| match at > 0 && at < parent.node.count {
                true => Ok(self.pointer(parent, at, device)?.hash),
                false => Ok::<_, D::Error>(other),
            };
            let hashes = hash(parent.at, 0)?..=hash(parent.at + 1, u32::MAX)?;
            self.check(&frame, hashes, device)?;
        }
        Ok(frame)
    }

    /// Checks that the hashes of the pointers of `frame` are sorted and within `hashes`, once while the block is in
    /// memory. They are searched by halves: with one that is wrong, names could be looked for in another leaf than they
    /// are read from.
    fn check<D: DirBlocks>(
        &self,
        frame: &Frame,
        hashes: RangeInclusive<u32>,
        device: &mut D,
    ) -> Result<(), D::Error> {
        if device.is_checked(frame.block)? || cfg!(mutant = "index-not-sorted") {
            return Ok(());
        }
        let mut least = *hashes.start();
        let mut bytes = [0; CHECKED * POINTER];
        // The first pointer has no hash.
        for first in (1..frame.node.count).step_by(CHECKED) {
            let count = CHECKED.min(frame.node.count - first);
            let piece = bytes.get_mut(..count * POINTER).unwrap_or_default();
            device.read(frame.block, frame.node.offset(first), piece)?;
            for (i, pointer) in piece.chunks_exact(POINTER).enumerate() {
                let hash = Pointer::read(pointer).hash;
                if hash < least || hash > *hashes.end() {
                    let at = self.directory.block(frame.block);
                    let place = at.place(frame.node.offset(first + i));
                    let what = "index that is not sorted";
                    return Err(Corrupt::found(place, what, hash.into()).into());
                }
                least = hash;
            }
        }
        device.set_checked(frame.block)
    }

    fn pointer<D: DirBlocks>(
        &self,
        frame: &Frame,
        at: usize,
        device: &mut D,
    ) -> Result<Pointer, D::Error> {
        let mut bytes = [0; POINTER];
        device.read(frame.block, frame.node.offset(at), &mut bytes)?;
        Ok(Pointer::read(&bytes))
    }

    /// The block that the pointer of `frame` leads to.
    fn follow<D: DirBlocks>(&self, frame: &Frame, device: &mut D) -> Result<u32, D::Error> {
        let block = self.pointer(frame, frame.at, device)?.block;
        // The root is not below itself, and what is below a node is not that node.
        if block == 0 || block == frame.block || block >= device.count() {
            let at = self.directory.block(frame.block);
            let offset = frame.node.offset(frame.at);
            let what = "index leads to no block below it";
            return Err(Corrupt::found(at.place(offset), what, block.into()).into());
        }
        Ok(block)
    }

    /// The pointer behind the one that is followed, and the frame that it is in.
    fn peek<D: DirBlocks>(&self, device: &mut D) -> Result<Option<(usize, Pointer)>, D::Error> {
        for (level, frame) in self.frames().iter().enumerate().rev() {
            if frame.at + 1 < frame.node.count {
                let pointer = self.pointer(frame, frame.at + 1, device)?;
                return Ok(Some((level, pointer)));
            }
        }
        Ok(None)
    }

    /// The hashes of the names in the leaf.
    ///
    /// # Errors
    ///
    /// A block of the index cannot be read.
    pub(crate) fn range<D: DirBlocks>(&self, device: &mut D) -> Result<Range, D::Error> {
        let mut start = 0;
        if let Some(frame) = self.frames().iter().rev().find(|frame| frame.at > 0) {
            start = self.pointer(frame, frame.at, device)?.hash;
        }
        let end = self.peek(device)?.map(|(_, pointer)| pointer.hash);
        Ok(Range { start, end })
    }

    /// Goes on to the next leaf, if that may have names of the hash `hash`, which the leaf before has
    /// room for. Returns whether there is one.
    ///
    /// # Errors
    ///
    /// The index breaks the rules, or a block cannot be read.
    pub(crate) fn next_of<D: DirBlocks>(
        &mut self,
        hash: u32,
        device: &mut D,
    ) -> Result<bool, D::Error> {
        self.next_if(|bound| bound == hash | CONTINUED, device)
    }

    /// Goes on to the next leaf, if `goes_on` says so of the hash in the pointer to it, with [`CONTINUED`]. Returns
    /// whether it did: there may be none.
    ///
    /// # Errors
    ///
    /// The index breaks the rules, or a block cannot be read.
    pub(crate) fn next_if<D: DirBlocks>(
        &mut self,
        goes_on: impl FnOnce(u32) -> bool,
        device: &mut D,
    ) -> Result<bool, D::Error> {
        match self.peek(device)? {
            Some((level, pointer)) if goes_on(pointer.hash) => {
                self.advance(level, device)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn advance<D: DirBlocks>(&mut self, level: usize, device: &mut D) -> Result<(), D::Error> {
        let [mut parent, ..] = self.frames;
        for below in level..=self.root.nodes {
            let mut frame = match self.frames.get(below) {
                Some(frame) if below == level => *frame,
                _ => self.read_node(&parent, device)?,
            };
            if below == level {
                frame.at += 1;
            }
            self.leaf = self.follow(&frame, device)?;
            if let Some(place) = self.frames.get_mut(below) {
                *place = frame;
            }
            parent = frame;
        }
        Ok(())
    }
}
