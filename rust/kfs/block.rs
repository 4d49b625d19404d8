// SPDX-License-Identifier: GPL-2.0

//! Block devices, bios, and the buffer cache.

pub mod bdev;
pub mod bio;
pub mod buffer_head;
pub mod plug;
