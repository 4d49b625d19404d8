// SPDX-License-Identifier: GPL-2.0

//! The block of extended attributes of an inode, which others may share.
//!
//! The inode on the device does not lead to it before it is there: either it is written first, and waited for, where
//! another place of attributes is given up; or the inode is stored as if it had none until then
//! ([`crate::inode::stored_attributes`]).

use crate::ext2::xattr::{self, HEADER_BYTES, REFERENCES_AT};
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::write;
use crate::types::{Inode, SuperBlock};
use crate::volume::attribute_blocks::AttributeBlocks;
use crate::volume::blocks::{self, AllocationRequest, Blocks, Freed};
use crate::volume::fault::Result;
use crate::volume::new_attributes::NewAttributes;
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::buffer_head::BufferHead;
use kfs::compat::zeroed;

/// Reads `block`, the one of `inode`. May sleep.
pub(super) fn read(inode: &Inode, block: u32) -> Result<BufferHead> {
    let sb = inode.sb();
    Ok(sb.bread(block.into()).inspect_err(|_| {
        pr_err!(
            "{}: inode {}: cannot read its attributes in block {}\n",
            sb.id(),
            inode.ino(),
            block
        );
    })?)
}

/// How many inodes have the block in `buffer`.
fn references(inode: &Inode, buffer: &BufferHead) -> Result<u32> {
    let mut header = [0; HEADER_BYTES];
    buffer.read(0, &mut header)?;
    // Blocks have 32 bits.
    let block = buffer.block() as u32;
    Ok(xattr::references(ino32(inode), block, &header)?)
}

fn set_references(sb: &SuperBlock, buffer: &BufferHead, references: u32) -> Result {
    buffer.write(REFERENCES_AT, &references.to_le_bytes())?;
    sb.data().mark_buffer_dirty(buffer);
    Ok(())
}

/// Gives `inode` the attributes in `bytes`, the contents of a block with one reference, or none, if it
/// is empty, in place of those in its block. The lock of the attributes is held.
///
/// With `first`, and if another block is given up, they are on stable storage when this returns. Takes the
/// locks of shared blocks and of the groups; may sleep. `ENOSPC` without a free block.
pub(super) fn replace(inode: &Inode, bytes: &[u8], first: bool) -> Result {
    let data = inode.data();
    let old = match data.file_acl() {
        0 => None,
        block => Some(read(inode, block)?),
    };
    if bytes.is_empty() {
        return give_up(inode, old, None);
    }
    let new = match share(inode, bytes, old.as_ref())? {
        Some(shared) => shared,
        None => add(inode, bytes)?,
    };
    let is_old = old.as_ref().is_some_and(|old| old.block() == new.block());
    // What is given up is needed until the other one is there.
    let gives_up = first || (old.is_some() && !is_old);
    let round = match gives_up {
        true => 0,
        false => inode.sb().data().new_attributes.round(),
    };
    if gives_up && !mutant!("xattr-copied-late") {
        let sb = inode.sb();
        // And the old one, if it is new itself: who looks meanwhile may see that block with the round of this one.
        if let Err(fault) = NewAttributes::settle(sb, Some(&new)) {
            if !is_old {
                drop_reference(inode, new)?;
            }
            return Err(fault);
        }
    }
    if is_old {
        if gives_up {
            data.file_acl_round.store(0, ordering::Relaxed);
        }
        return Ok(());
    }
    give_up(inode, old, Some((new, round)))
}

/// Finds a block to have these attributes: another one that has them already, or the `old` one of the
/// inode, if it is its own.
fn share(inode: &Inode, bytes: &[u8], old: Option<&BufferHead>) -> Result<Option<BufferHead>> {
    let sb = inode.sb();
    let mut shared = sb.data().attribute_blocks.lock();
    let hash = xattr::block_hash(bytes);
    if let Some((buffer, references)) = hash.and_then(|hash| equal(sb, &shared, hash, bytes)) {
        if old.is_none_or(|old| old.block() != buffer.block()) {
            set_references(sb, &buffer, references + 1)?;
        }
        return Ok(Some(buffer));
    }
    let Some(old) = old else {
        return Ok(None);
    };
    let block = old.block() as u32;
    // After a loss of power another inode would have the attributes of this one.
    let is_shared = references(inode, old)? != 1;
    let was_shared = blocks::was_shared(sb, block) && !mutant!("xattr-once-shared-changed");
    if (is_shared || was_shared) && !mutant!("xattr-shared-changed") {
        return Ok(None);
    }
    shared.remove(block);
    old.write(0, bytes)?;
    sb.data().mark_buffer_dirty(old);
    if let Some(hash) = hash {
        shared.insert(hash, block);
    }
    Ok(Some(old.get()))
}

