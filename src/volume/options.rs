// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::ext2::mount_options::{words, Word};
use crate::ext2::superblock::{OnError, SUPERBLOCK_OFFSET};
use crate::ext2::tuned::Tuned;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::str::BStr;
use kfs::fs::fs_parser::{Parameter, ParameterSpec};

const ERRORS: u8 = 0;
const RESUID: u8 = 1;
const RESGID: u8 = 2;
const GRPID: u8 = 3;
const BSDGROUPS: u8 = 4;
const SYSVGROUPS: u8 = 5;
const ACL: u8 = 6;
const USER_XATTR: u8 = 7;
const SB: u8 = 8;
const ASYNC_ALLOC: u8 = 9;
const CHECK: u8 = 10;
/// An option with a number that has no effect: one of [`NUMBERS`].
const NUMBER: u8 = 11;
/// What `/proc/mounts` has of a mount besides its options: one of [`STATES`].
const STATE: u8 = 12;
/// Of the options in [`FLAGS`], the first.
const FIRST_FLAG: u8 = 13;

/// An option without a value.
struct Flag {
    name: &'static CStr,
    /// What it sets in [`ParsedOptions::flags`], 0 for one that is only accepted.
    set: u64,
    /// What it clears there.
    clear: u64,
}

impl Flag {
    const fn new(name: &'static CStr, set: u64, clear: u64) -> Self {
        Flag { name, set, clear }
    }
}

const MINIXDF: u64 = 1 << 0;
const BSDDF: u64 = 1 << 1;
const NOUID32: u64 = 1 << 2;
const DEBUG: u64 = 1 << 3;
const OLDALLOC: u64 = 1 << 4;
const ORLOV: u64 = 1 << 5;
const RESERVATION: u64 = 1 << 6;
const NORESERVATION: u64 = 1 << 7;
const NOBH: u64 = 1 << 8;
const USRQUOTA: u64 = 1 << 9;
const GRPQUOTA: u64 = 1 << 10;
const QUOTA: u64 = 1 << 11;
const NOQUOTA: u64 = 1 << 12;
const NODISCARD: u64 = 1 << 13;
const BARRIER: u64 = 1 << 14;
const NOBARRIER: u64 = 1 << 15;
const DELALLOC: u64 = 1 << 16;
const NODELALLOC: u64 = 1 << 17;
const BLOCK_VALIDITY: u64 = 1 << 18;
const NOBLOCK_VALIDITY: u64 = 1 << 19;
const INIT_ITABLE: u64 = 1 << 20;
const NOINIT_ITABLE: u64 = 1 << 21;
const NOLOAD: u64 = 1 << 22;
const NORECOVERY: u64 = 1 << 23;
const I_VERSION: u64 = 1 << 24;
const DISCARD: u64 = 1 << 25;
const AUTO_DA_ALLOC: u64 = 1 << 26;
const NOAUTO_DA_ALLOC: u64 = 1 << 27;
const DIOREAD_LOCK: u64 = 1 << 28;
const DIOREAD_NOLOCK: u64 = 1 << 29;
const NOMBCACHE: u64 = 1 << 30;
const PRJQUOTA: u64 = 1 << 31;
const NODIOREAD_NOLOCK: u64 = 1 << 32;
const NO_MBCACHE: u64 = 1 << 33;
const NOCHECK: u64 = 1 << 34;
const PREFETCH_BLOCK_BITMAPS: u64 = 1 << 35;
const NO_PREFETCH_BLOCK_BITMAPS: u64 = 1 << 36;
const BH: u64 = 1 << 37;
const ALL_QUOTA: u64 = USRQUOTA | GRPQUOTA | PRJQUOTA | QUOTA;

