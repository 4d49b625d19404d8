// SPDX-License-Identifier: GPL-2.0

//! File system types: what a filesystem module registers.
//!
//! A [`Registration`](crate::fs::registration::Registration) owns a `struct file_system_type` and
//! the slab cache of the inodes of that type. The VFS calls back through [`FileSystem`]:
//!
//! 1. `mount(2)` or `fsopen(2)` creates a context with `F::Options::default()`; every option is
//!    given to [`FileSystem::parse_param`] (see [`crate::fs::fs_context`]).
//! 2. [`FileSystem::fill_super`] reads the superblock through a [`NewSuperBlock`] and returns the
//!    data of the mount. From then on the super block is a [`SuperBlock`] and
//!    [`SuperBlock::data`] may be used.
//! 3. [`FileSystem::root`] returns the root inode.
//! 4. After the last inode is evicted, the VFS calls [`FileSystem::put_super`]; then the data of
//!    the mount is dropped.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use crate::fs::file_system_data::FileSystemData;
use crate::fs::fs_parser::{Parameter, ParameterSpec};
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::reference::InodeRef;
use crate::fs::inode::Inode;
use crate::fs::super_block::data::SuperBox;
use crate::fs::super_block::{NewSuperBlock, Statfs, SuperBlock};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;

/// What a remount asks for.
#[derive(Clone, Copy)]
pub struct Reconfigure {
    /// The mount is to be, or to stay, read-only.
    pub read_only: bool,
    /// It becomes so although files are open for writing, or unlinked but open, and whatever fails
    /// (sysrq-u): more may be dirtied at any time.
    pub forced: bool,
}

/// A type of filesystem on a block device.
///
/// It stands for `struct file_system_type` and `struct super_operations`. All methods are called
/// in process context and may sleep, unless noted. Of those that have a default body a filesystem
/// implements what it has something to do in.
#[vtable]
pub trait FileSystem: FileSystemData {
    /// The name by which `mount(2)` knows the type.
    const NAME: &'static CStr;

    /// The mount options that [`FileSystem::parse_param`] is called for.
    const PARAMETERS: &'static [ParameterSpec] = &[ParameterSpec::END];

    /// Whether a change time is finer than the clock tick if somebody has asked for the one before
    /// (multigrain timestamps), so that each change can be told from the last one that was seen.
    const MULTIGRAIN: bool = false;

    /// The mount options while they are being parsed.
    type Options: Default + Send;

    /// Makes the data of the type, when it is registered. It is dropped when that ends.
    fn type_data() -> Result<Self::TypeData>;

    /// Initialises the data of a new in-core inode.
    fn inode_data() -> impl PinInit<Self::InodeData, Error>;

    /// Takes one mount option into `options`. Without it there are none but those of the VFS.
    fn parse_param(_options: &mut Self::Options, _param: &Parameter<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Reads the superblock of the device and makes the data of the mount.
    ///
    /// An error must already have been explained in the kernel log.
    fn fill_super(
        sb: &mut NewSuperBlock<'_, Self>,
        options: &Self::Options,
    ) -> Result<SuperBox<Self>>;

    /// Returns the inode of the root directory.
    fn root(sb: &SuperBlock<Self>) -> Result<InodeRef<'_, Self>>;

    /// Called, if it is there, when the mount is complete, with everything in place and before users see it.
    fn mounted(_sb: &SuperBlock<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Changes the options of a mount. Without it, a remount changes what the VFS does alone.
    ///
    /// When the mount becomes read-only, everything dirty has been written before, and nothing is
    /// dirtied any more; unless that is forced. Errors of a forced change are logged, with a warning.
    fn reconfigure(_sb: &SuperBlock<Self>, _options: &Self::Options, _to: Reconfigure) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Whether access control lists are honoured: asked after a mount and after its options have
    /// changed. Without it they are not.
    fn posix_acl(_sb: &SuperBlock<Self>) -> bool {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes the options of the mount that differ from the default, as in `/proc/mounts`.
    fn show_options(_sb: &SuperBlock<Self>, _seq: &SeqFile) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Fills in the answer to `statfs(2)`.
    fn statfs(sb: &SuperBlock<Self>, statfs: &mut Statfs<'_>) -> Result;

    /// Writes what is kept in memory about the mount to the buffers of the device, and waits for
    /// these to be on the device when `wait` is set.
    fn sync_fs(_sb: &SuperBlock<Self>, _wait: bool) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Makes the device look as after an umount, for a snapshot. The mount is writable, but writers
    /// are blocked, and everything dirty has been written back. May sleep. After an error the
    /// mount is not frozen.
    fn freeze_fs(_sb: &SuperBlock<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Takes [`FileSystem::freeze_fs`] back, before writers are let in again. May sleep.
    /// After an error the mount stays frozen.
    fn unfreeze_fs(_sb: &SuperBlock<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Called at the last umount, after all inodes are gone.
    fn put_super(_sb: &SuperBlock<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// The number of objects that the mount keeps in memory and may be able to do without. Called by
    /// memory reclaim from when the mount is complete until before the last umount. Does not sleep.
    fn nr_cached_objects(_sb: &SuperBlock<Self>) -> usize {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Frees what can be freed of `nr_to_scan` of these, and returns how many. Called by memory reclaim, with the
    /// mount kept from being unmounted, and never from an allocation without `__GFP_FS`. Must not
    /// wait for locks that are held while such memory is allocated.
    fn free_cached_objects(_sb: &SuperBlock<Self>, _nr_to_scan: usize) -> usize {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Called when the device has gone. What could still be written was, if it went with notice. May
    /// sleep; `s_umount` is held shared.
    fn shutdown(_sb: &SuperBlock<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Copies the inode to its buffer and marks that dirty. Does not wait for the device.
    fn write_inode(_inode: &Inode<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes the buffer that [`FileSystem::write_inode`] made dirty to the device and waits. Called by
    /// [`Inode::sync_metadata`](crate::fs::inode::Inode::sync_metadata); the VFS does not know of it.
    fn sync_inode_metadata(_inode: &Inode<Self>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Called when an inode with links leaves memory, clean.
    ///
    /// Memory reclaim may have called: does not wait for other inodes, nor for locks with which memory is allocated.
    fn evict_inode(_inode: &Inode<Self>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Frees the blocks of an inode that has no link left and is used by nobody.
    ///
    /// Nobody else can reach the inode, which is as good as holding its lock.
    fn delete_inode(_inode: &InodeLocked<Self, Exclusive>) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Frees the number `ino` of an inode that was a directory, or was not, after
    /// [`FileSystem::delete_inode`] and after everything that the VFS knew about the inode is gone.
    fn free_inode(_sb: &SuperBlock<Self>, _ino: u64, _is_dir: bool) {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}
