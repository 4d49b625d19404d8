// SPDX-License-Identifier: GPL-2.0

//! Group descriptors: the locations of bitmaps and inode table, and the counters of a group.

use core::{mem::offset_of, ops::Range};

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Corrupt, Geometry, Place};

/// Size of a group descriptor in bytes.
pub(crate) const GROUP_DESCRIPTOR_SIZE: usize = 32;

/// A group descriptor as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawGroup {
    pub(super) block_bitmap: U32,
    pub(super) inode_bitmap: U32,
    pub(super) inode_table: U32,
    pub(super) free_blocks: U16,
    pub(super) free_inodes: U16,
    pub(super) used_dirs: U16,
    /// Flags, and the last two fields, are of volumes with checksums: see [`super::uninit`].
    pub(super) flags: U16,
    pub(super) reserved: [U32; 2],
    pub(super) unused_inodes: U16,
    pub(super) checksum: U16,
}

const _: () = {
    assert!(size_of::<RawGroup>() == GROUP_DESCRIPTOR_SIZE);
    assert!(offset_of!(RawGroup, free_blocks) == 12);
    assert!(offset_of!(RawGroup, unused_inodes) == 28);
};

/// The locations of the metadata of a group. They do not change while the volume is mounted.
///
/// All are inside the group, after its superblock and descriptors, and do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupLayout {
    pub(super) block_bitmap: u32,
    pub(super) inode_bitmap: u32,
    pub(super) inode_table: u32,
    /// The end of the metadata: from here to `end`, all blocks hold data.
    pub(super) data: u32,
    /// The end of the group.
    pub(super) end: u32,
}

impl GroupLayout {
    /// Whether the `len` blocks from `start` on are in this group, after all its metadata.
    #[inline]
    pub(super) const fn is_data(&self, start: u32, len: u32) -> bool {
        start >= self.data && start < self.end && len != 0 && len <= self.end - start
    }

    /// The block that holds the block bitmap.
    pub(crate) const fn block_bitmap(&self) -> u32 {
        self.block_bitmap
    }

    /// The block that holds the inode bitmap.
    pub(crate) const fn inode_bitmap(&self) -> u32 {
        self.inode_bitmap
    }

    /// The first block of the inode table.
    pub(crate) const fn inode_table(&self) -> u32 {
        self.inode_table
    }
}

/// The counters of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupCounts {
    /// Free blocks, at most the blocks of the group.
    pub(crate) free_blocks: u16,
    /// Free inodes, at most the inodes of a group.
    pub(crate) free_inodes: u16,
    /// Directories among the inodes in use, at most the inodes of a group.
    pub(crate) used_dirs: u16,
}

/// A validated group descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The locations of its metadata.
    pub(crate) layout: GroupLayout,
    /// Its counters.
    pub(crate) counts: GroupCounts,
    /// The first counter that was too large: what it counts, what it was, and what it is taken for.
    pub(crate) clamped: Option<(&'static str, u32, u32)>,
}

impl Group {
    /// Reads the descriptor of `group` from its [`GROUP_DESCRIPTOR_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// A bitmap or the inode table is not in the group or overlaps other metadata. A counter that is
    /// too large is none: it is taken for the largest possible, and that of inodes that were never used for 0.
    pub(crate) fn parse(geometry: &Geometry, group: u32, bytes: &[u8]) -> Result<Self, Corrupt> {
        let at = Place::Group(group);
        let Ok((raw, _)) = RawGroup::ref_from_prefix(bytes) else {
            return Err(Corrupt::new(at, "descriptor shorter than 32 bytes"));
        };
        if group >= geometry.groups() {
            return Err(Corrupt::new(at, "no such group"));
        }

        let first = u64::from(geometry.group_first_block(group));
        let end = first + u64::from(geometry.group_blocks(group));
        let usable = first + u64::from(geometry.base_metadata(group))..end;
        let table_blocks = u64::from(geometry.inode_table_blocks());
        let inside = |start: u64, len: u64| start >= usable.start && start + len <= usable.end;

        let block_bitmap = u64::from(raw.block_bitmap.get());
        let inode_bitmap = u64::from(raw.inode_bitmap.get());
        let inode_table = u64::from(raw.inode_table.get());
        if !inside(block_bitmap, 1) {
            let what = "block bitmap outside the group or over a superblock";
            return Err(Corrupt::found(at, what, block_bitmap));
        }
        if !inside(inode_bitmap, 1) {
            let what = "inode bitmap outside the group or over a superblock";
            return Err(Corrupt::found(at, what, inode_bitmap));
        }
        if !inside(inode_table, table_blocks) {
            let what = "inode table outside the group or over a superblock";
            return Err(Corrupt::found(at, what, inode_table));
        }
        let table = inode_table..inode_table + table_blocks;
        if block_bitmap == inode_bitmap
            || table.contains(&block_bitmap)
            || table.contains(&inode_bitmap)
        {
            return Err(Corrupt::new(at, "bitmaps and inode table overlap"));
        }

        let mut clamped = None;
        let mut clamp = |counter: U16, most: u32, what| {
            let counted = u32::from(counter.get());
            if counted > most {
                clamped.get_or_insert((what, counted, most));
            }
            // No larger than the counter was.
            counted.min(most) as u16
        };
        let counts = GroupCounts {
            free_blocks: clamp(
                raw.free_blocks,
                geometry.group_data_blocks(group),
                "free blocks",
            ),
            free_inodes: clamp(raw.free_inodes, geometry.inodes_per_group(), "free inodes"),
            used_dirs: clamp(raw.used_dirs, geometry.inodes_per_group(), "directories"),
        };
        if let Some(unused) = impossible_unused(geometry, raw) {
            clamped.get_or_insert(("inodes that were never used", unused, 0));
        }
        Ok(Group {
            layout: GroupLayout {
                block_bitmap: raw.block_bitmap.get(),
                inode_bitmap: raw.inode_bitmap.get(),
                inode_table: raw.inode_table.get(),
                // All are below the end of the group, which fits.
                data: (block_bitmap + 1).max(inode_bitmap + 1).max(table.end) as u32,
                end: end as u32,
            },
            counts,
            clamped,
        })
    }
}

