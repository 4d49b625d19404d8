// SPDX-License-Identifier: GPL-2.0

//! The state of a mounted volume.

use crate::dio;
use crate::ext2::choose_group::Totals;
use crate::ext2::error::{Corrupt, Place};
use crate::ext2::group::{Group, GroupCounts, GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::superblock::{self, OnError, Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use crate::ext2::{Geometry, Layout};
use crate::fault::{Fault, Result};
use crate::options::Options;
use crate::unwritten::Unwritten;
use crate::{RetryFs, SuperBlock};
use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, new_spinlock, Arc, Mutex, SetOnce, SpinLock};
use kfs::block::bdev::{BlockDevice, WriteErrors};
use kfs::block::buffer_head::BufferHead;
use kfs::fs::super_block::NewSuperBlock;
use kfs::mm::nofs::nofs;
use kfs::sysfs::{Attribute, Attributes, Directory};
use kfs::time::real_seconds;

/// The state of a mounted volume: `s_fs_info`.
#[pin_data]
pub(crate) struct Volume {
    /// The superblock as it was when the volume was mounted.
    pub(crate) superblock: Superblock,
    layouts: KVVec<GroupLayout>,
    /// What the direct I/O worker keeps for the mount.
    pub(crate) dio: Arc<dio::Mount<RetryFs>>,
    sysfs: SetOnce<Directory<dio::Mount<RetryFs>>>,
    /// The feature `large_file` was set since the volume was mounted.
    large_file: Atomic<bool>,
    /// The volume turned out to be corrupt, and nobody may change anything any more. The mount does
    /// not become read-only for the VFS by that: it would not write what is dirty already.
    stopped: Atomic<bool>,
    write_errors: WriteErrors,
    /// Metadata could not be written since the volume was mounted.
    write_failed: Atomic<bool>,
    /// The metadata that may not be on the device yet.
    #[pin]
    pub(crate) unwritten: Unwritten,
    /// Held while the count of inodes that share a block of extended attributes is changed.
    #[pin]
    pub(crate) attribute_blocks: Mutex<()>,
    #[pin]
    options: SpinLock<Options>,
    #[pin]
    super_buffer: Mutex<BufferHead>,
    #[pin]
    pub(crate) allocation: Mutex<Allocation>,
}

/// What the allocators share. Whoever changes a bitmap holds its lock.
pub(crate) struct Allocation {
    /// The counters of all groups, as in the descriptors.
    pub(crate) counts: KVVec<GroupCounts>,
    /// Their sums.
    pub(crate) totals: Totals,
    /// The buffers of the group descriptors, in order.
    descriptors: KVVec<BufferHead>,
    /// Room for a copy of a bitmap.
    pub(crate) bitmap: KVVec<u8>,
}

impl Volume {
    /// Reads the superblock and the group descriptors from a device.
    ///
    /// Writes to the log why a volume cannot be mounted.
    pub(crate) fn read(
        sb: &mut NewSuperBlock<'_, RetryFs>,
    ) -> Result<impl PinInit<Self, Error>, Error> {
        let device_size = sb.device_size();
        let size = sb
            .min_blocksize(SUPERBLOCK_OFFSET as u32)
            .inspect_err(|_| {
                pr_err!("{}: the device has blocks that are too large\n", sb.id());
            })?;
        let superblock = parse_superblock(sb, size as usize, device_size)?;
        let block_size = superblock.geometry.block_size();
        if block_size < size {
            pr_err!(
                "{}: block size {} is smaller than the device's {}\n",
                sb.id(),
                block_size,
                size
            );
            return Err(EINVAL);
        }
        sb.set_blocksize(block_size)?;
        let super_buffer = read_superblock(sb, block_size as usize)?;

        let forbidden = superblock.features.forbid_write();
        if !forbidden.is_empty() && !sb.rdonly() {
            pr_err!(
                "{}: only a read-only mount is possible: unsupported features: {}\n",
                sb.id(),
                forbidden
            );
            return Err(EINVAL);
        }

        let (layouts, allocation) =
            read_groups(sb, &superblock.geometry).map_err(|fault| match fault {
                Fault::Corrupt(corrupt) => {
                    pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
                    EUCLEAN
                }
                Fault::Error(error) => {
                    pr_err!("{}: cannot read the group descriptors\n", sb.id());
                    error
                }
            })?;
        if !superblock.state.is_clean() || superblock.state.has_errors() {
            pr_warn!(
                "{}: mounting a volume that was not unmounted cleanly or has errors: run e2fsck\n",
                sb.id()
            );
        }
        let write_errors = sb.device().watch_write_errors();
        let default_options = Options::default_of(&superblock);
        let dio = Arc::new(dio::Mount::new()?, GFP_KERNEL)?;
        Ok(try_pin_init!(Self {
            superblock,
            layouts,
            dio,
            sysfs: SetOnce::new(),
            large_file: Atomic::new(false),
            stopped: Atomic::new(false),
            write_errors,
            write_failed: Atomic::new(false),
            unwritten <- Unwritten::new(),
            attribute_blocks <- new_mutex!(()),
            options <- new_spinlock!(default_options),
            super_buffer <- new_mutex!(super_buffer),
            allocation <- new_mutex!(allocation),
        }))
    }

    /// Sizes and places on the volume.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.superblock.geometry
    }

    /// What lies where on the volume.
    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout::new(self.geometry(), &self.layouts)
    }

    /// The mount options.
    pub(crate) fn options(&self) -> Options {
        *self.options.lock()
    }

    /// Sets the mount options.
    pub(crate) fn set_options(&self, options: Options) {
        *self.options.lock() = options;
    }

    /// Whether the feature `large_file` was set since the volume was mounted.
    pub(crate) fn large_file_is_set(&self) -> bool {
        self.large_file.load(ordering::Relaxed)
    }

    /// Remembers that the feature `large_file` was set.
    pub(crate) fn set_large_file(&self) {
        self.large_file.store(true, ordering::Relaxed);
    }

    /// Whether the volume turned out to be corrupt, and nobody may change anything any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(ordering::Relaxed)
    }

    /// Whether somebody may begin to change something: `EROFS` if not. The VFS has asked for what it
    /// knows of, the mount.
    pub(crate) fn check_writable(&self) -> kernel::error::Result {
        if self.is_stopped() && !mutant!("write-read-only") {
            return Err(EROFS);
        }
        Ok(())
    }

    /// The sums over all groups.
    pub(crate) fn totals(&self) -> Totals {
        nofs(|| self.allocation.lock().totals)
    }

    /// Blocks that only the privileged may take.
    pub(crate) fn reserved_blocks(&self) -> u32 {
        self.superblock.reserved_blocks
    }

    /// Changes the superblock with `change`, which gets its bytes and the time in seconds since
    /// 1970, and returns which bytes it changed. The buffer is written when `wait` is set, and
    /// otherwise in due course.
    pub(crate) fn update_superblock(
        &self,
        wait: bool,
        change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
    ) -> Result {
        let buffer = self.super_buffer.lock();
        change_superblock(&buffer, change)?;
        self.mark_buffer_dirty(&buffer);
        if wait {
            buffer.sync_dirty()?;
        }
        Ok(())
    }

    /// Marks a buffer with metadata dirty. It is written in due course. May sleep.
    pub(crate) fn mark_buffer_dirty(&self, buffer: &BufferHead) {
        buffer.mark_dirty();
        self.unwritten.hold(buffer);
    }

    /// Brings all metadata to the device, and out of its cache. May sleep.
    pub(crate) fn sync(&self, sb: &SuperBlock) -> Result {
        self.unwritten.try_again();
        let device = BlockDevice::of(sb);
        let synced = device.sync();
        self.unwritten.sweep();
        self.check_device(sb);
        if !mutant!("sync-no-flush") {
            device.issue_flush()?;
        }
        Ok(synced?)
    }

    /// Looks whether metadata could not be written, whoever tried: `sync(2)`, or the kernel in the
    /// background, where nobody is told. May sleep.
    ///
    /// The volume is treated like one that is corrupt: what could not be written may be lost, and
    /// the rest does not go with it. Whoever has a file open is told by `syncfs(2)`.
    pub(crate) fn check_device(&self, sb: &SuperBlock) {
        if !BlockDevice::of(sb).has_new_write_error(&self.write_errors) {
            return;
        }
        sb.set_wb_err(EIO);
        if !self.write_failed.xchg(true, ordering::Relaxed) {
            pr_err!(
                "{}: metadata could not be written: run e2fsck after unmounting\n",
                sb.id()
            );
            self.error(sb);
        }
    }

    /// Shows the counters of the mount in sysfs.
    pub(crate) fn show_in_sysfs(&self, sb: &SuperBlock) -> Result {
        self.sysfs.populate(Directory::new(sb, self.dio.clone())?);
        Ok(())
    }

    /// Marks the volume as mounted for writing.
    pub(crate) fn mark_mounted(&self) -> Result {
        self.update_superblock(true, superblock::mark_mounted)
    }

    /// Marks the volume as in use again, after [`Volume::mark_unmounted`] and within one mount.
    pub(crate) fn mark_in_use(&self) -> Result {
        if self.is_stopped() {
            return Ok(());
        }
        self.update_superblock(true, superblock::mark_in_use)
    }

    /// Marks the volume as cleanly unmounted, if it was so before it was mounted, has not turned
    /// out to be corrupt, and has all its metadata on the device.
    pub(crate) fn mark_unmounted(&self, sb: &SuperBlock) -> Result {
        self.sync(sb)?;
        let failed = self.write_failed.load(ordering::Relaxed) && !mutant!("failed-marked-clean");
        if self.is_stopped() || failed {
            return self.store_free_counts(true);
        }
        let totals = self.totals();
        let buffer = self.super_buffer.lock();
        change_superblock(&buffer, |bytes, now| {
            let counts = (totals.free_blocks, totals.free_inodes);
            superblock::mark_unmounted(bytes, self.superblock.state, counts, now)
        })?;
        self.mark_buffer_dirty(&buffer);
        if let Err(error) = buffer.sync_dirty() {
            // The mount goes on, and the mark must not reach the device after all.
            if !mutant!("failed-mark-kept") {
                change_superblock(&buffer, superblock::mark_in_use)?;
                self.mark_buffer_dirty(&buffer);
            }
            return Err(error.into());
        }
        Ok(BlockDevice::of(sb).issue_flush()?)
    }

    /// Writes the sums over all groups to the superblock.
    pub(crate) fn store_free_counts(&self, wait: bool) -> Result {
        let totals = self.totals();
        self.update_superblock(wait, |bytes, now| {
            superblock::set_free_counts(bytes, totals.free_blocks, totals.free_inodes, now)
        })
    }

    /// Deals with a volume that turned out to be corrupt: writes one line to the log, tells who
    /// listens (fanotify), marks the volume to be checked, and does what the option `errors=` says.
    pub(crate) fn corrupt(&self, sb: &SuperBlock, corrupt: &Corrupt) {
        pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
        if !mutant!("corruption-untold") {
            sb.report_metadata_error(corrupt.ino().map(u64::from), EUCLEAN);
        }
        self.error(sb);
    }

    /// Marks the volume to be checked, and does what the option `errors=` says.
    fn error(&self, sb: &SuperBlock) {
        if sb.rdonly() || self.is_stopped() {
            return;
        }
        if self
            .update_superblock(true, |bytes, _| superblock::mark_error(bytes))
            .is_err()
        {
            pr_err!("{}: cannot mark the volume as having errors\n", sb.id());
        }
        match self.options().on_error {
            OnError::Continue => {}
            OnError::RemountReadOnly => {
                pr_crit!(
                    "{}: the volume is not changed any more from now on: run e2fsck\n",
                    sb.id()
                );
                self.stopped.store(true, ordering::Relaxed);
            }
            OnError::Panic => kfs::panic::panic(c"the volume is corrupt and errors=panic is set"),
        }
    }
}

