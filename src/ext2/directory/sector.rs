// SPDX-License-Identifier: GPL-2.0

//! What of a directory block a device writes as a whole.

/// What a device writes as a whole, in bytes, or a part of that.
pub(crate) const SECTOR: usize = 512;

/// The sector of a block with byte `offset`.
pub(crate) const fn sector(offset: usize) -> usize {
    offset / SECTOR
}

/// Whether an entry at `offset` and what is behind it, `size` bytes together, can be changed at once.
pub(super) const fn is_in_one(offset: usize, size: usize) -> bool {
    sector(offset) == sector(offset + size - 1) || cfg!(mutant = "name-over-sectors")
}
