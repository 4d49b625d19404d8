// SPDX-License-Identifier: GPL-2.0

//! Reading directories in the order of their blocks.

use crate::inode::directory::block::{block_count, Block};
use crate::inode::directory::emit::emit_entry;
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::Result;
use kernel::prelude::*;
use kfs::fs::file::DirContext;
use kfs::fs::inode::lock::Shared;
use kfs::task::{cond_resched, fatal_signal_pending};

/// Emits the entries from the position of `context` on, which is a byte offset in the directory.
///
/// The entry that was at the position may have been merged with the one before it since, so a block
/// is always parsed from its start. `EINTR` on a fatal signal.
///
/// A bad block is skipped by the call that fails with it, so that the next one goes on behind it. A
/// call that has emitted entries does not come to it: the VFS would return these, and no error.
pub(super) fn emit(dir: &InodeLocked<Shared>, context: &mut DirContext<'_>) -> Result {
    let bits = dir.blkbits();
    let size = u64::from(block_count(dir)) << bits;
    let mut spare = KVVec::new();
    let mut any = false;
    while context.pos() < size {
        // Less than the number of blocks, which fits 32 bits.
        let index = (context.pos() >> bits) as u32;
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        let start = u64::from(index) << bits;
        spare = match emit_block(dir, index, spare, context, &mut any) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(fault) if fault.is_of_block() && !mutant!("bad-block-ends") => {
                if any {
                    return Ok(());
                }
                context.set_pos(start + (1 << bits));
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        };
        context.set_pos(start + (1 << bits));
    }
    Ok(())
}

/// Emits the entries in block `index` from the position of `context` on, and sets `any` if there
/// are some. Returns `room`, or `None` when there was no more room for an entry.
fn emit_block(
    dir: &Inode,
    index: u32,
    room: KVVec<u8>,
    context: &mut DirContext<'_>,
    any: &mut bool,
) -> Result<Option<KVVec<u8>>> {
    let start = u64::from(index) << dir.blkbits();
    let block = Block::read_one_of_all(dir, index, room)?;
    for entry in block.at.entries(&block.bytes) {
        let entry = entry?;
        let offset = start + entry.offset as u64;
        if entry.ino == 0 || offset < context.pos() {
            continue;
        }
        context.set_pos(offset);
        if !emit_entry(context, &entry) {
            return Ok(None);
        }
        *any = true;
        context.set_pos(start + entry.end() as u64);
    }
    Ok(Some(block.bytes))
}
