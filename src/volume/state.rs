// SPDX-License-Identifier: GPL-2.0

//! The state of a mounted volume.

use crate::ext2::choose_group::Totals;
use crate::ext2::features::Features;
use crate::ext2::group::GroupLayout;
use crate::ext2::superblock::{update, Superblock, SUPERBLOCK_OFFSET};
use crate::ext2::tuned::Tuned;
use crate::ext2::{Corrupt, Geometry, Layout};
use crate::types::{NewSuperBlock, SuperBlock};
use crate::volume::attribute_blocks::AttributeBlocks;
use crate::volume::evicted::Evicted;
use crate::volume::fault::{Fault, Result};
use crate::volume::groups::Groups;
use crate::volume::last_bitmap::LastBitmap;
use crate::volume::new_of_inodes::NewOfInodes;
use crate::volume::options::{Given, Options, ParsedOptions};
use crate::volume::released::SharedReleased;
use crate::volume::superblock::{self, SuperBuffer};
use crate::volume::synced_names::SyncedNames;
use crate::volume::totals::SharedTotals;
use crate::volume::unborn::Unborn;
use crate::volume::unwritten::{First, Unwritten};
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};
use kfs::block::bdev::WriteErrors;
use kfs::block::buffer_head::BufferHead;
use kfs::compat::EUCLEAN;

/// The state of a mounted volume.
#[pin_data]
pub(crate) struct Volume {
    /// The superblock as it was read at mount: see [`Volume::tuned`] for what may change.
    pub(crate) superblock: Superblock,
    /// Blocks of metadata, as `statfs(2)` counts them.
    pub(crate) overhead: u32,
    pub(super) layouts: KVVec<GroupLayout>,
    /// The superblock has the feature `large_file`.
    large_file: Atomic<bool>,
    /// The same of `ext_attr`.
    ext_attr: Atomic<bool>,
    /// An error has stopped changes to the volume (`errors=remount-ro`). `SB_RDONLY` is not set for
    /// that: the VFS would not write back what is dirty already.
    pub(super) stopped: Atomic<bool>,
    /// The volume was shut down: it is stopped, too.
    pub(super) shut_down: Atomic<bool>,
    /// The write errors of the device that have been seen.
    pub(super) write_errors: WriteErrors,
    /// Metadata could not be written during this mount.
    pub(super) write_failed: Atomic<bool>,
    /// Blocks or inodes could not be freed during this mount.
    pub(super) leaked: Atomic<bool>,
    /// Inodes in memory that could not be stored.
    pub(super) unstored: Atomic<u32>,
    /// Corruption was found during this mount, and no e2fsck has been over the volume since.
    pub(super) found_corrupt: Atomic<bool>,
    /// When the volume was checked last, by the superblock that was read last.
    pub(super) last_check: Atomic<u32>,
    /// An error was found while the volume was frozen, which the superblock does not say yet.
    pub(super) error_unmarked: Atomic<bool>,
    /// A counter of a group was wrong.
    pub(super) miscounted: Atomic<bool>,
    /// Metadata buffers that are dirty, or could not be written.
    #[pin]
    pub(crate) unwritten: Unwritten,
    /// Inodes that left memory when not all that leads to them was on the device.
    #[pin]
    pub(crate) evicted: Evicted,
    /// Inodes of which a name was removed that the device may have, and no record says so.
    #[pin]
    pub(crate) removed: Evicted,
    /// Which names were there when sync(2) returned.
    pub(crate) synced_names: SyncedNames,
    /// Blocks of extended attributes. The lock is held while a reference count is changed.
    #[pin]
    pub(crate) attribute_blocks: Mutex<AttributeBlocks>,
    /// Which of the new ones, and of the first ones of directories, are on stable storage.
    pub(crate) new_of_inodes: NewOfInodes,
    /// New inodes that the device does not have, as they wait for that.
    #[pin]
    pub(crate) unborn: Unborn,
    /// The options that were given, at mount or since, and those of the superblock.
    #[pin]
    given: SpinLock<Given>,
    /// `async_alloc` is among them. Requests look at it,
    async_alloc: Atomic<bool>,
    /// and who reads or stores an inode at this: owners and groups have 16 bits on the device.
    uid16: Atomic<bool>,
    /// The superblock says where the volume is mounted now, or cannot.
    pub(super) is_place_known: Atomic<bool>,
    #[pin]
    pub(super) super_buffer: Mutex<SuperBuffer>,
    /// The same buffer, to be read without the lock.
    tuned_buffer: BufferHead,
    tuned_at_mount: Tuned,
    /// Where the superblock is, in bytes from the begin of the device.
    pub(super) super_place: u64,
    /// The sums of the counters of all groups.
    pub(super) totals: SharedTotals,
    /// The groups, with their locks.
    pub(super) groups: Groups,
    /// Blocks that are free, and not to be allocated yet,
    #[pin]
    pub(super) released_blocks: SharedReleased,
    /// and inode numbers.
    #[pin]
    pub(super) released_numbers: SharedReleased,
    /// The inode bitmap that was looked at last.
    #[pin]
    pub(super) last_bitmap: LastBitmap,
    /// Held while a group is initialised that was left for later.
    #[pin]
    pub(super) initialising: Mutex<()>,
    /// Held while what was given back is written: see [`crate::volume::settle`].
    #[pin]
    pub(super) settling: Mutex<()>,
}

