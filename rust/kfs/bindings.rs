// SPDX-License-Identifier: GPL-2.0

//! Bindings: those of the kernel crate, and what `rust/bindings` adds to them.

pub use kernel::bindings::*;
use pin_init::{MaybeZeroable, Zeroable};

// SAFETY: `__BindgenBitfieldUnit<Storage>` is `Storage` alone.
unsafe impl<Storage: Zeroable> Zeroable for __BindgenBitfieldUnit<Storage> {}
// SAFETY: It has no bytes; those of the union have a field of their own.
unsafe impl<T> Zeroable for __BindgenUnionField<T> {}

include!(concat!(env!("KFS_OUT"), "/bindings_generated.rs"));

mod helpers {
    use super::*;
    include!(concat!(env!("KFS_OUT"), "/helpers_generated.rs"));
}
pub use helpers::*;
