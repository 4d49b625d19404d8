// SPDX-License-Identifier: GPL-2.0

//! Reading directories in the order of hashes: see [`crate::ext2::directory::order`].

use crate::ext2::directory::index::CONTINUED;
use crate::ext2::directory::order::{Key, Least, Order, Width};
use crate::ext2::inode::InodeFlags;
use crate::ext2::Corrupt;
use crate::inode::directory::block::{at, block_count, directory, Block, Buffers};
use crate::inode::directory::emit::emit_entry;
use crate::inode::directory::indexed::{self, give_up};
use crate::types::{Inode, InodeLocked};
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::fs::file::DirContext;
use kfs::fs::inode::lock::Shared;
use kfs::task::{cond_resched, fatal_signal_pending};

/// How many names are put into order at once: more than a block has.
const NAMES: usize = 512;

/// The order in which `dir` is read, if it is one of hashes: it has an index, or can get one. That the
/// index breaks the rules, and is given up, does not change it: who reads the directory has a position.
pub(super) fn order(dir: &Inode, narrow: bool) -> Option<Order> {
    let hashing = dir.sb().data().superblock.hashing?;
    let data = dir.data();
    let had_index = data.index_is_broken() && !mutant!("order-of-given-up");
    let indexed = data.flags().has(InodeFlags::INDEX);
    if !indexed && !had_index && block_count(dir) != 1 || mutant!("read-by-block") {
        return None;
    }
    let root = indexed.then(|| directory(dir).root(&mut Buffers::new(dir)));
    let function = match root {
        Some(Ok(root)) => {
            data.set_read_by(root.function);
            root.function
        }
        // Names may have been put where the root was.
        _ if mutant!("order-function-lost") => hashing.default,
        _ => data.read_by().unwrap_or(hashing.default),
    };
    Some(Order {
        hashing,
        function,
        width: match narrow {
            true => Width::Bits31,
            false => Width::Bits63,
        },
    })
}

/// Names that were gathered, and what is behind them.
struct Gathered {
    /// The position behind all the names that there were.
    next: u64,
    /// A block could not be read, or is corrupt.
    fault: Option<Fault>,
}

/// Emits the entries from the position of `context` on, in the order of their hashes.
///
/// A bad block is skipped by the call that fails with it, after all other names.
pub(super) fn emit(
    dir: &InodeLocked<Shared>,
    context: &mut DirContext<'_>,
    order: &Order,
) -> Result {
    if context.pos() >= order.width.end() {
        return Ok(());
    }
    let mut room = KVVec::from_elem(Key::default(), 2 * NAMES, GFP_KERNEL)?;
    let mut any = false;
    while context.pos() < order.width.end() {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        let from = Key {
            pos: context.pos(),
            place: context.place(),
        };
        let mut least = Least::new(&mut room[..]);
        let gathered = gather(dir, order, from, &mut least)?;
        least.sort();
        let cut = least.is_cut();
        let keys = least.keys();
        if !emit_keys(dir, context, keys)? {
            return Ok(());
        }
        if let Some(last) = keys.last().filter(|_| !cut) {
            // All of this position, wherever they are when the reader comes back.
            context.set_pos(last.pos + 1);
        }
        any |= !keys.is_empty();
        if cut {
            continue;
        }
        match gathered.fault {
            Some(_) if any => return Ok(()),
            fault => {
                context.set_pos(gathered.next);
                fault.map_or(Ok(()), Err)?;
            }
        }
    }
    Ok(())
}

/// Emits the entries with these keys. Returns whether there was room for all.
fn emit_keys(dir: &Inode, context: &mut DirContext<'_>, keys: &[Key]) -> Result<bool> {
    let mut block: Option<(u32, Block)> = None;
    for key in keys {
        let (index, offset) = key.entry();
        let current = match block.take() {
            Some((last, current)) if last == index => current,
            other => {
                let spare = other.map_or_else(KVVec::new, |(_, other)| other.bytes);
                Block::read(dir, index, spare)?
            }
        };
        let entry = current.at.parse_entry(&current.bytes, offset)?;
        if context.pos() != key.pos {
            context.set_pos(key.pos);
        }
        if !emit_entry(context, &entry) {
            return Ok(false);
        }
        context.set_place(key.place);
        block = Some((index, current));
    }
    Ok(true)
}

