// SPDX-License-Identifier: GPL-2.0

//! `kernel::alloc::Vec` can be made of zeroes by the allocator (7.3).

/// Compiles if it can.
pub fn probe() -> Result<kernel::alloc::KVec<u8>, kernel::alloc::AllocError> {
    kernel::alloc::KVec::zeroed(1, kernel::alloc::flags::GFP_KERNEL)
}
