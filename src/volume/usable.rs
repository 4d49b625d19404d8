// SPDX-License-Identifier: GPL-2.0

//! How many blocks a task may allocate: the reserved ones are for the user and the group of the mount options and for
//! `CAP_SYS_RESOURCE`.
//!
//! Blocks are counted as in use before they are taken from a bitmap, by who has found them there and has the lock of
//! their group. So many tasks may search at once, and all of what is free is allocated, but not one of what is kept for
//! others.

use crate::volume::fault::Result;
use crate::volume::state::Volume;
use kernel::prelude::*;
use kfs::cred;

/// What the current task may allocate.
#[derive(Clone, Copy)]
pub(super) struct Usable {
    /// So many blocks.
    pub(super) len: u32,
    /// So many are to be left.
    kept: u32,
    /// Less than what is asked for is of no use, and nothing is waited for.
    pub(super) is_whole: bool,
}

impl Usable {
    /// What there is now. Does not sleep. `ENOSPC` when there is none.
    pub(super) fn of(volume: &Volume) -> Result<Self> {
        let free = volume.totals.free_blocks();
        let kept = volume.reserved_blocks();
        if free > kept {
            return Ok(Usable {
                len: free - kept,
                kept,
                is_whole: false,
            });
        }
        let options = volume.options();
        let privileged = free > 0
            && (cred::fsuid_is(options.reserved_uid)
                || (options.reserved_gid != 0 && cred::in_group(options.reserved_gid))
                || cred::capable_sys_resource());
        match privileged {
            true => Ok(Usable {
                len: free,
                kept: 0,
                is_whole: false,
            }),
            false => Err(ENOSPC.into()),
        }
    }

    /// What there is without those that are reserved, whoever asks, for who needs `len` blocks in one piece. Does not
    /// sleep. `EAGAIN` when there are not so many.
    pub(super) fn whole(volume: &Volume, len: u32) -> Result<Self> {
        let kept = volume.reserved_blocks();
        match volume.totals.free_blocks().saturating_sub(kept) >= len {
            true => Ok(Usable {
                len,
                kept,
                is_whole: true,
            }),
            false => Err(EAGAIN.into()),
        }
    }

    /// Counts `len` blocks as in use that the current task has found, or as many of them as it may have, one at least.
    /// The lock of their group is held. Does not sleep. `ENOSPC` when others have taken the last ones meanwhile; of
    /// [`Usable::whole`], `EAGAIN` when they have taken too many.
    pub(super) fn take(self, volume: &Volume, len: u32) -> Result<u32> {
        let mut usable = self;
        loop {
            let taken = volume.totals.take_blocks(len, usable.kept);
            if usable.is_whole && taken != len {
                volume.totals.give_blocks(taken);
                return Err(EAGAIN.into());
            }
            if taken != 0 {
                return Ok(taken);
            }
            usable = Usable::of(volume)?;
        }
    }
}
