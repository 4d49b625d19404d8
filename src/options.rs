// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::ext2::superblock::{OnError, Superblock};
use crate::SuperBlock;
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

/// The options that are understood.
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

/// Options as the user gave them; what was not given is `None`.
#[derive(Default)]
pub(crate) struct Given {
    on_error: Option<OnError>,
    reserved_uid: Option<u32>,
    reserved_gid: Option<u32>,
    inherit_group: Option<bool>,
}

impl Given {
    /// Takes in one option. `EINVAL` when its value makes no sense.
    pub(crate) fn parse(&mut self, param: &Parameter<'_>) -> Result {
        match param.opt() {
            ERRORS => {
                let value = param.string().map_or(&b""[..], |value| value.to_bytes());
                self.on_error = Some(match value {
                    b"continue" => OnError::Continue,
                    b"remount-ro" => OnError::RemountReadOnly,
                    b"panic" => OnError::Panic,
                    _ => {
                        pr_err!("errors= takes continue, remount-ro or panic\n");
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
                    pr_info!("options acl and user_xattr have no effect: not supported\n");
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

/// The options of a mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// What to do when the volume turns out to be corrupt.
    pub(crate) on_error: OnError,
    /// The user who may use reserved blocks.
    pub(crate) reserved_uid: u32,
    /// The group whose members may use reserved blocks.
    pub(crate) reserved_gid: u32,
    /// New files get the group of their directory rather than that of their maker.
    pub(crate) inherit_group: bool,
}

impl Options {
    /// Bit of the default mount options in the superblock: as the option `bsdgroups`.
    const DEFAULT_BSDGROUPS: u32 = 0x2;

    /// The options that the superblock asks for.
    pub(crate) fn default_of(superblock: &Superblock) -> Self {
        Options {
            on_error: superblock.on_error,
            reserved_uid: superblock.reserved_uid.into(),
            reserved_gid: superblock.reserved_gid.into(),
            inherit_group: superblock.default_mount_options & Self::DEFAULT_BSDGROUPS != 0,
        }
    }

    /// These options with what was given in their place.
    pub(crate) fn with(self, given: &Given) -> Self {
        Options {
            on_error: given.on_error.unwrap_or(self.on_error),
            reserved_uid: given.reserved_uid.unwrap_or(self.reserved_uid),
            reserved_gid: given.reserved_gid.unwrap_or(self.reserved_gid),
            inherit_group: given.inherit_group.unwrap_or(self.inherit_group),
        }
    }
}

/// Writes the options that are not those of the superblock.
pub(crate) fn show(sb: &SuperBlock, seq: &SeqFile) {
    let volume = sb.data();
    let (options, default) = (volume.options(), Options::default_of(&volume.superblock));
    if options.on_error != default.on_error {
        let name = match options.on_error {
            OnError::Continue => "continue",
            OnError::RemountReadOnly => "remount-ro",
            OnError::Panic => "panic",
        };
        seq_print!(seq, ",errors={}", name);
    }
    if options.reserved_uid != default.reserved_uid {
        seq_print!(seq, ",resuid={}", options.reserved_uid);
    }
    if options.reserved_gid != default.reserved_gid {
        seq_print!(seq, ",resgid={}", options.reserved_gid);
    }
    if options.inherit_group != default.inherit_group {
        let no = if options.inherit_group { "" } else { "no" };
        seq_print!(seq, ",{}grpid", no);
    }
}
