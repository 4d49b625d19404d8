// SPDX-License-Identifier: GPL-2.0

//! What a superblock says against writing to the volume: that it should be checked, or is too new.

use super::superblock::Superblock;

impl Superblock {
    /// Why e2fsck should be run before the volume is written to, at `now`, in seconds since 1970.
    pub(crate) fn check_due(&self, now: u64) -> Option<&'static str> {
        let since = now.saturating_sub(self.last_check.into());
        if !self.state.is_clean() || self.state.has_errors() {
            Some("not clean or has errors")
        } else if self
            .max_mount_count
            .is_some_and(|max| self.mount_count >= max)
        {
            Some("mounted as often as it should be without a check")
        } else if self.check_interval != 0 && since >= self.check_interval.into() {
            Some("not checked for longer than it should be")
        } else {
            None
        }
    }

    /// Whether the volume may be written to, as far as its revision goes.
    pub(crate) const fn is_known_revision(&self) -> bool {
        self.revision <= 1
    }
}