/// Options that are a word: those of ext2, and of ext4 what asks for nothing that is not so. An ordinary
/// line of fstab has them.
const FLAGS: &[Flag] = &[
    Flag::new(c"minixdf", MINIXDF, BSDDF),
    Flag::new(c"bsddf", BSDDF, MINIXDF),
    Flag::new(c"nouid32", NOUID32, 0),
    Flag::new(c"debug", DEBUG, 0),
    Flag::new(c"oldalloc", OLDALLOC, ORLOV),
    Flag::new(c"orlov", ORLOV, OLDALLOC),
    Flag::new(c"reservation", RESERVATION, NORESERVATION),
    Flag::new(c"noreservation", NORESERVATION, RESERVATION),
    Flag::new(c"nobh", NOBH, BH),
    Flag::new(c"usrquota", USRQUOTA, NOQUOTA),
    Flag::new(c"grpquota", GRPQUOTA, NOQUOTA),
    Flag::new(c"quota", QUOTA, NOQUOTA),
    Flag::new(c"noquota", NOQUOTA, ALL_QUOTA),
    Flag::new(c"nodiscard", NODISCARD, DISCARD),
    Flag::new(c"barrier", BARRIER, NOBARRIER),
    Flag::new(c"nobarrier", NOBARRIER, BARRIER),
    Flag::new(c"delalloc", DELALLOC, NODELALLOC),
    Flag::new(c"nodelalloc", NODELALLOC, DELALLOC),
    Flag::new(c"block_validity", BLOCK_VALIDITY, NOBLOCK_VALIDITY),
    Flag::new(c"noblock_validity", NOBLOCK_VALIDITY, BLOCK_VALIDITY),
    Flag::new(c"init_itable", INIT_ITABLE, NOINIT_ITABLE),
    Flag::new(c"noinit_itable", NOINIT_ITABLE, INIT_ITABLE),
    Flag::new(c"noload", NOLOAD, 0),
    Flag::new(c"norecovery", NORECOVERY, 0),
    Flag::new(c"i_version", I_VERSION, 0),
    Flag::new(c"discard", DISCARD, NODISCARD),
    Flag::new(c"auto_da_alloc", AUTO_DA_ALLOC, NOAUTO_DA_ALLOC),
    Flag::new(c"noauto_da_alloc", NOAUTO_DA_ALLOC, AUTO_DA_ALLOC),
    Flag::new(c"dioread_lock", DIOREAD_LOCK, DIOREAD_NOLOCK),
    Flag::new(
        c"dioread_nolock",
        DIOREAD_NOLOCK,
        DIOREAD_LOCK | NODIOREAD_NOLOCK,
    ),
    Flag::new(c"nombcache", NOMBCACHE, 0),
    Flag::new(c"prjquota", PRJQUOTA, NOQUOTA),
    Flag::new(c"nodioread_nolock", NODIOREAD_NOLOCK, DIOREAD_NOLOCK),
    Flag::new(c"no_mbcache", NO_MBCACHE, 0),
    // Also as check=none.
    Flag::new(c"nocheck", NOCHECK, 0),
    Flag::new(
        c"prefetch_block_bitmaps",
        PREFETCH_BLOCK_BITMAPS,
        NO_PREFETCH_BLOCK_BITMAPS,
    ),
    Flag::new(
        c"no_prefetch_block_bitmaps",
        NO_PREFETCH_BLOCK_BITMAPS,
        PREFETCH_BLOCK_BITMAPS,
    ),
    Flag::new(c"bh", BH, NOBH),
];

/// Options of ext4 with a number that ask for nothing that is not so.
const NUMBERS: &[&CStr] = &[
    c"barrier",
    c"commit",
    c"init_itable",
    c"inode_readahead_blks",
    c"stripe",
    c"min_batch_time",
    c"max_batch_time",
    c"mb_optimize_scan",
];

/// Words of [`crate::vfs::super_block`] that say what has become of a mount. mount(8) takes them for options, and passes them on to a
/// remount.
const STATES: &[&CStr] = &[c"emergency_ro", c"shutdown"];

/// The mount options, for the parser of the VFS.
pub(crate) const PARAMETERS: &[ParameterSpec] = &parameters();

/// Those up to [`NUMBER`], [`FLAGS`], [`NUMBERS`], [`STATES`], and the end.
const PARAMETERS_LEN: usize = NUMBER as usize + FLAGS.len() + NUMBERS.len() + STATES.len() + 1;

