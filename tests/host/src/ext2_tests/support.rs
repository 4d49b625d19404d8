// SPDX-License-Identifier: GPL-2.0

//! What several tests need: bytes of structures, written by the offsets in the documentation and
//! not through the layouts that are tested, and a device in memory.

use std::collections::BTreeMap;

use crate::ext2::{
    block_map::PointerBlocks,
    group::{Group, GroupLayout},
    inode::FastSymlink,
    pointers::Pointers,
    superblock::Superblock,
    truncate::FreeBlocks,
    Corrupt, Geometry, Layout,
};

/// Writes a little-endian 16-bit number.
pub(super) fn put16(bytes: &mut [u8], offset: usize, value: u16) {
    bytes[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
}

/// Writes a little-endian 32-bit number.
pub(super) fn put32(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

/// Reads a little-endian 16-bit number.
pub(super) fn get16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().unwrap())
}

/// Reads a little-endian 32-bit number.
pub(super) fn get32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// The target of a symbolic link, without the 0 bytes after it.
pub(super) fn target(link: &FastSymlink) -> &[u8] {
    link.zero_terminated().split(|&b| b == 0).next().unwrap()
}

/// A volume to be described by [`Spec::superblock`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) log_block_size: u32,
    pub(super) blocks: u32,
    pub(super) blocks_per_group: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: u16,
    pub(super) compat: u32,
    pub(super) incompat: u32,
    pub(super) ro_compat: u32,
    pub(super) reserved_gdt: u16,
}

impl Default for Spec {
    /// 1 KiB blocks, three groups, the last one short, as mke2fs would make it.
    fn default() -> Self {
        Spec {
            log_block_size: 0,
            blocks: 20_000,
            blocks_per_group: 8192,
            inodes_per_group: 1024,
            inode_size: 256,
            compat: 0x38,
            incompat: 0x2,
            ro_compat: 0x3,
            reserved_gdt: 100,
        }
    }
}

impl Spec {
    pub(super) fn block_size(&self) -> u32 {
        1024 << self.log_block_size
    }

    pub(super) fn first_data_block(&self) -> u32 {
        u32::from(self.log_block_size == 0)
    }

    pub(super) fn groups(&self) -> u32 {
        (self.blocks - self.first_data_block()).div_ceil(self.blocks_per_group)
    }

    pub(super) fn device_bytes(&self) -> u64 {
        u64::from(self.blocks) * u64::from(self.block_size())
    }

    /// The 1024 bytes of the superblock.
    pub(super) fn superblock(&self) -> Vec<u8> {
        let mut b = vec![0; 1024];
        put32(&mut b, 0x00, self.groups() * self.inodes_per_group);
        put32(&mut b, 0x04, self.blocks);
        put32(&mut b, 0x08, self.blocks / 20);
        put32(&mut b, 0x14, self.first_data_block());
        put32(&mut b, 0x18, self.log_block_size);
        put32(&mut b, 0x1c, self.log_block_size);
        put32(&mut b, 0x20, self.blocks_per_group);
        put32(&mut b, 0x24, self.blocks_per_group);
        put32(&mut b, 0x28, self.inodes_per_group);
        put16(&mut b, 0x36, 0xffff);
        put16(&mut b, 0x38, 0xef53);
        put16(&mut b, 0x3a, 1);
        put16(&mut b, 0x3c, 1);
        put32(&mut b, 0x4c, 1);
        put32(&mut b, 0x54, 11);
        put16(&mut b, 0x58, self.inode_size);
        put32(&mut b, 0x5c, self.compat);
        put32(&mut b, 0x60, self.incompat);
        put32(&mut b, 0x64, self.ro_compat);
        put16(&mut b, 0xce, self.reserved_gdt);
        b
    }

    pub(super) fn parse(&self) -> Superblock {
        Superblock::parse(&self.superblock(), self.device_bytes()).unwrap()
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.parse().geometry
    }
}

/// Block and byte offset of the descriptor of a group, for a mount from the primary superblock.
pub(super) fn descriptor_location(geometry: &Geometry, group: u32) -> Option<(u32, u32)> {
    let (index, offset) = geometry.descriptor_slot(group)?;
    let superblock = geometry.group_first_block(0);
    let block = geometry.descriptor_block(index, superblock.into());
    Some((block.try_into().unwrap(), offset))
}

/// The bytes of a group descriptor.
pub(super) fn descriptor(block_bitmap: u32, inode_bitmap: u32, inode_table: u32) -> Vec<u8> {
    let mut b = vec![0; 32];
    put32(&mut b, 0, block_bitmap);
    put32(&mut b, 4, inode_bitmap);
    put32(&mut b, 8, inode_table);
    b
}

/// Layouts of all groups with the metadata right at the start of each.
pub(super) fn packed_groups(geometry: &Geometry) -> Vec<GroupLayout> {
    (0..geometry.groups())
        .map(|g| {
            let start = geometry.group_first_block(g) + geometry.base_metadata(g);
            let raw = descriptor(start, start + 1, start + 2);
            Group::parse(geometry, g, &raw).unwrap().layout
        })
        .collect()
}