impl Attributes for dio::Mount<RetryFs> {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::new(c"requests_read", |dio| dio.counters.requests_read.read()),
        Attribute::new(c"requests_write", |dio| dio.counters.requests_write.read()),
        Attribute::new(c"async", |dio| dio.counters.async_requests.read()),
        Attribute::new(c"sync_extend", |dio| dio.counters.sync_extend.read()),
        Attribute::new(c"sync_hole", |dio| dio.counters.sync_hole.read()),
        Attribute::new(c"sync_error", |dio| dio.counters.sync_error.read()),
        Attribute::new(c"retries", |dio| dio.counters.retries.read()),
        Attribute::new(c"buffered_fallback", |dio| {
            dio.counters.buffered_fallback.read()
        }),
    ];
}

impl Allocation {
    /// Copies the bitmap in `block` to [`Allocation::bitmap`].
    pub(crate) fn read_bitmap(&mut self, sb: &SuperBlock, block: u32) -> Result<BufferHead> {
        sb.data().check_device(sb);
        let buffer = sb.bread(block.into())?;
        buffer.read(0, &mut self.bitmap)?;
        Ok(buffer)
    }

    /// Copies the range `changed` of [`Allocation::bitmap`] back to its buffer.
    pub(crate) fn write_bitmap(
        &self,
        volume: &Volume,
        buffer: &BufferHead,
        changed: Range<usize>,
    ) -> Result {
        let start = changed.start;
        buffer.write(start, self.bitmap.get(changed).unwrap_or_default())?;
        volume.mark_buffer_dirty(buffer);
        Ok(())
    }

