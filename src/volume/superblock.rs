// SPDX-License-Identifier: GPL-2.0

//! Reading and changing the superblock through the buffer cache.

use crate::ext2::superblock::update::add_kbytes_written;
use crate::ext2::superblock::{MountError, State, Superblock, SUPERBLOCK_SIZE};
use crate::ext2::tuned::Tuned;
use crate::ext2::{Corrupt, Geometry};
use crate::types::{NewSuperBlock, SuperBlock};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::block::buffer_head::BufferHead;
use kfs::compat::EUCLEAN;
use kfs::time::real_seconds;

/// The block with the superblock, and what to do with it at unmount.
pub(super) struct SuperBuffer {
    pub(super) buffer: BufferHead,
    /// Where it is on the device, in bytes: that of `sb=`, if it is not the primary one.
    pub(super) place: u64,
    /// The state before the volume was mounted read-write, which is restored then.
    pub(super) before: State,
    /// The sectors that were written to the device when they were counted last.
    pub(super) sectors_written: u64,
}

impl SuperBuffer {
    /// Changes the superblock in its buffer with `change`, which gets its bytes and the time in
    /// seconds since 1970, and returns the range of bytes it changed. Does not mark the buffer dirty.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
    ) -> Result {
        let offset = offset(self.place, &self.buffer);
        let mut bytes = [0; SUPERBLOCK_SIZE];
        self.buffer.read(offset, &mut bytes)?;
        // The format has 32 bits.
        let changed = change(&mut bytes, real_seconds() as u32)?;
        copy_back(&self.buffer, offset, &bytes, changed)
    }

    /// Adds what was written to `device` since the last time to what the superblock counts. Does not mark
    /// the buffer dirty.
    pub(super) fn count_writes(&mut self, device: &BlockDevice) -> Result {
        // A counter of the kernel that is reset, if it can be, counts for nothing.
        let since = device
            .sectors_written()
            .saturating_sub(self.sectors_written);
        let kbytes = match mutant!("writes-uncounted") {
            true => 0,
            false => since / 2,
        };
        self.change(|bytes, _| add_kbytes_written(bytes, kbytes))?;
        self.sectors_written += kbytes * 2;
        Ok(())
    }
}

/// The byte offset of the superblock at byte `place` of the device in its `buffer`.
fn offset(place: u64, buffer: &BufferHead) -> usize {
    // Blocks have a power of two of bytes.
    place as usize & (buffer.size() - 1)
}

/// Reads the block with the superblock at byte `place`, for blocks of `block_size` bytes. May sleep.
pub(super) fn read(
    sb: &mut NewSuperBlock<'_>,
    place: u64,
    block_size: u32,
) -> Result<BufferHead, Error> {
    sb.bread(place / u64::from(block_size))
        .inspect_err(|_| pr_err!("{}: cannot read the superblock\n", sb.id()))
}

/// Reads and validates the superblock at byte `place` of a device in blocks of `block_size` bytes.
/// May sleep. `EUCLEAN` when it is corrupt, `EINVAL` when it is none or not supported; the
/// log says why.
pub(super) fn parse(
    sb: &mut NewSuperBlock<'_>,
    place: u64,
    block_size: u32,
) -> Result<Superblock, Error> {
    let device_size = sb.device_size();
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let buffer = read(sb, place, block_size)?;
    buffer.read(offset(place, &buffer), &mut bytes)?;
    Superblock::parse(&bytes, device_size).map_err(|error| {
        pr_err!("{}: cannot mount: {}\n", sb.id(), error);
        errno(&error)
    })
}

/// Parses the superblock in its buffer again; `sb` is mounted from it. `EUCLEAN` when it is corrupt,
/// `EINVAL` when it is none or not supported; the log says why.
pub(super) fn reparse(sb: &SuperBlock, from: &SuperBuffer) -> Result<Superblock, Error> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    from.buffer
        .read(offset(from.place, &from.buffer), &mut bytes)?;
    Superblock::parse(&bytes, sb.device_size()).map_err(|error| {
        pr_err!("{}: cannot remount: {}\n", sb.id(), error);
        errno(&error)
    })
}

/// Says in the log why e2fsck should be run; of a read-only mount only if something is wrong.
pub(super) fn warn_unchecked(id: &CStr, read_only: bool, superblock: &Superblock) {
    let ok = superblock.state.is_clean() && !superblock.state.has_errors();
    if read_only && ok {
        return;
    }
    let due = superblock.check_due(real_seconds() as u64);
    if let Some(why) = due.filter(|_| !mutant!("check-due-untold")) {
        pr_warn!("{}: mounting a volume that is {}: run e2fsck\n", id, why);
    }
}

/// What a mount fails with.
fn errno(error: &MountError) -> Error {
    match error {
        MountError::Corrupt(_) => EUCLEAN,
        _ => EINVAL,
    }
}

/// Reads what may be changed while the volume is mounted. Does not sleep.
pub(super) fn tuned(buffer: &BufferHead, place: u64, geometry: &Geometry) -> Result<Tuned, Error> {
    let mut bytes = [0; Tuned::SIZE];
    buffer.read(offset(place, buffer), &mut bytes)?;
    Ok(Tuned::read(geometry, &bytes))
}
