// SPDX-License-Identifier: GPL-2.0

//! The geometry of a volume: the sizes of blocks, inodes and groups.
//!
//! A volume has `first_data_block` blocks outside of all groups, and then groups of
//! `blocks_per_group` blocks, of which the last may be shorter. Some groups start with a backup of
//! the superblock and of all group descriptors, and with blocks that are reserved for more of
//! these; every group has a block bitmap, an inode bitmap and an inode table. All other blocks hold
//! data.
//!
//! With `meta_bg`, that goes for the first meta groups only, which are the groups whose descriptors are in
//! one block. Each other one has that block in its first group, after the superblock if there is one, and
//! backups of it in its second and in its last group. Superblocks are where they are otherwise.

use core::num::NonZeroU32;

use super::{Corrupt, Place};

/// Inode number of the root directory.
pub(crate) const ROOT_INO: u32 = 2;

/// Which groups have a backup of the superblock and of the group descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backups {
    /// Every group (revision 0).
    All,
    /// Groups 0 and 1 and the powers of 3, 5 and 7 (`sparse_super`).
    Sparse,
    /// Group 0 and the groups that the superblock names, 0 for none (`sparse_super2`).
    Named([u32; 2]),
}

/// The validated geometry of a volume.
///
/// Only [`Superblock::parse`](super::superblock::Superblock::parse) makes one. It guarantees:
///
/// - `block_bits` is 10 to 16; the inode size is a power of two from 128 to the block size;
/// - there is at least one group, `first_data_block < blocks_count`, and every group number
///   below `groups` begins at a block below `blocks_count`;
/// - one group holds at least its own metadata, and a bitmap of one block covers the blocks, and
///   the inodes, of a group, of which there are less than 2^16;
/// - `inodes_count` is `groups * inodes_per_group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(super) block_bits: u32,
    pub(super) blocks_count: u32,
    pub(super) first_data_block: u32,
    pub(super) blocks_per_group: NonZeroU32,
    pub(super) groups: u32,
    pub(super) inodes_per_group: NonZeroU32,
    pub(super) inodes_count: u32,
    pub(super) inode_bits: u32,
    pub(super) first_ino: u32,
    pub(super) reserved_gdt_blocks: u32,
    pub(super) backups: Backups,
    /// The first meta group that has its descriptors itself.
    pub(super) first_meta_group: Option<u32>,
    pub(super) filetype: bool,
    pub(super) huge_file: bool,
    pub(super) uninit_groups: bool,
    pub(super) metadata_csum: bool,
}

/// The location of an inode relative to the inode table of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeSlot {
    /// The block group.
    pub(crate) group: u32,
    /// Index of the inode in its group: its bit in the inode bitmap.
    pub(crate) index: u32,
    /// Block, relative to the start of the inode table.
    pub(crate) table_block: u32,
    /// Byte offset in that block.
    pub(crate) offset: u32,
}

impl Geometry {
    /// Base-2 logarithm of the block size in bytes: 10 to 16.
    pub(crate) const fn block_bits(&self) -> u32 {
        self.block_bits
    }

    /// Block size in bytes.
    pub(crate) const fn block_size(&self) -> u32 {
        1 << self.block_bits
    }

    /// 512-byte sectors in a block; `i_blocks` counts these.
    pub(crate) const fn sectors_per_block(&self) -> u32 {
        1 << (self.block_bits - 9)
    }

    /// Blocks of the volume.
    pub(crate) const fn blocks_count(&self) -> u32 {
        self.blocks_count
    }

    /// Blocks of a group; the last may have fewer.
    pub(crate) const fn blocks_per_group(&self) -> u32 {
        self.blocks_per_group.get()
    }

    /// Number of groups.
    pub(crate) const fn groups(&self) -> u32 {
        self.groups
    }

    /// Inodes of each group.
    pub(crate) const fn inodes_per_group(&self) -> u32 {
        self.inodes_per_group.get()
    }

    /// Inodes of the volume; the largest inode number.
    pub(crate) const fn inodes_count(&self) -> u32 {
        self.inodes_count
    }

    /// Size of an inode on the disk, in bytes.
    pub(crate) const fn inode_size(&self) -> u32 {
        1 << self.inode_bits
    }

    /// Blocks of one group's inode table.
    pub(crate) const fn inode_table_blocks(&self) -> u32 {
        self.inodes_per_group.get() >> (self.block_bits - self.inode_bits)
    }