/// Why nothing may be written to an outdated volume.
pub(super) const OUTDATED: &str =
    "backups do not say which groups have been initialised since they were made";

/// Whether the descriptors, of a mount from the superblock at byte `super_place`, may say that what is in use is not initialised: they are
/// backups, which nobody changes when a group is. (e2fsck, which is given a backup, believes none of them.) Takes the locks of the groups; may
/// sleep.
pub(super) fn is_outdated(super_place: u64, groups: &Groups) -> bool {
    super_place != SUPERBLOCK_OFFSET && groups.are_uninit() && !mutant!("backup-believed")
}

impl Volume {
    /// Reads the superblock and the group descriptors at mount. May sleep.
    ///
    /// `EINVAL` for a volume that is no ext2 or not supported, or on a device that is not, `EUCLEAN` for a corrupt one, `EIO`
    /// when the device fails; the log says why.
    pub(crate) fn read(
        sb: &mut NewSuperBlock<'_>,
        given: &ParsedOptions,
    ) -> Result<impl PinInit<Self, Error>, Error> {
        if sb.device().is_zoned() && !mutant!("zones-unseen") {
            pr_err!(
                "{}: cannot mount: zoned devices are not supported\n",
                sb.id()
            );
            return Err(EINVAL);
        }
        let place = given.super_offset();
        let size = sb
            .min_blocksize(SUPERBLOCK_OFFSET as u32)
            .inspect_err(|_| {
                pr_err!(
                    "{}: cannot mount: blocks of the device, of {} bytes, are not supported\n",
                    sb.id(),
                    sb.device().logical_block_size()
                );
            })?;
        let superblock = superblock::parse(sb, place, size)?;
        let block_size = superblock.geometry.block_size();
        if block_size < size {
            pr_err!(
                "{}: cannot mount: block size {} is less than that of the device, {}\n",
                sb.id(),
                block_size,
                size
            );
            return Err(EINVAL);
        }
        if !sb.has_blocksize(block_size) && !mutant!("large-blocks-unrefused") {
            pr_err!(
                "{}: cannot mount: blocks of {} bytes are larger than a page, and the kernel has no CONFIG_TRANSPARENT_HUGEPAGE\n",
                sb.id(),
                block_size
            );
            return Err(EINVAL);
        }
        sb.set_blocksize(block_size)?;
        let super_buffer = superblock::read(sb, place, block_size)?;

        let forbidden = superblock.features.forbid_write();
        if !forbidden.is_empty() && !sb.rdonly() && !mutant!("features-unchecked") {
            pr_err!(
                "{}: can only be mounted read-only: unsupported features: {}\n",
                sb.id(),
                forbidden
            );
            return Err(EINVAL);
        }

        let (layouts, groups, totals, clamped) =
            Groups::read(sb, &superblock, place).map_err(|fault| match fault {
                Fault::Corrupt(corrupt) => {
                    pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
                    EUCLEAN
                }
                Fault::Error(error) => {
                    pr_err!("{}: cannot read the group descriptors\n", sb.id());
                    error
                }
            })?;
        if !superblock.is_known_revision() && !sb.rdonly() && !mutant!("revision-unchecked") {
            pr_err!(
                "{}: revision {} is not known: mounted read-only\n",
                sb.id(),
                superblock.revision
            );
            sb.set_rdonly();
        }
        if is_outdated(place, &groups) && !sb.rdonly() {
            pr_err!("{}: {}: mounted read-only\n", sb.id(), OUTDATED);
            sb.set_rdonly();
        }
        superblock::warn_unchecked(sb.id(), sb.rdonly(), &superblock);
        let write_errors = sb.device().watch_write_errors();
        let tuned_buffer = super_buffer.get();
        let tuned_at_mount = superblock::tuned(&tuned_buffer, place, &superblock.geometry)?;
        let super_buffer = SuperBuffer {
            buffer: super_buffer,
            place,
            before: superblock.state,
            sectors_written: sb.device().sectors_written(),
        };
        let given = Given::new(sb.id(), given, &superblock.mount_options);
        if Options::of(&tuned_at_mount, &tuned_at_mount, &given).debug {
            let geometry = &superblock.geometry;
            pr_info!(
                "{}: {} blocks of {} bytes in {} groups of {}, {} inodes of {} bytes in each\n",
                sb.id(),
                geometry.blocks_count(),
                block_size,
                geometry.groups(),
                geometry.blocks_per_group(),
                geometry.inodes_per_group(),
                geometry.inode_size()
            );
        }
        let released_blocks = SharedReleased::new(superblock.geometry.blocks_per_group())?;
        let released_numbers = SharedReleased::new(superblock.geometry.inodes_per_group())?;
        let (last_check, features) = (superblock.last_check, superblock.features);
        Ok(try_pin_init!(Self {
            overhead: superblock.geometry.overhead(),
            superblock,
            layouts,
            large_file: Atomic::new(features.has_large_file()),
            ext_attr: Atomic::new(features.has_ext_attr()),
            stopped: Atomic::new(false),
            shut_down: Atomic::new(false),
            write_errors,
            write_failed: Atomic::new(false),
            leaked: Atomic::new(false),
            unstored: Atomic::new(0),
            found_corrupt: Atomic::new(false),
            last_check: Atomic::new(last_check),
            error_unmarked: Atomic::new(false),
            miscounted: Atomic::new(clamped),
            unwritten <- Unwritten::new(),
            evicted <- Evicted::new(),
            removed <- Evicted::new(),
            synced_names: SyncedNames::new(),
            attribute_blocks <- new_mutex!(AttributeBlocks::new()),
            new_of_inodes: NewOfInodes::new(),
            unborn <- Unborn::new(),
            async_alloc: Atomic::new(given.async_alloc()),
            uid16: Atomic::new(given.uid16(&tuned_at_mount)),
            given <- new_spinlock!(given),
            is_place_known: Atomic::new(false),
            super_buffer <- new_mutex!(super_buffer),
            tuned_buffer,
            tuned_at_mount,
            super_place: place,
            totals: SharedTotals::new(totals),
            groups,
            released_blocks <- released_blocks,
            released_numbers <- released_numbers,
            last_bitmap <- LastBitmap::new(),
            initialising <- new_mutex!(()),
            settling <- new_mutex!(()),
        }))
    }

