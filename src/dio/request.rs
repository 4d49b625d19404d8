// SPDX-License-Identifier: GPL-2.0

//! What is known about a request.

use super::extent::BlockBits;
use super::outcome::Outcome;
use kernel::prelude::*;
use kfs::block::bio::Op;
use kfs::fs::kiocb::{AsyncKiocb, KiocbOwner};

/// What is known about a request. It belongs to whoever works on the request: the submitter, then
/// the retry.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Read or write.
    pub(super) op: Op,
    /// Block size of the filesystem.
    pub(super) bits: BlockBits,
    /// How many bytes were asked for.
    pub(super) len: u32,
    /// Size of the file when the blocks were looked up.
    pub(super) i_size: u64,
    /// Behind the last byte for which a block was allocated.
    pub(super) allocated_to: u64,
    /// Where it starts, and what has become of it.
    pub(super) outcome: Outcome<Error>,
}

impl Request {
    /// The position in the file where the request starts.
    pub(super) fn start(&self) -> u64 {
        self.outcome.start()
    }

    /// Behind the last byte that was asked for.
    pub(super) fn end(&self) -> u64 {
        self.start() + u64::from(self.len)
    }

    /// How many bytes count.
    ///
    /// A read that crosses the end of the file counts up to there only, although the device reads
    /// whole sectors (R13). The end is the one under which the blocks were looked up.
    pub(super) fn count(&self) -> Result<usize> {
        let count = self.outcome.count(self.bits)?;
        Ok(match self.op {
            Op::Read if !mutant!("read-past-eof") => {
                count.min(self.i_size.saturating_sub(self.start()))
            }
            _ => count,
        } as usize)
    }
}

/// An asynchronous request whose submitter has left.
pub(crate) struct Armed<F: KiocbOwner> {
    pub(super) iocb: AsyncKiocb<F>,
    pub(super) request: Request,
}
