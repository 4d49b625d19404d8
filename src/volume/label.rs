// SPDX-License-Identifier: GPL-2.0

//! The label of the volume.

use crate::ext2::label::{self, LABEL_MAX};
use crate::types::SuperBlock;
use crate::volume::fault::Result;
use crate::volume::state::Volume;

impl Volume {
    /// The label as it is in the buffer of the superblock, also if another program has changed it. Takes
    /// the lock of that buffer; may sleep.
    pub(crate) fn label(&self) -> Result<[u8; LABEL_MAX]> {
        let mut found = [0; LABEL_MAX];
        // Nothing is changed.
        self.super_buffer.lock().change(|bytes, _| {
            found = label::read(bytes);
            Ok(0..0)
        })?;
        Ok(found)
    }

    /// Sets the label, and waits until it is on stable storage. Backups keep the old one. May sleep. `EIO` when it
    /// cannot be written.
    pub(crate) fn set_label(&self, sb: &SuperBlock, label: &[u8; LABEL_MAX]) -> Result {
        let wait = !mutant!("label-unwritten");
        let set = self
            .update_superblock(wait, |bytes, _| label::set(bytes, label))
            .and_then(|()| self.flush_superblock(sb));
        match mutant!("label-error-lost") {
            true => Ok(()),
            false => set,
        }
    }
}