const fn parameters() -> [ParameterSpec; PARAMETERS_LEN] {
    let mut all = [ParameterSpec::END; PARAMETERS_LEN];
    let mut at = 0;
    while at < NUMBER {
        all[at as usize] = parameter(at);
        at += 1;
    }
    let mut at = NUMBER as usize;
    let mut index = 0;
    while index < FLAGS.len() {
        all[at] = ParameterSpec::flag(FLAGS[index].name, FIRST_FLAG + index as u8);
        (at, index) = (at + 1, index + 1);
    }
    index = 0;
    while index < NUMBERS.len() {
        all[at] = ParameterSpec::u32(NUMBERS[index], NUMBER);
        (at, index) = (at + 1, index + 1);
    }
    index = 0;
    while index < STATES.len() {
        all[at] = ParameterSpec::flag(STATES[index], STATE);
        (at, index) = (at + 1, index + 1);
    }
    all
}

/// An option with an effect, or a word for its value.
const fn parameter(opt: u8) -> ParameterSpec {
    match opt {
        ERRORS => ParameterSpec::string(c"errors", opt),
        RESUID => ParameterSpec::u32(c"resuid", opt),
        RESGID => ParameterSpec::u32(c"resgid", opt),
        GRPID => ParameterSpec::flag_no(c"grpid", opt),
        BSDGROUPS => ParameterSpec::flag(c"bsdgroups", opt),
        SYSVGROUPS => ParameterSpec::flag(c"sysvgroups", opt),
        ACL => ParameterSpec::flag_no(c"acl", opt),
        USER_XATTR => ParameterSpec::flag_no(c"user_xattr", opt),
        SB => ParameterSpec::u32(c"sb", opt),
        ASYNC_ALLOC => ParameterSpec::flag_no(c"async_alloc", opt),
        CHECK => ParameterSpec::string(c"check", opt),
        _ => panic!("no such option"),
    }
}

/// The options in a mount or remount request; `None` for those that are not in it.
#[derive(Clone, Copy, Default)]
pub(crate) struct ParsedOptions {
    on_error: Option<OnError>,
    reserved_uid: Option<u32>,
    reserved_gid: Option<u32>,
    inherit_group: Option<bool>,
    super_block: Option<u32>,
    acl: Option<bool>,
    user_xattr: Option<bool>,
    async_alloc: Option<bool>,
    flags: u64,
    /// One of [`STATES`] is among them.
    has_state: bool,
}

impl ParsedOptions {
    /// Parses one option. `EINVAL` when its value is not valid.
    pub(crate) fn parse(&mut self, param: &Parameter<'_>) -> Result {
        match param.opt() {
            ERRORS => {
                let value = param.string().map_or(&b""[..], |value| value.to_bytes());
                self.on_error = on_error(value);
                if self.on_error.is_none() {
                    pr_err!("option errors=: not one of continue, remount-ro, panic\n");
                    return Err(EINVAL);
                }
            }
            RESUID => self.reserved_uid = Some(param.u32()),
            RESGID => self.reserved_gid = Some(param.u32()),
            GRPID => self.inherit_group = Some(!param.negated()),
            BSDGROUPS => self.inherit_group = Some(true),
            SYSVGROUPS => self.inherit_group = Some(false),
            ACL => self.acl = Some(!param.negated()),
            USER_XATTR => self.user_xattr = Some(!param.negated()),
            ASYNC_ALLOC => self.async_alloc = Some(!param.negated()),
            SB if mutant!("backup-unused") => {}
            SB => self.super_block = Some(param.u32()),
            CHECK => {
                let value = param.string().map_or(&b""[..], |value| value.to_bytes());
                if value != b"none" {
                    pr_err!("option check=: only none is supported\n");
                    return Err(EINVAL);
                }
                self.flags |= NOCHECK;
            }
            NUMBER => {}
            STATE => self.has_state = true,
            opt => {
                let index = usize::from(opt.checked_sub(FIRST_FLAG).ok_or(EINVAL)?);
                let flag = FLAGS.get(index).ok_or(EINVAL)?;
                self.set(flag);
            }
        }
        Ok(())
    }

