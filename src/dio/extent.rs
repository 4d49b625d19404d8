// SPDX-License-Identifier: GPL-2.0

//! Arithmetic on the bytes and blocks of a request.

use core::ops::Range;

/// Size of a filesystem block, as its binary logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockBits(u8);

impl BlockBits {
    /// Blocks of `1 << bits` bytes.
    pub(crate) const fn new(bits: u8) -> Self {
        BlockBits(bits)
    }

    /// Bytes in a block.
    pub(crate) const fn size(self) -> u64 {
        1 << self.0
    }

    /// The block that holds byte `pos`.
    pub(crate) const fn block(self, pos: u64) -> u64 {
        pos >> self.0
    }

    /// How far `pos` is into its block.
    pub(crate) const fn offset(self, pos: u64) -> u64 {
        pos & (self.size() - 1)
    }

    /// Start of the block that holds byte `pos`.
    pub(crate) const fn round_down(self, pos: u64) -> u64 {
        pos - self.offset(pos)
    }

    /// The first block that starts at or after `pos`: the number of blocks that `pos` bytes need.
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

/// Where one run of blocks starts and ends, in bytes of the file, cut to the request.
///
/// `pos` is the next byte of the request, in the first block of the run; the request ends at `end`;
/// the run has `blocks` blocks.
pub(crate) fn run(pos: u64, end: u64, blocks: u32, bits: BlockBits) -> Range<u64> {
    let run_end = bits.round_down(pos) + u64::from(blocks) * bits.size();
    pos..run_end.min(end)
}

/// How many blocks to ask the block map for, to cover `pos..end`.
pub(crate) fn blocks_wanted(pos: u64, end: u64, bits: BlockBits) -> u32 {
    let blocks = bits.blocks(end) - bits.block(pos);
    blocks.min(u64::from(u32::MAX)) as u32
}

/// The bytes before `data` in the first block of a new run: nobody wrote them.
pub(crate) fn unwritten_head(data: &Range<u64>, bits: BlockBits) -> Range<u64> {
    bits.round_down(data.start)..data.start
}

/// The bytes behind `data` in the last block of a new run: nobody wrote them.
pub(crate) fn unwritten_tail(data: &Range<u64>, bits: BlockBits) -> Range<u64> {
    data.end..bits.round_up(data.end)
}
