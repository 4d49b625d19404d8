// SPDX-License-Identifier: GPL-2.0

//! Blocks of pointers in the buffer cache: for who looks up, for who must not wait, and for who
//! changes them.

use crate::ext2::block_map::{store_pointers, PointerBlocks};
use crate::ext2::pointers::Pointers;
use crate::ext2::truncate::FreeBlocks;
use crate::inode::deferred;
use crate::inode::dirty::{mark_buffer_dirty, mark_first_dirty};
use crate::inode::map::Changing;
use crate::inode::write;
use crate::types::Inode;
use crate::volume::blocks::{self, Blocks, Freed};
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::block::buffer_head::BufferHead;

/// Stores pointers to the blocks `to` in a block of pointers of `inode`, from `index` on.
pub(super) fn store(
    inode: &Inode,
    map: &Changing<'_>,
    buffer: &BufferHead,
    index: u32,
    to: Blocks,
) -> Result {
    write(map, buffer, index, to)?;
    mark_buffer_dirty(inode, buffer);
    Ok(())
}

/// Writes pointers to the blocks `to` to a buffer, from `index` on.
pub(super) fn write(map: &Changing<'_>, buffer: &BufferHead, index: u32, to: Blocks) -> Result {
    match to.len {
        // As for each block that is appended to a file.
        1 => write_by::<4>(map, buffer, index, to),
        _ => write_by::<128>(map, buffer, index, to),
    }
}

/// [`write`] of `N` bytes at once.
fn write_by<const N: usize>(
    map: &Changing<'_>,
    buffer: &BufferHead,
    index: u32,
    to: Blocks,
) -> Result {
    let mut bytes = [0; N];
    let mut done = 0;
    while done < to.len {
        let count = (to.len - done).min(N as u32 / 4);
        let changed = store_pointers(&mut bytes, 0, to.start + done, count).ok_or(EFBIG)?;
        let offset = (index + done) as usize * 4;
        map.store(|| buffer.write(offset, bytes.get(changed).unwrap_or_default()))?;
        done += count;
    }
    Ok(())
}

/// Reads blocks of pointers of a file through the buffer cache; keeps the buffer used last.
pub(super) struct PointerBuffers<'a> {
    inode: &'a Inode,
    last: Option<BufferHead>,
    may_sleep: bool,
}

impl<'a> PointerBuffers<'a> {
    /// Reads them from the device if need be. Sleeps.
    #[inline]
    pub(super) fn new(inode: &'a Inode) -> Self {
        PointerBuffers {
            inode,
            last: None,
            may_sleep: true,
        }
    }

    /// Those that are in the buffer cache: `EAGAIN` for others. Does not sleep.
    #[inline]
    pub(super) fn in_memory(inode: &'a Inode) -> Self {
        PointerBuffers {
            may_sleep: false,
            ..PointerBuffers::new(inode)
        }
    }

    /// The buffer of a block of pointers.
    pub(super) fn buffer(&mut self, block: u32) -> Result<&BufferHead> {
        if self.last.as_ref().map(BufferHead::block) != Some(block.into()) {
            self.last = None;
        }
        let sb = self.inode.sb();
        match &mut self.last {
            Some(buffer) => Ok(buffer),
            last if self.may_sleep => Ok(last.insert(sb.bread(block.into())?)),
            last => Ok(last.insert(sb.find_get_block_nowait(block.into()).ok_or(EAGAIN)?)),
        }
    }
}

impl PointerBlocks for PointerBuffers<'_> {
    type Error = Fault;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result {
        Ok(self.buffer(block)?.read(offset, out)?)
    }
}

/// Writes the blocks of pointers that it reads to the device first, and waits for it.
pub(super) struct SyncedPointers<'a>(pub(super) &'a Inode);

