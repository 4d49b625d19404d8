// SPDX-License-Identifier: GPL-2.0

//! What an inode of more than 128 bytes has after these: the fields of ext4.

use core::mem::offset_of;

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, FromZeros, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::time::Time;

/// The extra fields of ext4 after the first 128 bytes.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawExtra {
    /// Bytes used after the first 128.
    extra_size: U16,
    checksum_high: U16,
    ctime_extra: U32,
    mtime_extra: U32,
    atime_extra: U32,
    crtime: U32,
    crtime_extra: U32,
    version_high: U32,
    project: U32,
}

/// The extra bytes that the known fields take.
pub(crate) const EXTRA_SIZE: u16 = size_of::<RawExtra>() as u16;

const _: () = assert!(size_of::<RawExtra>() == 32);

const CTIME_END: usize = offset_of!(RawExtra, ctime_extra) + size_of::<U32>();
const MTIME_END: usize = offset_of!(RawExtra, mtime_extra) + size_of::<U32>();
const ATIME_END: usize = offset_of!(RawExtra, atime_extra) + size_of::<U32>();
const CRTIME_END: usize = offset_of!(RawExtra, crtime) + size_of::<U32>();
const CRTIME_EXTRA_END: usize = offset_of!(RawExtra, crtime_extra) + size_of::<U32>();

/// What an inode has after its first 128 bytes.
pub(super) struct Extra {
    /// How many bytes of that are used for fields.
    pub(super) size: u16,
    /// The extra fields of ctime, mtime, atime and the time of birth, as far as there is room.
    pub(super) times: [Option<u32>; 4],
    /// The time of birth, if there is room.
    pub(super) crtime: Option<u32>,
}

impl Extra {
    /// Reads it from the bytes after the first 128.
    pub(super) fn read(rest: &[u8]) -> Self {
        let Ok((raw, _)) = RawExtra::ref_from_prefix(rest) else {
            return Extra {
                size: 0,
                times: [None; 4],
                crtime: None,
            };
        };
        let size = raw.extra_size.get();
        let has = |end: usize, field: U32| (usize::from(size) >= end).then_some(field.get());
        Extra {
            size,
            times: [
                has(CTIME_END, raw.ctime_extra),
                has(MTIME_END, raw.mtime_extra),
                has(ATIME_END, raw.atime_extra),
                has(CRTIME_EXTRA_END, raw.crtime_extra),
            ],
            crtime: has(CRTIME_END, raw.crtime),
        }
    }

    /// Whether its fields end in an inode that has `room` bytes after the first 128.
    pub(super) fn is_valid(&self, room: u32) -> bool {
        u32::from(self.size) <= room && self.size & 3 == 0
    }
}

/// Stores ctime, mtime and atime in their fields, and in `rest`, the inode after its first 128 bytes, of
/// which `extra_size` are used for fields, with the time of birth. Returns how many bytes of that may
/// have changed.
pub(super) fn store(
    times: [(Time, &mut U32); 3],
    crtime: Option<Time>,
    extra_size: u16,
    rest: &mut [u8],
) -> usize {
    let size = usize::from(extra_size).min(rest.len());
    let before = usize::from(Extra::read(rest).size);
    if let Some(grown) = rest.get_mut(before..size) {
        grown.fill(0);
    }
    let mut extra = RawExtra::new_zeroed();
    let kept = size.min(size_of::<RawExtra>());
    let has = |end: usize| kept >= end;
    if let (Some(to), Some(from)) = (extra.as_mut_bytes().get_mut(..kept), rest.get(..kept)) {
        to.copy_from_slice(from);
    }
    if has(size_of::<U16>()) {
        extra.extra_size.set(extra_size);
    }
    let more = [
        (CTIME_END, &mut extra.ctime_extra),
        (MTIME_END, &mut extra.mtime_extra),
        (ATIME_END, &mut extra.atime_extra),
    ];
    for ((time, field), (end, more)) in times.into_iter().zip(more) {
        if !has(end) || cfg!(mutant = "times-cut") {
            field.set(time.encode_short());
        } else if Time::decode(field.get(), Some(more.get())) != time {
            let (low, high) = time.encode();
            field.set(low);
            more.set(high);
        }
    }
    if let Some(time) = crtime {
        if !has(CRTIME_EXTRA_END) && has(CRTIME_END) {
            extra.crtime.set(time.encode_short());
        } else if has(CRTIME_EXTRA_END)
            && Time::decode(extra.crtime.get(), Some(extra.crtime_extra.get())) != time
        {
            let (low, high) = time.encode();
            extra.crtime.set(low);
            extra.crtime_extra.set(high);
        }
    }
    if let (Some(to), Some(from)) = (rest.get_mut(..kept), extra.as_bytes().get(..kept)) {
        to.copy_from_slice(from);
    }
    size
}
