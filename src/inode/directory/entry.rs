// SPDX-License-Identifier: GPL-2.0

//! Changing entries that are there.
//!
//! A rename changes several, and must not stop half-way: an inode with more names than links is freed
//! with the first that is unlinked. So what a change takes is there before the first of them is made:
//! the buffer of the block. An [`Entry`] is changed in that, and not in a copy, so that it needs no memory. And when one has been
//! [`Added`], it is removed again without looking for it in the directory: that ends with a fatal signal.

use crate::ext2::directory::sector::sector;
use crate::ext2::directory::{DirBlock, Located, Name};
use crate::ext2::inode::FileType;
use crate::ext2::{Corrupt, Place};
use crate::inode::data::ino32;
use crate::inode::directory::added::Added;
use crate::inode::directory::block::{self, InPlace, Mark, Sector};
use crate::inode::directory::found::Found;
use crate::inode::directory::linear;
use crate::inode::directory::search::{changed, checked, find_name, no_parent};
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
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

    /// The sector that it begins in.
    pub(crate) fn sector(&self) -> Sector {
        Sector {
            block: self.inner.buffer.block(),
            index: sector(self.inner.entry.offset),
        }
    }

    /// Where in its directory a name is put that is to come to the device with it: the block, and the sector of that.
    pub(super) fn near(&self) -> (u32, usize) {
        (self.inner.at.index(), sector(self.inner.entry.offset))
    }

    /// Finds the entry again, after others were added: it is in another block if its own one was split.
    pub(crate) fn find_again(&mut self) -> Result {
        if self.inner.locate(self.dir)?.is_none() {
            self.inner = Inner::find(self.dir, self.inner.name)?.ok_or_else(|| gone(self.dir))?;
        }
        Ok(())
    }

    /// Removes the entry, which leads to the inode `ino`. Returns the block of the volume that it was in.
    pub(crate) fn remove(&mut self, ino: u32) -> Result<u64> {
        let dir = self.dir;
        let block = self
            .inner
            .change(dir, block::released, |at, block, entry| {
                if entry.ino != ino && !mutant!("entry-unchecked") {
                    let place = at.place(entry.offset);
                    return Err(Corrupt::found(place, LEADS_TO_ANOTHER, entry.ino.into()).into());
                }
                remove_located(dir, at, block, entry)
            })?;
        changed(dir);
        Ok(block)
    }

    /// Points the entry to the inode `ino` of type `file_type`. Returns the block of the volume that it
    /// is in.
    pub(crate) fn replace(&mut self, ino: u32, file_type: FileType) -> Result<u64> {
        let block = self
            .inner
            .set_inode(self.dir, block::released, ino, file_type)?;
        changed(self.dir);
        Ok(block)
    }

    /// Puts the entry back, after it was removed or replaced: it leads to the inode `ino` of type `file_type`
    /// again. Nothing was added to the directory since.
    pub(crate) fn put_back(&mut self, ino: u32, file_type: FileType) -> Result {
        let Inner {
            at, buffer, entry, ..
        } = &self.inner;
        block::at_once(buffer, |block| at.put_back(block, entry, ino, file_type))?;
        block::released(self.dir, buffer);
        changed(self.dir);
        Ok(())
    }

    /// Points this entry to the inode and type `of_other`, which `other` in the same sector leads to, and that to
    /// `instead` or nowhere, by writing the sector once. Returns the block of the volume.
    pub(crate) fn take(
        &mut self,
        of_other: (u32, FileType),
        other: &mut Entry<'_>,
        instead: Option<(u32, FileType)>,
    ) -> Result<u64> {
        let dir = self.dir;
        let old = *other.inner.locate(dir)?.ok_or_else(|| gone(dir))?;
        let block = self.inner.change(dir, block::released, |at, block, this| {
            // First, as the other may be behind it, and is merged with it then.
            at.set_inode(block, this, of_other.0, of_other.1)?;
            if let Some((ino, file_type)) = instead {
                return at.set_inode(block, &old, ino, file_type);
            }
            remove_located(dir, at, block, &old)
        })?;
        changed(dir);
        Ok(block)
    }

    /// Points this entry to the inode and type `of_other`, and `other`, which is in the same sector, to
    /// `of_this`, by writing that once.
    pub(crate) fn exchange(
        &mut self,
        of_this: (u32, FileType),
        other: &Entry<'_>,
        of_other: (u32, FileType),
    ) -> Result {
        let other = other.inner.name;
        self.inner
            .change(self.dir, block::changed, |at, block, this| {
                let other = at.find_in(block, other)?.ok_or(EIO)?;
                at.set_inode(block, this, of_other.0, of_other.1)?;
                at.set_inode(block, &other, of_this.0, of_this.1)
            })?;
        changed(self.dir);
        Ok(())
    }
}

