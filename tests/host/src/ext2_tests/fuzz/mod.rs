// SPDX-License-Identifier: GPL-2.0

//! Targets for fuzzing: each parser of `src/ext2`, with bytes that mean harm.
//!
//! A target takes any bytes, and panics when the code breaks a promise: not only by panicking itself,
//! but by a result out of bounds, a changed byte outside the range it says, or a difference from a
//! model that is too simple to be wrong. `make fuzz` runs each with libFuzzer (`tests/host/fuzz`);
//! `cargo test` runs each on some thousand inputs that depend on nothing.

mod bitmap;
mod block_map;
mod device;
mod directory;
mod group;
mod index;
mod inode;
mod input;
mod superblock;
mod truncate;
mod volume;
mod xattr;

#[cfg(test)]
pub(crate) use volume::poke;

/// What a target may need besides its input: real volumes, which [`volume`] damages.
#[derive(Default)]
pub(crate) struct Images(pub(crate) Vec<Vec<u8>>);

/// A target: its name, the function that takes its input, and the one that finds inputs to begin
/// with in a real volume.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Images, &[u8]),
    pub(crate) seeds: fn(&[u8]) -> Vec<Vec<u8>>,
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    superblock::TARGET,
    group::TARGET,
    inode::TARGET,
    directory::TARGET,
    index::TARGET,
    block_map::TARGET,
    truncate::TARGET,
    bitmap::TARGET,
    xattr::TARGET,
    volume::TARGET,
];

/// Checks that `after` differs from `before` within `range` only.
fn assert_only_changed(before: &[u8], after: &[u8], range: std::ops::Range<usize>) {
    assert_eq!(before.len(), after.len());
    assert!(
        range.start <= range.end && range.end <= after.len(),
        "{range:?}"
    );
    assert!(
        before[..range.start] == after[..range.start],
        "before {range:?}"
    );
    assert!(before[range.end..] == after[range.end..], "after {range:?}");
}
