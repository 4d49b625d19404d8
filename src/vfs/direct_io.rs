// SPDX-License-Identifier: GPL-2.0

//! The filesystem's half of direct I/O: what the worker asks of it.

use crate::dio;
use crate::ext2::block_map::Mapping;
use crate::inode::block_map::{self, Unfreed};
use crate::inode::data::direct_writes_wait;
use crate::inode::durable;
use crate::inode::errors::{log, reported};
use crate::inode::in_flight;
use crate::inode::new_blocks;
use crate::inode::turns::AtBlocks;
use crate::types::{Inode, InodeLocked, RetryFs, SuperBlock};
use crate::vfs::address_space::FileAddressSpace;
use core::ops::Range;
use kernel::prelude::*;
use kfs::block::bio::ReadyBios;
use kfs::fs::inode::lock::{Exclusive, Mode, Shared};
use kfs::fs::kiocb::KiocbOwner;

impl KiocbOwner for RetryFs {
    type Private = dio::Dio<RetryFs>;
}

impl dio::Filesystem for RetryFs {
    fn dio(sb: &SuperBlock) -> &dio::Mount<RetryFs> {
        &sb.data().dio
    }

    fn dio_cache(sb: &SuperBlock) -> &dio::DioCache<RetryFs> {
        sb.type_data()
    }

    fn map<M: Mode>(inode: &InodeLocked<M>, block: u64, max: u32) -> Result<dio::Mapping> {
        reported(inode, block_map::lookup(inode, block, max)).map(dio_mapping)
    }

    fn map_nowait<M: Mode>(inode: &InodeLocked<M>, block: u64, max: u32) -> Result<dio::Mapping> {
        match block_map::lookup_nowait(inode, block, max) {
            Ok(mapping) => Ok(dio_mapping(mapping)),
            // Reporting it may sleep. The blocking retry meets the same error and reports it.
            Err(_) => Err(EAGAIN),
        }
    }

    #[inline(always)]
    fn map_cached<M: Mode>(inode: &InodeLocked<M>, block: u64, len: u32) -> Option<dio::Mapping> {
        block_map::lookup_cached(inode, block, len).map(dio_mapping)
    }

    fn reserve(inode: &InodeLocked<Exclusive>, block: u64, max: u32) -> Result<dio::Mapping> {
        let run = reported(inode, new_blocks::reserve(inode, block, max))?;
        Ok(dio::Mapping::Mapped {
            physical: run.blocks.start.into(),
            len: run.blocks.len,
            new: run.new,
        })
    }

    fn reserve_nowait(inode: &InodeLocked<Exclusive>, block: u64, len: u32) -> Result<u64> {
        match new_blocks::reserve_nowait(inode, block, len) {
            Ok(blocks) => Ok(blocks.start.into()),
            // As for `map_nowait`.
            Err(_) => Err(EAGAIN),
        }
    }

    fn has_new_blocks(inode: &InodeLocked<Exclusive>, range: Range<u64>) -> bool {
        in_flight::is_in_range(inode, &range)
    }

    fn finish(
        inode: &Inode,
        locked: Option<&InodeLocked<Exclusive>>,
        range: Range<u64>,
        end: u64,
    ) -> Result<(), (u64, Error)> {
        new_blocks::finish(inode, locked, range, end)
            .map_err(|(block, fault)| (block, fault.report(inode.sb())))
    }

    fn forget(inode: &Inode, range: Range<u64>) {
        in_flight::forget(inode, &range);
    }

    #[cold]
    fn leave_turns(inode: &Inode, range: Range<u64>, turns: dio::Turns) {
        in_flight::over(inode, &range, at_blocks(turns));
    }

    fn async_alloc(sb: &SuperBlock) -> bool {
        sb.data().async_alloc()
    }

    fn has_async_alloc(inode: &InodeLocked<Exclusive>) -> bool {
        match mutant!("option-read-again") {
            true => inode.sb().data().async_alloc(),
            false => inode.data().async_alloc(),
        }
    }

    fn will_extend(inode: &InodeLocked<Exclusive>, end: u64) -> u64 {
        in_flight::will_extend(inode, end)
    }

    fn has_ended(inode: &InodeLocked<Exclusive>, others: u64) {
        in_flight::has_ended(inode, others);
    }

    fn refused(inode: &Inode, bytes: Range<u64>) {
        in_flight::refused(inode, &bytes);
    }

    fn extends_within(inode: &InodeLocked<Exclusive>, block: u64, physical: u64) -> Result {
        // Never truncated: the numbers of this format have 32 bits.
        in_flight::extends_within(inode, block, physical as u32)
    }

