// SPDX-License-Identifier: GPL-2.0

//! Handling of corruption, and of metadata that could not be written.

use crate::ext2::superblock::{self, OnError};
use crate::ext2::Corrupt;
use crate::types::SuperBlock;
use crate::volume::fault::{self, Fault};
use crate::volume::state::Volume;
use crate::volume::superblock::SuperBuffer;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::block::bdev::BlockDevice;
use kfs::compat::EUCLEAN;
use kfs::log::ratelimit as log_ratelimit;

impl Volume {
    /// Checks for write errors on metadata, including those of background writeback, which returns
    /// them to no caller. May sleep.
    ///
    /// The volume is handled as corrupt: a buffer that could not be written may be lost, and then
    /// contradicts the others. `syncfs(2)` returns the error for every open file.
    pub(crate) fn check_device(&self, sb: &SuperBlock) {
        let device = BlockDevice::of(sb);
        if !device.has_unseen_write_error(&self.write_errors) {
            return;
        }
        // Before the error counts as seen: who finds it so looks at this.
        let is_first = !self.write_failed.xchg(true, ordering::Full);
        device.has_new_write_error(&self.write_errors);
        sb.set_wb_err(EIO);
        if is_first {
            pr_err!(
                "{}: cannot write metadata: unmount and run e2fsck\n",
                sb.id()
            );
            self.error(sb);
        }
    }

    /// Remembers that blocks or inodes could not be freed. Nothing contradicts them and the mount
    /// goes on, but the volume is not marked clean: e2fsck has to find them.
    pub(crate) fn set_leaked(&self) {
        self.leaked.store(true, ordering::Relaxed);
    }

    /// Counts an inode that could not be stored, and is dirty. Does not sleep.
    pub(crate) fn add_unstored(&self) {
        self.unstored.fetch_add(1, ordering::Relaxed);
    }

    /// Counts one less: it is stored, or has left memory. Does not sleep.
    pub(crate) fn drop_unstored(&self) {
        self.unstored.fetch_sub(1, ordering::Relaxed);
    }

    /// Reports corruption, by one line in the log and by fanotify (`FAN_FS_ERROR`), marks the
    /// volume as having errors, and acts on the option `errors=`. May sleep; takes the lock of the
    /// superblock's buffer.
    pub(crate) fn corrupt(&self, sb: &SuperBlock, corrupt: &Corrupt) {
        // The first one is always logged.
        if !self.found_corrupt.xchg(true, ordering::Relaxed) || log_ratelimit(c"retryfs_corrupt") {
            pr_err!("{}: corrupt: {}\n", sb.id(), corrupt);
        }
        if !mutant!("corruption-untold") {
            sb.report_metadata_error(corrupt.ino().map(u64::from), EUCLEAN);
        }
        self.error(sb);
    }

    /// Marks the volume as having errors, so that e2fsck checks it, and acts on the option
    /// `errors=`.
    fn error(&self, sb: &SuperBlock) {
        if sb.rdonly() || self.is_stopped() {
            return;
        }
        self.mark_error(sb);
        match self.options().on_error {
            OnError::Continue => {}
            OnError::RemountReadOnly => {
                pr_crit!(
                    "{}: refusing further changes to the volume: unmount and run e2fsck\n",
                    sb.id()
                );
                self.stopped.store(true, ordering::Relaxed);
            }
            OnError::Panic => kfs::panic::panic(c"the volume is corrupt and errors=panic is set"),
        }
    }

    /// Marks the volume as having errors, and waits for the superblock. While the volume is frozen
    /// that has to wait for the thaw: a snapshot may be made.
    pub(super) fn mark_error(&self, sb: &SuperBlock) {
        self.error_unmarked.store(true, ordering::Relaxed);
        let is_late = mutant!("frozen-marked-late") && !sb.is_frozen();
        let super_buffer = self.super_buffer.lock();
        // With the lock: a freeze that is under way marks it, or has written the superblock for the last time.
        if sb.is_freezing() && !is_late && !mutant!("frozen-marked") {
            return;
        }
        let marked = self.update_locked(&super_buffer, true, |bytes, _| {
            superblock::update::mark_error(bytes)
        });
        if marked.is_err() {
            pr_err!("{}: cannot mark the volume as having errors\n", sb.id());
        }
    }

    /// With a change of the superblock in its locked buffer: marks what was found while the volume
    /// was frozen.
    pub(super) fn mark_error_of_freeze(&self, super_buffer: &SuperBuffer) -> fault::Result {
        if self.error_unmarked.xchg(false, ordering::Relaxed) {
            super_buffer.change(|bytes, _| superblock::update::mark_error(bytes))?;
        }
        Ok(())
    }
}

impl Fault {
    /// Turns the fault into an errno. Corruption is `EUCLEAN`, after [`Volume::corrupt`] has
    /// reported it. May sleep.
    pub(crate) fn report(self, sb: &SuperBlock) -> Error {
        match self {
            Fault::Corrupt(corrupt) => {
                sb.data().corrupt(sb, &corrupt);
                EUCLEAN
            }
            Fault::Error(error) => error,
        }
    }

    /// For an allocator that met this fault in a group: reports corruption, after which it may try
    /// the next group. So it may when the device cannot read a bitmap; `unread` gets the error then,
    /// for when no other group has anything free. Fails with any other fault, and with `EROFS` when
    /// the corruption stops changes to the volume. May sleep.
    pub(super) fn skip_group(self, sb: &SuperBlock, unread: &mut Option<Error>) -> fault::Result {
        let corrupt = match self {
            Fault::Corrupt(corrupt) => corrupt,
            Fault::Error(error) if error == EIO && !mutant!("unread-ends") => {
                *unread = Some(error);
                return Ok(());
            }
            other => return Err(other),
        };
        sb.data().corrupt(sb, &corrupt);
        if sb.data().is_stopped() {
            return Err(EROFS.into());
        }
        Ok(())
    }
}

/// Turns a fault in `result` into an errno: see [`Fault::report`].
pub(crate) fn reported<T>(sb: &SuperBlock, result: fault::Result<T>) -> Result<T> {
    result.map_err(|fault| fault.report(sb))
}
