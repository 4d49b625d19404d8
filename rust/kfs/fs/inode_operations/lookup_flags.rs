// SPDX-License-Identifier: GPL-2.0

//! What a name is looked up for: `LOOKUP_*`.
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use crate::bindings;
use kernel::prelude::*;

/// What a name is looked up for.
#[derive(Clone, Copy, Debug)]
pub struct LookupFlags(pub(super) c_uint);

impl LookupFlags {
    /// Something is to be made of that name, if it is not there: `LOOKUP_CREATE`.
    pub fn is_create(self) -> bool {
        self.0 & bindings::LOOKUP_CREATE != 0
    }
}
