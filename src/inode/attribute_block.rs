// SPDX-License-Identifier: GPL-2.0

//! The block of extended attributes of an inode, which others may share.
//!
//! It is not written over where the inode on the device may lead to it, since a device that has written only a part of it when the
//! power goes would have lost what was there: the attributes go to another block, and the inode leads to that when it is on
//! stable storage ([`crate::inode::stored_attributes`]). What is written over is the count of references, in the first sector; and,
//! where no block is free, one that the inode has alone.

use crate::ext2::xattr::{self, HEADER_BYTES, REFERENCES_AT};
use crate::inode::block_map;
use crate::inode::data::ino32;
use crate::inode::errors;
use crate::inode::stored_attributes::{self, AttributeBlock};
use crate::inode::write;
use crate::types::{Inode, SuperBlock};
use crate::volume::attribute_blocks::AttributeBlocks;
use crate::volume::blocks::{self, AllocationRequest, Blocks, Freed};
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::compat::zeroed;
use kfs::mm::nofs::nofs;

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
/// With `first` they are on stable storage when this returns, and the inode can be stored with them. Takes the
/// locks of shared blocks and of the groups; may sleep. `ENOSPC` without a free block.
pub(super) fn replace(inode: &Inode, bytes: &[u8], first: bool) -> Result {
    let was = begin(inode)?;
    let given_up = replace_begun(inode, was, bytes, first);
    // Whatever fails from here on, it is stored with the block that it has now.
    if !mutant!("xattr-moved-unmarked") {
        inode.mark_inode_dirty();
    }
    let released = release(inode, given_up.inspect_err(|_| set_again(inode, was))?);
    if mutant!("xattr-unfreed-undone") {
        return released;
    }
    // The change is done: what it has left is lost until e2fsck, and no reason to undo it.
    errors::log(inode, "cannot free a block of attributes", released);
    Ok(())
}

/// [`stored_attributes::begin`], when the previous one has been given up. May sleep.
fn begin(inode: &Inode) -> Result<AttributeBlock> {
    loop {
        if let Some(was) = stored_attributes::begin(inode) {
            return Ok(was);
        }
        if inode.sb().data().is_stopped() {
            return Err(EROFS.into());
        }
        give_up_before(inode)?;
    }
}

/// References of an inode that are to be dropped.
type GivenUp = [Option<BufferHead>; 2];

/// The inode has what it had when the change began. What was written to the block meanwhile is of this round.
fn set_again(inode: &Inode, was: AttributeBlock) {
    let round = round(inode, was);
    let again = AttributeBlock::until(round, was.block, was.before);
    stored_attributes::set(inode, again);
}

/// The round of a block that the inode has had, and which may just have been changed.
fn round(inode: &Inode, was: AttributeBlock) -> u64 {
    match was.is_stored() {
        true => 0,
        false if mutant!("xattr-round-kept") => was.round,
        false => inode.sb().data().new_of_inodes.round(),
    }
}

fn replace_begun(inode: &Inode, was: AttributeBlock, bytes: &[u8], first: bool) -> Result<GivenUp> {
    let volume = inode.sb().data();
    let old = read_if(inode, was.block)?;
    if bytes.is_empty() {
        return give_up(inode, was, old);
    }
    let new = match share(inode, bytes, old.as_ref(), !was.is_stored())? {
        Some(shared) => shared,
        None => match add(inode, bytes) {
            Err(Fault::Error(error)) if error == ENOSPC && !mutant!("xattr-full-refused") => {
                // It is written over, as there is no other: to remove one of several attributes has to be possible.
                let own = old.as_ref().map(|old| overwrite(inode, bytes, old));
                own.transpose()?.flatten().ok_or(ENOSPC)?
            }
            added => added?,
        },
    };
    let block = new.block() as u32;
    if block == was.block {
        if first {
            stored_attributes::bring(inode, block)?;
        }
        set_again(inode, was);
        return Ok([None, None]);
    }
    if first {
        if let Err(fault) = stored_attributes::bring(inode, block) {
            drop_reference(inode, new)?;
            return Err(fault);
        }
    }
    let round = match first {
        true => 0,
        false => volume.new_of_inodes.round(),
    };
    let before = match was.is_stored() {
        true => was.block,
        false => was.before,
    };
    stored_attributes::set(inode, AttributeBlock::until(round, block, before));
    // The other one is kept, as the device may have the inode with it.
    Ok([old.filter(|_| !was.is_stored()), None])
}

/// Finds a block to have these attributes: another one that has them already; or the `old` one of the
/// inode, if it is its own, and not on the device, which it `may_change`.
fn share(
    inode: &Inode,
    bytes: &[u8],
    old: Option<&BufferHead>,
    may_change: bool,
) -> Result<Option<BufferHead>> {
    let sb = inode.sb();
    let shared = sb.data().attribute_blocks.lock();
    let hash = xattr::block_hash(bytes);
    if let Some((buffer, references)) = hash.and_then(|hash| equal(sb, &shared, hash, bytes)) {
        if old.is_none_or(|old| old.block() != buffer.block()) {
            set_references(sb, &buffer, references + 1)?;
        }
        return Ok(Some(buffer));
    }
    drop(shared);
    match old {
        Some(old) if may_change || mutant!("xattr-in-place") => overwrite(inode, bytes, old),
        _ => Ok(None),
    }
}

