// SPDX-License-Identifier: GPL-2.0

//! The tree of block pointers: how many blocks it maps, and the path to the pointer of a block.

/// Block pointers in an inode: 12 direct ones, then the single, double and triple indirect one.
pub(crate) const POINTERS: usize = 15;

/// The block pointers of an inode.
pub(crate) type Pointers = [u32; POINTERS];

/// The number of direct pointers.
pub(crate) const DIRECT: usize = 12;

/// The length of the longest path: a pointer in the inode and three in blocks of pointers.
pub(super) const DEPTH_MAX: usize = 4;

/// Base-2 logarithm of the pointers in a block.
pub(super) const fn pointer_bits(block_bits: u32) -> u32 {
    block_bits - 2
}

/// The number of blocks of a file that an inode can map, with blocks of 2^`block_bits` bytes.
pub(crate) const fn tree_blocks(block_bits: u32) -> u64 {
    let bits = pointer_bits(block_bits);
    DIRECT as u64 + (1 << bits) + (1 << (2 * bits)) + (1 << (3 * bits))
}

/// The number of blocks of pointers of a file of `blocks` blocks without holes.
const fn pointer_blocks_of(block_bits: u32, blocks: u64) -> u64 {
    let bits = pointer_bits(block_bits);
    let (single, double): (u64, u64) = (1 << bits, 1 << (2 * bits));
    let beyond_direct = blocks.saturating_sub(DIRECT as u64);
    let beyond_single = beyond_direct.saturating_sub(single);
    let beyond_double = beyond_single.saturating_sub(double);
    let mut needed = 0;
    if beyond_direct > 0 {
        needed += 1;
    }
    if beyond_single > 0 {
        let here = beyond_single - beyond_double;
        needed += 1 + here.div_ceil(single);
    }
    if beyond_double > 0 {
        needed += 1 + beyond_double.div_ceil(single) + beyond_double.div_ceil(double);
    }
    needed
}

/// How many blocks of a file have numbers of 32 bits, but for the last one.
const NUMBERED: u64 = u32::MAX as u64;

/// The size of the largest file, in bytes, with blocks of 2^`block_bits` bytes.
///
/// It is limited by what the pointers map, by the numbers of its blocks, which have 32 bits, and by `i_blocks`,
/// which counts the sectors of data and blocks of pointers in 32 bits, unless it is `huge`: then it has 48, and is
/// no limit. The one by 32 bits is computed as in Linux' ext2 and ext4, slightly lower than necessary, so that all
/// agree.
pub(crate) const fn max_file_size(block_bits: u32, huge: bool) -> u64 {
    let tree = match tree_blocks(block_bits) {
        numbered @ 0..=NUMBERED => numbered,
        _ => NUMBERED,
    };
    let countable = (u32::MAX >> (block_bits - 9)) as u64;
    let blocks = if huge || tree + pointer_blocks_of(block_bits, tree) <= countable {
        tree
    } else {
        countable - pointer_blocks_of(block_bits, countable)
    };
    blocks << block_bits
}

/// The way from an inode to the pointer of one block of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    indexes: [u32; DEPTH_MAX],
    pub(super) depth: usize,
    block_bits: u32,
}

impl Path {
    /// The way to block `file_block` of a file, with blocks of 2^`block_bits` bytes. `None` when
    /// no pointer reaches so far.
    pub(crate) const fn new(block_bits: u32, file_block: u64) -> Option<Self> {
        let bits = pointer_bits(block_bits);
        let per_block = 1u64 << bits;
        let mask = per_block - 1;
        let (indexes, depth) = if file_block < DIRECT as u64 {
            ([file_block, 0, 0, 0], 1)
        } else {
            let n = file_block - DIRECT as u64;
            if n < per_block {
                ([12, n, 0, 0], 2)
            } else {
                let n = n - per_block;
                if n < per_block << bits {
                    ([13, n >> bits, n & mask, 0], 3)
                } else {
                    let n = n - (per_block << bits);
                    if n < per_block << (2 * bits) {
                        let middle = (n >> bits) & mask;
                        ([14, n >> (2 * bits), middle, n & mask], 4)
                    } else {
                        return None;
                    }
                }
            }
        };
        let [a, b, c, d] = indexes;
        Some(Path {
            // All are below the number of pointers in a block.
            indexes: [a as u32, b as u32, c as u32, d as u32],
            depth,
            block_bits,
        })
    }

    /// The index of the pointer in the inode, then those in the blocks of pointers.
    pub(crate) fn indexes(&self) -> &[u32] {
        self.indexes.get(..self.depth).unwrap_or_default()
    }

    /// The last index: the one of the pointer to data.
    pub(super) fn last(&self) -> u32 {
        self.indexes().last().copied().unwrap_or_default()
    }

    /// Pointers to data from this one to the end of where it is: of the direct pointers, or of
    /// the block of pointers. At least 1.
    pub(crate) fn room(&self) -> u32 {
        let end = match self.depth {
            1 => DIRECT as u32,
            _ => 1 << pointer_bits(self.block_bits),
        };
        end.saturating_sub(self.last())
    }

    /// Blocks of the file, from this one on, that share its pointers at all levels up to and
    /// including `level`: that are in a hole when the pointer at that level is 0.
    pub(super) fn span(&self, level: usize) -> u64 {
        let bits = pointer_bits(self.block_bits);
        let below = self.indexes().get(level + 1..).unwrap_or_default();
        let (size, position) = below.iter().fold((1u64, 0u64), |(size, position), &index| {
            (size << bits, (position << bits) | u64::from(index))
        });
        size.saturating_sub(position)
    }
}
