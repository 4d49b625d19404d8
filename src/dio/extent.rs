// SPDX-License-Identifier: GPL-2.0

//! Arithmetic on byte ranges and blocks of a request. Positions are in bytes of the file.

use core::ops::Range;

/// The base-2 logarithm of the block size of the filesystem in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockBits(u8);

impl BlockBits {
    /// Blocks of `1 << bits` bytes, with `bits` less than 64.
    #[inline(always)]
    pub(crate) const fn new(bits: u8) -> Self {
        // Known to the compiler, so that no shift is checked.
        BlockBits(bits % 64)
    }

    /// Bytes in a block.
    pub(crate) const fn size(self) -> u64 {
        1 << self.0
    }

    /// The block that holds byte `pos`.
    pub(crate) const fn block(self, pos: u64) -> u64 {
        pos >> self.0
    }

    /// The offset of `pos` in its block, in bytes.
    pub(crate) const fn offset(self, pos: u64) -> u64 {
        pos & (self.size() - 1)
    }

    /// Start of the block that holds byte `pos`.
    pub(crate) const fn round_down(self, pos: u64) -> u64 {
        pos - self.offset(pos)
    }

    /// The number of blocks that `pos` bytes take: the first block that starts at or after `pos`.
    #[inline(always)]
    pub(crate) const fn blocks(self, pos: u64) -> u64 {
        self.block(pos) + (self.offset(pos) != 0) as u64
    }

    /// End of the last block that has a byte before `pos`.
    pub(crate) const fn round_up(self, pos: u64) -> u64 {
        self.blocks(pos) << self.0
    }
}

/// Rounds `pos` up to a multiple of `align`, which is a power of two.
pub(crate) const fn round_up(pos: u64, align: u64) -> u64 {
    (pos + align - 1) & !(align - 1)
}

/// The bytes of a run of `blocks` blocks that belong to a request.
///
/// `pos` is the next byte of the request, in the first block of the run; `end` is where the request
/// ends.
pub(crate) fn run(pos: u64, end: u64, blocks: u32, bits: BlockBits) -> Range<u64> {
    let run_end = bits.round_down(pos) + u64::from(blocks) * bits.size();
    pos..run_end.min(end)
}

/// The number of blocks that cover `pos..end`, which is not empty, for a look-up in the block map.
#[inline(always)]
pub(crate) fn blocks_wanted(pos: u64, end: u64, bits: BlockBits) -> u32 {
    let blocks = bits.block(end - 1) - bits.block(pos) + 1;
    blocks.min(u64::from(u32::MAX)) as u32
}

/// The bytes before `data` in its first block, a new one: stale, as the request does not write
/// them.
pub(crate) fn unwritten_head(data: &Range<u64>, bits: BlockBits) -> Range<u64> {
    bits.round_down(data.start)..data.start
}

/// The tail of the last block of `data`, a new one: stale, as the request does not write it.
pub(crate) fn unwritten_tail(data: &Range<u64>, bits: BlockBits) -> Range<u64> {
    data.end..bits.round_up(data.end)
}
