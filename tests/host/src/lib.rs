// SPDX-License-Identifier: GPL-2.0

//! The pure parts of retryfs, compiled for the host.
//!
//! The files are the very ones that the module is built from; they know the kernel no more than
//! this crate does. The tests are here, one file for each file they test, and have access to all
//! that is visible in the crate. What no test uses is reported as dead code.
//!
//! mke2fs, e2fsck, debugfs, dumpe2fs and resize2fs have to be installed. `PROPTEST_CASES` and
//! `DAMAGE_ROUNDS` ask for more random tests than the default.

#![forbid(unsafe_code)]

#[path = "../../../src/ext2/mod.rs"]
#[cfg_attr(not(test), allow(dead_code))]
mod ext2;

#[cfg(test)]
mod ext2_tests;
