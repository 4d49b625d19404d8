// SPDX-License-Identifier: GPL-2.0

//! The layout of a volume: its geometry, and the locations of metadata from the group descriptors.
//!
//! It decides whether a block pointer from the disk may be followed: through a pointer into an
//! inode table, writing a file would change inodes.

use core::ops::Range;

use super::{geometry::InodeSlot, group::GroupLayout, Corrupt, Geometry, Place};

/// The layout of a mounted volume.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    geometry: &'a Geometry,
    groups: &'a [GroupLayout],
}

/// The location of an inode on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InodeLocation {
    /// The block.
    pub(crate) block: u32,
    /// Byte offset in the block. The inode does not cross a block boundary.
    pub(crate) offset: u32,
}

fn overlap(a: u32, a_len: u32, b: u32, b_len: u32) -> bool {
    u64::from(a) < u64::from(b) + u64::from(b_len) && u64::from(b) < u64::from(a) + u64::from(a_len)
}

impl<'a> Layout<'a> {
    /// The layout with `geometry` and the validated layouts of all groups, in order.
    pub(crate) const fn new(geometry: &'a Geometry, groups: &'a [GroupLayout]) -> Self {
        Layout { geometry, groups }
    }

    /// The geometry.
    pub(crate) const fn geometry(&self) -> &'a Geometry {
        self.geometry
    }

    /// The metadata of `group`.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub(crate) fn group(&self, group: u32) -> Result<&'a GroupLayout, Corrupt> {
        self.groups
            .get(group as usize)
            .ok_or(Corrupt::new(Place::Group(group), "no such group"))
    }

    /// The location of inode `ino`.
    ///
    /// # Errors
    ///
    /// There is no such inode.
    pub(crate) fn locate_inode(&self, ino: u32) -> Result<InodeLocation, Corrupt> {
        let InodeSlot {
            group,
            table_block,
            offset,
            ..
        } = self.geometry.inode_slot(ino)?;
        // The whole table is inside the volume.
        let block = self.group(group)?.inode_table().saturating_add(table_block);
        Ok(InodeLocation { block, offset })
    }

    /// The blocks of the inode table that are read when one of them is needed for inode `ino`: the piece of
    /// `len` blocks of the table that its slot is in, or what there is of it.
    ///
    /// # Errors
    ///
    /// There is no such inode.
    pub(crate) fn table_batch(&self, ino: u32, len: u32) -> Result<Range<u64>, Corrupt> {
        let slot = self.geometry.inode_slot(ino)?;
        let table = self.group(slot.group)?.inode_table();
        let first = slot.table_block - slot.table_block % len.max(1);
        let end = first.saturating_add(len);
        let end = match cfg!(mutant = "table-batch-unbounded") {
            true => end,
            false => end.min(self.geometry.inode_table_blocks()),
        };
        Ok(u64::from(table) + u64::from(first)..u64::from(table) + u64::from(end))
    }

    /// Checks that the `len` blocks from `start` on may belong to a file: that they are inside the
    /// volume, and no metadata of a group. `at` has the pointer to them.
    ///
    /// # Errors
    ///
    /// They may not, or `len` is 0.
    #[inline]
    pub(crate) fn check_data(&self, at: Place, start: u32, len: u32) -> Result<(), Corrupt> {
        // Nearly all blocks are after the metadata of their group.
        let group = self.geometry.locate_block(start).map(|(group, _)| group);
        match group.and_then(|group| self.groups.get(group as usize)) {
            Some(group) if group.is_data(start, len) => Ok(()),
            _ => self.check_data_slowly(at, start, len),
        }
    }

    /// [`Layout::check_data`] for blocks before or between metadata, or in several groups.
    #[cold]
    fn check_data_slowly(&self, at: Place, start: u32, len: u32) -> Result<(), Corrupt> {
        const OUTSIDE: &str = "block pointer outside the volume";
        const METADATA: &str = "block pointer into metadata";
        if cfg!(mutant = "pointers-unchecked") {
            return Ok(());
        }
        let geometry = self.geometry;
        let last = len.checked_sub(1).and_then(|n| start.checked_add(n));
        let last = last.and_then(|last| geometry.locate_block(last));
        let (Some((first_group, _)), Some((last_group, _))) = (geometry.locate_block(start), last)
        else {
            return Err(Corrupt::found(at, OUTSIDE, start.into()));
        };
        for number in first_group..=last_group {
            let group = self.group(number)?;
            let base = geometry.group_first_block(number);
            if overlap(start, len, base, geometry.base_metadata(number))
                || overlap(start, len, group.block_bitmap(), 1)
                || overlap(start, len, group.inode_bitmap(), 1)
                || overlap(
                    start,
                    len,
                    group.inode_table(),
                    geometry.inode_table_blocks(),
                )
            {
                return Err(Corrupt::found(at, METADATA, start.into()));
            }
        }
        Ok(())
    }

    /// Runs `visit` on each run of metadata blocks of `group`: index in the group, and length.
    ///
    /// # Errors
    ///
    /// There is no such group, or `visit` fails.
    pub(crate) fn for_each_metadata(
        &self,
        group: u32,
        mut visit: impl FnMut(u32, u32) -> Result<(), Corrupt>,
    ) -> Result<(), Corrupt> {
        let layout = self.group(group)?;
        let base = self.geometry.group_first_block(group);
        let relative = |block: u32| block.saturating_sub(base);
        visit(0, self.geometry.base_metadata(group))?;
        visit(relative(layout.block_bitmap()), 1)?;
        visit(relative(layout.inode_bitmap()), 1)?;
        visit(
            relative(layout.inode_table()),
            self.geometry.inode_table_blocks(),
        )
    }
}
