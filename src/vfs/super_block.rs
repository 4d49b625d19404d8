// SPDX-License-Identifier: GPL-2.0

//! Mounting, and operations on a mount as a whole: `super_operations`.

use crate::dio;
use crate::ext2::directory::NAME_MAX;
use crate::ext2::features::RO_COMPAT_DIR_NLINK;
use crate::ext2::geometry::ROOT_INO;
use crate::ext2::inode::LINKS_MAX;
use crate::ext2::pointers::max_file_size;
use crate::ext2::superblock::MAGIC;
use crate::ext2::time::{EXTRA_SECONDS_MAX, SECONDS_MAX, SECONDS_MIN};
use crate::ext2::{Corrupt, Place};
use crate::inode::data::InodeData;
use crate::inode::errors::{log, log_of};
use crate::inode::{
    block_map, delete, directory, names, read, store, stored_attributes, table, unborn,
    unstored_names,
};
use crate::types::{Inode, InodeLocked, InodeRef, NewSuperBlock, RetryFs, SuperBlock};
use crate::vfs::xattr::{Security, Trusted, User};
use crate::volume::errors::reported;
use crate::volume::fault::Fault;
use crate::volume::options::{self, ParsedOptions};
use crate::volume::state::Volume;
use core::ops::Deref;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::Arc;
use kfs::fs::file_system::{FileSystem, Reconfigure};
use kfs::fs::file_system_data::FileSystemData;
use kfs::fs::fs_parser::{Parameter, ParameterSpec};
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::super_block::data::SuperBox;
use kfs::fs::super_block::Statfs;

/// The private data of a super block, `s_fs_info`. Dereferences to its [`Volume`].
#[pin_data]
pub(crate) struct SbInfo {
    /// The state of the direct I/O worker. Shared with sysfs, which may be read during unmount.
    pub(super) dio: Arc<dio::Mount<RetryFs>>,
    #[pin]
    volume: Volume,
}

impl Deref for SbInfo {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}

impl FileSystemData for RetryFs {
    type TypeData = dio::DioCache<RetryFs>;
    type SuperData = SbInfo;
    type InodeData = InodeData;

    fn inode_changed(data: &InodeData) {
        data.changed();
    }
}

#[vtable]
impl FileSystem for RetryFs {
    const NAME: &'static CStr = c"retryfs";
    const MULTIGRAIN: bool = !cfg!(mutant = "times-of-the-tick");
    const PARAMETERS: &'static [ParameterSpec] = options::PARAMETERS;
    type Options = ParsedOptions;

    fn type_data() -> Result<dio::DioCache<RetryFs>> {
        dio::DioCache::new()
    }

    fn inode_data() -> impl PinInit<InodeData, Error> {
        InodeData::new()
    }

    fn parse_param(parsed: &mut ParsedOptions, param: &Parameter<'_>) -> Result {
        parsed.parse(param)
    }

    fn fill_super(sb: &mut NewSuperBlock<'_>, parsed: &ParsedOptions) -> Result<SuperBox<RetryFs>> {
        parsed.check_new(sb.id())?;
        let volume = Volume::read(sb, parsed)?;
        let info = try_pin_init!(SbInfo {
            dio: Arc::new(dio::Mount::new()?, GFP_KERNEL)?,
            volume <- volume,
        });
        let volume = SuperBox::<RetryFs>::new(sb, info)?;
        if !mutant!("no-cgroup-writeback") {
            sb.set_cgroup_writeback();
        }
        sb.set_identity(&volume.superblock.uuid);
        sb.set_magic(MAGIC.into());
        sb.set_export_operations();
        sb.set_xattr_handlers::<User, Trusted, Security>();
        let geometry = volume.geometry();
        sb.set_maxbytes(max_file_size(
            geometry.block_bits(),
            geometry.has_huge_files(),
        ));
        // What a directory may have with `dir_nlink` is for `links::check_room`.
        if !volume.superblock.features.ro_compat(RO_COMPAT_DIR_NLINK) {
            sb.set_max_links(LINKS_MAX.into());
        }
        match volume.superblock.extra_size {
            0 => sb.set_time_range(SECONDS_MIN, SECONDS_MAX, 1_000_000_000),
            _ => sb.set_time_range(SECONDS_MIN, EXTRA_SECONDS_MAX, 1),
        }
        Ok(volume)
    }