/// A block in memory with the attributes in `bytes`, and the number of its references.
fn equal(
    sb: &SuperBlock,
    shared: &AttributeBlocks,
    hash: u32,
    bytes: &[u8],
) -> Option<(BufferHead, u32)> {
    let buffer = sb.find_get_block(shared.find(hash)?.into())?;
    let mut there: KVVec<u8> = zeroed(sb.blocksize(), GFP_KERNEL).ok()?;
    buffer.read(0, &mut there).ok()?;
    let references = xattr::may_share(&there, bytes)?;
    Some((buffer, references))
}

/// Makes a new block of these attributes.
fn add(inode: &Inode, bytes: &[u8]) -> Result<BufferHead> {
    let sb = inode.sb();
    if !mutant!("ext-attr-unset") {
        sb.data().require_ext_attr()?;
    }
    let geometry = sb.data().geometry();
    let ino = ino32(inode);
    let goal = geometry.group_first_block(geometry.inode_slot(ino)?.group);
    let wanted = AllocationRequest {
        ino,
        window: None,
        goal,
        len: 1,
    };
    let made = blocks::allocate(sb, wanted)?;
    let fill = || -> Result<BufferHead> {
        let buffer = sb.getblk(made.start.into())?;
        buffer.init_zeroed();
        buffer.write(0, bytes)?;
        Ok(buffer)
    };
    let buffer = fill().inspect_err(|_| block_map::give_back(inode, made))?;
    sb.data().mark_first_dirty(&buffer, First::Attributes);
    if let Some(hash) = xattr::block_hash(bytes) {
        let mut shared = sb.data().attribute_blocks.lock();
        shared.insert(hash, made.start);
    }
    Ok(buffer)
}

/// The inode has `new` now, which it got in that round, and drops its reference to `old`. On error it has `old` still.
fn give_up(inode: &Inode, old: Option<BufferHead>, new: Option<(BufferHead, u64)>) -> Result {
    let old_round = inode.data().file_acl_round.load(ordering::Relaxed);
    let led_to = new.as_ref().map(|(new, round)| (new, *round));
    set(inode, old.is_some(), led_to);
    let Some(old) = old else {
        return Ok(());
    };
    // Before the block can be given to somebody else.
    if let Err(fault) = write::store_first(inode, First::Release) {
        set(inode, new.is_some(), Some((&old, old_round)));
        if let Some((new, _)) = new {
            drop_reference(inode, new)?;
        }
        return Err(fault);
    }
    drop_reference(inode, old)
}

/// The inode, which had a block or not, has this one now, since that round.
fn set(inode: &Inode, had: bool, new: Option<(&BufferHead, u64)>) {
    let (block, round) = new.map_or((0, 0), |(new, round)| (new.block() as u32, round));
    let data = inode.data();
    data.file_acl_round.store(round, ordering::Relaxed);
    // Who finds the block finds the round.
    data.file_acl.store(block, ordering::Release);
    let bytes = inode.sb().blocksize() as u64;
    match (had, new.is_some()) {
        (false, true) => inode.add_bytes(bytes),
        (true, false) => inode.sub_bytes(bytes),
        _ => {}
    }
}

/// Drops a reference to a block; frees it with the last one. The inode has been stored without it, or
/// never had it. On error, more references are counted than there are, or a block is lost.
fn drop_reference(inode: &Inode, buffer: BufferHead) -> Result {
    drop_counted(inode, buffer).inspect_err(|_| inode.sb().data().set_leaked())
}

fn drop_counted(inode: &Inode, buffer: BufferHead) -> Result {
    let sb = inode.sb();
    let block = buffer.block() as u32;
    {
        let mut shared = sb.data().attribute_blocks.lock();
        let references = references(inode, &buffer)?;
        if references > 1 {
            blocks::drop_shared(sb, block);
            return set_references(sb, &buffer, references - 1);
        }
        shared.remove(block);
    }
    buffer.forget();
    blocks::free(sb, Blocks::one(block), Freed::Released)
}

/// Takes the reference of an inode that is being deleted, for [`release`] when that has been stored. May
/// sleep.
pub(super) fn take(inode: &Inode) -> Result<Option<BufferHead>> {
    let block = inode.data().file_acl();
    if block == 0 {
        return Ok(None);
    }
    let buffer = read(inode, block)?;
    inode.data().file_acl.store(0, ordering::Relaxed);
    inode.sub_bytes(inode.sb().blocksize() as u64);
    Ok(Some(buffer))
}

/// Drops the reference that [`take`] has taken. Takes the locks of shared blocks and of the groups; may
/// sleep.
pub(super) fn release(inode: &Inode, taken: Option<BufferHead>) -> Result {
    match taken {
        Some(buffer) => drop_reference(inode, buffer),
        None => Ok(()),
    }
}
