// SPDX-License-Identifier: GPL-2.0

//! A device whose every block may be one of pointers, and that knows what was freed.

use std::collections::{BTreeMap, BTreeSet};

use super::input::Input;
use crate::ext2::{
    block_map::PointerBlocks,
    pointers::{Pointers, POINTERS},
    truncate::FreeBlocks,
};
use crate::ext2_tests::support::{get32, put32, DeviceError};

#[derive(Clone)]
pub(super) struct Device {
    block_size: usize,
    /// Blocks that are not all 0.
    pub(super) blocks: BTreeMap<u32, Vec<u8>>,
    pub(super) freed: BTreeSet<u32>,
    pub(super) reads: usize,
    /// So many blocks can be freed; then the bitmaps cannot be read.
    pub(super) frees_left: Option<u32>,
}

/// A block number. Most of the few that they have in common are data of group 0.
pub(super) fn number(input: &mut Input<'_>) -> u32 {
    match input.u8() {
        0 => 0,
        1 => input.u32(),
        // Of group 1, and the end of the volume.
        2 => 8193 + u32::from(input.u16()),
        n => 4000 + u32::from(n),
    }
}

impl Device {
    /// A device, and the pointers of an inode: runs of pointers here and there.
    pub(super) fn new(input: &mut Input<'_>, block_size: u32) -> (Self, Pointers) {
        let mut device = Device {
            block_size: block_size as usize,
            blocks: BTreeMap::new(),
            freed: BTreeSet::new(),
            reads: 0,
            frees_left: None,
        };
        let mut root = [0; POINTERS];
        for pointer in &mut root {
            *pointer = number(input);
        }
        for _ in 0..input.u8() % 16 {
            let holder = number(input);
            let index = u32::from(input.u16()) % (block_size / 4);
            let start = number(input);
            let kind = input.u8();
            let (len, step) = (u32::from(kind >> 1), u32::from(kind & 1));
            for i in 0..len.clamp(1, block_size / 4 - index) {
                device.set(holder, index + i, start.wrapping_add(i * step));
            }
        }
        (device, root)
    }

    fn set(&mut self, block: u32, index: u32, value: u32) {
        let size = self.block_size;
        let bytes = self.blocks.entry(block).or_insert_with(|| vec![0; size]);
        put32(bytes, index as usize * 4, value);
    }

    pub(super) fn pointer(&self, block: u32, index: u32) -> u32 {
        self.blocks
            .get(&block)
            .map_or(0, |bytes| get32(bytes, index as usize * 4))
    }

    fn free(&mut self, block: u32) -> Result<(), DeviceError> {
        if let Some(left) = &mut self.frees_left {
            *left = left.checked_sub(1).ok_or(DeviceError::Io(block))?;
        }
        match self.freed.insert(block) {
            true => Ok(()),
            false => Err(DeviceError::NotInUse(block)),
        }
    }
}

impl PointerBlocks for Device {
    type Error = DeviceError;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<(), DeviceError> {
        self.reads += 1;
        assert!(
            offset + out.len() <= self.block_size,
            "{offset} {}",
            out.len()
        );
        match self.blocks.get(&block) {
            Some(bytes) => out.copy_from_slice(&bytes[offset..offset + out.len()]),
            None => out.fill(0),
        }
        Ok(())
    }
}

impl FreeBlocks for Device {
    fn root_changed(&mut self, _: &Pointers) {}

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), DeviceError> {
        assert!(offset + len <= self.block_size);
        if let Some(bytes) = self.blocks.get_mut(&block) {
            bytes[offset..offset + len].fill(0);
        }
        Ok(())
    }

    fn clear_root(&mut self, _root: &Pointers) -> Result<(), DeviceError> {
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<(), DeviceError> {
        assert!(((index + len) * 4) as usize <= self.block_size);
        (0..len).for_each(|i| self.set(block, index + i, start + i));
        Ok(())
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result<(), DeviceError> {
        if let Some(block) = (start..start + len).find(|block| self.freed.contains(block)) {
            return Err(DeviceError::NotInUse(block));
        }
        (start..start + len).try_for_each(|block| self.free(block))
    }

    fn free_pointers(&mut self, block: u32) -> Result<(), DeviceError> {
        self.free(block)
    }

    fn is_corrupt(error: &DeviceError) -> bool {
        !matches!(error, DeviceError::Io(_))
    }
}
