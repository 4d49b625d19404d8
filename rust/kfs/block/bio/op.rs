// SPDX-License-Identifier: GPL-2.0

//! What a bio is to do.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings;

/// Bytes in a sector, the unit of addresses on a device whatever its logical block size.
pub const SECTOR_SIZE: u64 = 512;

/// The bits of `bi_opf` that say what to do, as opposed to how.
pub(super) const REQ_OP_MASK: bindings::blk_opf_t = (1 << bindings::REQ_OP_BITS) - 1;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// From the device to memory.
    Read,
    /// To the device from memory, and a task may wait for it (`REQ_SYNC`, `REQ_IDLE`).
    Write,
}

impl Op {
    pub(crate) const fn opf(self) -> bindings::blk_opf_t {
        match self {
            Op::Read => bindings::req_op_REQ_OP_READ,
            Op::Write => {
                bindings::req_op_REQ_OP_WRITE
                    | 1 << bindings::req_flag_bits___REQ_SYNC
                    | 1 << bindings::req_flag_bits___REQ_IDLE
            }
        }
    }
}
