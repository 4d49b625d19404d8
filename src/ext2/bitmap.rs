// SPDX-License-Identifier: GPL-2.0

//! Block and inode bitmaps: one bit for each block or inode of a group, little-endian, set when in
//! use.
//!
//! A bitmap fills a block, but a group may have fewer blocks or inodes than that has bits. All
//! functions take the number of bits that belong to the group, `end`; the padding beyond, which
//! `mke2fs` sets, is neither read nor changed.

use core::ops::Range;

use super::{Corrupt, Layout, Place};

/// A run of consecutive bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first bit.
    pub(crate) start: u32,
    /// The number of bits, at least 1.
    pub(crate) len: u32,
}

/// The kind of a bitmap, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The block bitmap of a group.
    Blocks,
    /// The inode bitmap of a group.
    Inodes,
}

/// The 64 bits from bit 64 * `word` on; bits past the end of `bits` read as set.
fn word(bits: &[u8], word: usize) -> u64 {
    let rest = bits.get(word.saturating_mul(8)..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0xff; 8];
            for (to, from) in bytes.iter_mut().zip(rest) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        }
    }
}

/// The first bit in `from..end` that is set, or clear if `set` is false; `end` when there is none.
fn next(bits: &[u8], from: u32, end: u32, set: bool) -> u32 {
    let mut at = from;
    while at < end {
        let mut found = word(bits, at as usize / 64);
        if !set {
            found = !found;
        }
        found &= u64::MAX << (at % 64);
        let start = at / 64 * 64;
        if found != 0 {
            return start.saturating_add(found.trailing_zeros()).min(end);
        }
        at = start.saturating_add(64);
    }
    end
}

/// The first clear bit in `from..end`.
pub(crate) fn next_free(bits: &[u8], from: u32, end: u32) -> Option<u32> {
    let bit = next(bits, from, end, false);
    (bit < end).then_some(bit)
}

/// The number of clear bits below `end`.
pub(crate) fn count_free(bits: &[u8], end: u32) -> u32 {
    (0..end.div_ceil(64))
        .map(|index| match end - index * 64 {
            64.. => word(bits, index as usize).count_zeros(),
            rest => (word(bits, index as usize) | u64::MAX << rest).count_zeros(),
        })
        .sum()
}

/// Whether bit `bit` is set. Bits past the end of `bits` are.
pub(crate) fn is_set(bits: &[u8], bit: u32) -> bool {
    word(bits, bit as usize / 64) & (1 << (bit % 64)) != 0
}

/// The first run of free bits in `from..end`, cut off at `max` bits.
pub(crate) fn next_run(bits: &[u8], from: u32, end: u32, max: u32) -> Option<Run> {
    let start = next_free(bits, from, end)?;
    if max <= 1 {
        return Some(Run { start, len: 1 });
    }
    let stop = end.min(start.saturating_add(max));
    let len = next(bits, start, stop, true).saturating_sub(start);
    Some(Run { start, len })
}

/// Finds a run of up to `want` free bits in `range`, near `goal`; `None` when no bit is free there.
///
/// If `goal` itself is free, the run that starts there is taken, however short: so a file that is
/// extended stays contiguous. Otherwise it is the first run of `want` bits after `goal`, or else
/// before it; if there is none, the longest run. A `goal` that is not in the range is ignored.
pub(crate) fn find_run(bits: &[u8], range: Range<u32>, goal: u32, want: u32) -> Option<Run> {
    let want = want.max(1);
    if range.contains(&goal) && !is_set(bits, goal) {
        return next_run(bits, goal, range.end, want);
    }
    let Range { start, end } = range;
    let goal = if range.contains(&goal) { goal } else { start };
    let mut best: Option<Run> = None;
    // No run crosses the goal, which is not free, or is the start.
    for (from, to) in [(goal, end), (start, goal)] {
        let mut at = from;
        while let Some(run) = next_run(bits, at, to, want) {
            if run.len == want {
                return Some(run);
            }
            if best.is_none_or(|best| run.len > best.len) {
                best = Some(run);
            }
            at = run.start.saturating_add(run.len);
        }
    }
    best
}

