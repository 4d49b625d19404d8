// SPDX-License-Identifier: GPL-2.0

//! Mounting and everything that concerns a mount as a whole: `super_operations`.

use crate::ext2::block_map::max_file_size;
use crate::ext2::directory::NAME_MAX;
use crate::ext2::error::{Corrupt, Place};
use crate::ext2::inode::LINKS_MAX;
use crate::ext2::superblock::MAGIC;
use crate::fault;
use crate::inode::{self, InodeData, ROOT_INO};
use crate::options::{self, Given, Options};
use crate::volume::Volume;
use crate::{Inode, InodeLocked, RetryFs, SuperBlock};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::aref::ARef;
use kfs::fs::file_system::FileSystem;
use kfs::fs::file_system_data::FileSystemData;
use kfs::fs::fs_parser::{Parameter, ParameterSpec};
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::super_block::{NewSuperBlock, Statfs};

/// Reports a fault that no user waits for.
fn log(inode: &Inode, doing: &str, result: fault::Result) {
    if let Err(fault) = result {
        let error = fault.report(inode.sb());
        pr_err!(
            "{}: inode {}: {}: error {}\n",
            inode.sb().id(),
            inode.ino(),
            doing,
            error.to_errno()
        );
    }
}

fn reported<T>(sb: &SuperBlock, result: fault::Result<T>) -> Result<T> {
    result.map_err(|fault| fault.report(sb))
}

impl FileSystemData for RetryFs {
    type SuperData = Volume;
    type InodeData = InodeData;
}

impl FileSystem for RetryFs {
    const NAME: &'static CStr = c"retryfs";
    const PARAMETERS: &'static [ParameterSpec] = options::PARAMETERS;
    type Options = Given;

    fn inode_data() -> impl PinInit<InodeData, Error> {
        InodeData::new()
    }

    fn parse_param(given: &mut Given, param: &Parameter<'_>) -> Result {
        given.parse(param)
    }

    fn fill_super(sb: &mut NewSuperBlock<'_, Self>, given: &Given) -> Result<Pin<KBox<Volume>>> {
        let volume = KBox::try_pin_init(Volume::read(sb)?, GFP_KERNEL)?;
        volume.set_options(Options::default_of(&volume.superblock).with(given));
        sb.set_magic(MAGIC.into());
        sb.set_export_operations();
        sb.set_maxbytes(max_file_size(volume.geometry().block_bits()));
        sb.set_max_links(LINKS_MAX.into());
        sb.set_time_range(i32::MIN.into(), i32::MAX.into(), 1_000_000_000);
        Ok(volume)
    }

    fn root(sb: &SuperBlock) -> Result<ARef<Inode>> {
        let root = reported(sb, inode::iget(sb, ROOT_INO))
            .inspect_err(|_| pr_err!("{}: cannot read the root inode\n", sb.id()))?;
        if !root.is_dir() || root.i_size_read() == 0 {
            let what = "the root is not a directory";
            return Err(fault::Fault::from(Corrupt::new(Place::Inode(ROOT_INO), what)).report(sb));
        }
        Ok(root)
    }

    fn mounted(sb: &SuperBlock) -> Result {
        reported(sb, sb.data().show_in_sysfs(sb))?;
        if sb.rdonly() {
            return Ok(());
        }
        reported(sb, sb.data().mark_mounted())
            .inspect_err(|_| pr_err!("{}: cannot write the superblock\n", sb.id()))
    }

    fn reconfigure(sb: &SuperBlock, given: &Given, read_only: bool) -> Result {
        let volume = sb.data();
        match (sb.rdonly(), read_only) {
            (false, true) => reported(sb, volume.mark_unmounted(sb))?,
            (true, false) => {
                volume.check_writable()?;
                let forbidden = volume.superblock.features.forbid_write();
                if !forbidden.is_empty() {
                    pr_err!(
                        "{}: cannot be made writable: unsupported features: {}\n",
                        sb.id(),
                        forbidden
                    );
                    return Err(EINVAL);
                }
                reported(sb, volume.mark_mounted())?;
            }
            _ => {}
        }
        volume.set_options(volume.options().with(given));
        Ok(())
    }

    fn show_options(sb: &SuperBlock, seq: &SeqFile) {
        options::show(sb, seq);
    }

    fn statfs(sb: &SuperBlock, statfs: &mut Statfs<'_>) -> Result {
        let volume = sb.data();
        let geometry = volume.geometry();
        let totals = volume.totals();
        let (free, reserved) = (totals.free_blocks, volume.reserved_blocks());
        statfs.set_type(MAGIC.into(), geometry.block_size().into(), NAME_MAX as u64);
        statfs.set_blocks(
            (geometry.blocks_count() - geometry.overhead()).into(),
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
        let volume = sb.data();
        volume.check_device(sb);
        reported(sb, volume.store_free_counts(false))?;
        match wait {
            true => reported(sb, volume.sync(sb)),
            // So that what could not be written is on its way again before it is waited for.
            false => {
                volume.unwritten.try_again();
                Ok(())
            }
        }
    }

    fn freeze_fs(sb: &SuperBlock) -> Result {
        let volume = sb.data();
        reported(
            sb,
            if sb.has_unlinked_inodes() && !mutant!("freeze-always-clean") {
                // It is e2fsck that frees them in a copy, if it looks.
                volume.store_free_counts(true)
            } else {
                volume.mark_unmounted(sb)
            },
        )
    }

    fn unfreeze_fs(sb: &SuperBlock) -> Result {
        reported(sb, sb.data().mark_in_use())
    }

    fn put_super(sb: &SuperBlock) {
        if sb.rdonly() {
            return;
        }
        if reported(sb, sb.data().mark_unmounted(sb)).is_err() {
            pr_err!("{}: cannot mark the volume as unmounted\n", sb.id());
        }
    }

    fn write_inode(inode: &Inode) -> Result {
        reported(inode.sb(), inode::store(inode))
    }

    fn sync_inode_metadata(inode: &Inode) -> Result {
        reported(inode.sb(), inode::sync(inode))
    }

    fn delete_inode(inode: &InodeLocked<Exclusive>) {
        log(inode, "cannot be deleted", inode::delete(inode));
    }

    fn free_inode(inode: &Inode) {
        log(
            inode,
            "its number cannot be freed",
            inode::free_number(inode),
        );
    }
}