    /// Inodes in a block of an inode table.
    pub(crate) const fn inodes_per_block(&self) -> u32 {
        1 << (self.block_bits - self.inode_bits)
    }

    /// Base-2 logarithm of the group descriptors in one block: a descriptor has 32 bytes.
    const fn descriptor_bits(block_bits: u32) -> u32 {
        block_bits - 5
    }

    /// Blocks that all group descriptors take.
    pub(crate) const fn descriptor_blocks(&self) -> u32 {
        1 + ((self.groups - 1) >> Self::descriptor_bits(self.block_bits))
    }

    /// The same of the meta groups whose descriptors follow each superblock.
    const fn leading_descriptor_blocks(&self) -> u32 {
        match self.first_meta_group {
            Some(first) => first,
            None => self.descriptor_blocks(),
        }
    }

    /// Block pointers in one indirect block.
    pub(crate) const fn pointers_per_block(&self) -> u32 {
        self.block_size() / 4
    }

    /// Whether directory entries carry the type of the file.
    pub(crate) const fn has_filetype(&self) -> bool {
        self.filetype
    }

    /// Whether the sectors of a file are counted in 48 bits, not in 32.
    pub(crate) const fn has_huge_files(&self) -> bool {
        self.huge_file
    }

    /// Whether groups can be left to be initialised later ([`super::uninit`]).
    pub(crate) const fn has_uninit_groups(&self) -> bool {
        self.uninit_groups
    }

    /// Whether all metadata has checksums.
    pub(crate) const fn has_metadata_csum(&self) -> bool {
        self.metadata_csum
    }

    /// First block of `group`, or `u32::MAX` when there is no such group.
    pub(crate) const fn group_first_block(&self, group: u32) -> u32 {
        self.first_data_block
            .saturating_add(group.saturating_mul(self.blocks_per_group.get()))
    }

