// SPDX-License-Identifier: GPL-2.0

//! Groups of which something was left to be initialised later (`uninit_bg`), and the checksums of group
//! descriptors that volumes with such groups have.
//!
//! `mke2fs` leaves out the bitmaps of groups in which nothing is in use, and what no inode is in of inode
//! tables. Flags in the descriptor, and the number of inodes at the end of the table that were never used,
//! say so; that is what the checksum protects.

use core::{mem::offset_of, ops::Range};

use zerocopy::{FromBytes, IntoBytes};

use super::{
    bitmap::{mark_run, Run},
    group::{impossible_unused, RawGroup, GROUP_DESCRIPTOR_SIZE},
    Corrupt, Geometry, Layout, Place,
};

/// Flag of a descriptor: no inode is in use, and the inode bitmap is not there.
const INODE_UNINIT: u16 = 1;
/// Flag of a descriptor: no block but metadata is in use, and the block bitmap is not there.
const BLOCK_UNINIT: u16 = 2;
/// Flag of a descriptor: the inode table is zero where no inode is.
const INODE_ZEROED: u16 = 4;

/// CRC-16 with the polynomial 0x8005, bits reversed.
fn crc16(mut crc: u16, bytes: &[u8]) -> u16 {
    for &byte in bytes {
        crc ^= u16::from(byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc >>= 1;
            if carry {
                crc ^= 0xa001;
            }
        }
    }
    crc
}

/// The checksums of group descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    /// Of the identifier of the volume, with which all begin; `None` on a volume without checksums.
    seed: Option<u16>,
}

impl Checksums {
    /// Those of the volume `uuid`, if it has any.
    pub(super) fn new(are_there: bool, uuid: &[u8; 16]) -> Self {
        Checksums {
            seed: are_there.then(|| crc16(u16::MAX, uuid)),
        }
    }

    fn of(seed: u16, group: u32, raw: &RawGroup) -> u16 {
        let crc = crc16(seed, &group.to_le_bytes());
        let before = raw.as_bytes().get(..offset_of!(RawGroup, checksum));
        crc16(crc, before.unwrap_or_default())
    }

    /// Checks that of `bytes`, the descriptor of `group`.
    ///
    /// # Errors
    ///
    /// It is wrong, or `bytes` is shorter than a descriptor.
    pub(crate) fn check(&self, group: u32, bytes: &[u8]) -> Result<(), Corrupt> {
        let Some(seed) = self.seed else {
            return Ok(());
        };
        let (raw, _) = RawGroup::ref_from_prefix(bytes).map_err(|_| short(group))?;
        let found = raw.checksum.get();
        if found != Self::of(seed, group, raw) {
            let what = "wrong checksum of its descriptor";
            return Err(Corrupt::found(Place::Group(group), what, found.into()));
        }
        Ok(())
    }

    /// Stores it in `bytes`, the descriptor of `group`, in which the bytes in `changed` have changed.
    /// Returns the range of bytes that have now.
    ///
    /// # Errors
    ///
    /// `bytes` is shorter than a descriptor.
    pub(crate) fn store(
        &self,
        group: u32,
        bytes: &mut [u8],
        changed: Range<usize>,
    ) -> Result<Range<usize>, Corrupt> {
        let Some(seed) = self.seed else {
            return Ok(changed);
        };
        let (raw, _) = RawGroup::mut_from_prefix(bytes).map_err(|_| short(group))?;
        if !cfg!(mutant = "descriptor-unsummed") {
            raw.checksum.set(Self::of(seed, group, raw));
        }
        Ok(changed.start..GROUP_DESCRIPTOR_SIZE)
    }
}

fn short(group: u32) -> Corrupt {
    Corrupt::new(Place::Group(group), "descriptor shorter than 32 bytes")
}

/// What of a group is not initialised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uninit {
    flags: u16,
    /// Inodes at the end of the table that were never used.
    unused: u16,
}

impl Uninit {
    /// Reads it from `bytes`, the descriptor of `group`.
    ///
    /// # Errors
    ///
    /// `bytes` is shorter than a descriptor.
    pub(crate) fn read(geometry: &Geometry, group: u32, bytes: &[u8]) -> Result<Self, Corrupt> {
        if !geometry.has_uninit_groups() {
            return Ok(Uninit::default());
        }
        let (raw, _) = RawGroup::ref_from_prefix(bytes).map_err(|_| short(group))?;
        Ok(Uninit {
            flags: raw.flags.get(),
            unused: match impossible_unused(geometry, raw) {
                Some(_) => 0,
                None => raw.unused_inodes.get(),
            },
        })
    }