impl PointerBlocks for SyncedPointers<'_> {
    type Error = Fault;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result {
        let buffer = self.0.sb().bread(block.into())?;
        if !mutant!("split-pointers-unsynced") {
            buffer.sync_dirty()?;
        }
        Ok(buffer.read(offset, out)?)
    }
}

/// [`PointerBuffers`] for who changes pointers.
pub(super) struct ChangedPointers<'a> {
    pointers: PointerBuffers<'a>,
    map: &'a Changing<'a>,
    /// The device has failed to write what deferred pointers lead to.
    has_failed: bool,
}

impl<'a> ChangedPointers<'a> {
    /// `map` is that of `inode`.
    pub(super) fn new(inode: &'a Inode, map: &'a Changing<'a>) -> Self {
        ChangedPointers {
            pointers: PointerBuffers::new(inode),
            map,
            has_failed: false,
        }
    }
}

impl PointerBlocks for ChangedPointers<'_> {
    type Error = Fault;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result {
        self.pointers.read(block, offset, out)
    }
}

impl FreeBlocks for ChangedPointers<'_> {
    fn root_changed(&mut self, root: &Pointers) {
        self.map.clear_root(root);
    }

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result {
        const ZEROES: [u8; 256] = [0; 256];
        let inode = self.pointers.inode;
        let buffer = self.pointers.buffer(block)?;
        // A device that has failed is asked once, and not for each pointer.
        let is_asked = !self.has_failed || mutant!("failed-asked-again");
        let settled = match !is_asked && deferred::has_in(inode, buffer) {
            true => Err(EIO.into()),
            false => deferred::before_change(inode, buffer),
        };
        self.has_failed |= settled.is_err();
        self.map.clear(|| {
            let mut done = 0;
            while done < len {
                let count = (len - done).min(ZEROES.len());
                buffer.write(offset + done, ZEROES.get(..count).unwrap_or_default())?;
                done += count;
            }
            Ok::<(), Error>(())
        })?;
        // They are not to reappear in the file. But the device has them for as long as others are deferred, so that what they
        // led to is not freed.
        if !mutant!("deferred-written-anyway") {
            settled?;
        }
        mark_first_dirty(inode, buffer, First::Release);
        Ok(())
    }

    fn clear_root(&mut self, _: &Pointers) -> Result {
        match mutant!("root-released-late") {
            true => Ok(()),
            false => write::store_released(self.pointers.inode),
        }
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result {
        let inode = self.pointers.inode;
        let buffer = self.pointers.buffer(block)?;
        deferred::before_change(inode, buffer)?;
        store(inode, self.map, buffer, index, Blocks { start, len })
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result {
        let inode = self.pointers.inode;
        if inode.is_dir() {
            // Only directories have their data in the cache of the device. Before it is freed: once
            // free, it may be allocated and dirtied by another task.
            inode.sb().data().forget_blocks(inode.sb(), start, len);
        }
        blocks::free(inode.sb(), Blocks { start, len }, Freed::Released)?;
        inode.sub_bytes(u64::from(len) << inode.blkbits());
        Ok(())
    }

    fn free_pointers(&mut self, block: u32) -> Result {
        self.pointers.buffer(block)?;
        let Some(buffer) = self.pointers.last.take() else {
            return Ok(());
        };
        let inode = self.pointers.inode;
        deferred::free_pointers(inode, block, || {
            // Before it is freed: once free, it may be allocated and dirtied by another task.
            inode.sb().data().forget_buffer(buffer.get());
            self.free_data(block, 1).inspect_err(|error| {
                if !Self::is_corrupt(error) {
                    // What it led to has been given back, and the pointer to it is restored: it is written first. If that
                    // fails, it is tried again before the next one gets what was given back.
                    mark_first_dirty(inode, &buffer, First::Release);
                    let _ = buffer.sync_dirty();
                }
            })
        })
    }

    fn is_corrupt(error: &Fault) -> bool {
        matches!(error, Fault::Corrupt(_))
    }
}
