// SPDX-License-Identifier: GPL-2.0

//! kfs: the support crate of retryfs.
//!
//! Safe wrappers for the parts of the kernel's C API that a block filesystem needs and the
//! `kernel` crate does not have: file system types and mounts, inodes, the page cache, the buffer
//! cache, direct I/O. Names and shapes are those of C: one trait for each table of operations, one
//! type for each structure. What C says in comments is in the types: who owns a reference, which
//! lock is held, what has been initialised.
//!
//! All the unsafe Rust of the project is in this crate.
//!
//! # Floors
//!
//! A module is where the `kernel` crate has it, or would have it. What imports what is checked as in
//! the filesystem's crate (`scripts/check-floors`), and no files import each other in a circle:
//!
//! | floor | imports | what |
//! | --- | --- | --- |
//! | `fs` | `block`, `compat`, `mm`, `iov`, `cred`, `kobject`, `sync`, `task`, `time`, `types`, `workqueue`, `bindings` | Super blocks, inodes, files, requests. |
//! | `sysfs` | `fs`, `kobject`, `bindings` | Files in `/sys/fs`. |
//! | `trace` | `fs`, `bindings` | Trace points. |
//! | `block` | `compat`, `iov`, `sync`, `task`, `types`, `workqueue`, `bindings` | Bios, block devices, the buffer cache. |
//! | `mm` | `sync`, `task`, `bindings` | The page cache, and scopes of allocation. |
//! | `iov` | `bindings` | Iterators over memory. |
//! | `sync` | `types`, `bindings` | Completions, and fields that others change. |
//! | `workqueue` | `bindings` | The workqueues of a mount. |
//! | `cred` | `bindings` | Rights of the current task. |
//! | `kobject` | `bindings` | Kernel objects. |
//! | `task` | `bindings` | The current task, and the context that code runs in. |
//! | `time` | `bindings` | Time of day. |
//! | `random` | `bindings` | Random numbers. |
//! | `log` | `bindings` | The kernel log. |
//! | `panic` | `bindings` | The end of everything. |
//! | `compat` | `bindings` | What changes from one series of the kernel to the next. |
//! | `types` | | Properties of types. |
//! | `bindings` | | The C API. |

// Offsets in files and page indices are turned into each other without a look at what is lost.
#[cfg(not(CONFIG_64BIT))]
compile_error!("retryfs is for 64-bit kernels");

/// The prefix of what this crate writes to the kernel log.
const __LOG_PREFIX: &[u8] = b"retryfs\0";

#[allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
pub mod bindings;
pub mod block;
pub mod compat;
pub mod cred;
pub mod fs;
pub mod iov;
pub(crate) mod kobject;
pub mod log;
pub mod mm;
pub mod panic;
pub mod random;
pub mod sync;
pub mod sysfs;
pub mod task;
pub mod time;
pub mod trace;
pub mod types;
pub mod workqueue;
