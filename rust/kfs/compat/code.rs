// SPDX-License-Identifier: GPL-2.0

//! Error codes that the `kernel` crate has no names for before 7.3.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use crate::bindings;
use kernel::error::Error;

const fn error(errno: u32) -> Error {
    assert!(errno > 0 && errno <= bindings::MAX_ERRNO);
    // SAFETY: An `Error` is a negative errno in a `NonZeroI32`, and has no other field: in a type of the same size, which
    // `transmute` checks, that field lies where the number does. The errno is in the range that its invariant asks for.
    unsafe { core::mem::transmute::<i32, Error>(-(errno as i32)) }
}

/// Too many symbolic links, or a loop of names.
pub const ELOOP: Error = error(bindings::ELOOP);

/// A name is too long.
pub const ENAMETOOLONG: Error = error(bindings::ENAMETOOLONG);

/// There is no such attribute.
pub const ENODATA: Error = error(bindings::ENODATA);

/// A directory is not empty.
pub const ENOTEMPTY: Error = error(bindings::ENOTEMPTY);

/// What was asked for is not offered.
pub const EOPNOTSUPP: Error = error(bindings::EOPNOTSUPP);

/// What it is asked of was shut down.
pub const ESHUTDOWN: Error = error(bindings::ESHUTDOWN);

/// A file handle leads to nothing.
pub const ESTALE: Error = error(bindings::ESTALE);

/// The volume is corrupt.
pub const EUCLEAN: Error = error(bindings::EUCLEAN);