    /// Checks that what was initialised of `group` is what every volume has in use there: reserved inodes, of which the root is one,
    /// and its directory. Whoever believes that they are not would make zeroes of them.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check(&self, geometry: &Geometry, group: u32) -> Result<(), Corrupt> {
        let at = Place::Group(group);
        if group == 0 && self.has_no_blocks() {
            return Err(Corrupt::new(at, "block bitmap not initialised"));
        }
        let used = geometry.reserved_inodes(group);
        if used != 0 && self.has_no_inodes() {
            return Err(Corrupt::new(at, "inode bitmap not initialised"));
        }
        if geometry.inodes_per_group() - u32::from(self.unused) < used {
            let what = "reserved inodes that were never used";
            return Err(Corrupt::found(at, what, self.unused.into()));
        }
        Ok(())
    }

    /// Whether there is something to be initialised, or to be noted, before an inode or a block of the group
    /// is allocated.
    pub(crate) const fn is_any(&self) -> bool {
        self.unused != 0 || self.flags & (INODE_UNINIT | BLOCK_UNINIT) != 0
    }

    /// Whether no inode is in use, and the inode bitmap is not there.
    pub(crate) const fn has_no_inodes(&self) -> bool {
        self.flags & INODE_UNINIT != 0
    }

    /// Whether no block but metadata is in use, and the block bitmap is not there.
    pub(crate) const fn has_no_blocks(&self) -> bool {
        self.flags & BLOCK_UNINIT != 0
    }

    /// Fills `bits`, the block bitmap of `group`, if it is not there: metadata is in use, and what is behind
    /// the end. Returns whether it was not.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub(crate) fn fill_blocks(
        &self,
        layout: &Layout<'_>,
        group: u32,
        bits: &mut [u8],
    ) -> Result<bool, Corrupt> {
        if !self.has_no_blocks() || cfg!(mutant = "uninit-bitmap") {
            return Ok(false);
        }
        bits.fill(0);
        layout.for_each_metadata(group, |start, len| {
            mark_run(bits, Run { start, len });
            Ok(())
        })?;
        mark_rest(bits, layout.geometry().group_blocks(group));
        Ok(true)
    }

    /// The same for the inode bitmap: all inodes are free.
    pub(crate) fn fill_inodes(&self, geometry: &Geometry, bits: &mut [u8]) -> bool {
        if self.has_no_inodes() {
            bits.fill(0);
            mark_rest(bits, geometry.inodes_per_group());
        }
        self.has_no_inodes()
    }

    /// The blocks of the inode table, counted from its begin, that hold what they held before it was one.
    pub(crate) fn stale_table(&self, geometry: &Geometry) -> Range<u32> {
        let blocks = geometry.inode_table_blocks();
        if self.flags & INODE_ZEROED != 0 {
            return blocks..blocks;
        }
        let all = geometry.inodes_per_group();
        let used = match self.has_no_inodes() {
            true => 0,
            false => all.saturating_sub(self.unused.into()),
        };
        used.div_ceil(geometry.inodes_per_block())..blocks
    }

    /// Notes in `bytes`, the descriptor of `group`, that all is initialised, and the table zeroed where it was
    /// stale. Returns the range of bytes changed; the checksum is not.
    ///
    /// # Errors
    ///
    /// `bytes` is shorter than a descriptor.
    pub(crate) fn store_done(&self, group: u32, bytes: &mut [u8]) -> Result<Range<usize>, Corrupt> {
        let (raw, _) = RawGroup::mut_from_prefix(bytes).map_err(|_| short(group))?;
        let flags = raw.flags.get() & !(INODE_UNINIT | BLOCK_UNINIT);
        raw.flags.set(flags | INODE_ZEROED);
        raw.unused_inodes.set(0);
        Ok(offset_of!(RawGroup, flags)..offset_of!(RawGroup, checksum))
    }
}

/// Sets the bits behind those that belong to the group.
fn mark_rest(bits: &mut [u8], end: u32) {
    let all = bits.len().saturating_mul(8) as u32;
    let len = all.saturating_sub(end);
    mark_run(bits, Run { start: end, len });
}