    fn root(sb: &SuperBlock) -> Result<InodeRef<'_>> {
        let root = reported(sb, read::iget_root(sb))
            .inspect_err(|_| pr_err!("{}: cannot read the root inode\n", sb.id()))?;
        if !root.is_dir() || root.i_size_read() == 0 {
            let what = "root is not a directory";
            return Err(Fault::from(Corrupt::new(Place::Inode(ROOT_INO), what)).report(sb));
        }
        // Whatever the volume is mounted for begins there.
        if !mutant!("root-not-ahead") {
            directory::read_ahead(&root);
        }
        Ok(root)
    }

    fn mounted(sb: &SuperBlock) -> Result {
        let info = sb.data();
        sb.make_sysfs(info.dio.clone())?;
        sb.make_dio_punt_wq()?;
        if info.async_alloc() || mutant!("link-queue-unasked") {
            sb.make_dio_link_wq()?;
        }
        Volume::warn_no_discard(sb);
        info.given_options().warn_quotas(sb.id());
        if sb.rdonly() {
            return Ok(());
        }
        reported(sb, sb.data().mark_mounted(sb))
            .inspect_err(|_| pr_err!("{}: cannot write the superblock\n", sb.id()))
    }

    fn reconfigure(sb: &SuperBlock, parsed: &ParsedOptions, to: Reconfigure) -> Result {
        let volume = sb.data();
        // Before the first request finds the option.
        if parsed.async_alloc() {
            sb.make_dio_link_wq()?;
        }
        match (sb.rdonly(), to.read_only) {
            // Files are still open for writing, and what is dirty is written back later.
            (false, true) if volume.is_shut_down() => {}
            (false, true) if to.forced && !mutant!("forced-clean") => {
                reported(sb, volume.store_free_counts(sb, true))?;
            }
            (false, true) => reported(sb, volume.mark_unmounted(sb))?,
            (true, false) => {
                volume.reread(sb)?;
                reported(sb, volume.mark_mounted(sb))?;
            }
            _ => {}
        }
        volume.give_options(parsed);
        parsed.warn_quotas(sb.id());
        if parsed.discard() {
            Volume::warn_no_discard(sb);
        }
        Ok(())
    }

    fn posix_acl(sb: &SuperBlock) -> bool {
        sb.data().options().acl
    }

    fn show_options(sb: &SuperBlock, seq: &SeqFile) {
        let volume = sb.data();
        volume.given_options().show(seq);
        // As ext4 has it: the mount is not `ro`, but nothing can be changed any more.
        if volume.is_shut_down() {
            seq_print!(seq, ",shutdown");
        } else if volume.is_stopped() && !mutant!("stopped-unshown") {
            seq_print!(seq, ",emergency_ro");
        }
    }

    fn shutdown(sb: &SuperBlock) {
        if !mutant!("removal-ignored") {
            sb.data().shut_down(sb);
        }
    }

    fn statfs(sb: &SuperBlock, statfs: &mut Statfs<'_>) -> Result {
        let volume = sb.data();
        let geometry = volume.geometry();
        let totals = volume.totals();
        let (free, reserved) = (totals.free_blocks, volume.reserved_blocks());
        let overhead = match volume.options().minix_df {
            true => 0,
            false => volume.overhead,
        };
        statfs.set_type(MAGIC.into(), geometry.block_size().into(), NAME_MAX as u64);
        statfs.set_blocks(
            (geometry.blocks_count() - overhead).into(),
            free.into(),
            free.saturating_sub(reserved).into(),
        );
        statfs.set_files(geometry.inodes_count().into(), totals.free_inodes.into());
        let (low, high) = volume.superblock.uuid.split_at(8);
        let half = |bytes: &[u8]| {
            bytes
                .first_chunk()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        statfs.set_fsid(half(low) ^ half(high));
        Ok(())
    }

    fn sync_fs(sb: &SuperBlock, wait: bool) -> Result {
        if sb.rdonly() {
            return Ok(());
        }
        // Everything is on the device, and a snapshot may be made of that.
        if sb.is_frozen() && !mutant!("frozen-synced") {
            return Ok(());
        }
        let volume = sb.data();
        volume.check_up()?;
        volume.check_device(sb);
        reported(sb, volume.store_free_counts(sb, false))?;
        match wait {
            true => {
                let begun = names::begin_sync(sb);
                reported(sb, volume.sync(sb))?;
                // The VFS has written the inodes, and has the errors of that: it keeps them to itself.
                if !mutant!("syncfs-unstored") {
                    volume.check_stored(sb)?;
                }
                names::end_sync(sb, begun);
                Ok(())
            }
            // Redirty buffers that could not be written, so that sync(2) submits them before it
            // waits.
            false => {
                volume.unwritten.redirty_failed();
                Ok(())
            }
        }
    }

    fn freeze_fs(sb: &SuperBlock) -> Result {
        let volume = sb.data();
        volume.check_up()?;
        let has_orphans = sb.has_unlinked_inodes() && !mutant!("freeze-always-clean");
        reported(
            sb,
            if has_orphans || mutant!("freeze-unmarked") {
                // In a snapshot they are orphans, which e2fsck frees; it skips a clean volume. Others may have been freed
                // since the VFS has synced the volume: that would be written while it is frozen.
                let synced = match mutant!("freeze-freed-unsynced") {
                    true => Ok(()),
                    false => volume.sync_last(sb),
                };
                synced.and_then(|()| volume.store_free_counts(sb, true))
            } else {
                volume.mark_unmounted(sb)
            },
        )
    }

    fn unfreeze_fs(sb: &SuperBlock) -> Result {
        let volume = sb.data();
        let marked = reported(sb, volume.mark_in_use(sb));
        if mutant!("thaw-fails") {
            return marked;
        }
        if marked.is_err() {
            // Who writes would hang for as long as it is frozen. The next sync tries again.
            pr_err!("{}: cannot mark the volume as in use\n", sb.id());
            volume.check_device(sb);
        }
        Ok(())
    }

    fn put_super(sb: &SuperBlock) {
        if sb.rdonly() {
            return;
        }
        if reported(sb, sb.data().mark_unmounted(sb)).is_err() {
            pr_err!("{}: cannot mark the volume clean\n", sb.id());
        }
    }

    fn nr_cached_objects(sb: &SuperBlock) -> usize {
        sb.data().unwritten.len()
    }

    fn free_cached_objects(sb: &SuperBlock, nr_to_scan: usize) -> usize {
        match mutant!("reclaim-refused") {
            true => 0,
            false => sb.data().unwritten.reclaim(nr_to_scan),
        }
    }

    fn write_inode(inode: &Inode) -> Result {
        inode.sb().data().check_up()?;
        store::write_back(inode)
    }

    fn sync_inode_metadata(inode: &Inode) -> Result {
        reported(inode.sb(), table::sync(inode))
    }

    fn evict_inode(inode: &Inode) {
        block_map::drop_window(inode);
        if inode.sb().data().is_shut_down() {
            return;
        }
        store::store_last(inode);
        names::evict(inode);
        store::evict(inode);
        stored_attributes::evict(inode);
    }

    fn delete_inode(inode: &InodeLocked<Exclusive>) {
        log(inode, "cannot free a deleted inode", delete::delete(inode));
        store::forget(inode);
        unstored_names::forget(inode);
        if !mutant!("unborn-deleted-kept") {
            unborn::evict(inode);
        }
    }

    fn free_inode(sb: &SuperBlock, ino: u64, is_dir: bool) {
        // Never truncated: the numbers of this format have 32 bits.
        let freed = delete::free_number(sb, ino as u32, is_dir);
        log_of(sb, ino, "cannot free its inode number", freed);
    }
}
