// SPDX-License-Identifier: GPL-2.0

//! A source of bios alone.

use super::front::Front;
use super::pool::{Cache, RawSet};
use crate::bindings;
use crate::block::bdev::BlockDevice;
use core::marker::PhantomData;
use core::mem::{align_of, offset_of};
use core::ptr::NonNull;
use kernel::prelude::*;

/// A source of bios with a reserve.
///
/// # Invariants
///
/// There is room for a `Front<D>` in front of the end of each bio.
pub struct BioSet<D> {
    raw: RawSet,
    _data: PhantomData<fn(D) -> D>,
}

impl<D: Copy> BioSet<D> {
    /// Makes a bio set with `reserve` bios that are kept for when memory is short.
    pub fn new(reserve: u32) -> Result<Self> {
        // The slab of the set aligns the whole object only as a bio needs it.
        const {
            assert!(align_of::<Front<D>>() <= 8);
        }
        // INVARIANT: The front pad makes the bio the field of a `Front<D>`.
        Ok(BioSet {
            raw: RawSet::new(reserve, offset_of!(Front<D>, bio), false, Cache::Slab)?,
            _data: PhantomData,
        })
    }

    /// Allocates a bio and puts `data` in front of it. `None` if memory is short and `gfp` does not
    /// allow to wait.
    #[inline]
    pub(super) fn alloc(
        &self,
        bdev: &BlockDevice,
        nr_vecs: u16,
        opf: bindings::blk_opf_t,
        data: D,
        gfp: bindings::gfp_t,
    ) -> Option<NonNull<bindings::bio>> {
        let bio = self.raw.alloc(bdev, nr_vecs, opf, gfp)?;
        // SAFETY: By the type invariants the bio is the field of a `Front<D>`, and that is not used
        // by anybody else.
        unsafe { Front::init(Front::<D>::of(bio), data) };
        Some(bio)
    }
}
