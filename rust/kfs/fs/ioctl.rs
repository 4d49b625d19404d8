// SPDX-License-Identifier: GPL-2.0

//! `ioctl(2)` on files and directories: what several filesystems have, by the same numbers.
//!
//! What a call needs (a right, a mount that can be written to, memory of the user) is seen to here,
//! so that the filesystem has values only. Flags (`FS_IOC_GETFLAGS`), FIEMAP and freezing are done by
//! the VFS.
//!
//! C headers: [`include/uapi/linux/fs.h`](srctree/include/uapi/linux/fs.h),
//! [`include/linux/mount.h`](srctree/include/linux/mount.h)

use crate::bindings;
use crate::block::bdev::BlockDevice;
use crate::compat::EOPNOTSUPP;
use crate::cred;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;
use crate::fs::shutdown::{self, Shutdown};
use crate::fs::super_block::SuperBlock;
use core::marker::PhantomData;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::uaccess::{UserPtr, UserSlice};

/// The operations of `ioctl(2)`. They may sleep, and no lock is held but where it says so. What is not
/// implemented fails with `ENOTTY`.
#[vtable]
pub trait Ioctl: Shutdown {
    /// How many bytes the label of a volume can have.
    const LABEL_MAX: usize = 0;

    /// Sets the generation of an inode (`FS_IOC_SETVERSION`).
    fn set_generation(_inode: &InodeLocked<Self, Exclusive>, _generation: u32) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Copies the label of the volume to `label`, which has [`Ioctl::LABEL_MAX`] bytes, all zeroes.
    fn label(_sb: &SuperBlock<Self>, _label: &mut [u8]) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the label of the volume, and waits for the device: `label` has [`Ioctl::LABEL_MAX`]
    /// bytes, and is filled up with zeroes.
    fn set_label(_sb: &SuperBlock<Self>, _label: &[u8]) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Discards free blocks (`FITRIM`), and returns how many bytes. The device can discard; the mount may
    /// be read-only or frozen.
    fn trim(_sb: &SuperBlock<Self>, _range: &Trim) -> Result<u64> {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// What is to be discarded by `FITRIM`, in bytes.
pub struct Trim {
    /// The place on the device from which on,
    pub start: u64,
    /// in how many bytes, and
    pub len: u64,
    /// how long a piece is at least.
    pub min_len: u64,
}

/// Room for a label with a zero at its end, in `FS_IOC_GETFSLABEL`.
const LABEL_SIZE: usize = bindings::FSLABEL_MAX as usize;

/// The right to write to a mount: it is not read-only, and is not frozen, as long as the value lives.
///
/// # Invariants
///
/// `mnt_want_write_file` has succeeded for the file, which is open for `'a`.
struct WantWrite<'a>(*mut bindings::file, PhantomData<&'a ()>);

impl WantWrite<'_> {
    /// Waits while the mount is frozen. `EROFS` if it is read-only.
    ///
    /// # Safety
    ///
    /// `file` must be open for the life time of the value.
    unsafe fn new(file: *mut bindings::file) -> Result<Self> {
        // SAFETY: By the requirement.
        to_result(unsafe { bindings::mnt_want_write_file(file) })?;
        // INVARIANT: It has succeeded.
        Ok(WantWrite(file, PhantomData))
    }
}

impl Drop for WantWrite<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::mnt_drop_write_file(self.0) };
    }
}

