// SPDX-License-Identifier: GPL-2.0

//! Changing entries that are there.
//!
//! A rename changes several, and must not stop half-way: an inode with more names than links is freed
//! with the first that is unlinked. So what a change takes is there before the first of them is made:
//! the buffer of the block, and room for a copy of it. To change an [`Entry`] needs no memory.

use crate::ext2::directory::Name;
use crate::ext2::inode::FileType;
use crate::ext2::{Corrupt, Place};
use crate::inode::data::ino32;
use crate::inode::directory::block::{Block, Write};
use crate::inode::directory::found::Found;
use crate::inode::directory::search::{changed, checked, find_name, no_parent};
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use core::ops::Range;
use kernel::prelude::*;
use kfs::fs::inode::lock::Exclusive;

const LEADS_TO_ANOTHER: &str = "entry leads to another inode than it did";

/// An entry that is to be changed.
pub(crate) struct Entry<'a> {
    dir: &'a InodeLocked<Exclusive>,
    inner: Inner<'a>,
}

impl<'a> Entry<'a> {
    /// Finds the entry `name`, which was looked up before.
    pub(crate) fn find(dir: &'a InodeLocked<Exclusive>, name: &'a [u8]) -> Result<Self> {
        let inner = Inner::find(dir, checked(name)?)?.ok_or_else(|| gone(dir))?;
        Ok(Entry { dir, inner })
    }

    /// As [`Entry::find`], of an entry that led to `inode` when it was looked up: `EUCLEAN` when it leads to
    /// another one.
    pub(crate) fn find_leading_to(
        dir: &'a InodeLocked<Exclusive>,
        name: &'a [u8],
        inode: &Inode,
    ) -> Result<Self> {
        let entry = Self::find(dir, name)?;
        let found = entry.found();
        if found.ino != ino32(inode) && !mutant!("rename-unchecked") {
            return Err(found.corrupt(LEADS_TO_ANOTHER));
        }
        Ok(entry)
    }

    /// The entry as it was found.
    pub(crate) fn found(&self) -> &Found {
        &self.inner.found
    }

    /// Finds the entry again, after others were added: it is in another block if its own one was split.
    pub(crate) fn find_again(&mut self) -> Result {
        if !self.inner.is_there()? {
            self.inner = Inner::find(self.dir, self.inner.name)?.ok_or_else(|| gone(self.dir))?;
        }
        Ok(())
    }

    /// Removes the entry, which leads to the inode `ino`. Returns the block of the volume that it was in.
    pub(crate) fn remove(&mut self, ino: u32) -> Result<u64> {
        let block = self
            .inner
            .change(self.dir, Block::write_release, |block, name| {
                let Some(removed) = block.at.remove(&mut block.bytes, name)? else {
                    return Ok(None);
                };
                if removed.ino != ino && !mutant!("entry-unchecked") {
                    let ino = removed.ino.into();
                    return Err(Corrupt::found(block.at.place(0), LEADS_TO_ANOTHER, ino).into());
                }
                Ok(Some(removed.changed))
            })?;
        changed(self.dir);
        Ok(block)
    }

    /// Points the entry to the inode `ino` of type `file_type`. Returns the block of the volume that it
    /// is in.
    pub(crate) fn replace(&mut self, ino: u32, file_type: FileType) -> Result<u64> {
        let write = Block::write_release;
        let block = self.inner.set_inode(self.dir, write, ino, file_type)?;
        changed(self.dir);
        Ok(block)
    }

    /// Points this entry to the inode and type `of_other`, and `other`, which is in the same block, to
    /// `of_this`, by a single write.
    pub(crate) fn exchange(
        &mut self,
        of_this: (u32, FileType),
        other: &Entry<'_>,
        of_other: (u32, FileType),
    ) -> Result {
        let other = other.inner.name;
        self.inner.change(self.dir, Block::write, |block, name| {
            let mut set = |name, (ino, file_type)| -> Result<Option<Range<usize>>> {
                Ok(block.at.set_inode(&mut block.bytes, name, ino, file_type)?)
            };
            let Some(first) = set(name, of_other)? else {
                return Ok(None);
            };
            let second = set(other, of_this)?.ok_or(EIO)?;
            Ok(Some(
                first.start.min(second.start)..first.end.max(second.end),
            ))
        })?;
        changed(self.dir);
        Ok(())
    }
}

/// The entry of a directory for its parent, which is to be changed.
///
/// For a rename that moves the directory between others. Its inode lock need not be held: only such a
/// rename changes `..`, and the VFS serialises these with `s_vfs_rename_mutex`.
pub(crate) struct Parent<'a> {
    dir: &'a Inode,
    inner: Inner<'a>,
}

impl<'a> Parent<'a> {
    /// Finds it. It has to lead to `parent`, which has an entry for `dir`.
    pub(crate) fn find(dir: &'a Inode, parent: &Inode) -> Result<Self> {
        let inner = Inner::find(dir, checked(b"..")?)?.ok_or_else(|| no_parent(dir))?;
        if inner.found.ino != ino32(parent) && !mutant!("entry-unchecked") {
            let what = "parent is not the directory that it is in";
            return Err(inner.found.corrupt(what));
        }
        Ok(Parent { dir, inner })
    }

    /// Points it to `parent`.
    pub(crate) fn set(&mut self, parent: &Inode) -> Result {
        let (ino, file_type) = (ino32(parent), FileType::Directory);
        self.inner
            .set_inode(self.dir, Block::write, ino, file_type)?;
        self.dir.mark_inode_dirty();
        Ok(())
    }
}

fn gone(dir: &Inode) -> Fault {
    let what = "an entry that it had is gone";
    Corrupt::new(Place::Inode(ino32(dir)), what).into()
}

/// An entry, and what it takes to change it.
pub(super) struct Inner<'a> {
    name: Name<'a>,
    pub(super) found: Found,
    block: Block,
}

impl<'a> Inner<'a> {
    pub(super) fn find(dir: &Inode, name: Name<'a>) -> Result<Option<Self>> {
        let Some(named) = find_name(dir, name)? else {
            return Ok(None);
        };
        let found = named.found();
        let block = Block::copy(named.at, named.buffer, KVec::new())?;
        Ok(Some(Inner { name, found, block }))
    }

    /// Whether it is in the block where it was found.
    fn is_there(&mut self) -> Result<bool> {
        let block = &mut self.block;
        block.buffer.read(0, &mut block.bytes)?;
        Ok(block.at.find(&block.bytes, self.name)?.is_some())
    }

    fn set_inode(
        &mut self,
        dir: &Inode,
        write: Write,
        ino: u32,
        file_type: FileType,
    ) -> Result<u64> {
        self.change(dir, write, |block, name| {
            Ok(block.at.set_inode(&mut block.bytes, name, ino, file_type)?)
        })
    }

    /// Runs `change`, and writes the range of bytes that it returns back. Returns the block of the volume.
    fn change(
        &mut self,
        dir: &Inode,
        write: Write,
        change: impl FnOnce(&mut Block, Name<'_>) -> Result<Option<Range<usize>>>,
    ) -> Result<u64> {
        let block = &mut self.block;
        // Other entries of it may have changed since.
        block.buffer.read(0, &mut block.bytes)?;
        match change(block, self.name)? {
            Some(changed) => write(block, dir, changed),
            None => Err(gone(dir)),
        }
    }
}