    /// The counters of `group`.
    pub(crate) fn counts(&self, group: u32) -> GroupCounts {
        let counts = self.counts.get(group as usize);
        counts.copied().unwrap_or_default()
    }

    /// Copies the counters of `group` to its descriptor.
    pub(crate) fn store_counts(&mut self, volume: &Volume, group: u32) -> Result {
        let no_group = || Corrupt::new(Place::Group(group), "no such group");
        let counts = self.counts.get(group as usize).ok_or_else(no_group)?;
        let (buffer, offset) =
            descriptor(volume.geometry(), &self.descriptors, group).ok_or_else(no_group)?;
        let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
        buffer.read(offset, &mut bytes)?;
        let changed = counts.store(group, &mut bytes)?;
        let start = changed.start;
        buffer.write(offset + start, bytes.get(changed).unwrap_or_default())?;
        volume.mark_buffer_dirty(buffer);
        Ok(())
    }
}

/// Changes the superblock in its buffer with `change`, see [`Volume::update_superblock`].
fn change_superblock(
    buffer: &BufferHead,
    change: impl FnOnce(&mut [u8], u32) -> core::result::Result<Range<usize>, Corrupt>,
) -> Result {
    let (_, offset) = superblock_place(buffer.size());
    let mut bytes = [0; SUPERBLOCK_SIZE];
    buffer.read(offset, &mut bytes)?;
    // The format has room for 32 bits.
    let changed = change(&mut bytes, real_seconds() as u32)?;
    let start = changed.start;
    buffer.write(offset + start, bytes.get(changed).unwrap_or_default())?;
    Ok(())
}

