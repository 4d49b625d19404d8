// SPDX-License-Identifier: GPL-2.0

//! Trace points of direct I/O, by name `retryfs:retryfs_dio_*` in tracefs, perf and bpftrace.
//!
//! A trace point that is off costs a no-op: the branch around the call is patched when it is
//! turned on. All functions may be called in any context.
//!
//! C headers: `rust/helpers/retryfs_trace.h`,
//! [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::Inode;

macro_rules! trace_points {
    ($(
        $(#[$doc:meta])*
        $name:ident($($arg:ident: $type:ty),*) = $tracepoint:ident, $call:ident;
    )*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name<F: FileSystemData>(inode: &Inode<F>, $($arg: $type),*) {
            #[cfg(CONFIG_TRACEPOINTS)]
            {
                // SAFETY: The key is one that C has defined.
                let on = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        crate::bindings::$tracepoint,
                        kernel::bindings::tracepoint,
                        key
                    )
                };
                if on {
                    // SAFETY: By the invariants of `Inode` it is valid; the other arguments are
                    // numbers.
                    unsafe { crate::bindings::$call(inode.as_raw(), $($arg),*) };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = (inode, $($arg),*);
        }
    )*};
}

trace_points! {
    /// The worker was entered with a new request for `len` bytes at byte `pos`.
    dio_submit(pos: u64, len: u64, write: bool, is_async: bool)
        = __tracepoint_retryfs_dio_submit, rust_do_trace_retryfs_dio_submit;

    /// A bio for `len` bytes at byte `pos` goes to `sector` (of 512 bytes) of the device.
    dio_bio(pos: u64, len: u64, sector: u64)
        = __tracepoint_retryfs_dio_bio, rust_do_trace_retryfs_dio_bio;

    /// An asynchronous request at byte `pos` is waited for; `reason` is 0 for an extend, 1 for a
    /// hole, 2 for an error.
    dio_switch(pos: u64, reason: u32)
        = __tracepoint_retryfs_dio_switch, rust_do_trace_retryfs_dio_switch;

    /// The retry of an asynchronous request for `len` bytes at byte `pos` begins.
    dio_retry(pos: u64, len: i64)
        = __tracepoint_retryfs_dio_retry, rust_do_trace_retryfs_dio_retry;

    /// The last `left` bytes of a write, from byte `pos` on, are left to the page cache.
    dio_fallback(pos: u64, left: i64)
        = __tracepoint_retryfs_dio_fallback, rust_do_trace_retryfs_dio_fallback;

    /// All bios of the request at byte `pos` are reaped; `result` is a count of bytes or a negative
    /// error number.
    dio_complete(pos: u64, result: i64)
        = __tracepoint_retryfs_dio_complete, rust_do_trace_retryfs_dio_complete;
}
