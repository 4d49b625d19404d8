// SPDX-License-Identifier: GPL-2.0

//! Bios: one contiguous transfer between memory and a block device.
//!
//! A bio is owned by one side at a time, and each side has its own type for it:
//!
//! 1. [`Bio`] is being built: memory is added to it. [`Bio::submit`] consumes it.
//! 2. The block layer owns the bio. Nothing in Rust refers to it. Before that it can be on [`ReadyBios`], until
//!    something else is done ([`Bio::keep_back`]), or be an [`UnplacedBio`], until its blocks are looked up.
//! 3. [`EndedBio`] is handed to [`BioOwner::end_io`], in whatever context the device driver ends
//!    bios, interrupts included. It can be put on a [`BioList`] there. It is consumed by
//!    [`EndedBio::complete`], which may have to sleep, or [`EndedBio::complete_atomic`].
//!
//! A bio that is all of a request can carry what is to be done then ([`Bio::submit_carrying`]).
//!
//! Pages that were pinned are unpinned, and the bio is freed, whichever way it goes. Pages that are
//! not, those of a kvec or bvec iterator, are lent by the request, which is not over until the bio
//! has ended (see [`Lends`]). Pages of a copy ([`Bio::add_copy`]) belong to the bio.
//!
//! Bios come from a [`BioSet`], which has a few in reserve: allocating waits, but does not fail. A
//! small piece of data of the owner, [`BioOwner::Data`], lies in front of each bio. In front of the
//! first bio of an owner lies the owner itself, see [`BioArc`].
//!
//! What no type here carries: that the device is open until the bio has ended. A
//! [`BlockDevice`](crate::block::bdev::BlockDevice) is open when a bio is made for it, but a bio is no borrow of it, and
//! the set that it holds open belongs to no device. It is the filesystem that has to see to it: a bio is of a request, which holds its
//! file until it is answered, or is waited for by who holds the mount.
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

mod arc;
mod arc_list;
mod build;
mod carry;
mod copy;
mod deferral;
mod ended;
mod front;
mod lender;
mod list;
mod op;
mod owned;
mod poll;
mod pool;
mod ready;
mod set;
mod submit;
mod unplaced;
mod work;

pub use arc::{BioArc, BioArcSet};
pub use arc_list::BioArcList;
pub use build::Bio;
pub use ended::{BioOwner, EndedBio, NoBios};
pub use front::BioData;
pub use lender::{Hints, Lender, Lends};
pub use list::BioList;
pub use op::{Op, SECTOR_SIZE};
pub(crate) use poll::poll;
pub use pool::BIO_MAX_VECS;
pub use ready::ReadyBios;
pub use set::BioSet;
pub use unplaced::{PartSet, UnplacedBio};
pub use work::BioWork;
