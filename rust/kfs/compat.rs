// SPDX-License-Identifier: GPL-2.0

//! What changes from one series of the kernel to the next, as the newest has it.
//!
//! What the kernel has is asked of it when the module is built: by the files of `rust/probe`, see `Kbuild`. When the last
//! series without something goes, its probe goes, and what is here for it. What is a matter of declarations is where they
//! are: the parameters of `create` (`fs/inode_operations/table.rs`).

#[cfg(not(kfs_has_barrier_types))]
mod barrier;
#[cfg(not(kfs_has_error_codes))]
mod code;
#[cfg(not(kfs_has_raw_init))]
mod init;
#[cfg(not(kfs_has_spinlock_irq))]
mod spinlock_irq;
mod zeroed;

#[cfg(kfs_has_error_codes)]
use kernel::error::code;
#[cfg(kfs_has_spinlock_irq)]
use kernel::sync as spinlock_irq;
#[cfg(kfs_has_barrier_types)]
use kernel::sync::barrier;
#[cfg(kfs_has_raw_init)]
use pin_init as init;

pub use barrier::{smp_mb, Full, Read, Write};
pub use code::{ELOOP, ENAMETOOLONG, ENODATA, ENOTEMPTY, EOPNOTSUPP, ESHUTDOWN, ESTALE, EUCLEAN};
pub(crate) use init::{raw_init, raw_try_init};
pub use spinlock_irq::{new_spinlock_irq, SpinLockIrq};
pub use zeroed::zeroed;
