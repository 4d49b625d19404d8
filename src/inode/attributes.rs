// SPDX-License-Identifier: GPL-2.0

//! The extended attributes of an inode: in its slot of the inode table, and in a block.
//!
//! An attribute is in one of them, where it stays as long as it fits there. The block may belong to
//! other inodes, too, or be on the device: it is not changed then, but copied.
//!
//! After a crash an attribute that was synced has its old value or its new one. So what is moved, or
//! copied, is on the device before its old place is given up.

use crate::ext2::xattr::{self, Attributes, Change, Changed, Key};
use crate::inode::attribute_block;
use crate::inode::data::ino32;
use crate::inode::errors;
use crate::inode::table::{self, RawSlot};
use crate::inode::write;
use crate::types::Inode;
use crate::volume::fault::Result;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bio::SECTOR_SIZE;
use kfs::compat::{zeroed, ENODATA};
use kfs::fs::xattr::SetXattr;
use kfs::mm::nofs::nofs;

/// Bytes of the slot that every inode has for its first fields.
const FIXED: usize = 128;

/// A copy of what an inode has of attributes.
#[derive(Default)]
struct Copies {
    slot: KVVec<u8>,
    block: KVVec<u8>,
}

impl Copies {
    fn slot(&self, inode: &Inode) -> Result<Attributes<'_>> {
        match inode.data().has_slot_attributes() {
            true => Ok(Attributes::in_slot(ino32(inode), &self.slot)?),
            false => Ok(Attributes::NONE),
        }
    }

    fn block(&self, inode: &Inode) -> Result<Attributes<'_>> {
        match inode.data().file_acl() {
            0 => Ok(Attributes::NONE),
            block => Ok(Attributes::in_block(ino32(inode), block, &self.block)?),
        }
    }
}

/// Where attributes are in the slot of an inode: the offset in it, and how many bytes there are. `None`
/// when there is no room for any.
fn room(inode: &Inode) -> Option<(usize, usize)> {
    let size = inode.sb().data().geometry().inode_size() as usize;
    let start = match inode.data().extra_size() {
        0 => return None,
        extra => FIXED + usize::from(extra),
    };
    let len = size.checked_sub(start)?;
    (len >= xattr::SLOT_MIN).then_some((start, len))
}

/// How many of the `len` bytes there are in one sector with the inode's fields: so many a device writes as a whole, with the
/// block of attributes that the inode leads to.
fn in_one_sector(start: usize, len: usize) -> usize {
    match mutant!("slot-across-sectors") {
        true => len,
        false => len.min((SECTOR_SIZE as usize).saturating_sub(start)),
    }
}

impl Copies {
    /// With those in the slot. The lock is held.
    fn of_slot(inode: &Inode) -> Result<Self> {
        let mut copies = Copies::default();
        if let (Some((start, len)), true) = (room(inode), inode.data().has_slot_attributes()) {
            let (buffer, offset) = table::read_table(inode.sb(), ino32(inode))?;
            copies.slot = zeroed(len, GFP_KERNEL)?;
            buffer.read(offset + start, &mut copies.slot)?;
        }
        Ok(copies)
    }

    /// Adds those in the block. The lock is held since then.
    fn add_block(&mut self, inode: &Inode) -> Result {
        match inode.data().file_acl() {
            0 => Ok(()),
            block => Ok(attribute_block::read(inode, block)?.read_all(&mut self.block)?),
        }
    }

    /// With all of them. The lock is held.
    fn of(inode: &Inode) -> Result<Self> {
        let mut copies = Self::of_slot(inode)?;
        copies.add_block(inode)?;
        Ok(copies)
    }
}

/// Runs `f` on the attributes in the slot and in the block. Takes the lock of the attributes; may
/// sleep.
fn with<R>(
    inode: &Inode,
    f: impl FnOnce(Attributes<'_>, Attributes<'_>) -> Result<R>,
) -> Result<R> {
    if !inode.data().may_have_attributes() {
        return f(Attributes::NONE, Attributes::NONE);
    }
    let data = inode.data();
    nofs(|| {
        let locked = data.attributes.lock();
        let copies = Copies::of(inode)?;
        let (slot, block) = (copies.slot(inode)?, copies.block(inode)?);
        drop(locked);
        f(slot, block)
    })
}

