// SPDX-License-Identifier: GPL-2.0

//! The names of an inode: that they are on the device when the inode has been synced.
//!
//! An fsync of an inode promises that it is found after a crash, which takes more than the inode:
//!
//! * each entry that names it: a directory block, with the pointers to it and the inode of the
//!   directory, if the directory has grown;
//! * the same for that directory, if it is new itself or has moved, and so on up to the root;
//! * of a directory, that the inodes are there which it has new names of (see
//!   [`crate::volume::unwritten`]).
//!
//! A directory that has moved has no other name on the device, as rename(2) has waited for that.
//!
//! That its number and its blocks belong to nobody else on the device is so since they were allocated
//! (see [`crate::volume::released`]).
//!
//! Who removes a name of a file waits for those that stay, if they are new: not for others that were removed, nor for what sync(2) has
//! brought to the device ([`crate::volume::synced_names`]).
//!
//! So each inode has a record of the entries that were made and removed since it was synced last. It
//! is lost when the inode leaves memory: an inode that is read is known to be found, unless it is marked as one that had
//! a record then ([`crate::volume::evicted`]). The sync of such a one, or below such a directory, syncs all directories.

use crate::inode::attributes;
use crate::inode::data::ino32;
use crate::inode::deferred;
use crate::inode::name_record::{Change, Record, ENTRIES};
use crate::inode::store;
use crate::inode::table;
use crate::inode::unstored_names;
use crate::types::{Inode, InodeRef, SuperBlock};
use crate::volume::fault::Result;
use crate::volume::unwritten::First;
use kernel::prelude::*;

/// Takes note that a name of `inode` was made, or may have been, in the block `block` of the directory `dir`.
///
/// [`make_room`] was called before. Does not sleep.
pub(crate) fn added(inode: &Inode, dir: &Inode, block: u64) {
    changed(inode, dir, block, Change::Added);
}

/// The same of one that was removed. There need not be room for that. Does not sleep.
pub(crate) fn removed(inode: &Inode, dir: &Inode, block: u64) {
    changed(inode, dir, block, Change::Removed);
}

fn changed(inode: &Inode, dir: &Inode, block: u64, change: Change) {
    let volume = inode.sb().data();
    unstored_names::changed(dir);
    if !mutant!("fsync-no-parent") {
        let at = volume.synced_names.number();
        let is_noted = inode.data().names.lock().add(ino32(dir), block, change, at);
        match change {
            _ if is_noted => {}
            Change::Removed if !mutant!("removal-as-addition") => volume.removed.mark(ino32(inode)),
            _ => volume.evicted.mark(ino32(inode)),
        }
    }
    inode.data().changed();
    dir.data().set_named();
}

/// A sync of the volume is about to write all buffers, when the VFS has had all inodes stored: returns what [`end_sync`] takes. May sleep.
pub(crate) fn begin_sync(sb: &SuperBlock) -> Option<u64> {
    let volume = sb.data();
    let is_complete = || volume.unborn.next(0).is_none();
    volume.synced_names.begin(is_complete)
}

/// They were written and flushed. Does not sleep.
pub(crate) fn end_sync(sb: &SuperBlock, begun: Option<u64>) {
    if let Some(changes) = begun {
        sb.data().synced_names.end(changes);
    }
}

/// Makes room for the change of a name of `inode`, by a sync of those before, if there were many.
/// May sleep. `EIO` when the device fails.
pub(crate) fn make_room(inode: &Inode) -> Result {
    let record = *inode.data().names.lock();
    match record.is_full() {
        true => sync(inode),
        false => Ok(()),
    }
}

/// Whether `inode` has got a name since it was synced, or the volume, as far as is known: perhaps, if it has left memory. While a sync
/// is under way the cache of the device may have the name, and lose it. Those that were removed do not count: the names that stay
/// are there without that. Does not sleep.
pub(crate) fn has_new(inode: &Inode) -> bool {
    let volume = inode.sb().data();
    let is_recorded = !inode.data().names.lock().is_there(&volume.synced_names);
    let is_forgotten = || volume.evicted.has(ino32(inode)) && !mutant!("unlink-forgotten");
    is_recorded || is_forgotten()
}

/// The changes of the names of an inode when a sync of it began.
#[derive(Clone, Copy)]
pub(crate) struct Mark(pub(crate) u64);

/// Before a [`sync`] of `inode`. Does not sleep.
pub(crate) fn begin(inode: &Inode) -> Mark {
    Mark(inode.data().names.lock().changes())
}

/// After it, and after the cache of the device was flushed. Does not sleep.
pub(crate) fn flushed(inode: &Inode, mark: Mark) {
    inode.data().names.lock().set_flushed(mark.0);
}

