// SPDX-License-Identifier: GPL-2.0

//! Changing the few fields of the superblock that a mount changes.

use super::{
    bad, RawSuperblock, State, GOOD_OLD_FIRST_INO, GOOD_OLD_INODE_SIZE, LAST_MOUNTED_MAX,
    STATE_ERROR, STATE_VALID,
};
use crate::ext2::features::{Features, COMPAT_EXT_ATTR, RO_COMPAT_LARGE_FILE};
use crate::ext2::Corrupt;
use core::{mem::offset_of, ops::Range};
use zerocopy::FromBytes;

/// Runs `change` on the superblock in `bytes` and returns `range`.
fn update(
    bytes: &mut [u8],
    range: Range<usize>,
    change: impl FnOnce(&mut RawSuperblock),
) -> Result<Range<usize>, Corrupt> {
    match RawSuperblock::mut_from_prefix(bytes) {
        Ok((raw, _)) => {
            change(raw);
            Ok(range)
        }
        Err(_) => Err(bad("shorter than 1024 bytes")),
    }
}

/// Records a read-write mount: the volume is not clean, one more mount, and `now`, in seconds since
/// 1970, as the time of the mount and of the last write.
///
/// `bytes` is the superblock. Like all functions that change it, this returns the range of bytes
/// changed, and fails only if `bytes` is too short.
pub(crate) fn mark_mounted(bytes: &mut [u8], now: u32) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, mount_time)..offset_of!(RawSuperblock, errors);
    update(bytes, range, |raw| {
        raw.mount_time.set(now);
        raw.write_time.set(now);
        raw.mount_count.set(raw.mount_count.get().saturating_add(1));
        raw.state.set(raw.state.get() & !STATE_VALID);
    })
}

/// Records that a read-write mount continues after [`mark_unmounted`]: the volume is not clean.
pub(crate) fn mark_in_use(bytes: &mut [u8], now: u32) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, write_time)..offset_of!(RawSuperblock, errors);
    update(bytes, range, |raw| {
        raw.write_time.set(now);
        raw.state.set(raw.state.get() & !STATE_VALID);
    })
}

/// Records the end of a read-write mount: the state is that `before` the mount, with the errors
/// found since; `free` is the number of free blocks and of free inodes.
pub(crate) fn mark_unmounted(
    bytes: &mut [u8],
    before: State,
    free: (u32, u32),
    now: u32,
) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, free_blocks)..offset_of!(RawSuperblock, errors);
    update(bytes, range, |raw| {
        raw.free_blocks.set(free.0);
        raw.free_inodes.set(free.1);
        raw.write_time.set(now);
        raw.state.set(before.0 | (raw.state.get() & STATE_ERROR));
    })
}

/// Records that an error was found, so that `e2fsck` checks the volume.
pub(crate) fn mark_error(bytes: &mut [u8]) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, state)..offset_of!(RawSuperblock, errors);
    update(bytes, range, |raw| {
        raw.state.set(raw.state.get() | STATE_ERROR);
    })
}

/// Records the free counts, the sums over all groups, and the time `now` of the write.
pub(crate) fn set_free_counts(
    bytes: &mut [u8],
    free_blocks: u32,
    free_inodes: u32,
    now: u32,
) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, free_blocks)..offset_of!(RawSuperblock, mount_count);
    update(bytes, range, |raw| {
        raw.free_blocks.set(free_blocks);
        raw.free_inodes.set(free_inodes);
        raw.write_time.set(now);
    })
}

/// Records where the volume is mounted, padded with zeroes.
pub(crate) fn set_last_mounted(
    bytes: &mut [u8],
    at: &[u8; LAST_MOUNTED_MAX],
) -> Result<Range<usize>, Corrupt> {
    const START: usize = offset_of!(RawSuperblock, last_mounted);
    update(bytes, START..START + LAST_MOUNTED_MAX, |raw| {
        raw.last_mounted = *at;
    })
}

/// Records that `kbytes` more KiB were written to the device.
pub(crate) fn add_kbytes_written(bytes: &mut [u8], kbytes: u64) -> Result<Range<usize>, Corrupt> {
    const START: usize = offset_of!(RawSuperblock, kbytes_written);
    update(bytes, START..START + size_of::<u64>(), |raw| {
        let written = raw.kbytes_written.get().saturating_add(kbytes);
        raw.kbytes_written.set(written);
    })
}

/// Whether a regular file of `size` bytes needs the feature `large_file` in the superblock.
pub(crate) const fn needs_large_file(size: u64) -> bool {
    size > 0x7fff_ffff
}

/// Changes the features. A revision 0, which has none, is raised to 1.
fn set_features(
    bytes: &mut [u8],
    change: impl FnOnce(&mut RawSuperblock),
) -> Result<Range<usize>, Corrupt> {
    let range = offset_of!(RawSuperblock, revision)..offset_of!(RawSuperblock, uuid);
    update(bytes, range, |raw| {
        if raw.revision.get() == 0 {
            raw.revision.set(1);
            raw.first_ino.set(GOOD_OLD_FIRST_INO);
            // The constant fits into 16 bits.
            raw.inode_size.set(GOOD_OLD_INODE_SIZE as u16);
        }
        change(raw);
    })
}

/// Sets the feature `large_file`, and raises a revision 0, which has no features, to 1.
pub(crate) fn set_large_file(bytes: &mut [u8]) -> Result<Range<usize>, Corrupt> {
    set_features(bytes, |raw| {
        raw.ro_compat
            .set(raw.ro_compat.get() | RO_COMPAT_LARGE_FILE);
    })
}

/// The same with the feature `ext_attr`.
pub(crate) fn set_ext_attr(bytes: &mut [u8]) -> Result<Range<usize>, Corrupt> {
    set_features(bytes, |raw| {
        raw.compat.set(raw.compat.get() | COMPAT_EXT_ATTR);
    })
}

impl Features {
    /// Whether the superblock already has the feature `large_file`.
    pub(crate) const fn has_large_file(&self) -> bool {
        self.ro_compat(RO_COMPAT_LARGE_FILE)
    }

    /// Whether inodes may have a block of attributes.
    pub(crate) const fn has_ext_attr(&self) -> bool {
        self.compat(COMPAT_EXT_ATTR)
    }
}
