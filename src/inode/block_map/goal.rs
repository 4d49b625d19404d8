// SPDX-License-Identifier: GPL-2.0

//! Where new blocks of a file should lie.

use super::path;
use crate::ext2::block_map::{Branch, PointerBlocks};
use crate::ext2::pointers::Pointers;
use crate::inode::data::ino32;
use crate::types::Inode;
use crate::volume::blocks::AllocationRequest;
use crate::volume::fault::{Fault, Result};

/// Where new blocks of a file should lie.
#[derive(Clone, Copy)]
pub(in crate::inode) struct Goal {
    /// The first of them.
    pub(in crate::inode) block: u32,
    /// Whether the file grows there: behind what it has, or from its begin. A block somewhere in a hole is likely
    /// to stay alone, and gets no window.
    pub(in crate::inode) grows: bool,
}

impl Goal {
    /// Right behind blocks of the file.
    pub(in crate::inode) const fn behind(end: u32) -> Self {
        Goal {
            block: end,
            grows: true,
        }
    }
}

/// The goal for what is to be allocated for block `block` of the file, to which `branch` leads: right behind
/// the block before it, also where the pointers to them are in different blocks. If the file does not have
/// that, as far behind one below the same block of pointers, or from the one that was allocated last, as it is in the file; without
/// these what [`Branch::goal`] says; and for the first block of all, the first in the group of the inode. So small
/// files that are made one after the other lie together, and [windows](crate::volume::windows) keep apart those that
/// grow side by side.
///
/// Errors of what `device` reads for the block before are none here: nobody has asked for it.
pub(in crate::inode) fn goal<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    root: &Pointers,
    block: u64,
    branch: &Branch,
    device: &mut P,
) -> Result<Goal> {
    let data = data_before(inode, root, block, branch, device);
    if let Some(data) = data.filter(|_| !mutant!("goal-by-pointers")) {
        return Ok(Goal::behind(data.saturating_add(1)));
    }
    let grows = block == 0 || mutant!("window-for-a-hole");
    let geometry = inode.sb().data().geometry();
    let nearest = match branch.is_whole() {
        true => branch.nearest(root, device)?,
        false => None,
    };
    let last = &inode.data().get_ref().map.last_block;
    let volume = geometry.group_first_block(0)..geometry.blocks_count();
    let far = || last.goal(block, &volume);
    if let Some(block) = nearest.or_else(far) {
        return Ok(Goal { block, grows });
    }
    if let Some(block) = branch.goal(root, device)? {
        return Ok(Goal { block, grows });
    }
    let group = geometry.inode_slot(ino32(inode))?.group;
    let colour = match mutant!("files-scattered") {
        true => ino32(inode) % 16 * (geometry.blocks_per_group() / 16),
        false => 0,
    };
    let block = geometry.group_first_block(group).saturating_add(colour);
    Ok(Goal { block, grows })
}

/// The block before block `block` of the file, if it has that.
fn data_before<P: PointerBlocks<Error = Fault>>(
    inode: &Inode,
    root: &Pointers,
    block: u64,
    branch: &Branch,
    device: &mut P,
) -> Option<u32> {
    if let Some(before) = branch.before(root, device).ok()? {
        return (before != 0).then_some(before);
    }
    let layout = inode.sb().data().layout();
    let path = path(inode, block.checked_sub(1)?).ok()?;
    let branch = Branch::walk(&layout, ino32(inode), root, path, device).ok()?;
    branch.data()
}

/// `len` blocks near `goal`, for this inode. Regular files have windows where they grow.
pub(in crate::inode) fn request(inode: &Inode, goal: Goal, len: u32) -> AllocationRequest<'_> {
    let has_window = inode.is_reg() && goal.grows;
    AllocationRequest {
        ino: ino32(inode),
        window: has_window.then(|| &inode.data().get_ref().window),
        goal: goal.block,
        len,
    }
}
