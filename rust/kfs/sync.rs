// SPDX-License-Identifier: GPL-2.0

//! Synchronisation.

pub mod completion;
pub(crate) mod once;
pub mod unordered;
