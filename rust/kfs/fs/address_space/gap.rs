// SPDX-License-Identifier: GPL-2.0

//! Buffered writes beyond EOF, with a gap before them.
//!
//! When i_size moves, the folio with EOF comes into the file as a whole, whether it is the one that is written or another:
//!
//! * What was stored to it through a mapping, beyond EOF, would come into the file.
//! * Who stores to it for the first time allocates its blocks as far as EOF, and makes all of it writable if EOF is behind it by then
//!   (`finish_fault()`, with the folio locked): what is stored to the rest would be lost, as it has no blocks.
//!
//! So it is locked while i_size moves, and what it has beyond EOF is zeroed when the pages of that are in no mapping any more, as
//! where a file is extended without a write (`inode::size`).
//!
//! It is locked before the folio that is written, which is behind it: that is the order in which writeback takes them, and
//! that may have the bio with the one, not submitted yet, when it waits for the lock of the other. And it stays in the mappings
//! until the data has been copied, which may lie in it: they must not be taken away each time that they were brought in.
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::size::i_size_write;
use crate::fs::inode::Inode;
use crate::fs::small_folio;
use crate::mm::page_cache::{FolioRef, LockedFolio};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use kernel::prelude::*;

/// The folio with EOF, for a write behind that.
pub(super) enum Edge<'a> {
    /// There is none with bytes on both sides of EOF, and none can be brought in; or the write is not behind a gap.
    None,
    /// It is not the one that is written.
    Locked(LockedFolio<'a>),
    /// It is the one that is written, and so must stay in the page cache until that has been looked up.
    #[allow(dead_code, reason = "the reference is what it is for")]
    Written(FolioRef<'a>),
}

impl<'a> Edge<'a> {
    /// Finds it for a write at byte `pos`; does nothing if that is not beyond EOF. No folio lock may be held. Sleeps, for a folio lock and
    /// for writeback.
    ///
    /// `ENOMEM` if there is no memory for a folio: if EOF is in the midst of one that is not there, it could be brought in
    /// meanwhile.
    #[inline]
    pub(super) fn find<F: FileSystemData>(inode: &'a Inode<F>, pos: i64) -> Result<Self> {
        let size = inode.i_size_read() as i64;
        match pos > size && !cfg!(mutant = "kfs-gap-behind-mapped") {
            true => Self::find_at(inode, pos, size),
            false => Ok(Edge::None),
        }
    }

    /// The same for one that is behind a gap: i_size is `size`.
    #[cold]
    fn find_at<F: FileSystemData>(inode: &'a Inode<F>, pos: i64, size: i64) -> Result<Self> {
        let cache = inode.page_cache();
        let is_within = size & (small_folio::least(inode) as i64 - 1) != 0
            && !cfg!(mutant = "kfs-gap-behind-nothing");
        let folio = match is_within {
            true => Some(cache.lock_or_make_folio(size)?),
            false => cache.lock_folio(size).filter(|it| it.range().start < size),
        };
        Ok(match folio {
            None => Edge::None,
            Some(folio) if folio.range().contains(&pos) => Edge::Written(folio.unlock()),
            Some(folio) => {
                // Later on the other folio is locked, which writeback may wait for.
                folio.wait_writeback();
                Edge::Locked(folio)
            }
        })
    }

    /// What `write_begin` hands over to `write_end`: a folio with its lock and a reference, or null.
    pub(super) fn into_fsdata(self) -> *mut c_void {
        match self {
            Edge::Locked(folio) => folio.into_raw().cast(),
            Edge::None | Edge::Written(_) => ptr::null_mut(),
        }
    }
}

/// `generic_write_end()` for a write beyond EOF with a gap before it. Returns how many bytes were written. May sleep.
///
/// # Safety
///
/// As for `write_end` of the operations on the pages of `inode`; `pos` is beyond EOF, and `fsdata` from [`Edge::into_fsdata`] for
/// this write.
pub(super) unsafe fn write_end<F: FileSystemData>(
    inode: &Inode<F>,
    pos: i64,
    len: c_uint,
    copied: c_uint,
    folio: *mut bindings::folio,
    fsdata: *mut c_void,
) -> c_int {
    let size = inode.i_size_read() as i64;
    // SAFETY: By the requirement: both are locked, with a reference, and given back here.
    let edge = NonNull::new(fsdata.cast()).map(|edge| unsafe { LockedFolio::from_raw(edge) });
    // SAFETY: As above; what is valid is not null.
    let folio = unsafe { LockedFolio::from_raw(NonNull::new_unchecked(folio)) };
    // SAFETY: By the requirement.
    let copied = unsafe { bindings::block_write_end(pos, len, copied, folio.as_raw()) };
    if copied > 0 {
        let with_eof = edge.as_ref().unwrap_or(&folio);
        if with_eof.range().start < size {
            with_eof.unmap_from(size);
            with_eof.zero(&(size..pos));
        }
        // SAFETY: This is a buffered write, with the inode lock held, by the requirement.
        unsafe { i_size_write(inode, pos + i64::from(copied)) };
    }
    drop(folio);
    drop(edge);
    if copied > 0 {
        inode.mark_inode_dirty();
    }
    copied
}
