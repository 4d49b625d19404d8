// SPDX-License-Identifier: GPL-2.0

//! What `tune2fs(8)` changes in the superblock of a mounted volume.

use core::mem::offset_of;

use super::{
    superblock::{OnError, RawSuperblock},
    Geometry,
};

/// The values in the superblock that decide how the volume is used, not how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    /// The number of blocks that only privileged tasks may allocate, at most all.
    pub(crate) reserved_blocks: u32,
    /// The user who may allocate reserved blocks.
    pub(crate) reserved_uid: u16,
    /// The group whose members may allocate reserved blocks.
    pub(crate) reserved_gid: u16,
    /// What to do about corruption.
    pub(crate) on_error: OnError,
    /// Default mount options, as `EXT2_DEFM_*` bits.
    pub(crate) default_mount_options: u32,
}

impl Tuned {
    /// How many bytes of the superblock they are in.
    pub(crate) const SIZE: usize = offset_of!(RawSuperblock, first_meta_group);

    /// Reads them from the first [`Tuned::SIZE`] bytes of the superblock. Any value is valid.
    pub(crate) fn read(geometry: &Geometry, bytes: &[u8]) -> Self {
        Tuned {
            reserved_blocks: u32_at(bytes, offset_of!(RawSuperblock, reserved_blocks))
                .min(geometry.blocks_count()),
            reserved_uid: u16_at(bytes, offset_of!(RawSuperblock, reserved_uid)),
            reserved_gid: u16_at(bytes, offset_of!(RawSuperblock, reserved_gid)),
            on_error: match u16_at(bytes, offset_of!(RawSuperblock, errors)) {
                1 => OnError::Continue,
                3 => OnError::Panic,
                _ => OnError::RemountReadOnly,
            },
            default_mount_options: u32_at(bytes, offset_of!(RawSuperblock, default_mount_options)),
        }
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}
