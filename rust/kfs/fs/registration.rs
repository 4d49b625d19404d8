// SPDX-License-Identifier: GPL-2.0

//! Registering a filesystem type.
//!
//! A filesystem module declares itself by [`module_fs!`](crate::module_fs): its type is registered from the end of its init
//! to its exit, and a filesystem has no way to end that before.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::file_system::FileSystem;
use crate::fs::file_system_type::{FileSystemType, LockKeyed};
use crate::fs::fs_context;
use crate::fs::inode::life;
use crate::kobject::Kobject;
use kernel::error::to_result;
use kernel::prelude::*;

/// Declares a module that is the filesystem `type`, which is a [`FileSystem`]. The rest is as for `module!`.
///
/// When the module is loaded, the expression `init` is evaluated, if there is one, then `FileSystem::type_data` is called, and the
/// type is registered.
#[macro_export]
macro_rules! module_fs {
    ($(init: $init:expr,)? type: $type:ty, $($info:tt)*) => {
        struct FileSystemModule {
            _registration: $crate::fs::registration::Registration<$type>,
        }

        impl ::kernel::Module for FileSystemModule {
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                static CALLED: ::kernel::sync::SetOnce<()> = ::kernel::sync::SetOnce::new();

                if !CALLED.populate(()) {
                    return Err(::kernel::error::code::EBUSY);
                }
                $($init;)?
                // SAFETY: It is the first call: that of `module!` in the init of the module, before which no other code of
                // it is run. That keeps the value in static memory, and drops it in the exit. After this
                // nothing is left that could fail.
                let registration = unsafe { $crate::fs::registration::Registration::new(module) };
                Ok(FileSystemModule { _registration: registration? })
            }
        }

        ::kernel::prelude::module! {
            type: FileSystemModule,
            $($info)*
        }
    };
}

/// Owner of a registered `struct file_system_type`: part of the module that [`module_fs!`](crate::module_fs) declares. Dropping
/// it unregisters the type; sleeps.
///
/// # Invariants
///
/// The type is registered while the value exists, and its slab cache is one for inodes of `F`.
pub struct Registration<F: FileSystem> {
    // Not in the value itself, which might be in static memory or not: see `LockKeyed`.
    inner: Pin<KBox<FileSystemType<F>>>,
    // Dropped last.
    _left: Left,
}

/// Waits, when dropped, until nobody runs code of the module any more on the way out of it.
///
/// What says that it is done by a completion, as the last bio of a set and the release of a kobject do,
/// may have its last instructions still to run when the waiter goes on, and then the module goes. In an
/// interrupt that is safe, and wherever else it is not preempted: between the exit of a module and
/// the end of its code the kernel waits for RCU. But a bio may be ended by a task, and the release of a kobject
/// is work, and these may be preempted there. So they are waited for as the kernel waits for those in a
/// trampoline: until each task has slept or returned to user space, which they do not in our code once
/// they have said so.
///
/// A preemptible kernel without `CONFIG_TASKS_RCU` (one without kprobes, ftrace and BPF) has no such function,
/// and waits for RCU alone.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        // SAFETY: May be called wherever sleeping is allowed, as it is in the exit of a module.
        unsafe { bindings::synchronize_rcu_tasks() };
    }
}

// SAFETY: `register_filesystem` and `unregister_filesystem` may be called from any thread, and
// there is no method that uses the fields.
unsafe impl<F: FileSystem> Send for Registration<F> {}
// SAFETY: As above.
unsafe impl<F: FileSystem> Sync for Registration<F> {}

impl<F: FileSystem> Registration<F> {
    /// Registers the filesystem type for `module`. May sleep.
    ///
    /// `EBUSY` when there is a type of that name.
    ///
    /// # Safety
    ///
    /// `module` must be being initialised, and its exit must drop the value; nothing else may. Super blocks use what it owns,
    /// and hold nothing but the module. So they may be there when this returns: the init must not fail any more.
    #[doc(hidden)]
    pub unsafe fn new(module: &'static ThisModule) -> Result<Self> {
        let inner = KBox::try_pin_init(
            try_pin_init!(FileSystemType {
                data: F::type_data()?,
                sysfs: Kobject::new_in_fs(F::NAME)?,
                inode_cache: life::create_cache::<F>()?,
                fs_type <- LockKeyed::new(),
            }),
            GFP_KERNEL,
        )?;
        let fs_type = inner.fs_type.as_raw();
        // SAFETY: It was just made, is not yet shared, and pinned until `unregister_filesystem` in the
        // destructor.
        to_result(unsafe {
            (*fs_type).name = F::NAME.as_char_ptr();
            (*fs_type).fs_flags = (bindings::FS_REQUIRES_DEV
                | bindings::FS_ALLOW_IDMAP
                | bindings::FS_LBS
                | if F::MULTIGRAIN {
                    bindings::FS_MGTIME
                } else {
                    0
                }) as c_int;
            (*fs_type).init_fs_context = Some(fs_context::init_fs_context::<F>);
            (*fs_type).parameters = fs_context::parameters::<F>();
            (*fs_type).kill_sb = Some(kill_sb);
            (*fs_type).owner = module.as_ptr();
            bindings::register_filesystem(fs_type)
        })?;
        // INVARIANT: Just registered.
        Ok(Registration { inner, _left: Left })
    }
}

impl<F: FileSystem> Drop for Registration<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the type is registered. By the contract of `new` this is the exit of the module, and
        // super blocks hold a reference to that, so that none is left.
        unsafe { bindings::unregister_filesystem(self.inner.fs_type.as_raw()) };
    }
}

/// # Safety
///
/// Called by the VFS as `file_system_type.kill_sb` of a [`Registration`].
unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
    // The VFS does not sync a mount that is read-only; but when that was forced, there may be dirty
    // pages, of writers that were on their way, or stored through a mapping.
    // SAFETY: The VFS passes a valid super block, and holds `s_umount`. With a root it is mounted
    // still, and inodes can be written.
    unsafe {
        if !(*sb).s_root.is_null()
            && (*sb).s_flags & bindings::SB_RDONLY != 0
            && !cfg!(mutant = "kfs-forced-unsynced")
        {
            bindings::sync_inodes_sb(sb);
        }
    }
    // SAFETY: As above. `put_super` has dropped `s_fs_info` before the device is closed, and so did a
    // failed `fill_super`.
    unsafe { bindings::kill_block_super(sb) };
}
