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
//! So each inode has a record of the entries that were made and removed since it was synced last. It
//! is lost when the inode leaves memory. What it was about is written then, and the first sync of an
//! inode that was read looks at all the directories that the path leads through, as what is missing
//! of these may be known in memory alone.

use crate::inode::attributes;
use crate::inode::data::ino32;
use crate::inode::name_record::{Record, ENTRIES};
use crate::inode::table;
use crate::types::{Inode, InodeRef};
use crate::volume::fault::Result;
use crate::volume::unwritten::First;
use kernel::prelude::*;

/// The inode is new: nothing is known of it but in memory. Its first name is yet to be made.
pub(super) fn created(inode: &Inode) {
    inode.data().names.lock().unknown = false;
}

/// Takes note that a name of `inode` has changed in the block `block` of the directory `dir`.
///
/// [`make_room`] was called before. Does not sleep.
pub(crate) fn changed(inode: &Inode, dir: &Inode, block: u64) {
    if !mutant!("fsync-no-parent") {
        inode.data().names.lock().add(ino32(dir), block);
    }
    inode.data().changed();
    dir.data().set_named();
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

/// Whether a name of `inode` has changed since it was synced.
pub(crate) fn is_changed(inode: &Inode) -> bool {
    !inode.data().names.lock().entries().is_empty()
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
        volume.unwritten.sync_first(First::New)?;
        inode.data().named_synced(named);
    }
    let record = *inode.data().names.lock();
    if record.is_empty() {
        return Ok(());
    }
    // The directories above whose names are synced, too, and their records as they were before.
    let mut above = KVec::new();
    let mut next = parents(inode, &record)?;
    let mut done = 0;
    loop {
        for ino in next.into_iter().filter(|&ino| ino != 0) {
            let Some(dir) = sb.ilookup(ino.into()) else {
                // It was evicted, and its blocks were written then.
                table::sync_cached(sb, ino)?;
                continue;
            };
            // The first call may return an error of before, of what is written only now.
            dir.sync_metadata().or_else(|_| dir.sync_metadata())?;
            let record = *dir.data().names.lock();
            let seen = |(other, _): &(InodeRef<'_>, Record)| other.is(&dir);
            if !record.is_empty() && !dir.is(inode) && !above.iter().any(seen) {
                above.push((dir, record), GFP_KERNEL)?;
            }
        }
        let Some((dir, record)) = above.get(done) else {
            break;
        };
        next = parents(dir, record)?;
        done += 1;
    }
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

/// The inode numbers of the directories that the record is about; 0 for none.
fn parents(inode: &Inode, record: &Record) -> Result<[u32; ENTRIES + 1]> {
    let mut dirs = [0; ENTRIES + 1];
    for (dir, entry) in dirs.iter_mut().zip(record.entries()) {
        *dir = entry.dir;
    }
    if record.unknown {
        // Its slot may have been left to the buffer when it was evicted before.
        table::sync_cached(inode.sb(), ino32(inode))?;
        if let Some(dir) = inode.any_parent() {
            dirs[ENTRIES] = ino32(&dir);
        }
    }
    Ok(dirs)
}

/// Writes what the record of an inode that leaves memory is about, as far as it is in buffers.
///
/// Waits for nothing but the buffers; may sleep.
pub(crate) fn evict(inode: &Inode) -> Result {
    let sb = inode.sb();
    let record = *inode.data().names.lock();
    for entry in record.entries() {
        if let Some(buffer) = sb.find_get_block(entry.block) {
            buffer.sync_dirty()?;
        }
        table::sync_cached(sb, entry.dir)?;
    }
    Ok(())
}
