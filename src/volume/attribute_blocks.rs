// SPDX-License-Identifier: GPL-2.0

//! Blocks of extended attributes, as far as inodes share them.
//!
//! Inodes with the same attributes have one block, whose reference count is changed under the lock
//! of this cache. A block with one reference belongs to its inode, which may change it in place: then
//! it is not in the cache meanwhile, so that nobody takes a second one.

/// How many blocks are known by their content.
const SLOTS: usize = 256;

/// The blocks that were used last, by the hash of what they hold.
pub(crate) struct AttributeBlocks {
    /// Hash and block; block 0 is none.
    slots: [(u32, u32); SLOTS],
}

impl AttributeBlocks {
    /// No block is known.
    pub(super) const fn new() -> Self {
        AttributeBlocks {
            slots: [(0, 0); SLOTS],
        }
    }

    /// Forgets all blocks: another program may have freed them.
    pub(super) fn clear(&mut self) {
        self.slots = [(0, 0); SLOTS];
    }

    fn index(hash: u32) -> usize {
        (hash ^ (hash >> 16)) as usize & (SLOTS - 1)
    }

    /// A block that has had content of this hash: it may have been changed by another program.
    pub(crate) fn find(&self, hash: u32) -> Option<u32> {
        let &(found, block) = self.slots.get(Self::index(hash))?;
        (found == hash && block != 0).then_some(block)
    }

    /// Takes note that a block has content of this hash, and may be shared.
    pub(crate) fn insert(&mut self, hash: u32, block: u32) {
        if let Some(slot) = self.slots.get_mut(Self::index(hash)) {
            *slot = (hash, block);
        }
    }

    /// Forgets a block that is changed or freed.
    pub(crate) fn remove(&mut self, block: u32) {
        for slot in self.slots.iter_mut().filter(|slot| slot.1 == block) {
            *slot = (0, 0);
        }
    }
}
