// SPDX-License-Identifier: GPL-2.0

//! Memory management: scopes of allocation, vectors of zeroes, and the page cache.

pub mod nofs;
pub(crate) mod page_cache;
pub mod zeroed;