    /// Blocks of `group`; 0 when there is no such group.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        self.blocks_count
            .saturating_sub(self.group_first_block(group))
            .min(self.blocks_per_group.get())
    }

    /// Blocks of `group` that are not metadata of it; 0 when there is no such group. So many can be
    /// free, and not one more.
    pub(crate) fn group_data_blocks(&self, group: u32) -> u32 {
        let blocks = self.group_blocks(group);
        if cfg!(mutant = "free-metadata") {
            return blocks;
        }
        let bitmaps_and_table = 2 + self.inode_table_blocks();
        blocks
            .saturating_sub(self.base_metadata(group))
            .saturating_sub(bitmaps_and_table)
    }

    /// The group of `block` and the index of `block` in it, which is its bit in the block bitmap.
    /// `None` when the block belongs to no group.
    #[inline]
    pub(crate) fn locate_block(&self, block: u32) -> Option<(u32, u32)> {
        if block >= self.blocks_count {
            return None;
        }
        let relative = block.checked_sub(self.first_data_block)?;
        Some((
            relative / self.blocks_per_group,
            relative % self.blocks_per_group,
        ))
    }

    /// The descriptor of `group`: which of the [`Geometry::descriptor_blocks`] it is in, and at which
    /// byte offset. `None` when there is no such group.
    pub(crate) const fn descriptor_slot(&self, group: u32) -> Option<(u32, u32)> {
        if group >= self.groups {
            return None;
        }
        let bits = Self::descriptor_bits(self.block_bits);
        Some((group >> bits, (group & ((1 << bits) - 1)) << 5))
    }

    /// Where block `index` of the descriptors is, for a mount from the superblock in block `superblock`:
    /// if that is a backup, so is this, as far as there is one.
    pub(crate) const fn descriptor_block(&self, index: u32, superblock: u64) -> u64 {
        if index < self.leading_descriptor_blocks() {
            return superblock + 1 + index as u64;
        }
        let first = index << Self::descriptor_bits(self.block_bits);
        let is_backup = superblock != self.first_data_block as u64;
        let group = if is_backup && first + 1 < self.groups {
            first + 1
        } else {
            first
        };
        let after_super = self.has_super(group) && !cfg!(mutant = "meta-over-super");
        self.group_first_block(group) as u64 + after_super as u64
    }

    /// Whether `group` has the descriptors of its meta group, or a backup of them, if that has its
    /// descriptors itself; `None` if it does not.
    const fn has_meta_descriptors(&self, group: u32) -> Option<bool> {
        let bits = Self::descriptor_bits(self.block_bits);
        let last = (1 << bits) - 1;
        match self.first_meta_group {
            Some(first) if group >> bits >= first => {
                let place = group & last;
                let backup = (place == 1 || place == last) && !cfg!(mutant = "meta-backup-free");
                Some(place == 0 || backup)
            }
            _ => None,
        }
    }

    /// Whether `group` starts with a superblock, primary or backup, and descriptors.
    pub(crate) const fn has_super(&self, group: u32) -> bool {
        match self.backups {
            Backups::All => true,
            Backups::Sparse => {
                group <= 1
                    || is_power_of(group, 3)
                    || is_power_of(group, 5)
                    || is_power_of(group, 7)
            }
            Backups::Named([a, b]) => group == 0 || group == a || group == b,
        }
    }

    /// Blocks at the start of `group` that a superblock, group descriptors and the blocks reserved
    /// for more descriptors take.
    pub(crate) const fn base_metadata(&self, group: u32) -> u32 {
        let reserved = match self.has_meta_descriptors(group) {
            None if self.has_super(group) => self.reserved_gdt_blocks,
            _ => 0,
        };
        self.super_blocks(group).saturating_add(reserved)
    }

    /// The same without what is reserved.
    const fn super_blocks(&self, group: u32) -> u32 {
        let has_super = self.has_super(group);
        match self.has_meta_descriptors(group) {
            Some(has_descriptors) => has_super as u32 + has_descriptors as u32,
            None if has_super => 1 + self.leading_descriptor_blocks(),
            None => 0,
        }
    }

    /// Metadata blocks, which statfs(2) subtracts from the size of the volume: superblocks,
    /// descriptors, bitmaps and inode tables. Blocks reserved for more descriptors do not count;
    /// they belong to the resize inode.
    ///
    /// Takes time proportional to the number of groups.
    pub(crate) fn overhead(&self) -> u32 {
        let supers = (0..self.groups).map(|group| u64::from(self.super_blocks(group)));
        let per_group = 2 + u64::from(self.inode_table_blocks());
        let blocks = u64::from(self.first_data_block)
            + supers.sum::<u64>()
            + u64::from(self.groups) * per_group;
        // Each group fits its metadata, but hostile backups may not fit into a short last group.
        u32::try_from(blocks).map_or(self.blocks_count, |b| b.min(self.blocks_count))
    }

    /// How many inodes of `group` are reserved: those at its begin.
    pub(crate) const fn reserved_inodes(&self, group: u32) -> u32 {
        let in_group = self.inodes_per_group.get();
        let rest = (self.first_ino - 1).saturating_sub(group.saturating_mul(in_group));
        if rest < in_group {
            rest
        } else {
            in_group
        }
    }

    /// Whether `ino` can be the inode of a file: the root, or one that is not reserved.
    pub(crate) const fn is_file_ino(&self, ino: u32) -> bool {
        ino == ROOT_INO || (ino >= self.first_ino && ino <= self.inodes_count)
    }

    /// The slot of inode `ino`, which may be a reserved one, in the inode table of its group.
    ///
    /// # Errors
    ///
    /// There is no inode 0, and none above [`inodes_count`](Self::inodes_count).
    pub(crate) fn inode_slot(&self, ino: u32) -> Result<InodeSlot, Corrupt> {
        if ino == 0 || ino > self.inodes_count {
            return Err(Corrupt::new(Place::Inode(ino), "no such inode"));
        }
        let index = (ino - 1) % self.inodes_per_group;
        let bits = self.block_bits - self.inode_bits;
        Ok(InodeSlot {
            group: (ino - 1) / self.inodes_per_group,
            index,
            table_block: index >> bits,
            offset: (index & ((1 << bits) - 1)) << self.inode_bits,
        })
    }

    /// Number of the inode with bit `index` in the inode bitmap of `group`; `None` when there is
    /// no such inode.
    pub(crate) const fn ino_at(&self, group: u32, index: u32) -> Option<u32> {
        if group >= self.groups || index >= self.inodes_per_group.get() {
            return None;
        }
        Some(group * self.inodes_per_group.get() + index + 1)
    }
}

/// Whether `n` is a power of `base`; 1 is one.
const fn is_power_of(mut n: u32, base: u32) -> bool {
    if n == 0 {
        return false;
    }
    while n % base == 0 {
        n /= base;
    }
    n == 1
}
