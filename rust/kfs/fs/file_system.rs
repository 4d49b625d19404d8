// SPDX-License-Identifier: GPL-2.0

//! File system types: what a filesystem module registers.
//!
//! A [`Registration`] owns a `struct file_system_type` and the slab cache of the inodes of that
//! type. The VFS calls back through [`FileSystem`]:
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

use crate::bindings;
use crate::fs::fs_context::{self, Parameter, ParameterSpec};
use crate::fs::inode::{self, Inode};
use crate::fs::inode_lock::{Exclusive, InodeLocked};
use crate::fs::super_block::{NewSuperBlock, Statfs, SuperBlock};
use crate::sysfs::TypeDirectory;
use core::marker::PhantomData;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::sync::aref::ARef;
use kernel::types::Opaque;

/// A type of filesystem on a block device.
///
/// It stands for `struct file_system_type` and `struct super_operations`. All methods are called
/// in process context and may sleep, unless noted.
pub trait FileSystem: Sized + Send + Sync + 'static {
    /// The name by which `mount(2)` knows the type.
    const NAME: &'static CStr;

    /// The mount options that [`FileSystem::parse_param`] is called for.
    const PARAMETERS: &'static [ParameterSpec];

    /// The data of a mount, in `sb->s_fs_info`.
    type SuperData: Send + Sync;

    /// The data of an inode beside what the VFS keeps. It is dropped in an RCU callback, that is
    /// in softirq context: its destructor must not sleep.
    type InodeData: Send + Sync;

    /// The mount options while they are being parsed.
    type Options: Default + Send;

    /// Initialises the data of a new in-core inode.
    fn inode_data() -> impl PinInit<Self::InodeData, Error>;

    /// Takes one mount option into `options`.
    fn parse_param(options: &mut Self::Options, param: &Parameter<'_>) -> Result;

    /// Reads the superblock of the device and makes the data of the mount.
    ///
    /// An error must already have been explained in the kernel log.
    fn fill_super(
        sb: &mut NewSuperBlock<'_, Self>,
        options: &Self::Options,
    ) -> Result<Pin<KBox<Self::SuperData>>>;

    /// Returns the inode of the root directory.
    fn root(sb: &SuperBlock<Self>) -> Result<ARef<Inode<Self>>>;

    /// Called when the mount is complete, with everything in place and before users see it.
    fn mounted(sb: &SuperBlock<Self>) -> Result;

    /// Changes the options of a mount; `read_only` is the state that is asked for.
    ///
    /// When the mount becomes read-only, everything dirty has been written before.
    fn reconfigure(sb: &SuperBlock<Self>, options: &Self::Options, read_only: bool) -> Result;

    /// Writes the options of the mount that differ from the default, as in `/proc/mounts`.
    fn show_options(sb: &SuperBlock<Self>, seq: &SeqFile);

    /// Fills in the answer to `statfs(2)`.
    fn statfs(sb: &SuperBlock<Self>, statfs: &mut Statfs<'_>) -> Result;

    /// Writes what is kept in memory about the mount to the buffers of the device, and waits for
    /// these to be on the device when `wait` is set.
    fn sync_fs(sb: &SuperBlock<Self>, wait: bool) -> Result;

    /// Makes the device look as after an umount: somebody will copy it. Nobody writes to the mount,
    /// which is writable, and everything dirty has been written before. May sleep. After an error the
    /// mount is not frozen.
    fn freeze_fs(sb: &SuperBlock<Self>) -> Result;

    /// Takes [`FileSystem::freeze_fs`] back, before anybody writes to the mount again. May sleep.
    /// After an error the mount stays frozen.
    fn unfreeze_fs(sb: &SuperBlock<Self>) -> Result;

    /// Called at the last umount, after all inodes are gone.
    fn put_super(sb: &SuperBlock<Self>);

    /// Copies the inode to its buffer and marks that dirty. Does not wait for the device.
    fn write_inode(inode: &Inode<Self>) -> Result;

    /// Writes the buffer that [`FileSystem::write_inode`] made dirty to the device and waits.
    fn sync_inode_metadata(inode: &Inode<Self>) -> Result;

    /// Frees the blocks of an inode that has no link left and is used by nobody.
    ///
    /// Nobody else can reach the inode, which is as good as holding its lock.
    fn delete_inode(inode: &InodeLocked<Self, Exclusive>);

    /// Frees the number of an inode, after [`FileSystem::delete_inode`] and after everything that
    /// the VFS knew about it is gone.
    fn free_inode(inode: &Inode<Self>);
}

/// Owner of a registered `struct file_system_type`.
///
/// # Invariants
///
/// `fs_type` is registered, and `inode_cache` is a slab cache of inodes of `F` as made by
/// [`inode::create_cache`], while the value exists.
#[pin_data(PinnedDrop)]
pub struct Registration<F: FileSystem> {
    #[pin]
    fs_type: Opaque<bindings::file_system_type>,
    inode_cache: *mut bindings::kmem_cache,
    sysfs: TypeDirectory,
    _p: PhantomData<F>,
}

// SAFETY: `register_filesystem` and `unregister_filesystem` may be called from any thread, and
// there is no method that uses the fields.
unsafe impl<F: FileSystem> Send for Registration<F> {}
// SAFETY: As above.
unsafe impl<F: FileSystem> Sync for Registration<F> {}

impl<F: FileSystem> Registration<F> {
    /// Registers the filesystem type for `module`.
    pub fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            sysfs: TypeDirectory::new(F::NAME)?,
            inode_cache: inode::create_cache::<F>()?,
            fs_type <- Opaque::try_ffi_init(|slot: *mut bindings::file_system_type| {
                // SAFETY: `slot` is valid for writes; all zeroes is a valid value of the type.
                unsafe { ptr::write_bytes(slot, 0, 1) };
                // SAFETY: `slot` was just initialised and is not yet shared.
                let fs_type = unsafe { &mut *slot };
                fs_type.name = F::NAME.as_char_ptr();
                fs_type.fs_flags = bindings::FS_REQUIRES_DEV as c_int;
                fs_type.init_fs_context = Some(fs_context::init_fs_context::<F>);
                fs_type.parameters = fs_context::parameters::<F>();
                fs_type.kill_sb = Some(kill_sb);
                fs_type.owner = module.as_ptr();
                // SAFETY: `slot` is pinned until `unregister_filesystem` in the destructor.
                to_result(unsafe { bindings::register_filesystem(slot) })
            }),
            _p: PhantomData,
        }? Error)
    }

    /// Returns the slab cache of the inodes of a super block of this type.
    ///
    /// # Safety
    ///
    /// `sb` must point to a valid super block whose type was registered by a `Registration<F>`.
    pub(crate) unsafe fn inode_cache(sb: *mut bindings::super_block) -> *mut bindings::kmem_cache {
        // SAFETY: By the requirement, `s_type` is the field `fs_type` of a `Registration<F>`, which
        // outlives its super blocks because each of them holds a reference to the module.
        unsafe {
            let this = kernel::container_of!(Opaque::cast_from((*sb).s_type), Self, fs_type);
            (*this).inode_cache
        }
    }

    /// Returns the directory in sysfs of the type of a super block.
    ///
    /// # Safety
    ///
    /// As [`Registration::inode_cache`].
    pub(crate) unsafe fn sysfs(sb: *mut bindings::super_block) -> *mut bindings::kobject {
        // SAFETY: As in `inode_cache`.
        unsafe {
            let this = kernel::container_of!(Opaque::cast_from((*sb).s_type), Self, fs_type);
            (*this).sysfs.as_ptr()
        }
    }
}

#[pinned_drop]
impl<F: FileSystem> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the type is registered. Super blocks hold a reference to
        // the module, so that none is left when a module drops its registration.
        unsafe { bindings::unregister_filesystem(self.fs_type.get()) };
        // SAFETY: Inodes are freed by RCU callbacks, which `rcu_barrier` waits for; by the type
        // invariant the cache is valid, and no super block is left to allocate from it.
        unsafe {
            bindings::rcu_barrier();
            bindings::kmem_cache_destroy(self.inode_cache);
        }
    }
}

/// # Safety
///
/// Called by the VFS as `file_system_type.kill_sb` of a [`Registration`].
unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
    // SAFETY: The VFS passes a valid super block. `put_super` has dropped `s_fs_info` before the
    // device is closed, and so did a failed `fill_super`.
    unsafe { bindings::kill_block_super(sb) };
}
