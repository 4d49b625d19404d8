// SPDX-License-Identifier: GPL-2.0

//! `FITRIM`: discarding the free blocks of the volume.

use crate::types::SuperBlock;
use crate::volume::errors::reported;
use crate::volume::trim::trim_group;
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::fs::ioctl::Trim;
use kfs::task::fatal_signal_pending;

/// How often groups are tried of which too much was given back.
const ROUNDS: usize = 3;

/// Discards free blocks, and returns how many bytes. May sleep; takes the lock of settling, and that of
/// the groups for each run.
///
/// `EINVAL` for a range that is not of the volume, or smaller than a block, or when no group has as
/// many blocks as are asked for in a piece; `EROFS` when it cannot be written to, `EUCLEAN` when it
/// has to be checked first.
pub(super) fn trim(sb: &SuperBlock, range: &Trim) -> Result<u64> {
    let volume = sb.data();
    let geometry = volume.geometry();
    let bits = sb.blocksize_bits();
    let in_group = u64::from(geometry.blocks_per_group());
    let blocks = u64::from(geometry.blocks_count());
    let min = range.min_len >> bits;
    let start = range.start >> bits;
    if min > in_group || start >= blocks || range.len >> bits == 0 {
        return Err(EINVAL);
    }
    // What is smaller the device does not take.
    let granularity = u64::from(BlockDevice::of(sb).discard_granularity());
    let min = min.max(granularity >> bits).max(1);
    if min > in_group {
        return Ok(0);
    }
    let _write = sb.start_write();
    volume.check_writable(sb)?;
    volume.check_trimmable()?;
    let start = start.max(geometry.group_first_block(0).into());
    let end = (range.start >> bits)
        .saturating_add(range.len >> bits)
        .min(blocks);
    let mut trimmed = 0;
    let mut todo = KVVec::new();
    for group in 0..geometry.groups() {
        let first = u64::from(geometry.group_first_block(group));
        if first < end && first + in_group > start {
            todo.push(group, GFP_KERNEL)?;
        }
    }
    for _ in 0..ROUNDS {
        if todo.is_empty() || fatal_signal_pending() {
            break;
        }
        // What was given back before is in no file on the device then.
        let settled = reported(sb, volume.settle_released(sb));
        if !mutant!("trim-error-lost") {
            settled?;
        }
        let mut again = KVVec::new();
        for &group in &todo {
            let first = u64::from(geometry.group_first_block(group));
            let index = |block: u64| block.saturating_sub(first).min(in_group) as u32;
            let within = index(start)..index(end);
            let done = reported(sb, trim_group(sb, group, &within, min as u32))?;
            trimmed += done.blocks;
            if done.is_unsettled {
                again.push(group, GFP_KERNEL)?;
            }
        }
        todo = again;
    }
    Ok(trimmed << bits)
}
