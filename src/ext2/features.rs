// SPDX-License-Identifier: GPL-2.0

//! The three feature sets of a superblock, and the names of those that can prevent a mount.
//!
//! The names are those of e2fsprogs, so that the message of a refused mount has the argument for
//! `tune2fs -O`.

use core::fmt;

/// Compatible feature: inodes may have a block of extended attributes. `e2fsck` takes that from all
/// inodes of a volume without.
pub(crate) const COMPAT_EXT_ATTR: u32 = 0x8;
/// Compatible feature: blocks after the group descriptors are reserved for growing the volume.
pub(crate) const COMPAT_RESIZE_INODE: u32 = 0x10;
/// Compatible feature: directories may have a hash index.
pub(crate) const COMPAT_DIR_INDEX: u32 = 0x20;
/// Compatible feature: only two groups, named in the superblock, hold backups.
pub(crate) const COMPAT_SPARSE_SUPER2: u32 = 0x200;
/// Incompatible feature: directory entries carry the type of the file.
pub(crate) const INCOMPAT_FILETYPE: u32 = 0x2;
/// Incompatible feature: from some group on, descriptors are in the groups that they describe.
pub(crate) const INCOMPAT_META_BG: u32 = 0x10;
/// Read-only compatible feature: not every group has a backup of the superblock.
pub(crate) const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
/// Read-only compatible feature: files may be larger than 2 GiB.
pub(crate) const RO_COMPAT_LARGE_FILE: u32 = 0x2;
/// Read-only compatible feature, never used by any implementation; ext2 accepts it.
const RO_COMPAT_BTREE_DIR: u32 = 0x4;
/// Read-only compatible feature: the sectors of a file are counted in 48 bits.
pub(crate) const RO_COMPAT_HUGE_FILE: u32 = 0x8;
/// Read-only compatible feature: group descriptors have checksums, and some groups are not initialised.
pub(crate) const RO_COMPAT_UNINIT_BG: u32 = 0x10;
/// Read-only compatible feature: a directory with too many others in it has 1 for a link count.
pub(crate) const RO_COMPAT_DIR_NLINK: u32 = 0x20;
/// Read-only compatible feature: inodes have fields after their first 128 bytes, and the superblock
/// says how many.
pub(crate) const RO_COMPAT_EXTRA_ISIZE: u32 = 0x40;
/// Read-only compatible feature: all metadata has checksums. Not kept here: such volumes are only read.
pub(crate) const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

/// Incompatible features with which a volume can be mounted.
const INCOMPAT_SUPPORTED: u32 = INCOMPAT_FILETYPE | INCOMPAT_META_BG;
/// Read-only compatible features with which a volume can be written.
const RO_COMPAT_SUPPORTED: u32 = RO_COMPAT_SPARSE_SUPER
    | RO_COMPAT_LARGE_FILE
    | RO_COMPAT_BTREE_DIR
    | RO_COMPAT_HUGE_FILE
    | RO_COMPAT_UNINIT_BG
    | RO_COMPAT_DIR_NLINK
    | RO_COMPAT_EXTRA_ISIZE;

const INCOMPAT_NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (INCOMPAT_FILETYPE, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (INCOMPAT_META_BG, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x10000, "encrypt"),
    (0x20000, "casefold"),
];

const RO_COMPAT_NAMES: &[(u32, &str)] = &[
    (RO_COMPAT_SPARSE_SUPER, "sparse_super"),
    (RO_COMPAT_LARGE_FILE, "large_file"),
    (RO_COMPAT_BTREE_DIR, "btree_dir"),
    (RO_COMPAT_HUGE_FILE, "huge_file"),
    (RO_COMPAT_UNINIT_BG, "uninit_bg"),
    (RO_COMPAT_DIR_NLINK, "dir_nlink"),
    (RO_COMPAT_EXTRA_ISIZE, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (RO_COMPAT_METADATA_CSUM, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x10000, "orphan_present"),
];

/// A feature set. Compatible features are left out: they prevent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// An unknown feature of this set prevents mounting.
    Incompat,
    /// An unknown feature of this set prevents mounting read-write.
    RoCompat,
}

/// Features of one set; printed by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The set.
    pub(crate) set: Set,
    /// The bits.
    pub(crate) bits: u32,
}

impl Named {
    /// Whether there is no bit.
    pub(crate) const fn is_empty(&self) -> bool {
        self.bits == 0
    }
}

impl fmt::Display for Named {
    /// Prints the names separated by commas, then the bits without a name as one number:
    /// `extent, 64bit, unknown 0x80000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.set {
            Set::Incompat => INCOMPAT_NAMES,
            Set::RoCompat => RO_COMPAT_NAMES,
        };
        let mut rest = self.bits;
        let mut separator = "";
        for &(bit, name) in names {
            if rest & bit != 0 {
                write!(f, "{separator}{name}")?;
                separator = ", ";
                rest &= !bit;
            }
        }
        if rest != 0 {
            write!(f, "{separator}unknown {rest:#x}")?;
        }
        Ok(())
    }
}

/// The features of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    compat: u32,
    incompat: u32,
    ro_compat: u32,
}

impl Features {
    /// The features with the bits of the three fields of a superblock.
    pub(crate) const fn new(compat: u32, incompat: u32, ro_compat: u32) -> Self {
        Features {
            compat,
            incompat,
            ro_compat,
        }
    }

    /// Whether all of `bits` are set among the compatible features.
    pub(crate) const fn compat(&self, bits: u32) -> bool {
        self.compat & bits == bits
    }

    /// Whether all of `bits` are set among the incompatible features.
    pub(crate) const fn incompat(&self, bits: u32) -> bool {
        self.incompat & bits == bits
    }

    /// Whether all of `bits` are set among the read-only compatible features.
    pub(crate) const fn ro_compat(&self, bits: u32) -> bool {
        self.ro_compat & bits == bits
    }

    /// Whether all of `others` are here, but for those that are set when the first file needs them.
    pub(crate) const fn has_all_of(&self, others: &Features) -> bool {
        self.compat(others.compat & !COMPAT_EXT_ATTR)
            && self.incompat(others.incompat)
            && self.ro_compat(others.ro_compat & !RO_COMPAT_LARGE_FILE)
    }

    /// The incompatible features that prevent mounting the volume.
    pub(crate) const fn forbid_mount(&self) -> Named {
        Named {
            set: Set::Incompat,
            bits: self.incompat & !INCOMPAT_SUPPORTED,
        }
    }

    /// The read-only compatible features that prevent mounting the volume read-write.
    pub(crate) const fn forbid_write(&self) -> Named {
        Named {
            set: Set::RoCompat,
            bits: self.ro_compat & !RO_COMPAT_SUPPORTED,
        }
    }
}
