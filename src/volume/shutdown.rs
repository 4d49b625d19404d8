// SPDX-License-Identifier: GPL-2.0

//! A volume that is shut down: no operation reads or changes it any more, until it is unmounted.

use crate::types::SuperBlock;
use crate::volume::state::Volume;
use kernel::prelude::*;
use kernel::sync::atomic::ordering;
use kfs::compat::ESHUTDOWN;
use kfs::sync::unordered;

impl Volume {
    /// Shuts the volume down. It is also stopped, as by an error: what it was marked as stays. Does
    /// nothing the second time. May sleep.
    pub(crate) fn shut_down(&self, sb: &SuperBlock) {
        if self.shut_down.xchg(true, ordering::Full) {
            return;
        }
        self.stopped.store(true, ordering::Release);
        pr_crit!("{}: shut down\n", sb.id());
        sb.report_metadata_error(None, ESHUTDOWN);
    }

    /// Whether the volume is shut down. Any context.
    pub(crate) fn is_shut_down(&self) -> bool {
        unordered::load(&self.shut_down) && !mutant!("shutdown-ignored")
    }

    /// `EIO` if the volume is shut down. Any context.
    pub(crate) fn check_up(&self) -> Result {
        match self.is_shut_down() {
            true => Err(EIO),
            false => Ok(()),
        }
    }
}
