// SPDX-License-Identifier: GPL-2.0

//! The smallest folio there can be in the place of a large one, where space is short.
//!
//! All of a folio may become writable by one fault, and a write takes what a folio has of it: so holes in it are filled
//! all at once. Who needs no more than a page of them must not fail for lack of space for the others.
//!
//! A folio cannot be divided by a module: it is written back and dropped. Who brings in the next one decides how large
//! that is: read-ahead makes large ones. So it is the caller who does, without giving others more time than it must.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::{loff, Inode};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// How often another large folio is dropped that somebody has brought in, or stored to, meanwhile.
pub(super) const TRIES: usize = 8;

/// How large the smallest folio of the file is: a page, or a block.
pub(super) fn least<F: FileSystemData>(inode: &Inode<F>) -> usize {
    PAGE_SIZE.max(1 << inode.blkbits())
}

/// Writes back and drops the folio with byte `pos`, if there is one and it is not the smallest there can be. Somebody may bring in a
/// large one again. No folio lock may be held. Sleeps.
///
/// `EIO` if it may not be on the device: then it must not be dropped, or who reads it would find what was there before. `ENOSPC` if somebody
/// has pinned a page of it, who may write to that yet.
pub(super) fn drop_larger<F: FileSystemData>(inode: &Inode<F>, pos: u64) -> Result {
    let cache = inode.page_cache();
    let pos = loff(pos);
    let Some(folio) = cache.lock_folio(pos) else {
        return Ok(());
    };
    let all = folio.range();
    let is_pinned = folio.is_pinned();
    drop(folio);
    if (all.end - all.start) as usize <= least(inode) {
        return Ok(());
    }
    if is_pinned {
        return Err(ENOSPC);
    }
    cache.write_back_to_drop(&all)?;
    // From when it was written back on, who pins a page to write to it has it made writable again.
    let is_pinned = cache.lock_folio(pos).is_some_and(|folio| folio.is_pinned());
    if is_pinned && !cfg!(mutant = "kfs-pin-unseen") {
        return Err(ENOSPC);
    }
    cache.invalidate(&(pos..pos + 1));
    Ok(())
}
