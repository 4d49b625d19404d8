// SPDX-License-Identifier: GPL-2.0

//! Vectors of zeroes, by the allocator, which are a method of vectors from 7.3 on.
//!
//! `Vec::from_elem` and `Vec::resize` write one element after the other, with several instructions for each byte of a
//! block.
//!
//! C header: [`include/linux/gfp_types.h`](srctree/include/linux/gfp_types.h)

use kernel::alloc::{AllocError, Allocator, Flags, Vec};
use pin_init::Zeroable;

/// A vector of `len` elements that are zero. Sleeps, if `flags` let it. Fails when there is no memory.
#[cfg(kfs_has_vec_zeroed)]
#[inline]
pub fn zeroed<T: Zeroable, A: Allocator>(
    len: usize,
    flags: Flags,
) -> Result<Vec<T, A>, AllocError> {
    Vec::zeroed(len, flags)
}

/// A vector of `len` elements that are zero. Sleeps, if `flags` let it. Fails when there is no memory.
#[cfg(not(kfs_has_vec_zeroed))]
pub fn zeroed<T: Zeroable, A: Allocator>(
    len: usize,
    flags: Flags,
) -> Result<Vec<T, A>, AllocError> {
    let mut zeroes = Vec::with_capacity(len, flags | kernel::alloc::flags::__GFP_ZERO)?;
    // SAFETY: By `with_capacity` there is room for so many elements. With `__GFP_ZERO` the allocator has zeroed it, which
    // is a value of the type: it is `Zeroable`.
    unsafe { zeroes.inc_len(len) };
    Ok(zeroes)
}
