// SPDX-License-Identifier: GPL-2.0

//! Reading and changing the superblock through the buffer cache.

use crate::ext2::superblock::{
    MountError, State, Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE,
};
use crate::ext2::tuned::Tuned;
use crate::ext2::{Corrupt, Geometry};
use crate::types::{NewSuperBlock, SuperBlock};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;
use kfs::time::real_seconds;

/// The block with the superblock, and what to do with it at unmount.
pub(super) struct SuperBuffer {
    pub(super) buffer: BufferHead,
    /// The state before the volume was mounted read-write, which is restored then.
    pub(super) before: State,
}

impl SuperBuffer {
    pub(super) fn new(buffer: BufferHead, before: State) -> Self {
        SuperBuffer { buffer, before }
    }
}

/// The block with the superblock, and the byte offset in it, for blocks of `block_size` bytes.
fn place(block_size: usize) -> (u64, usize) {
    if block_size > SUPERBLOCK_OFFSET as usize {
        (0, SUPERBLOCK_OFFSET as usize)
    } else {
        (1, 0)
    }
}

/// Reads the block with the superblock, for blocks of `block_size` bytes. May sleep.
pub(super) fn read(sb: &mut NewSuperBlock<'_>, block_size: usize) -> Result<BufferHead, Error> {
    sb.bread(place(block_size).0)
        .inspect_err(|_| pr_err!("{}: cannot read the superblock\n", sb.id()))
}

/// Reads and validates the superblock of a device of `device_size` bytes in blocks of `block_size`
/// bytes. May sleep. `EUCLEAN` when it is corrupt, `EINVAL` when it is none or not supported; the
/// log says why.
pub(super) fn parse(
    sb: &mut NewSuperBlock<'_>,
    block_size: usize,
    device_size: u64,
) -> Result<Superblock, Error> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let (_, offset) = place(block_size);
    read(sb, block_size)?.read(offset, &mut bytes)?;
    Superblock::parse(&bytes, device_size).map_err(|error| {
        pr_err!("{}: cannot mount: {}\n", sb.id(), error);
        errno(&error)
    })
}

/// Parses the superblock in its buffer again; `sb` is mounted from it. `EUCLEAN` when it is corrupt,
/// `EINVAL` when it is none or not supported; the log says why.
pub(super) fn reparse(sb: &SuperBlock, buffer: &BufferHead) -> Result<Superblock, Error> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let (_, offset) = place(buffer.size());
    buffer.read(offset, &mut bytes)?;
    Superblock::parse(&bytes, sb.device_size()).map_err(|error| {
        pr_err!("{}: cannot remount: {}\n", sb.id(), error);
        errno(&error)
    })
}

/// What a mount fails with.
fn errno(error: &MountError) -> Error {
    match error {
        MountError::Corrupt(_) => EUCLEAN,
        _ => EINVAL,
    }
}

/// Reads what may be changed while the volume is mounted. Does not sleep.
pub(super) fn tuned(buffer: &BufferHead, geometry: &Geometry) -> Result<Tuned, Error> {
    let (_, offset) = place(buffer.size());
    let mut bytes = [0; Tuned::SIZE];
    buffer.read(offset, &mut bytes)?;
    Ok(Tuned::read(geometry, &bytes))
}

/// Changes the superblock in its buffer with `change`, which gets its bytes and the time in seconds
/// since 1970, and returns the range of bytes it changed. Does not mark the buffer dirty.
pub(super) fn change(
    buffer: &BufferHead,
    change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
) -> Result {
    let (_, offset) = place(buffer.size());
    let mut bytes = [0; SUPERBLOCK_SIZE];
    buffer.read(offset, &mut bytes)?;
    // The format has 32 bits.
    let changed = change(&mut bytes, real_seconds() as u32)?;
    copy_back(buffer, offset, &bytes, changed)
}
