// SPDX-License-Identifier: GPL-2.0

//! The runs of a read.

use super::{Issue, Run};
use crate::dio::extent;
use crate::dio::filesystem::{Filesystem, Mapping};
use crate::dio::policy::{Block, Stop};
use kernel::prelude::*;
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::iov::{IovIterDest, IovIterZero};

impl<'call, F: Filesystem> Issue<'_, 'call, IovIterDest<'call>, F> {
    /// Issues a read up to byte `end` of the file; returns why it stopped. While the lock is held,
    /// the block map does not change. May sleep.
    pub(in crate::dio) fn do_direct_read(
        &mut self,
        locked: &InodeLocked<F, Shared>,
        end: u64,
    ) -> Stop {
        let next = |this: &mut Self| this.read_run(locked, end);
        self.do_direct_io(end, next, |this, run| this.issue_data(run, Self::add_iter))
    }

    /// Finds the next run to read. A hole is read at once, and returned as an empty run.
    fn read_run(&mut self, locked: &InodeLocked<F, Shared>, end: u64) -> Result<Option<Run>> {
        let (pos, bits) = (self.pos(), self.bits());
        let wanted = extent::blocks_wanted(pos, end, bits);
        match self.map(locked, pos, wanted)? {
            Mapping::Mapped { physical, len, .. } => {
                let bytes = extent::run(pos, end, len, bits);
                // The caller wrote the range back, but without the inode lock. A block allocated
                // since holds stale data until its page is written back. After the look-up, so that
                // this covers every block that it found.
                let (from, to) = (bytes.start as i64, bytes.end as i64);
                if self.iocb.is_nowait() {
                    if self.iocb.range_needs_writeback(from, to) {
                        return Err(self.would_block(Block::Pages));
                    }
                } else if !mutant!("read-no-flush") {
                    self.iocb.write_and_wait_range(from, to, self.may_sleep)?;
                }
                Ok(Some(Run {
                    bytes,
                    physical,
                    fresh: false,
                }))
            }
            Mapping::Hole { len } => {
                let bytes = extent::run(pos, end, len, bits);
                let len = (bytes.end - bytes.start) as usize;
                let zeroed = if mutant!("hole-not-zeroed") {
                    len
                } else {
                    self.iter.zero(len)
                };
                let pos = bytes.start + zeroed as u64;
                self.request.outcome.issued_to(pos);
                if zeroed < len {
                    return Err(EFAULT);
                }
                Ok(Some(Run {
                    bytes: pos..pos,
                    physical: 0,
                    fresh: false,
                }))
            }
        }
    }
}
