// SPDX-License-Identifier: GPL-2.0

//! Reading the blocks of a directory, wherever they are.

use crate::ext2::Corrupt;

/// Access to the blocks of a directory.
pub(crate) trait DirBlocks {
    /// Errors of the device, and corruption.
    type Error: From<Corrupt>;

    /// How many blocks there are.
    fn count(&self) -> u32;

    /// Copies `out.len()` bytes from byte `offset` on of block `index` into `out`. They are within a
    /// block, and there is such a block.
    fn read(&mut self, index: u32, offset: usize, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// A single block in memory.
pub(super) struct One<'a>(pub(super) &'a [u8]);

impl DirBlocks for One<'_> {
    type Error = Corrupt;

    fn count(&self) -> u32 {
        1
    }

    fn read(&mut self, _: u32, offset: usize, out: &mut [u8]) -> Result<(), Corrupt> {
        if let Some(from) = self.0.get(offset..offset + out.len()) {
            out.copy_from_slice(from);
        }
        Ok(())
    }
}
