// SPDX-License-Identifier: GPL-2.0

//! Plugs: bios that are submitted together reach the device together.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use core::mem::MaybeUninit;

/// Runs `f`, with the block layer of the current task plugged if `f` submits `several` bios: for one
/// alone that costs more than it saves.
///
/// Bios that `f` submits may be held back until it returns, so that they can be merged and handed
/// to the driver in one go. If the task sleeps meanwhile they are let go, so `f` may wait for
/// memory or locks.
#[inline]
pub fn plugged<R>(several: bool, f: impl FnOnce() -> R) -> R {
    let mut plug = MaybeUninit::<bindings::blk_plug>::uninit();

    if several {
        // SAFETY: `plug` is valid for writes. The function initialises it and may store its address in
        // the current task, where it stays until `blk_finish_plug`; `plug` does not move until then.
        unsafe { bindings::blk_start_plug(plug.as_mut_ptr()) };
    }
    let ret = f();
    if several {
        // SAFETY: `plug` was initialised by `blk_start_plug` on this task, and since `f` cannot unwind
        // this is reached exactly once.
        unsafe { bindings::blk_finish_plug(plug.as_mut_ptr()) };
    }
    ret
}