/// Writes all names of `inode` to the device, what is needed to find them, and the attributes of the
/// inode, and waits. The inode itself has been written. The cache of the device is flushed by the caller.
///
/// Takes no inode lock; may sleep. `EIO` when the device fails: then the next call tries again.
pub(crate) fn sync(inode: &Inode) -> Result {
    let sb = inode.sb();
    let volume = sb.data();
    attributes::sync(inode)?;
    if let Some(named) = inode.data().named().filter(|_| inode.is_dir()) {
        let has_all = store_unborn(sb)?;
        volume.unwritten.sync_first(First::New)?;
        if has_all || mutant!("unborn-names-synced") {
            inode.data().named_synced(named);
        }
    }
    volume.evicted.settle(ino32(inode), || sync_all(sb))?;
    if !mutant!("removal-unnoted") {
        volume.removed.settle(ino32(inode), || sync_all(sb))?;
    }
    let record = *inode.data().names.lock();
    let above = match record.is_empty() {
        true => KVec::new(),
        false => sync_above(inode, &record)?,
    };
    // What could not be written earlier counts as clean.
    volume.check_device(sb);
    if volume.has_failed_writes() && !mutant!("fsync-name-error-lost") {
        // An error of before this call is returned once: then all is as if it had not been.
        volume.sync(sb).or_else(|_| volume.sync(sb))?;
    }
    inode.data().names.lock().remove(&record);
    for (dir, record) in &above {
        dir.data().names.lock().remove(record);
    }
    Ok(())
}

/// Stores all inodes that are unborn ([`crate::inode::unborn`]), so that they are among the buffers with new ones.
///
/// Those that come meanwhile may be left out; so are those that are being made, and have a name already, for which it returns false. May
/// sleep, also for those who make some. `EIO` when the device fails.
fn store_unborn(sb: &SuperBlock) -> Result<bool> {
    if mutant!("unborn-unsynced") {
        return Ok(true);
    }
    let mut has_all = true;
    let volume = sb.data();
    let last = volume.new_of_inodes.round();
    let mut next = volume.unborn.next(0);
    while let Some(ino) = next {
        match sb.ilookup(ino.into()) {
            Some(inode) if deferred::is_unborn_until(&inode, last) => store::store(&inode)?,
            Some(_) => {}
            None if mutant!("unborn-in-making-passed") => {}
            None => has_all = false,
        }
        next = ino.checked_add(1).and_then(|from| volume.unborn.next(from));
    }
    Ok(has_all)
}

/// Writes the directories that `record` of `inode` is about to the device, and those above whose names are not there, and waits.
/// Returns the latter, with their records as they were before.
fn sync_above<'a>(inode: &'a Inode, record: &Record) -> Result<KVec<(InodeRef<'a>, Record)>> {
    let sb = inode.sb();
    let mut above = KVec::new();
    let mut next = parents(record);
    let mut done = 0;
    loop {
        for ino in next.into_iter().filter(|&ino| ino != 0) {
            let dir = sb.ilookup(ino.into());
            // From here on it does not leave memory, if it is there.
            sb.data().evicted.settle(ino, || sync_all(sb))?;
            let Some(dir) = dir else {
                // It was evicted, and its blocks were written then.
                table::sync_cached(sb, ino)?;
                continue;
            };
            // The first call may return an error of before, of what is written only now.
            match dir.sync_metadata() {
                Err(EIO) => dir.sync_metadata()?,
                synced => synced?,
            }
            let record = *dir.data().names.lock();
            let seen = |(other, _): &(InodeRef<'_>, Record)| other.is(&dir);
            if !record.is_empty() && !dir.is(inode) && !above.iter().any(seen) {
                above.push((dir, record), GFP_KERNEL)?;
            }
        }
        let Some((_, record)) = above.get(done) else {
            return Ok(above);
        };
        next = parents(record);
        done += 1;
    }
}

/// Brings all names of the volume to the device, and waits. May sleep. `EIO`.
fn sync_all(sb: &SuperBlock) -> Result {
    let volume = sb.data();
    if !mutant!("evicted-directories-late") {
        sb.try_for_each_dir(|dir| match dir.nlink() {
            0 => Ok(()),
            _ => dir.store(),
        })?;
    }
    // Their buffers together, and those of inodes that have left memory.
    volume.sync(sb).or_else(|_| volume.sync(sb))
}

/// The inode numbers of the directories that the record is about; 0 for none.
fn parents(record: &Record) -> [u32; ENTRIES] {
    let mut dirs = [0; ENTRIES];
    for (dir, entry) in dirs.iter_mut().zip(record.entries()) {
        *dir = entry.dir;
    }
    dirs
}

/// An inode leaves memory, with its record. Does not sleep.
///
/// What the device has in its cache is found there by who syncs, and flushed. But who removes a name of a file goes by what was flushed
/// ([`has_new`]).
pub(crate) fn evict(inode: &Inode) {
    let volume = inode.sb().data();
    let record = *inode.data().names.lock();
    let is_settled = record.is_settled(&volume.synced_names);
    let is_there = match inode.is_dir() || mutant!("unflushed-evicted") {
        true => is_settled,
        false => record.is_there(&volume.synced_names),
    };
    if !is_there {
        volume.evicted.mark(ino32(inode));
    } else if !is_settled {
        volume.removed.mark(ino32(inode));
    }
}
