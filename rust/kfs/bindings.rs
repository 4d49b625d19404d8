// SPDX-License-Identifier: GPL-2.0

//! Bindings: those of the kernel crate, and what `rust/bindings` adds to them.

pub use kernel::bindings::*;
include!(concat!(env!("KFS_OUT"), "/bindings_generated.rs"));

mod helpers {
    use super::*;
    include!(concat!(env!("KFS_OUT"), "/helpers_generated.rs"));
}
pub use helpers::*;
