// SPDX-License-Identifier: GPL-2.0

//! Memory management: scopes of allocation, and the page cache.

pub mod nofs;
pub(crate) mod page_cache;