    fn set(&mut self, flag: &Flag) {
        self.flags = (self.flags & !flag.clear) | flag.set;
    }

    /// Takes an option that the superblock has. `None` if there is no such option, or not with this value.
    fn take(&mut self, word: &Word<'_>) -> Option<()> {
        match (word.name, word.value) {
            (b"errors", Some(value)) => self.on_error = Some(on_error(value)?),
            (b"resuid", _) => self.reserved_uid = Some(word.number()?),
            (b"resgid", _) => self.reserved_gid = Some(word.number()?),
            (b"grpid" | b"bsdgroups", None) => self.inherit_group = Some(true),
            (b"nogrpid" | b"sysvgroups", None) => self.inherit_group = Some(false),
            (b"acl", None) => self.acl = Some(true),
            (b"noacl", None) => self.acl = Some(false),
            (b"user_xattr", None) => self.user_xattr = Some(true),
            (b"nouser_xattr", None) => self.user_xattr = Some(false),
            (b"async_alloc", None) => self.async_alloc = Some(true),
            (b"noasync_alloc", None) => self.async_alloc = Some(false),
            (b"check", Some(b"none")) => self.flags |= NOCHECK,
            (name, Some(_)) => {
                let mut numbers = NUMBERS.iter();
                numbers.find(|number| number.to_bytes() == name)?;
                word.number()?;
            }
            (name, None) => {
                let mut flags = FLAGS.iter();
                self.set(flags.find(|flag| flag.name.to_bytes() == name)?);
            }
        }
        Some(())
    }

    /// Where the superblock is that the volume is mounted with, in bytes from the begin of the
    /// device.
    pub(super) fn super_offset(&self) -> u64 {
        self.super_block
            .map_or(SUPERBLOCK_OFFSET, |block| u64::from(block) * 1024)
    }

