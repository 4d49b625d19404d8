// SPDX-License-Identifier: GPL-2.0

//! Vectors of zeroes, by the allocator.
//!
//! [`Vec::from_elem`] and [`Vec::resize`] write one element after the other, with several instructions for each byte of a
//! block.
//!
//! C header: [`include/linux/gfp_types.h`](srctree/include/linux/gfp_types.h)

use kernel::alloc::flags::__GFP_ZERO;
use kernel::alloc::{AllocError, Allocator, Flags, Vec};
use pin_init::Zeroable;

/// A vector of `len` elements that are zero. Sleeps, if `flags` let it. Fails when there is no memory.
pub fn zeroed<T: Zeroable, A: Allocator>(
    len: usize,
    flags: Flags,
) -> Result<Vec<T, A>, AllocError> {
    let mut zeroes = Vec::with_capacity(len, flags | __GFP_ZERO)?;
    // SAFETY: There is room for so many, and all of it was zeroed, which is a value of the type.
    unsafe { zeroes.inc_len(len) };
    Ok(zeroes)
}
