// SPDX-License-Identifier: GPL-2.0

//! `pin_init` has functions to initialise raw memory (7.3); before that, only a method of the initialiser.

/// Compiles if it has.
pub use pin_init::{raw_init, raw_try_init};