impl Added {
    /// Removes the entry `name` of `dir`, which leads to the inode `ino`. Nothing was added to the directory since.
    pub(crate) fn remove(&self, dir: &InodeLocked<Exclusive>, name: &[u8], ino: u32) -> Result {
        let name = checked(name)?;
        block::at_once(&self.buffer, |block| {
            let found = self.at.find_in(block, name)?;
            let entry = found
                .filter(|entry| entry.ino == ino)
                .ok_or_else(|| gone(dir))?;
            remove_located(dir, &self.at, block, &entry)
        })?;
        block::released(dir, &self.buffer);
        changed(dir);
        Ok(())
    }
}

/// Removes the entry that was found in its block. The caller has that written.
fn remove_located(
    dir: &InodeLocked<Exclusive>,
    at: &DirBlock,
    block: &mut InPlace<'_>,
    entry: &Located,
) -> Result {
    at.remove(block, entry)?;
    linear::freed(dir, entry.room(), at.index());
    Ok(())
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
            .set_inode(self.dir, block::changed, ino, file_type)?;
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
    at: DirBlock,
    buffer: BufferHead,
    /// Where it is in the block, as long as no entry of the directory was changed since.
    entry: Located,
    since: u32,
}

impl<'a> Inner<'a> {
    pub(super) fn find(dir: &Inode, name: Name<'a>) -> Result<Option<Self>> {
        let since = dir.data().entries_changed();
        let named = find_name(dir, name)?;
        Ok(named.map(|named| Inner {
            name,
            found: named.found(),
            at: named.at,
            buffer: named.buffer,
            entry: named.entry,
            since,
        }))
    }

    /// Where it is now in the block where it was found; `None` if it is in another one, or gone.
    fn locate(&mut self, dir: &Inode) -> Result<Option<&Located>> {
        let since = dir.data().entries_changed();
        if since != self.since && !mutant!("entry-not-again") {
            // The one before it is another one, for example, or ends elsewhere.
            match self.at.find_in(&mut InPlace(&self.buffer), self.name)? {
                Some(entry) => self.entry = entry,
                None => return Ok(None),
            }
            self.since = since;
        }
        Ok(Some(&self.entry))
    }

    fn set_inode(&mut self, dir: &Inode, mark: Mark, ino: u32, file_type: FileType) -> Result<u64> {
        self.change(dir, mark, |at, block, entry| {
            at.set_inode(block, entry, ino, file_type)
        })
    }

    /// Runs `change` on the entry in its block, and has it written, by `mark`. Returns the block of the volume.
    fn change(
        &mut self,
        dir: &Inode,
        mark: Mark,
        change: impl FnOnce(&DirBlock, &mut InPlace<'_>, &Located) -> Result,
    ) -> Result<u64> {
        let entry = *self.locate(dir)?.ok_or_else(|| gone(dir))?;
        let at = &self.at;
        block::at_once(&self.buffer, |block| change(at, block, &entry))?;
        mark(dir, &self.buffer);
        Ok(self.buffer.block())
    }
}