type Keys<'a> = Least<&'a mut [Key]>;

/// Gathers the least of the keys that are greater than `from`: of all blocks, or of a leaf of the index
/// and those behind it that may have names of its last position.
fn gather(dir: &Inode, order: &Order, from: Key, keys: &mut Keys<'_>) -> Result<Gathered> {
    if indexed::hashing(dir).is_some() {
        match gather_leaf(dir, order, from, keys) {
            Ok(gathered) => return Ok(gathered),
            Err(fault) => give_up(dir, fault)?,
        }
        keys.clear();
    }
    let mut gathered = Gathered {
        next: order.width.end(),
        fault: None,
    };
    let mut spare = KVVec::new();
    for index in 0..block_count(dir) {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        spare = gather_block(dir, order, from, index, spare, &mut gathered, |key, _| {
            keys.add(key);
            Ok(())
        })?;
    }
    Ok(gathered)
}

/// Runs `visit` with the keys in block `index` that are greater than `from`. Returns `spare`.
fn gather_block(
    dir: &Inode,
    order: &Order,
    from: Key,
    index: u32,
    spare: KVVec<u8>,
    gathered: &mut Gathered,
    mut visit: impl FnMut(Key, u32) -> Result,
) -> Result<KVVec<u8>> {
    let mut result = Ok(());
    let read = Block::read_one_of_all(dir, index, spare).and_then(|block| {
        order.keys(&block.at, index, &block.bytes, |key, hash| {
            if key > from && result.is_ok() {
                result = visit(key, hash);
            }
            Ok::<(), Fault>(())
        })?;
        Ok(block.bytes)
    });
    result?;
    match read {
        Ok(bytes) => Ok(bytes),
        Err(fault) if fault.is_of_block() && !mutant!("bad-block-ends") => {
            gathered.fault.get_or_insert(fault);
            Ok(KVVec::new())
        }
        Err(fault) => Err(fault),
    }
}

/// [`gather`] from the leaf that has `from`. Fails if the index breaks the rules.
fn gather_leaf(dir: &Inode, order: &Order, from: Key, keys: &mut Keys<'_>) -> Result<Gathered> {
    let start = order.width.major(from.pos);
    let mut buffers = Buffers::new(dir);
    let mut path = directory(dir).walk(&mut buffers, |_| start)?;
    let mut gathered = Gathered {
        next: order.width.end(),
        fault: None,
    };
    let mut spare = KVVec::new();
    if order.width.has_dots(from.pos) {
        spare = gather_block(dir, order, from, 0, spare, &mut gathered, |key, _| {
            if order.width.has_dots(key.pos) {
                keys.add(key);
            }
            Ok(())
        })?;
    }
    loop {
        if fatal_signal_pending() {
            return Err(EINTR.into());
        }
        cond_resched();
        let range = path.range(&mut buffers)?;
        let leaf = at(dir, path.leaf);
        let other = |key: Key| {
            let (_, offset) = key.entry();
            Corrupt::new(leaf.place(offset), "name in a leaf for other hashes").into()
        };
        spare = gather_block(
            dir,
            order,
            from,
            path.leaf,
            spare,
            &mut gathered,
            |key, hash| match range.has(hash) {
                true => {
                    keys.add(key);
                    Ok(())
                }
                false => Err(other(key)),
            },
        )?;
        let goes_on = |bound| match mutant!("first-position-split") {
            true => bound & CONTINUED != 0,
            false => order.width.joins(bound) && !mutant!("collision-lost"),
        };
        if !path.next_if(goes_on, &mut buffers)? {
            if let Some(end) = range.end {
                gathered.next = order.width.first(end);
            }
            break;
        }
    }
    if gathered.next <= from.pos && from.pos < order.width.end() {
        let what = "index that is not sorted";
        return Err(Corrupt::new(at(dir, 0).place(0), what).into());
    }
    Ok(gathered)
}