    /// The geometry: sizes of blocks, inodes and groups.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.superblock.geometry
    }

    /// The layout: where the metadata of each group is.
    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout::new(self.geometry(), &self.layouts)
    }

    /// What tune2fs may change in the superblock, as it is now. Does not sleep.
    pub(crate) fn tuned(&self) -> Tuned {
        if mutant!("tuned-at-mount") {
            return self.tuned_at_mount;
        }
        superblock::tuned(&self.tuned_buffer, self.super_place, self.geometry())
            .unwrap_or(self.tuned_at_mount)
    }

    /// The mount options in effect: those given, and the defaults of the volume. Does not sleep.
    pub(crate) fn options(&self) -> Options {
        Options::of(&self.tuned_at_mount, &self.tuned(), &self.given.lock())
    }

    /// The mount options that were given. Does not sleep.
    pub(crate) fn given_options(&self) -> ParsedOptions {
        self.given.lock().given()
    }

    /// Whether asynchronous direct writes to new blocks are not waited for. Does not sleep.
    pub(crate) fn async_alloc(&self) -> bool {
        self.async_alloc.load(ordering::Acquire)
    }

    /// Whether owners and groups have 16 bits on the device. Does not sleep.
    pub(crate) fn uid16(&self) -> bool {
        self.uid16.load(ordering::Acquire) && !mutant!("owners-not-cut")
    }

    /// Changes the mount options to those in `parsed`; those not in it stay.
    pub(crate) fn give_options(&self, parsed: &ParsedOptions) {
        let mut given = self.given.lock();
        given.update(parsed);
        self.async_alloc
            .store(given.async_alloc(), ordering::Release);
        self.uid16
            .store(given.uid16(&self.tuned_at_mount), ordering::Release);
    }

    /// The superblock was read again, and has `features`. Does not sleep.
    pub(super) fn set_features_on_demand(&self, features: &Features) {
        if !mutant!("large-file-of-first-mount") {
            self.large_file
                .store(features.has_large_file(), ordering::Relaxed);
            self.ext_attr
                .store(features.has_ext_attr(), ordering::Relaxed);
        }
    }

    /// Sets the feature `large_file` in the superblock, once, and waits until it is on the device. Takes
    /// the lock of the superblock's buffer; may sleep.
    pub(crate) fn require_large_file(&self) -> Result {
        if self.large_file.load(ordering::Relaxed) {
            return Ok(());
        }
        self.update_superblock(true, |bytes, _| update::set_large_file(bytes))?;
        self.large_file.store(true, ordering::Relaxed);
        Ok(())
    }

    /// The same with the feature `ext_attr`.
    pub(crate) fn require_ext_attr(&self) -> Result {
        if self.ext_attr.load(ordering::Relaxed) {
            return Ok(());
        }
        self.update_superblock(true, |bytes, _| update::set_ext_attr(bytes))?;
        self.ext_attr.store(true, ordering::Relaxed);
        Ok(())
    }

    /// Whether an error has stopped changes to the volume.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(ordering::Acquire)
    }

    /// Checks that an operation may change the volume: `EROFS` when an error has stopped that, `EIO` when
    /// it is shut down. The VFS has checked the mount; but a forced remount (sysrq-u) leaves files open
    /// for writing.
    pub(crate) fn check_writable(&self, sb: &SuperBlock) -> kernel::error::Result {
        if self.is_stopped() {
            self.check_up()?;
        }
        if self.is_stopped() && !mutant!("write-read-only") {
            return Err(EROFS);
        }
        if sb.rdonly() && !mutant!("write-forced-read-only") {
            return Err(EROFS);
        }
        Ok(())
    }

    /// The sums of the counters of all groups. Does not sleep.
    pub(crate) fn totals(&self) -> Totals {
        self.totals.get()
    }

    /// The number of blocks that only privileged tasks may allocate.
    pub(crate) fn reserved_blocks(&self) -> u32 {
        self.tuned().reserved_blocks
    }

    /// Changes the superblock with `change`, which gets its bytes and the time in seconds since
    /// 1970, and returns the range of bytes it changed. With `wait`, the buffer is written to the
    /// device; without, by writeback.
    ///
    /// Takes the lock of the superblock's buffer; may sleep.
    pub(crate) fn update_superblock(
        &self,
        wait: bool,
        change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
    ) -> Result {
        self.update_locked(&self.super_buffer.lock(), wait, change)
    }

    /// The same with the lock of the superblock's buffer held.
    pub(super) fn update_locked(
        &self,
        super_buffer: &SuperBuffer,
        wait: bool,
        change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
    ) -> Result {
        super_buffer.change(change)?;
        self.mark_error_of_freeze(super_buffer)?;
        self.mark_buffer_dirty(&super_buffer.buffer);
        if wait {
            super_buffer.buffer.sync_dirty()?;
        }
        Ok(())
    }

    /// Marks a buffer with metadata that belongs to no inode dirty. May sleep.
    pub(crate) fn mark_buffer_dirty(&self, buffer: &BufferHead) {
        self.unwritten.mark_buffer_dirty(buffer);
    }

    /// The same for a buffer that has to be written before others.
    pub(crate) fn mark_first_dirty(&self, buffer: &BufferHead, first: First) {
        buffer.mark_dirty();
        self.unwritten.hold_first(buffer, first);
    }

    /// Drops a buffer of a block that is about to be freed: it is not written any more. What led to the block is
    /// marked. May sleep.
    pub(crate) fn forget_buffer(&self, buffer: BufferHead) {
        self.unwritten.write_wanted(buffer.block() as u32, 1);
        // It counts as written when it is not dirty any more.
        self.unwritten.forget(buffer.block() as u32, 1);
        buffer.forget();
    }

    /// The same for `len` blocks from `start` on.
    pub(crate) fn forget_blocks(&self, sb: &SuperBlock, start: u32, len: u32) {
        self.unwritten.write_wanted(start, len);
        self.unwritten.forget(start, len);
        sb.forget_blocks(start.into(), len.into());
    }

    /// Whether metadata could not be written during this mount.
    pub(crate) fn has_failed_writes(&self) -> bool {
        self.write_failed.load(ordering::Relaxed)
    }
}
