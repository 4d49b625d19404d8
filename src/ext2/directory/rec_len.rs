// SPDX-License-Identifier: GPL-2.0

//! The length of an entry on the disk.
//!
//! It has 16 bits, which is too few for one: an entry that takes a block of 64 KiB. 65,535 stands for that, as no other
//! length is odd, and so does 0.

use zerocopy::little_endian::U16;

/// The length that 16 bits do not hold.
pub(super) const WHOLE: usize = 1 << 16;

/// The length that `raw` stands for, in blocks of `block_size` bytes.
pub(super) fn from_disk(raw: U16, block_size: usize) -> usize {
    match raw.get() {
        0 | u16::MAX if block_size == WHOLE => WHOLE,
        len => len.into(),
    }
}

/// What stands for `len`, which is at most [`WHOLE`].
pub(super) fn to_disk(len: usize) -> U16 {
    match cfg!(mutant = "whole-entry-cut") {
        true => U16::new(len.min(WHOLE - 4) as u16),
        false => U16::new(u16::try_from(len).unwrap_or(u16::MAX)),
    }
}
