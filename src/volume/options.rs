// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::ext2::superblock::OnError;
use crate::ext2::tuned::Tuned;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kfs::fs::fs_parser::{Parameter, ParameterSpec};

const ERRORS: u8 = 0;
const RESUID: u8 = 1;
const RESGID: u8 = 2;
const GRPID: u8 = 3;
const BSDGROUPS: u8 = 4;
const SYSVGROUPS: u8 = 5;
const ACL: u8 = 6;
const USER_XATTR: u8 = 7;

/// The mount options, for the parser of the VFS.
pub(crate) const PARAMETERS: &[ParameterSpec] = &[
    ParameterSpec::string(c"errors", ERRORS),
    ParameterSpec::u32(c"resuid", RESUID),
    ParameterSpec::u32(c"resgid", RESGID),
    ParameterSpec::flag_no(c"grpid", GRPID),
    ParameterSpec::flag(c"bsdgroups", BSDGROUPS),
    ParameterSpec::flag(c"sysvgroups", SYSVGROUPS),
    ParameterSpec::flag_no(c"acl", ACL),
    ParameterSpec::flag_no(c"user_xattr", USER_XATTR),
    ParameterSpec::END,
];

/// The options in a mount or remount request; `None` for those that are not in it.
#[derive(Clone, Copy, Default)]
pub(crate) struct ParsedOptions {
    on_error: Option<OnError>,
    reserved_uid: Option<u32>,
    reserved_gid: Option<u32>,
    inherit_group: Option<bool>,
}

impl ParsedOptions {
    /// Parses one option. `EINVAL` when its value is not valid.
    pub(crate) fn parse(&mut self, param: &Parameter<'_>) -> Result {
        match param.opt() {
            ERRORS => {
                let value = param.string().map_or(&b""[..], |value| value.to_bytes());
                self.on_error = Some(match value {
                    b"continue" => OnError::Continue,
                    b"remount-ro" => OnError::RemountReadOnly,
                    b"panic" => OnError::Panic,
                    _ => {
                        pr_err!("option errors=: not one of continue, remount-ro, panic\n");
                        return Err(EINVAL);
                    }
                });
            }
            RESUID => self.reserved_uid = Some(param.u32()),
            RESGID => self.reserved_gid = Some(param.u32()),
            GRPID => self.inherit_group = Some(!param.negated()),
            BSDGROUPS => self.inherit_group = Some(true),
            SYSVGROUPS => self.inherit_group = Some(false),
            ACL | USER_XATTR => {
                if !param.negated() {
                    pr_info!("options acl and user_xattr are not supported and ignored\n");
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Takes over what is in `newer`.
    pub(super) fn update(&mut self, newer: &ParsedOptions) {
        *self = ParsedOptions {
            on_error: newer.on_error.or(self.on_error),
            reserved_uid: newer.reserved_uid.or(self.reserved_uid),
            reserved_gid: newer.reserved_gid.or(self.reserved_gid),
            inherit_group: newer.inherit_group.or(self.inherit_group),
        };
    }

    /// Shows them as in `/proc/mounts`.
    pub(crate) fn show(&self, seq: &SeqFile) {
        if let Some(on_error) = self.on_error {
            let name = match on_error {
                OnError::Continue => "continue",
                OnError::RemountReadOnly => "remount-ro",
                OnError::Panic => "panic",
            };
            seq_print!(seq, ",errors={}", name);
        }
        if let Some(uid) = self.reserved_uid {
            seq_print!(seq, ",resuid={}", uid);
        }
        if let Some(gid) = self.reserved_gid {
            seq_print!(seq, ",resgid={}", gid);
        }
        match self.inherit_group {
            Some(true) => seq_print!(seq, ",grpid"),
            Some(false) => seq_print!(seq, ",nogrpid"),
            None => {}
        }
    }
}

/// The options of a mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// What to do when the volume is found to be corrupt.
    pub(crate) on_error: OnError,
    /// The user who may allocate reserved blocks.
    pub(crate) reserved_uid: u32,
    /// The group whose members may allocate reserved blocks.
    pub(crate) reserved_gid: u32,
    /// New files get the group of their directory rather than the fsgid of the task.
    pub(crate) inherit_group: bool,
}

impl Options {
    /// `EXT2_DEFM_BSDGROUPS` in the default mount options of the superblock.
    const DEFAULT_BSDGROUPS: u32 = 0x2;

    /// The options in effect on a volume: those `given`, and its defaults for the others.
    pub(super) fn of(tuned: &Tuned, given: &ParsedOptions) -> Self {
        let bsdgroups = tuned.default_mount_options & Self::DEFAULT_BSDGROUPS != 0;
        Options {
            on_error: given.on_error.unwrap_or(tuned.on_error),
            reserved_uid: given.reserved_uid.unwrap_or(tuned.reserved_uid.into()),
            reserved_gid: given.reserved_gid.unwrap_or(tuned.reserved_gid.into()),
            inherit_group: given.inherit_group.unwrap_or(bsdgroups),
        }
    }
}