/// Calls `f` with the value of an attribute. `ENODATA` when there is none. Takes the lock of the
/// attributes; may sleep. The block is not read for what is in the slot.
pub(crate) fn get<R>(inode: &Inode, key: Key<'_>, f: impl FnOnce(&[u8]) -> Result<R>) -> Result<R> {
    let data = inode.data();
    if !data.may_have_attributes() {
        return Err(ENODATA.into());
    }
    nofs(|| {
        let locked = data.attributes.lock();
        let mut copies = Copies::of_slot(inode)?;
        let is_in_slot = copies.slot(inode)?.find(key).is_some();
        if !is_in_slot || mutant!("slot-reads-block") {
            copies.add_block(inode)?;
        }
        let found = match is_in_slot {
            true => copies.slot(inode)?.find(key),
            false => copies.block(inode)?.find(key),
        };
        drop(locked);
        f(found.ok_or(ENODATA)?)
    })
}

/// Calls `f` with the names of all attributes. Takes the lock of the attributes; may sleep.
pub(crate) fn list(inode: &Inode, mut f: impl FnMut(Key<'_>) -> Result) -> Result {
    with(inode, |slot, block| {
        for attribute in slot.iter() {
            f(attribute.key)?;
        }
        for attribute in block.iter().filter(|a| slot.find(a.key).is_none()) {
            f(attribute.key)?;
        }
        Ok(())
    })
}

/// Sets an attribute, or removes it, if `value` is `None`. The inode lock is held, or the inode is new.
///
/// Takes the lock of the attributes, and those of the block allocator; may sleep. `EEXIST` and `ENODATA`
/// as [`SetXattr`] says, `ERANGE` for a name or value that can fit nowhere, `ENOSPC` when there is no room
/// beside the other attributes, or on the volume.
pub(crate) fn set(inode: &Inode, key: Key<'_>, value: Option<&[u8]>, how: SetXattr) -> Result {
    let max = xattr::value_max(inode.sb().blocksize(), key.name.len());
    if key.name.len() > xattr::NAME_MAX || value.is_some_and(|value| value.len() > max) {
        return Err(ERANGE.into());
    }
    let data = inode.data();
    nofs(|| {
        let _locked = data.attributes.lock();
        change(inode, Change { key, value }, how)
    })
}

/// Sets an attribute, with the lock held.
fn change(inode: &Inode, change: Change<'_>, how: SetXattr) -> Result {
    let copies = Copies::of(inode)?;
    let (slot, block) = (copies.slot(inode)?, copies.block(inode)?);
    let (in_slot, in_block) = (slot.find(change.key), block.find(change.key));
    let there = in_slot.or(in_block);
    if how.must_not_exist && there.is_some() {
        return Err(EEXIST.into());
    }
    if how.must_exist && there.is_none() {
        return Err(ENODATA.into());
    }
    let twice = in_slot.is_some() && in_block.is_some();
    if there == change.value && !twice {
        return Ok(());
    }
    let removed = Change {
        value: None,
        ..change
    };
    let unchanged = Change {
        value: in_slot,
        ..change
    };
    let old_slot = slot_with(inode, slot, unchanged)?.unwrap_or_default();
    let new_slot = slot_with(inode, slot, change)?;
    let new_block = block_with(inode, block, change)?;
    let stays = in_block.is_some() && in_slot.is_none();
    let into_slot = match (&new_slot, &new_block) {
        (Some(_), Some(_)) => !stays || change.value.is_none(),
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => return Err(ENOSPC.into()),
    };
    // First the new one, then the old one goes from where it was.
    if let (Some(bytes), true) = (&new_slot, into_slot) {
        let rest = match in_block {
            Some(_) => Some(block_with(inode, block, removed)?.unwrap_or_default()),
            None => None,
        };
        let store = || -> Result {
            if change.value.is_some() || in_slot.is_some() {
                write_slot(inode, bytes, rest.is_some())?;
            }
            rest.as_ref()
                .map_or(Ok(()), |rest| attribute_block::replace(inode, rest, false))
        };
        store().inspect_err(|_| {
            if rest.is_some() && !mutant!("xattr-half-moved") {
                // The slot counts, so the old value has to be back there, or nothing.
                let undone = write_slot(inode, &old_slot, false);
                errors::log(inode, "cannot undo a change of attributes", undone);
            }
        })?;
    } else if let Some(bytes) = &new_block {
        // What needs memory is done before both places have the attribute.
        let rest = match in_slot {
            // If the others have no room, as the values of several were in one place, it stays, and would count.
            Some(_) => Some(slot_with(inode, slot, removed)?.ok_or(ENOSPC)?),
            None => None,
        };
        attribute_block::replace(inode, bytes, rest.is_some())?;
        if let Some(rest) = &rest {
            write_slot(inode, rest, false)?;
        }
    }
    inode.touch_ctime();
    inode.mark_inode_dirty();
    Ok(())
}

/// The bytes of the slot with a change, from its begin on; `None` when they have no room.
///
/// They are in one sector, and behind that the slot stays as it is: nothing leads there any more, or what does, on the device until that
/// is written, is sound. Others may have put more there than fits into a sector, which may stay, and is changed as they do it.
fn slot_with(inode: &Inode, old: Attributes<'_>, change: Change<'_>) -> Result<Option<KVVec<u8>>> {
    let Some((start, len)) = room(inode) else {
        return Ok(None);
    };
    let mut bytes = zeroed(in_one_sector(start, len), GFP_KERNEL)?;
    let changed = Changed::new(old, change);
    // Where the fields end with the sector, or behind it, there is nothing that would tell whether it has any.
    let is_room = bytes.len() >= xattr::SLOT_MIN || mutant!("slot-of-no-bytes");
    if is_room && changed.to_slot(&mut bytes) {
        return Ok(Some(bytes));
    }
    let adds = change.value.is_some() && change.value != old.find(change.key);
    if adds {
        return Ok(None);
    }
    bytes.resize(len, 0, GFP_KERNEL)?;
    Ok(changed.to_slot(&mut bytes).then_some(bytes))
}

/// The bytes of the block with a change, none if nothing is left; `None` when they have no room.
fn block_with(inode: &Inode, old: Attributes<'_>, change: Change<'_>) -> Result<Option<KVVec<u8>>> {
    let changed = Changed::new(old, change);
    if changed.is_empty() {
        return Ok(Some(KVVec::new()));
    }
    let mut bytes = zeroed(inode.sb().blocksize(), GFP_KERNEL)?;
    Ok(changed.to_block(&mut bytes).then_some(bytes))
}

/// Writes the attributes in the slot; with `first`, to the device, and waits.
fn write_slot(inode: &Inode, bytes: &[u8], first: bool) -> Result {
    let sb = inode.sb();
    let Some((start, _)) = room(inode) else {
        return Ok(());
    };
    // The slot of a new inode has stale contents, and that of an old one may have no size of its fields.
    write::store_now(inode)?;
    let (buffer, offset) = table::read_table(sb, ino32(inode))?;
    let write = || buffer.write(offset + start, bytes);
    // The device has them with a block of attributes of before, or with the one that the inode has got, and never a
    // part of them: those that are in neither would be lost.
    match mutant!("slot-in-flight") {
        true => write()?,
        false => buffer.change_at_once(write)?,
    }
    sb.data().mark_buffer_dirty(&buffer);
    let magic = bytes.first_chunk();
    let any = magic.is_some_and(|magic| xattr::are_here(*magic));
    inode.data().in_slot.store(any, ordering::Relaxed);
    if first {
        buffer.sync_dirty()?;
    }
    Ok(())
}

/// Whether the slot of `inode`, which is being read, has attributes. Does not sleep.
pub(super) fn are_in_slot(inode: &Inode, slot: &RawSlot<'_>) -> Result<bool> {
    let Some((start, _)) = room(inode) else {
        return Ok(false);
    };
    let mut magic = [0; 4];
    slot.read(start, &mut magic)?;
    Ok(xattr::are_here(magic))
}

/// Writes the block of attributes to the device and waits, if it is in memory: only then may there be
/// something to write. Those in the slot are written with the inode. May sleep. `EIO` when the device
/// fails.
pub(crate) fn sync(inode: &Inode) -> Result {
    let block = inode.data().file_acl();
    if block == 0 || mutant!("xattr-unsynced") {
        return Ok(());
    }
    let sb = inode.sb();
    if let Some(buffer) = sb.find_any_block(block.into()) {
        sb.data().unwritten.sync(&buffer)?;
    }
    Ok(())
}

/// Whether the attributes are in memory, so that reading them does not wait for the device. Does not
/// sleep.
pub(crate) fn are_cached(inode: &Inode) -> bool {
    let sb = inode.sb();
    let data = inode.data();
    let table = || {
        let location = sb.data().layout().locate_inode(ino32(inode));
        location.is_ok_and(|at| sb.find_get_block_nowait(at.block.into()).is_some())
    };
    let block = data.file_acl();
    (!data.has_slot_attributes() || table())
        && (block == 0 || sb.find_get_block_nowait(block.into()).is_some())
}