/// Layouts of all groups with the metadata spread: the table in the middle of the group, the
/// inode bitmap before it, the block bitmap in the last block.
pub(super) fn spread_groups(geometry: &Geometry) -> Vec<GroupLayout> {
    (0..geometry.groups())
        .map(|g| {
            let first = geometry.group_first_block(g);
            let middle = first + geometry.group_blocks(g) / 2;
            let last = first + geometry.group_blocks(g) - 1;
            let raw = descriptor(last, middle - 100, middle);
            Group::parse(geometry, g, &raw).unwrap().layout
        })
        .collect()
}

/// An error of the device in memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DeviceError {
    Corrupt(Corrupt),
    /// The block cannot be read.
    Io(u32),
    /// The block is free.
    NotInUse(u32),
}

impl From<Corrupt> for DeviceError {
    fn from(corrupt: Corrupt) -> Self {
        DeviceError::Corrupt(corrupt)
    }
}

/// A device in memory that knows which of its blocks are in use, and for what.
#[derive(Clone, Debug)]
pub(super) struct MemDevice {
    block_size: usize,
    /// Blocks of pointers with their content.
    pub(super) pointers: BTreeMap<u32, Vec<u8>>,
    /// Blocks of data.
    pub(super) data: std::collections::BTreeSet<u32>,
    /// Blocks that cannot be read.
    pub(super) broken: std::collections::BTreeSet<u32>,
    pub(super) reads: usize,
    /// So many blocks or runs of them can be freed; then no bitmap can be read any more.
    pub(super) frees: Option<usize>,
}

impl MemDevice {
    pub(super) fn new(geometry: &Geometry) -> Self {
        MemDevice {
            block_size: geometry.block_size() as usize,
            pointers: BTreeMap::new(),
            data: Default::default(),
            broken: Default::default(),
            reads: 0,
            frees: None,
        }
    }

    fn fail_bitmap(&mut self, block: u32) -> Result<(), DeviceError> {
        match &mut self.frees {
            Some(0) => Err(DeviceError::Io(block)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The block, which becomes one of pointers, all 0, if it is not yet one.
    pub(super) fn pointer_block(&mut self, block: u32) -> &mut Vec<u8> {
        let size = self.block_size;
        self.pointers.entry(block).or_insert_with(|| vec![0; size])
    }

    pub(super) fn set_pointer(&mut self, block: u32, index: usize, value: u32) {
        put32(self.pointer_block(block), index * 4, value);
    }

    pub(super) fn in_use(&self) -> usize {
        self.pointers.len() + self.data.len()
    }
}

impl PointerBlocks for MemDevice {
    type Error = DeviceError;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<(), DeviceError> {
        self.reads += 1;
        if self.broken.contains(&block) {
            return Err(DeviceError::Io(block));
        }
        // A block of data that is read as pointers is a stray pointer: it reads as zeros.
        match self.pointers.get(&block) {
            Some(bytes) => out.copy_from_slice(&bytes[offset..offset + out.len()]),
            None => out.fill(0),
        }
        Ok(())
    }
}

impl FreeBlocks for MemDevice {
    fn root_changed(&mut self, _: &crate::ext2::pointers::Pointers) {}

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), DeviceError> {
        self.pointers.get_mut(&block).expect("clears pointers only")[offset..offset + len].fill(0);
        Ok(())
    }

    fn clear_root(&mut self, _root: &Pointers) -> Result<(), DeviceError> {
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<(), DeviceError> {
        for i in 0..len {
            let bytes = self
                .pointers
                .get_mut(&block)
                .expect("restores pointers only");
            put32(bytes, (index + i) as usize * 4, start + i);
        }
        Ok(())
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result<(), DeviceError> {
        self.fail_bitmap(start)?;
        if let Some(block) = (start..start + len).find(|block| !self.data.contains(block)) {
            return Err(DeviceError::NotInUse(block));
        }
        self.data
            .retain(|&block| block < start || block >= start + len);
        Ok(())
    }

    fn is_corrupt(error: &DeviceError) -> bool {
        !matches!(error, DeviceError::Io(_))
    }

    fn free_pointers(&mut self, block: u32) -> Result<(), DeviceError> {
        self.fail_bitmap(block)?;
        match self.pointers.remove(&block) {
            Some(_) => Ok(()),
            None => Err(DeviceError::NotInUse(block)),
        }
    }
}

/// Runs `test` with the layout of the volume that `spec` describes.
pub(super) fn with_layout<T>(spec: &Spec, test: impl FnOnce(&Layout<'_>) -> T) -> T {
    let geometry = spec.geometry();
    let groups = packed_groups(&geometry);
    test(&Layout::new(&geometry, &groups))
}
