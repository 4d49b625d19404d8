// SPDX-License-Identifier: GPL-2.0

//! Blocks of extended attributes: the header, as far as deleting an inode needs it.
//!
//! Inodes with equal attributes may share a block, which has a reference count.

use core::{mem::offset_of, ops::Range};

use zerocopy::{little_endian::U32, FromBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Corrupt, Place};

/// The number that marks a block of extended attributes.
const MAGIC: u32 = 0xea02_0000;

/// The header as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    references: U32,
    blocks: U32,
    hash: U32,
    reserved: [U32; 4],
}

const _: () = assert!(size_of::<RawHeader>() == 32);

/// Whether the `slot` of an inode, or what of it is in the first 256 bytes, has attributes: they
/// begin, with a magic number, after the fields that the inode has beyond the first 128 bytes.
pub(crate) fn are_in_slot(slot: &[u8]) -> bool {
    let Some((extra, _)) = slot.get(128..).and_then(|rest| rest.split_first_chunk()) else {
        return false;
    };
    let start = 128 + usize::from(u16::from_le_bytes(*extra));
    let magic = slot.get(start..).and_then(|rest| rest.first_chunk());
    magic.is_some_and(|magic| u32::from_le_bytes(*magic) == MAGIC)
}

/// What is to be done with the block after an inode has dropped its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It was the last reference: free the block. Nothing changed.
    Free,
    /// There are others: write back these bytes, with the decremented count.
    Keep(Range<usize>),
}

/// Drops the reference of inode `ino` to its attributes in `bytes`, the contents of `block`.
///
/// # Errors
///
/// It is no block of attributes, or has no references; nothing changed.
pub(crate) fn release(ino: u32, block: u32, bytes: &mut [u8]) -> Result<Release, Corrupt> {
    let at = Place::Xattr { ino, block };
    let Ok((raw, _)) = RawHeader::mut_from_prefix(bytes) else {
        return Err(Corrupt::new(at, "shorter than its header"));
    };
    if raw.magic.get() != MAGIC {
        let what = "wrong magic number";
        return Err(Corrupt::found(at, what, raw.magic.get().into()));
    }
    if raw.blocks.get() != 1 {
        let what = "not of one block";
        return Err(Corrupt::found(at, what, raw.blocks.get().into()));
    }
    match raw.references.get() {
        0 => Err(Corrupt::new(at, "no references")),
        1 => Ok(Release::Free),
        count => {
            raw.references.set(count - 1);
            let start = offset_of!(RawHeader, references);
            Ok(Release::Keep(start..start + size_of::<U32>()))
        }
    }
}
