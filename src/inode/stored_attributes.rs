// SPDX-License-Identifier: GPL-2.0

//! Whether an inode may be stored with its block of extended attributes: see [`crate::volume::new_attributes`].

use crate::types::Inode;
use crate::volume::fault::Result;
use crate::volume::new_attributes::NewAttributes;
use kernel::sync::atomic::ordering;
use kfs::block::bio::SECTOR_SIZE;

/// The block of attributes that the inode on the device may lead to, 0 for none, and how many sectors of the inode are left out
/// with one to which it may not. Does not sleep.
pub(super) fn block(inode: &Inode) -> (u32, u64) {
    let (data, sb) = (inode.data(), inode.sb());
    let block = data.file_acl.load(ordering::Acquire);
    let round = data.file_acl_round.load(ordering::Relaxed);
    if block == 0 || sb.data().new_attributes.is_settled(round) || mutant!("xattr-first-late") {
        return (block, 0);
    }
    (0, sb.blocksize() as u64 / SECTOR_SIZE)
}

/// Brings the block of attributes to the device, if the inode could not be stored with it until now, and others with
/// it. May sleep; takes no lock of the inode. After an error, that of the device, it is not held back either.
pub(super) fn settle(inode: &Inode) -> Result {
    let (data, sb) = (inode.data(), inode.sb());
    let round = data.file_acl_round.load(ordering::Acquire);
    if round == 0 || mutant!("xattr-first-late") {
        return Ok(());
    }
    let settled = match sb.data().new_attributes.is_settled(round) {
        true => Ok(()),
        false => {
            let block = data.file_acl.load(ordering::Acquire);
            let own = sb.find_get_block(block.into());
            NewAttributes::settle(sb, own.as_ref())
        }
    };
    // Not of one that it has got meanwhile.
    let _ = data.file_acl_round.cmpxchg(round, 0, ordering::Full);
    settled
}