    /// Checks what only a mount that is there may have. `EINVAL`, with a line in the log of the device `id`.
    pub(crate) fn check_new(&self, id: &CStr) -> Result {
        if self.has_state && !mutant!("state-as-option") {
            pr_err!("{id}: emergency_ro and shutdown say what has become of a mount, and are no options of a new one\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Whether asynchronous direct writes to new blocks are not to be waited for.
    pub(crate) fn async_alloc(&self) -> bool {
        self.async_alloc.unwrap_or(false)
    }

    /// Whether freed blocks are to be discarded.
    pub(crate) fn discard(&self) -> bool {
        self.flags & DISCARD != 0
    }

    /// Warns of those that ask for quotas, in the log of the device `id`.
    pub(crate) fn warn_quotas(&self, id: &CStr) {
        let asked = self.flags & ALL_QUOTA;
        for flag in FLAGS.iter().filter(|flag| flag.set & asked != 0) {
            pr_warn!(
                "{}: option {}: quotas are not supported, nothing is limited\n",
                id,
                flag.name
            );
        }
    }

    /// Takes over what is in `newer`.
    pub(super) fn update(&mut self, newer: &ParsedOptions) {
        *self = ParsedOptions {
            on_error: newer.on_error.or(self.on_error),
            reserved_uid: newer.reserved_uid.or(self.reserved_uid),
            reserved_gid: newer.reserved_gid.or(self.reserved_gid),
            inherit_group: newer.inherit_group.or(self.inherit_group),
            acl: newer.acl.or(self.acl),
            user_xattr: newer.user_xattr.or(self.user_xattr),
            async_alloc: newer.async_alloc.or(self.async_alloc),
            // Where it was read from does not change: ignored in a remount, as by ext2.
            super_block: self.super_block,
            flags: FLAGS
                .iter()
                .filter(|flag| newer.flags & flag.set != 0)
                .fold(self.flags, |flags, flag| (flags & !flag.clear) | flag.set),
            has_state: false,
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
        for (given, name) in [
            (self.acl, "acl"),
            (self.user_xattr, "user_xattr"),
            (self.async_alloc, "async_alloc"),
        ] {
            match given {
                Some(true) => seq_print!(seq, ",{}", name),
                Some(false) => seq_print!(seq, ",no{}", name),
                None => {}
            }
        }
        if let Some(block) = self.super_block {
            seq_print!(seq, ",sb={}", block);
        }
        for flag in FLAGS.iter().filter(|flag| self.flags & flag.set != 0) {
            seq_print!(seq, ",{}", flag.name);
        }
    }
}

/// What to do about corruption, as `errors=` has it.
fn on_error(value: &[u8]) -> Option<OnError> {
    match value {
        b"continue" => Some(OnError::Continue),
        b"remount-ro" => Some(OnError::RemountReadOnly),
        b"panic" => Some(OnError::Panic),
        _ => None,
    }
}

/// The options that were given, and those that the superblock had for a mount: the former take precedence.
#[derive(Clone, Copy)]
pub(super) struct Given {
    given: ParsedOptions,
    both: ParsedOptions,
}

impl Given {
    /// `given`, and those in the field of the superblock. What of these is not known is left out, and the log
    /// of the device `id` says so.
    pub(super) fn new(id: &CStr, given: &ParsedOptions, field: &[u8]) -> Self {
        let mut both = ParsedOptions::default();
        for word in words(field).filter(|_| !mutant!("superblock-options")) {
            if both.take(&word).is_none() {
                pr_warn!(
                    "{}: mount option in the superblock is not supported: {}\n",
                    id,
                    BStr::from_bytes(word.name)
                );
            }
        }
        both.update(given);
        Given {
            given: *given,
            both,
        }
    }

    /// Those that were given.
    pub(super) fn given(&self) -> ParsedOptions {
        self.given
    }

    /// Whether asynchronous direct writes to new blocks are not waited for.
    pub(super) fn async_alloc(&self) -> bool {
        self.both.async_alloc()
    }

    /// Whether owners and groups have 16 bits on the device. How an inode is read does not change while it is
    /// mounted: the default is that of `at_mount`.
    pub(super) fn uid16(&self, at_mount: &Tuned) -> bool {
        self.both.flags & NOUID32 != 0
            || at_mount.default_mount_options & Options::DEFAULT_UID16 != 0
    }

    /// Takes over what is in `newer`.
    pub(super) fn update(&mut self, newer: &ParsedOptions) {
        self.given.update(newer);
        self.both.update(newer);
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
    /// Access control lists are honoured.
    pub(crate) acl: bool,
    /// There are attributes of users.
    pub(crate) user_xattr: bool,
    /// statfs(2) counts metadata among the blocks of the volume.
    pub(crate) minix_df: bool,
    /// The log is to say how the volume is laid out.
    pub(super) debug: bool,
    /// Blocks that were freed are discarded.
    pub(crate) discard: bool,
}

impl Options {
    /// `EXT2_DEFM_DEBUG` in the default mount options of the superblock.
    const DEFAULT_DEBUG: u32 = 0x1;
    /// `EXT2_DEFM_BSDGROUPS`.
    const DEFAULT_BSDGROUPS: u32 = 0x2;
    /// `EXT2_DEFM_UID16`.
    const DEFAULT_UID16: u32 = 0x10;

    /// The options in effect on a volume: those given, and its defaults for the others.
    pub(super) fn of(at_mount: &Tuned, tuned: &Tuned, given: &Given) -> Self {
        let given = &given.both;
        let bsdgroups = tuned.default_mount_options & Self::DEFAULT_BSDGROUPS != 0;
        Options {
            on_error: given.on_error.unwrap_or(tuned.on_error),
            reserved_uid: given.reserved_uid.unwrap_or(tuned.reserved_uid.into()),
            reserved_gid: given.reserved_gid.unwrap_or(tuned.reserved_gid.into()),
            inherit_group: given.inherit_group.unwrap_or(bsdgroups),
            // As ext4 has it, whatever the defaults in the superblock say.
            acl: given.acl.unwrap_or(true),
            user_xattr: given.user_xattr.unwrap_or(true),
            minix_df: given.flags & MINIXDF != 0,
            discard: given.flags & DISCARD != 0,
            debug: given.flags & DEBUG != 0
                || at_mount.default_mount_options & Self::DEFAULT_DEBUG != 0,
        }
    }
}
