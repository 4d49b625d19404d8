// SPDX-License-Identifier: GPL-2.0

//! retryfs.
#![forbid(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Retryfs,
    name: "retryfs",
    authors: ["The retryfs developers"],
    description: "ext2 with retry-based asynchronous direct I/O",
    license: "GPL",
    alias: ["fs-retryfs"],
}

struct Retryfs {
}

impl kernel::Module for Retryfs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {  })
    }
}
