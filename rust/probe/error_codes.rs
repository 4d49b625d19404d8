// SPDX-License-Identifier: GPL-2.0

//! The `kernel` crate has names for these error codes (7.3).

/// Compiles if it has.
pub use kernel::error::code::{
    ELOOP, ENAMETOOLONG, ENODATA, ENOTEMPTY, EOPNOTSUPP, ESHUTDOWN, ESTALE, EUCLEAN,
};