    fn turns(inode: &InodeLocked<Exclusive>) -> Option<dio::Turns> {
        let AtBlocks { eof, first, last } = in_flight::turns(inode)?;
        Some(dio::Turns { eof, first, last })
    }

    fn give_back_turns(inode: &InodeLocked<Exclusive>) {
        in_flight::leave(inode);
    }

    fn block_with_turns(inode: &InodeLocked<Exclusive>, block: u64) -> Option<u64> {
        in_flight::block_of(inode, block).map(u64::from)
    }

    fn first_turn(
        inode: &InodeLocked<Exclusive>,
        block: u64,
        physical: u64,
        known_to: Option<u64>,
    ) -> Result {
        // As above.
        in_flight::first_turn(inode, block, physical as u32, known_to)
    }

    fn turns_have_come(inode: &InodeLocked<Exclusive>, turns: dio::Turns) -> Result<bool> {
        in_flight::have_come(inode, at_blocks(turns))
    }

    fn wait_for_turns(inode: &InodeLocked<Exclusive>, turns: dio::Turns) -> Result {
        in_flight::wait_for_turns(inode, at_blocks(turns))
    }

    fn keep_back(inode: &InodeLocked<Exclusive>, bios: ReadyBios) {
        in_flight::keep_back(inode, bios);
    }

    fn park(inode: &InodeLocked<Exclusive>, turns: dio::Turns) {
        in_flight::park(inode, at_blocks(turns));
    }

    fn pass_turns(inode: &Inode, turns: dio::Turns, error: Option<Error>) -> ReadyBios {
        // What is parked has not been issued, and is not to be any more.
        let shut_down = match mutant!("shut-down-submits") {
            true => None,
            false => inode.sb().data().check_up().err(),
        };
        in_flight::pass(inode, at_blocks(turns), error.or(shut_down))
    }

    fn wait_for_new_blocks(inode: &InodeLocked<Exclusive>, range: Range<u64>) {
        match Self::has_async_alloc(inode) {
            true if mutant!("in-flight-overwritten") => {}
            true => in_flight::wait_for_range(inode, &range),
            false if mutant!("remount-not-waited") => {}
            // The option was there until now: with nothing in flight all is as if it had not been.
            false => in_flight::wait(inode),
        }
    }

    fn fill_hole(inode: &InodeLocked<Exclusive>, pos: u64) -> Result {
        inode.fill_hole::<FileAddressSpace>(pos)
    }

    fn punch(inode: &InodeLocked<Exclusive>, block: u64, len: u32) {
        let blocks = block..block + u64::from(len);
        // They hold stale data: rather leak them than leave them in the file.
        let punched = block_map::punch(inode, blocks, Unfreed::Lose);
        log(
            inode,
            "cannot free blocks that could not be written",
            punched,
        );
    }

    fn direct_write_begin(inode: &InodeLocked<Shared>) {
        inode.data().direct_write_begin();
    }

    fn direct_write_end(inode: &Inode) {
        inode.data().direct_write_end();
    }

    fn is_durable(inode: &InodeLocked<Shared>) -> bool {
        // Who moves i_size marks the inode dirty after that, and is in flight until then.
        in_flight::is_known_empty(inode) && durable::is_durable(inode)
    }

    fn set_stopped(inode: &InodeLocked<Exclusive>, at: Option<dio::Stopped>) {
        inode.data().set_stopped(match at {
            None => -1,
            Some(dio::Stopped::Hole(pos)) => pos as i64,
            Some(dio::Stopped::Memory(pos)) => -2 - pos as i64,
        });
    }

    fn stopped(inode: &InodeLocked<Exclusive>) -> Option<dio::Stopped> {
        match inode.data().stopped() {
            -1 => None,
            pos @ 0.. => Some(dio::Stopped::Hole(pos as u64)),
            pos => Some(dio::Stopped::Memory((-2 - pos) as u64)),
        }
    }

    fn direct_writes_wait(inode: &InodeLocked<Exclusive>) {
        direct_writes_wait(inode);
    }
}

fn at_blocks(turns: dio::Turns) -> AtBlocks {
    let dio::Turns { eof, first, last } = turns;
    AtBlocks { eof, first, last }
}

/// A mapping that was looked up, so that none of its blocks is new.
fn dio_mapping(mapping: Mapping) -> dio::Mapping {
    match mapping {
        Mapping::Mapped { start, len } => dio::Mapping::Mapped {
            physical: start.into(),
            len,
            new: false,
        },
        Mapping::Hole { len } => dio::Mapping::Hole { len },
    }
}