/// The number of inodes of a group that were never used, if that is more than it has. It is taken for none: the
/// others may be in use.
pub(super) fn impossible_unused(geometry: &Geometry, raw: &RawGroup) -> Option<u32> {
    let unused = u32::from(raw.unused_inodes.get());
    let most = geometry.inodes_per_group();
    (geometry.has_uninit_groups() && unused > most && !cfg!(mutant = "unused-unchecked"))
        .then_some(unused)
}

impl GroupCounts {
    /// Counts `blocks` free blocks of `group` as used.
    ///
    /// # Errors
    ///
    /// There are not so many; the bitmap then contradicts the descriptor. Nothing is changed.
    pub(crate) fn take_blocks(&mut self, group: u32, blocks: u32) -> Result<(), Corrupt> {
        let left = u32::from(self.free_blocks).checked_sub(blocks);
        match left.and_then(|n| u16::try_from(n).ok()) {
            Some(left) => self.free_blocks = left,
            None => {
                let what = "fewer free blocks counted than the bitmap has";
                return Err(Corrupt::found(
                    Place::Group(group),
                    what,
                    self.free_blocks.into(),
                ));
            }
        }
        Ok(())
    }

    /// Counts `blocks` blocks of `group` as free.
    ///
    /// # Errors
    ///
    /// More would be free than the group has. Nothing is changed.
    pub(crate) fn give_blocks(
        &mut self,
        geometry: &Geometry,
        group: u32,
        blocks: u32,
    ) -> Result<(), Corrupt> {
        let free = u32::from(self.free_blocks).saturating_add(blocks);
        match u16::try_from(free) {
            Ok(count) if free <= geometry.group_data_blocks(group) => self.free_blocks = count,
            _ => {
                let what = "more free blocks than blocks";
                return Err(Corrupt::found(Place::Group(group), what, free.into()));
            }
        }
        Ok(())
    }

    /// Counts one free inode of `group` as used, for a directory or for something else.
    ///
    /// # Errors
    ///
    /// There is none; the bitmap then contradicts the descriptor. Nothing is changed.
    pub(crate) fn take_inode(&mut self, group: u32, directory: bool) -> Result<(), Corrupt> {
        let Some(left) = self.free_inodes.checked_sub(1) else {
            let what = "no free inodes counted, but the bitmap has one";
            return Err(Corrupt::new(Place::Group(group), what));
        };
        self.free_inodes = left;
        self.used_dirs = self.used_dirs.saturating_add(directory.into());
        Ok(())
    }

    /// Counts one inode of `group` as free; it was a directory or something else.
    ///
    /// # Errors
    ///
    /// More would be free than the group has. Nothing is changed. Directories count for nothing
    /// but the choice of a group: one that was not counted is none less.
    pub(crate) fn give_inode(
        &mut self,
        geometry: &Geometry,
        group: u32,
        directory: bool,
    ) -> Result<(), Corrupt> {
        let at = Place::Group(group);
        if u32::from(self.free_inodes) >= geometry.inodes_per_group() {
            return Err(Corrupt::new(at, "more free inodes than inodes"));
        }
        self.free_inodes = self.free_inodes.saturating_add(1);
        self.used_dirs = self.used_dirs.saturating_sub(directory.into());
        Ok(())
    }

    /// Writes the counters into `bytes`, the descriptor of `group`; returns the range changed.
    ///
    /// # Errors
    ///
    /// `bytes` is shorter than a descriptor.
    pub(crate) fn store(&self, group: u32, bytes: &mut [u8]) -> Result<Range<usize>, Corrupt> {
        let Ok((raw, _)) = RawGroup::mut_from_prefix(bytes) else {
            let what = "descriptor shorter than 32 bytes";
            return Err(Corrupt::new(Place::Group(group), what));
        };
        raw.free_blocks.set(self.free_blocks);
        raw.free_inodes.set(self.free_inodes);
        raw.used_dirs.set(self.used_dirs);
        Ok(offset_of!(RawGroup, free_blocks)..offset_of!(RawGroup, flags))
    }
}
