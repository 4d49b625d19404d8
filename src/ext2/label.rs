// SPDX-License-Identifier: GPL-2.0

//! The label of the volume, which is in the superblock.

use core::{mem::offset_of, ops::Range};

use zerocopy::FromBytes;

use super::{superblock::RawSuperblock, Corrupt, Place};

/// The most bytes a label can have. A shorter one ends with a zero.
pub(crate) const LABEL_MAX: usize = 16;

/// The label in a superblock, as it is there: what follows its first zero is not part of it.
pub(crate) fn read(bytes: &[u8]) -> [u8; LABEL_MAX] {
    RawSuperblock::ref_from_prefix(bytes).map_or([0; LABEL_MAX], |(raw, _)| raw.volume_name)
}

/// Sets the label in a superblock, and returns the range of bytes changed. Fails only if `bytes` is
/// too short.
pub(crate) fn set(bytes: &mut [u8], label: &[u8; LABEL_MAX]) -> Result<Range<usize>, Corrupt> {
    const START: usize = offset_of!(RawSuperblock, volume_name);
    let short = Corrupt::new(Place::Superblock, "shorter than 1024 bytes");
    let (raw, _) = RawSuperblock::mut_from_prefix(bytes).map_err(|_| short)?;
    raw.volume_name = *label;
    Ok(START..START + LABEL_MAX)
}
