// SPDX-License-Identifier: GPL-2.0

//! Reading the blocks of a directory, wherever they are.

use crate::ext2::Corrupt;

/// How many bytes of a block are read at once by who looks for a name: an entry with the longest name, and more.
pub(crate) const WINDOW: usize = 512;

/// Access to the blocks of a directory.
pub(crate) trait DirBlocks {
    /// Errors of the device, and corruption.
    type Error: From<Corrupt>;

    /// How many blocks there are.
    fn count(&self) -> u32;

    /// Copies `out.len()` bytes from byte `offset` on of block `index` into `out`. They are within a
    /// block, and there is such a block.
    fn read(&mut self, index: u32, offset: usize, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Runs `f` on a copy of `len` bytes from byte `offset` on of block `index`, [`WINDOW`] at most. They are within a block,
    /// and there is such a block.
    #[inline(always)]
    fn with_window<R>(
        &mut self,
        index: u32,
        offset: usize,
        len: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Self::Error> {
        let mut window = [0; WINDOW];
        let window = window.get_mut(..len).unwrap_or_default();
        self.read(index, offset, window)?;
        Ok(f(window))
    }

    /// Whether the pointers of block `index` of the index have been checked ([`super::path`]) while it is in memory.
    /// Who does not know says no.
    fn is_checked(&mut self, _index: u32) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Takes note that they are.
    fn set_checked(&mut self, _index: u32) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Access to the blocks of a directory to change them where they are.
pub(crate) trait ChangeDirBlocks: DirBlocks {
    /// Copies `bytes` to block `index`, from byte `offset` on. They are within a block, and there is such a block.
    fn write(&mut self, index: u32, offset: usize, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A single block in memory, whatever its index.
pub(crate) struct One<'a>(pub(crate) &'a mut [u8]);

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

impl ChangeDirBlocks for One<'_> {
    fn write(&mut self, _: u32, offset: usize, bytes: &[u8]) -> Result<(), Corrupt> {
        if let Some(to) = self.0.get_mut(offset..offset + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        Ok(())
    }
}