/// The buffer of the descriptor of `group`, and the byte offset in it.
fn descriptor<'a>(
    geometry: &Geometry,
    descriptors: &'a [BufferHead],
    group: u32,
) -> Option<(&'a BufferHead, usize)> {
    let (block, offset) = geometry.descriptor_location(group)?;
    let (first, _) = geometry.descriptor_location(0)?;
    let buffer = descriptors.get(block.checked_sub(first)? as usize)?;
    Some((buffer, offset as usize))
}

/// The block with the superblock, and the byte offset in it, when blocks have `block_size` bytes.
fn superblock_place(block_size: usize) -> (u64, usize) {
    if block_size > SUPERBLOCK_OFFSET as usize {
        (0, SUPERBLOCK_OFFSET as usize)
    } else {
        (1, 0)
    }
}

/// Reads the block with the superblock when blocks have `block_size` bytes.
fn read_superblock(
    sb: &mut NewSuperBlock<'_, RetryFs>,
    block_size: usize,
) -> Result<BufferHead, Error> {
    sb.bread(superblock_place(block_size).0)
        .inspect_err(|_| pr_err!("{}: cannot read the superblock\n", sb.id()))
}

fn parse_superblock(
    sb: &mut NewSuperBlock<'_, RetryFs>,
    block_size: usize,
    device_size: u64,
) -> Result<Superblock, Error> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    let (_, offset) = superblock_place(block_size);
    read_superblock(sb, block_size)?.read(offset, &mut bytes)?;
    Superblock::parse(&bytes, device_size).map_err(|error| {
        pr_err!("{}: cannot mount: {}\n", sb.id(), error);
        match error {
            superblock::MountError::Corrupt(_) => EUCLEAN,
            _ => EINVAL,
        }
    })
}

/// Reads and checks all group descriptors.
fn read_groups(
    sb: &mut NewSuperBlock<'_, RetryFs>,
    geometry: &Geometry,
) -> Result<(KVVec<GroupLayout>, Allocation)> {
    let groups = geometry.groups();
    let mut descriptors = KVVec::with_capacity(geometry.descriptor_blocks() as usize, GFP_KERNEL)?;
    if let Some((first, _)) = geometry.descriptor_location(0) {
        for block in first..first + geometry.descriptor_blocks() {
            descriptors.push(sb.bread(block.into())?, GFP_KERNEL)?;
        }
    }
    let mut layouts = KVVec::with_capacity(groups as usize, GFP_KERNEL)?;
    let mut counts = KVVec::with_capacity(groups as usize, GFP_KERNEL)?;
    let mut totals = Totals::default();
    for group in 0..groups {
        let (buffer, offset) = descriptor(geometry, &descriptors, group)
            .ok_or(Corrupt::new(Place::Group(group), "no descriptor"))?;
        let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
        buffer.read(offset, &mut bytes)?;
        let parsed = Group::parse(geometry, group, &bytes)?;
        // A group has at most 65,528 of anything, and the volume 2^32 in all.
        totals.free_blocks += u32::from(parsed.counts.free_blocks);
        totals.free_inodes += u32::from(parsed.counts.free_inodes);
        totals.used_dirs += u32::from(parsed.counts.used_dirs);
        layouts.push(parsed.layout, GFP_KERNEL)?;
        counts.push(parsed.counts, GFP_KERNEL)?;
    }
    let bitmap = KVVec::from_elem(0, geometry.block_size() as usize, GFP_KERNEL)?;
    let allocation = Allocation {
        counts,
        totals,
        descriptors,
        bitmap,
    };
    Ok((layouts, allocation))
}