/// Changes the block of the inode in place, if it is its own. It counts as new then.
fn overwrite(inode: &Inode, bytes: &[u8], old: &BufferHead) -> Result<Option<BufferHead>> {
    let sb = inode.sb();
    let mut shared = sb.data().attribute_blocks.lock();
    let block = old.block() as u32;
    // After a loss of power another inode would have the attributes of this one.
    let is_shared = references(inode, old)? != 1;
    let was_shared = blocks::was_shared(sb, block) && !mutant!("xattr-once-shared-changed");
    if (is_shared || was_shared) && !mutant!("xattr-shared-changed") {
        return Ok(None);
    }
    shared.remove(block);
    old.write(0, bytes)?;
    sb.data().mark_first_dirty(old, First::OfInode);
    if let Some(hash) = xattr::block_hash(bytes) {
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
        let buffer = sb.getblk(made.start.into())?.init_zeroed();
        buffer.write(0, bytes)?;
        Ok(buffer)
    };
    let buffer = fill().inspect_err(|_| block_map::give_back(inode, made))?;
    sb.data().mark_first_dirty(&buffer, First::OfInode);
    if let Some(hash) = xattr::block_hash(bytes) {
        let mut shared = sb.data().attribute_blocks.lock();
        shared.insert(hash, made.start);
    }
    Ok(buffer)
}

/// The inode has no block any more, and gives up what it `was`.
fn give_up(inode: &Inode, was: AttributeBlock, old: Option<BufferHead>) -> Result<GivenUp> {
    let before = read_if(inode, was.before)?;
    if old.is_some() {
        stored_attributes::set(inode, AttributeBlock::of(0));
        // Before the blocks can be given to somebody else.
        write::store_first(inode, First::Release)?;
    }
    Ok([old, before])
}

/// Reads a block, if there is one.
fn read_if(inode: &Inode, block: u32) -> Result<Option<BufferHead>> {
    match block {
        0 => Ok(None),
        block => Ok(Some(read(inode, block)?)),
    }
}

/// Brings the block of attributes to the device, if the inode could not be stored with it until now, and others with
/// it; and gives the previous one up. Takes the lock of the attributes, and those of shared blocks and of the groups; may sleep.
///
/// `EIO` when the device fails: the inode is dirty then, and keeps the previous one on the device.
pub(super) fn settle(inode: &Inode) -> Result {
    if stored_attributes::unsettled(inode).is_none() {
        return Ok(());
    }
    let settled = nofs(|| {
        let data = inode.data();
        let _locked = data.attributes.lock();
        stored_attributes::unsettled(inode).map_or(Ok(()), |at| settle_locked(inode, at))
    });
    if settled.is_err() {
        inode.mark_inode_dirty();
    }
    settled
}

fn settle_locked(inode: &Inode, at: AttributeBlock) -> Result {
    let volume = inode.sb().data();
    if !stored_attributes::is_early(&at) {
        if !volume.new_of_inodes.is_settled(at.round) {
            stored_attributes::bring(inode, at.block)?;
        }
        stored_attributes::settled(inode);
    }
    // What takes no changes is left to e2fsck.
    match volume.is_stopped() {
        true => Ok(()),
        false => give_up_before(inode),
    }
}

/// Stores the inode with its block, which is on stable storage, and gives the previous one up. The lock of the attributes is held.
/// May sleep.
fn give_up_before(inode: &Inode) -> Result {
    let before = stored_attributes::unsettled(inode).map_or(0, |at| at.before);
    let Some(buffer) = read_if(inode, before)? else {
        return Ok(());
    };
    // Before the block can be given to somebody else.
    write::store_first(inode, First::Release)?;
    stored_attributes::forget_before(inode);
    drop_reference(inode, buffer)
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
        let early = match mutant!("xattr-counted-early") {
            true => Some(references(inode, &buffer)?),
            false => None,
        };
        let mut shared = sb.data().attribute_blocks.lock();
        let references = early.map_or_else(|| references(inode, &buffer), Ok)?;
        if references > 1 {
            blocks::drop_shared(sb, block);
            return set_references(sb, &buffer, references - 1);
        }
        shared.remove(block);
    }
    buffer.forget();
    blocks::free(sb, Blocks::one(block), Freed::Released)
}

/// Takes the references of an inode that is being deleted, for [`release`] when that has been stored. May
/// sleep.
pub(super) fn take(inode: &Inode) -> Result<GivenUp> {
    let at = *inode.data().attribute_block.lock();
    let before = match mutant!("xattr-before-kept") {
        true => 0,
        false => at.before,
    };
    let taken = [read_if(inode, at.block)?, read_if(inode, before)?];
    stored_attributes::set(inode, AttributeBlock::of(0));
    Ok(taken)
}

/// Drops references, which the inode that is stored does not need any more. Takes the locks of shared blocks and of the groups; may
/// sleep. Returns the first error, after the rest has been tried.
pub(super) fn release(inode: &Inode, taken: GivenUp) -> Result {
    let dropped = taken.map(|buffer| buffer.map_or(Ok(()), |it| drop_reference(inode, it)));
    dropped.into_iter().collect()
}