/// Sets or clears all bits of `run`. If one already is, returns it as the error and changes
/// nothing.
fn change(bits: &mut [u8], end: u32, run: Run, set: bool) -> Result<Range<usize>, u32> {
    let stop = match run.start.checked_add(run.len) {
        Some(stop) if stop <= end && stop as usize <= bits.len().saturating_mul(8) => stop,
        _ => return Err(run.start),
    };
    if run.len == 1 {
        return change_bit(bits, run.start, set);
    }
    let wrong = next(bits, run.start, stop, set);
    if wrong < stop {
        return Err(wrong);
    }
    Ok(fill(bits, run.start, stop, set))
}

/// [`change`] of one bit, which is one of `bits`: as for each block that is appended to a file.
fn change_bit(bits: &mut [u8], bit: u32, set: bool) -> Result<Range<usize>, u32> {
    let index = bit as usize / 8;
    let byte = bits.get_mut(index).ok_or(bit)?;
    let mask = 1 << (bit % 8);
    if (*byte & mask != 0) == set {
        return Err(bit);
    }
    *byte ^= mask;
    Ok(index..index + 1)
}

/// Sets or clears all bits in `start..stop`, whatever they are. Returns the range of bytes changed.
fn fill(bits: &mut [u8], start: u32, stop: u32, set: bool) -> Range<usize> {
    let first = start as usize / 8;
    let range = first..(stop as usize).div_ceil(8).max(first);
    for (byte, value) in range
        .clone()
        .zip(bits.get_mut(range.clone()).unwrap_or_default())
    {
        let byte_start = byte as u32 * 8;
        let low = start.saturating_sub(byte_start).min(8);
        let high = stop.saturating_sub(byte_start).min(8);
        // The bits from `low` up to `high`; `as` drops what is above the byte.
        let mask = ((1u32 << high) - (1u32 << low)) as u8;
        if set {
            *value |= mask;
        } else {
            *value &= !mask;
        }
    }
    range
}

/// Sets the bits of `run`, some of which may be set already.
pub(crate) fn mark_run(bits: &mut [u8], run: Run) {
    fill(bits, run.start, run.start.saturating_add(run.len), true);
}

/// Sets the bits of `run`, all below `end`. Returns the range of bytes changed.
///
/// # Errors
///
/// The first bit that is set already, or the first of a run that is not below `end`. Nothing is
/// changed.
pub(crate) fn set_run(bits: &mut [u8], end: u32, run: Run) -> Result<Range<usize>, u32> {
    change(bits, end, run, true)
}

/// Clears the bits of `run`, all below `end`, in the bitmap of `group`. Returns the range of bytes
/// changed.
///
/// # Errors
///
/// One of them is clear already, a double free, or not below `end`. Nothing is changed.
pub(crate) fn clear_run(
    bits: &mut [u8],
    end: u32,
    run: Run,
    group: u32,
    kind: Kind,
) -> Result<Range<usize>, Corrupt> {
    change(bits, end, run, false).map_err(|bit| {
        let what = match kind {
            Kind::Blocks => "freeing a block that is free, by its index",
            Kind::Inodes => "freeing an inode that is free, by its index",
        };
        Corrupt::found(Place::Group(group), what, bit.into())
    })
}

/// Checks that the block bitmap of `group` has the metadata of the group as in use, so that it is
/// never allocated to a file.
///
/// # Errors
///
/// A metadata block is free, or there is no such group.
pub(crate) fn check_block_bitmap(
    layout: &Layout<'_>,
    group: u32,
    bits: &[u8],
) -> Result<(), Corrupt> {
    layout.for_each_metadata(group, |start, len| {
        let end = start.saturating_add(len);
        match next(bits, start, end, false) {
            free if free < end => {
                let what = "block bitmap has metadata as free, by its index";
                Err(Corrupt::found(Place::Group(group), what, free.into()))
            }
            _ => Ok(()),
        }
    })
}
