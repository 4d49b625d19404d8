// SPDX-License-Identifier: GPL-2.0

//! kfs

/// Bindings: those of the kernel crate, and what [`rust/bindings`] adds.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
pub mod bindings {
    pub use kernel::bindings::*;
    include!(concat!(env!("KFS_OUT"), "/bindings_generated.rs"));

    mod helpers {
        use super::*;
        include!(concat!(env!("KFS_OUT"), "/helpers_generated.rs"));
    }
    pub use helpers::*;
}
