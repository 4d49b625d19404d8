// SPDX-License-Identifier: GPL-2.0

//! The block of extended attributes that an inode has, and the one that it has on the device.
//!
//! The inode on the device does not lead to a block before that is on stable storage (see [`crate::volume::new_of_inodes`]). Until
//! then it is stored with the one that it had before, if it had any, which is kept for that long: after a crash it has its old
//! attributes, or the new ones; and with permissions that do not go with a list that it does not have there ([`restrict`]). A block to which an inode on the device leads is written to only as [`crate::inode::attribute_block`] says.

use crate::types::Inode;
use crate::volume::fault::Result;
use crate::volume::new_of_inodes::NewOfInodes;
use kfs::block::bio::SECTOR_SIZE;
use kfs::drop_in_atomic;

/// A round that does not end: the block is being changed.
const CHANGING: u64 = u64::MAX;

/// The block of attributes of an inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct AttributeBlock {
    /// The block; 0 for none.
    pub(super) block: u32,
    /// The round in which it got that, or was changed last; 0 if that is known to be on stable storage.
    pub(super) round: u64,
    /// The one that the inode may have on the device until it is stored with the block; 0 for none. It has a reference of its own.
    pub(super) before: u32,
    /// The permissions that it may have on the device until then, of those that it has.
    permissions: u16,
}

/// All of them.
const ALL: u16 = u16::MAX;

drop_in_atomic!(plain AttributeBlock);

impl AttributeBlock {
    /// Of an inode that has it on the device.
    pub(super) const fn of(block: u32) -> Self {
        AttributeBlock {
            block,
            round: 0,
            before: 0,
            permissions: ALL,
        }
    }

    /// Of one that may be stored with `block` when `round` is settled, and until then has `before` on the device.
    pub(super) const fn until(round: u64, block: u32, before: u32) -> Self {
        AttributeBlock {
            block,
            round,
            before,
            permissions: ALL,
        }
    }

    /// Whether the inode on the device may lead to the block, or there is none.
    pub(super) fn is_stored(&self) -> bool {
        self.round == 0
    }
}

/// What an inode is stored with.
pub(super) struct Stored {
    /// The block of attributes that the inode on the device may lead to; 0 for none.
    pub(super) block: u32,
    /// How many sectors the inode has there, without those of one to which it may not.
    pub(super) sectors: u64,
    /// The permissions that it may have there, of those that it has.
    pub(super) permissions: u16,
}

/// What the inode may be stored with now. Does not sleep.
pub(super) fn stored(inode: &Inode) -> Stored {
    let (data, sb) = (inode.data(), inode.sb());
    let mut locked = data.attribute_block.lock();
    let (at, sectors) = (*locked, inode.blocks());
    let is_whole = at.block == 0 || sb.data().new_of_inodes.is_settled(at.round) || is_early(&at);
    if is_whole {
        locked.permissions = ALL;
        return Stored {
            block: at.block,
            sectors,
            permissions: ALL,
        };
    }
    let left_out = match at.before {
        0 => sb.blocksize() as u64 / SECTOR_SIZE,
        _ => 0,
    };
    Stored {
        block: at.before,
        sectors: sectors.saturating_sub(left_out),
        permissions: at.permissions,
    }
}

/// The inode has got a list of access. As long as it is stored without its block, where that may be, it is stored with no more than these
/// `permissions`: what the mode has for its group is the mask of the list, and the list may give the group less. Does not sleep.
pub(super) fn restrict(inode: &Inode, permissions: u16) {
    if !mutant!("list-mask-stored") {
        inode.data().attribute_block.lock().permissions &= permissions;
    }
}

/// For mutants: whether an inode is stored with a block that is not on the device.
pub(super) fn is_early(at: &AttributeBlock) -> bool {
    match at.before {
        0 => mutant!("xattr-first-late"),
        _ => mutant!("xattr-copied-late"),
    }
}

/// Begins a change, for which the lock of the attributes is held. Returns what there is: either the inode on the device may lead to
/// the block, and to no other; or it does not, and is not stored with it before [`set`]. `None` if it may lead to the previous one, too,
/// which is to be given up first. Does not sleep.
pub(super) fn begin(inode: &Inode) -> Option<AttributeBlock> {
    let (data, volume) = (inode.data(), inode.sb().data());
    let mut at = data.attribute_block.lock();
    match volume.new_of_inodes.is_settled(at.round) {
        false if mutant!("xattr-round-kept") => {}
        false => at.round = CHANGING,
        true if at.before == 0 => at.round = 0,
        true => return None,
    }
    Some(*at)
}

/// Ends a change: the inode has this now. Who finds a block, finds the round, and its sectors: by these it is told whether a symbolic
/// link has its target in the inode. Does not sleep.
pub(super) fn set(inode: &Inode, new: AttributeBlock) {
    let (data, sb) = (inode.data(), inode.sb());
    let mut locked = data.attribute_block.lock();
    let permissions = locked.permissions;
    let new = AttributeBlock { permissions, ..new };
    let had = core::mem::replace(&mut *locked, new).block != 0;
    if mutant!("xattr-sectors-late") {
        drop(locked);
    }
    let bytes = sb.blocksize() as u64;
    match (had, new.block != 0) {
        (false, true) => inode.add_bytes(bytes),
        (true, false) => inode.sub_bytes(bytes),
        _ => {}
    }
}

/// What there is, if the inode is not stored with its block yet, or the previous one is not given up. Does not sleep.
pub(super) fn unsettled(inode: &Inode) -> Option<AttributeBlock> {
    let at = *inode.data().attribute_block.lock();
    (!at.is_stored() || at.before != 0).then_some(at)
}

/// The block is on stable storage. The lock of the attributes is held. Does not sleep.
pub(super) fn settled(inode: &Inode) {
    inode.data().attribute_block.lock().round = 0;
}

/// The inode was stored with its block, and the previous one is given up. The lock of the attributes is held. Does not sleep.
pub(super) fn forget_before(inode: &Inode) {
    inode.data().attribute_block.lock().before = 0;
}

/// Brings `block`, which is new or was changed, to stable storage, and others with it. May sleep.
pub(super) fn bring(inode: &Inode, block: u32) -> Result {
    let sb = inode.sb();
    // One that could not be written is in memory, and not uptodate.
    let own = match mutant!("xattr-unwritten-missed") {
        true => sb.find_get_block(block.into()),
        false => sb.find_any_block(block.into()),
    };
    NewOfInodes::settle(sb, own.as_ref())
}

/// The inode leaves memory: what it could not be stored with is lost, and the volume is not marked clean. Does not sleep.
pub(crate) fn evict(inode: &Inode) {
    let at = *inode.data().attribute_block.lock();
    let is_settled = inode.sb().data().new_of_inodes.is_settled(at.round);
    if !is_settled || at.before != 0 {
        inode.sb().data().set_leaked();
    }
}