/// # Safety
///
/// Called by the VFS as `unlocked_ioctl` of a file of `F`.
pub(super) unsafe extern "C" fn unlocked_ioctl<F: Ioctl>(
    file: *mut bindings::file,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: By the requirement.
    match unsafe { ioctl::<F>(file, cmd, UserPtr::from_addr(arg)) } {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}

/// The same for tasks with pointers of 32 bits.
///
/// # Safety
///
/// Called by the VFS as `compat_ioctl` of a file that has [`unlocked_ioctl`].
pub(super) unsafe extern "C" fn compat_ioctl(
    file: *mut bindings::file,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // What they point to is the same: an `int`, whatever the number says.
    let cmd = match cmd {
        bindings::FS_IOC32_GETVERSION => bindings::FS_IOC_GETVERSION,
        bindings::FS_IOC32_SETVERSION => bindings::FS_IOC_SETVERSION,
        other => other,
    };
    match bindings::compat_ptr_ioctl {
        // SAFETY: By the requirement. It calls `unlocked_ioctl` with a pointer.
        Some(ioctl) => unsafe { ioctl(file, cmd, arg) },
        None => ENOTTY.to_errno() as c_long,
    }
}

/// # Safety
///
/// `file` must be an open file of `F`.
unsafe fn ioctl<F: Ioctl>(file: *mut bindings::file, cmd: c_uint, arg: UserPtr) -> Result {
    // SAFETY: By the requirement; the file holds its inode.
    let inode = unsafe { Inode::<F>::from_raw((*file).f_inode) };
    match cmd {
        bindings::FS_IOC_GETVERSION => UserSlice::new(arg, size_of::<u32>())
            .writer()
            .write(&inode.generation()),
        bindings::FS_IOC_SETVERSION if F::HAS_SET_GENERATION => {
            // SAFETY: By the requirement.
            let may = unsafe {
                bindings::inode_owner_or_capable(bindings::file_mnt_idmap(file), inode.as_raw())
            };
            if !may && !cfg!(mutant = "kfs-ioctl-anybody") {
                return Err(EPERM);
            }
            // SAFETY: By the requirement the file is open during the call.
            let _write = unsafe { WantWrite::new(file) }?;
            let generation = UserSlice::new(arg, size_of::<u32>()).reader().read()?;
            F::set_generation(&inode.lock(), generation)
        }
        bindings::FS_IOC_GETFSLABEL if F::HAS_LABEL => {
            let mut label = [0; LABEL_SIZE];
            F::label(inode.sb(), part(&mut label, F::LABEL_MAX))?;
            let label = part(&mut label, F::LABEL_MAX + 1);
            UserSlice::new(arg, label.len()).writer().write_slice(label)
        }
        bindings::FS_IOC_SETFSLABEL if F::HAS_SET_LABEL => {
            check_admin()?;
            let mut label = [0; LABEL_SIZE];
            let given = part(&mut label, F::LABEL_MAX + 1);
            UserSlice::new(arg, given.len())
                .reader()
                .read_slice(given)?;
            let len = given.iter().position(|&byte| byte == 0).ok_or(EINVAL)?;
            given.iter_mut().skip(len).for_each(|byte| *byte = 0);
            // SAFETY: By the requirement the file is open during the call.
            let _write = unsafe { WantWrite::new(file) }?;
            F::set_label(inode.sb(), part(&mut label, F::LABEL_MAX))
        }
        bindings::FITRIM if F::HAS_TRIM => {
            check_admin()?;
            if !BlockDevice::of(inode.sb()).can_discard() {
                return Err(EOPNOTSUPP);
            }
            let given = UserSlice::new(arg, size_of::<[u64; 3]>());
            let [start, len, min_len] = given.reader().read()?;
            let range = Trim {
                start,
                len,
                min_len,
            };
            let trimmed = F::trim(inode.sb(), &range)?;
            UserSlice::new(arg, size_of::<[u64; 3]>())
                .writer()
                .write(&[start, trimmed, min_len])
        }
        bindings::FS_IOC_SHUTDOWN if F::HAS_SHUT_DOWN => {
            check_admin()?;
            let flags = UserSlice::new(arg, size_of::<u32>()).reader().read()?;
            shutdown::shut_down(inode.sb(), flags)
        }
        _ => Err(ENOTTY),
    }
}

/// `EPERM` if the current task may not administer the system.
fn check_admin() -> Result {
    match cred::capable_sys_admin() || cfg!(mutant = "kfs-ioctl-anybody") {
        true => Ok(()),
        false => Err(EPERM),
    }
}

/// The first `len` bytes of a label; there is always room for a zero behind it.
fn part(label: &mut [u8; LABEL_SIZE], len: usize) -> &mut [u8] {
    label.get_mut(..len).unwrap_or_default()
}
