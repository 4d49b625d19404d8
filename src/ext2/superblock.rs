// SPDX-License-Identifier: GPL-2.0

//! The superblock: its layout, and validating it. What a mount changes in it is in [`update`].

pub(crate) mod update;

use core::{fmt, mem::offset_of, num::NonZeroU32};

use zerocopy::{
    little_endian::{U16, U32, U64},
    FromBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{
    directory::hash::{Function, Hashing},
    features::{
        Features, Named, COMPAT_DIR_INDEX, COMPAT_RESIZE_INODE, COMPAT_SPARSE_SUPER2,
        INCOMPAT_FILETYPE, INCOMPAT_META_BG, RO_COMPAT_EXTRA_ISIZE, RO_COMPAT_HUGE_FILE,
        RO_COMPAT_METADATA_CSUM, RO_COMPAT_SPARSE_SUPER, RO_COMPAT_UNINIT_BG,
    },
    geometry::Backups,
    inode::EXTRA_SIZE,
    uninit::Checksums,
    Corrupt, Geometry, Place,
};

/// Byte offset of the superblock on the device, whatever the block size is.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Size of the superblock in bytes.
pub(crate) const SUPERBLOCK_SIZE: usize = 1024;

/// The number that marks an ext2 superblock.
pub(crate) const MAGIC: u16 = 0xef53;
/// Base-2 logarithm of the largest size of a block in KiB.
const LOG_BLOCK_SIZE_MAX: u32 = 6;
/// A group has fewer blocks, and fewer inodes, as e2fsprogs have it: by a byte of its bitmap, and by those of a
/// block of its table.
const COUNTABLE: u32 = 1 << 16;

/// The bytes that the place where it was mounted last may have. A shorter one ends with a zero.
pub(crate) const LAST_MOUNTED_MAX: usize = 64;
/// The bytes that its mount options may have. Shorter ones end with a zero.
const MOUNT_OPTIONS_MAX: usize = 64;

/// The most groups that a volume may have: a mount keeps something of each in memory, and mke2fs makes
/// none of fewer than 256 blocks.
const GROUPS_MAX: u32 = 1 << 24;

/// First inode that is not reserved, in revision 0; the least possible one in revision 1.
const GOOD_OLD_FIRST_INO: u32 = 11;
/// Size of an inode in revision 0; the least possible one in revision 1.
const GOOD_OLD_INODE_SIZE: u32 = 128;

/// Bit of `state`: the volume was unmounted cleanly.
const STATE_VALID: u16 = 1;
/// Bit of `state`: errors were found in the volume.
const STATE_ERROR: u16 = 2;

/// Bit of `flags`: the bytes of names are hashed as signed numbers.
const FLAG_SIGNED_HASH: u32 = 1;
/// Bit of `flags`: as unsigned ones.
const FLAG_UNSIGNED_HASH: u32 = 2;

/// The superblock as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    pub(super) inodes_count: U32,
    pub(super) blocks_count: U32,
    pub(super) reserved_blocks: U32,
    pub(super) free_blocks: U32,
    pub(super) free_inodes: U32,
    pub(super) first_data_block: U32,
    pub(super) log_block_size: U32,
    pub(super) log_fragment_size: U32,
    pub(super) blocks_per_group: U32,
    pub(super) fragments_per_group: U32,
    pub(super) inodes_per_group: U32,
    pub(super) mount_time: U32,
    pub(super) write_time: U32,
    pub(super) mount_count: U16,
    pub(super) max_mount_count: U16,
    pub(super) magic: U16,
    pub(super) state: U16,
    pub(super) errors: U16,
    pub(super) minor_revision: U16,
    pub(super) last_check: U32,
    pub(super) check_interval: U32,
    pub(super) creator_os: U32,
    pub(super) revision: U32,
    pub(super) reserved_uid: U16,
    pub(super) reserved_gid: U16,
    // From here on in revision 1 only.
    pub(super) first_ino: U32,
    pub(super) inode_size: U16,
    pub(super) block_group: U16,
    pub(super) compat: U32,
    pub(super) incompat: U32,
    pub(super) ro_compat: U32,
    pub(super) uuid: [u8; 16],
    pub(super) volume_name: [u8; 16],
    pub(super) last_mounted: [u8; LAST_MOUNTED_MAX],
    pub(super) algorithms: U32,
    pub(super) preallocate_blocks: u8,
    pub(super) preallocate_dir_blocks: u8,
    pub(super) reserved_gdt_blocks: U16,
    pub(super) journal_uuid: [u8; 16],
    pub(super) journal_ino: U32,
    pub(super) journal_device: U32,
    pub(super) last_orphan: U32,
    pub(super) hash_seed: [U32; 4],
    pub(super) hash_version: u8,
    pub(super) journal_backup_type: u8,
    pub(super) descriptor_size: U16,
    pub(super) default_mount_options: U32,
    pub(super) first_meta_group: U32,
    // Fields of ext4, of which few are used.
    pub(super) unused1: [u8; 0x15c - 0x108],
    pub(super) min_extra_isize: U16,
    pub(super) want_extra_isize: U16,
    pub(super) flags: U32,
    pub(super) unused3: [u8; 0x178 - 0x164],
    pub(super) kbytes_written: U64,
    pub(super) unused4: [u8; 0x200 - 0x180],
    pub(super) mount_options: [u8; MOUNT_OPTIONS_MAX],
    pub(super) unused5: [u8; 0x24c - 0x240],
    pub(super) backup_groups: [U32; 2],
    pub(super) unused2: [u8; 0x400 - 0x254],
}

const _: () = {
    assert!(size_of::<RawSuperblock>() == SUPERBLOCK_SIZE);
    assert!(offset_of!(RawSuperblock, magic) == 0x38);
    assert!(offset_of!(RawSuperblock, first_ino) == 0x54);
    assert!(offset_of!(RawSuperblock, reserved_gdt_blocks) == 0xce);
    assert!(offset_of!(RawSuperblock, first_meta_group) == 0x104);
    assert!(offset_of!(RawSuperblock, hash_version) == 0xfc);
    assert!(offset_of!(RawSuperblock, want_extra_isize) == 0x15e);
    assert!(offset_of!(RawSuperblock, flags) == 0x160);
    assert!(offset_of!(RawSuperblock, kbytes_written) == 0x178);
    assert!(offset_of!(RawSuperblock, mount_options) == 0x200);
    assert!(offset_of!(RawSuperblock, backup_groups) == 0x24c);
};

/// Why a volume cannot be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountError {
    /// The magic number is wrong: the one found.
    NotExt2(u16),
    /// Incompatible features that are not supported.
    Features(Named),
    /// A block size that there is not: base-2 logarithm of the size in KiB.
    BlockSize(u32),
    /// The device, or the image file, is smaller than the volume. Sizes in bytes.
    Truncated {
        /// Size of the volume.
        volume: u64,
        /// Size of the device.
        device: u64,
    },
    /// The superblock contradicts itself.
    Corrupt(Corrupt),
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::NotExt2(magic) => write!(
                f,
                "not an ext2 volume: magic number {magic:#06x} instead of {MAGIC:#06x}"
            ),
            MountError::Features(names) => write!(f, "unsupported features: {names}"),
            MountError::BlockSize(log) => {
                write!(f, "impossible block size: 2^{log} KiB, the largest is 64")
            }
            MountError::Truncated { volume, device } => write!(
                f,
                "truncated: the volume has {volume} bytes, the device only {device}"
            ),
            MountError::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl From<Corrupt> for MountError {
    fn from(corrupt: Corrupt) -> Self {
        MountError::Corrupt(corrupt)
    }
}

/// What to do when the volume is found to be corrupt: the option `errors=`, or its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// Report it and go on.
    Continue,
    /// Refuse further changes to the volume.
    RemountReadOnly,
    /// Panic.
    Panic,
}

/// The state of a volume, from the last unmount or from an error since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u16);

impl State {
    /// The state in a superblock; not clean if that is too short.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        State(RawSuperblock::ref_from_prefix(bytes).map_or(0, |(raw, _)| raw.state.get()))
    }

    /// Whether it was unmounted cleanly.
    pub(crate) const fn is_clean(self) -> bool {
        self.0 & STATE_VALID != 0
    }

    /// Whether an error was found in it and no `e2fsck` ran since.
    pub(crate) const fn has_errors(self) -> bool {
        self.0 & STATE_ERROR != 0
    }
}

/// A validated superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The geometry.
    pub(crate) geometry: Geometry,
    /// The features; none of them prevents mounting.
    pub(crate) features: Features,
    /// The state before this mount, which [`mark_unmounted`] restores.
    pub(crate) state: State,
    /// Mounts since the last check.
    pub(crate) mount_count: u16,
    /// Mounts after which a check is recommended; `None` for any number.
    pub(crate) max_mount_count: Option<u16>,
    /// When it was checked last, in seconds since 1970, modulo 2^32.
    pub(crate) last_check: u32,
    /// Seconds after which a check is recommended; 0 for any number.
    pub(crate) check_interval: u32,
    /// The revision. Above 1, only what is the same in revision 1 can be relied on.
    pub(crate) revision: u32,
    /// Identifier of the volume.
    pub(crate) uuid: [u8; 16],
    /// How many bytes after the first 128 a new inode uses for fields.
    pub(crate) extra_size: u16,
    /// The checksums of group descriptors.
    pub(crate) checksums: Checksums,
    /// The options for each mount, see [`mount_options`](super::mount_options).
    pub(crate) mount_options: [u8; MOUNT_OPTIONS_MAX],
    /// How names are hashed, if directories may have an index.
    pub(crate) hashing: Option<Hashing>,
}

impl Superblock {
    /// Reads a superblock from its [`SUPERBLOCK_SIZE`] bytes. `device_bytes` is the size of the
    /// device.
    ///
    /// # Errors
    ///
    /// It is no superblock, or the volume cannot be mounted: [`MountError`] says why. Read-only
    /// compatible features are not checked: see [`Features::forbid_write`].
    pub(crate) fn parse(bytes: &[u8], device_bytes: u64) -> Result<Self, MountError> {
        let Ok((raw, _)) = RawSuperblock::ref_from_prefix(bytes) else {
            return Err(bad("shorter than 1024 bytes").into());
        };
        if raw.magic.get() != MAGIC {
            return Err(MountError::NotExt2(raw.magic.get()));
        }
        // As in Linux, features count in revision 0 too: old drivers set them without raising
        // the revision.
        let features = Features::new(raw.compat.get(), raw.incompat.get(), raw.ro_compat.get());
        if !features.forbid_mount().is_empty() {
            return Err(MountError::Features(features.forbid_mount()));
        }
        let geometry = parse_geometry(raw, &features, device_bytes)?;
        let extra_size = extra_size(raw, &features, &geometry)?;

        // The field is signed: a negative number, and 0, stand for "never".
        let max_mount_count = match raw.max_mount_count.get() {
            0 | 0x8000.. => None,
            count => Some(count),
        };
        Ok(Superblock {
            geometry,
            features,
            state: State(raw.state.get()),
            mount_count: raw.mount_count.get(),
            max_mount_count,
            last_check: raw.last_check.get(),
            check_interval: raw.check_interval.get(),
            revision: raw.revision.get(),
            uuid: raw.uuid,
            extra_size,
            checksums: Checksums::new(features.ro_compat(RO_COMPAT_UNINIT_BG), &raw.uuid),
            mount_options: raw.mount_options,
            hashing: hashing(raw, &features),
        })
    }
}

impl Superblock {
    /// Whether what was mounted as `mounted` can go on with this superblock: what it uses is still there.
    pub(crate) fn goes_on_as(&self, mounted: &Superblock) -> bool {
        let is_hashed_alike = mounted.hashing.is_none() || self.hashing == mounted.hashing;
        self.features.has_all_of(&mounted.features) && is_hashed_alike
    }
}

/// How names are hashed; `None` if directories have no index, or it is not known how the names in it are
/// hashed: mke2fs has said so since 2007, and others guess.
fn hashing(raw: &RawSuperblock, features: &Features) -> Option<Hashing> {
    if !features.compat(COMPAT_DIR_INDEX) {
        return None;
    }
    let unsigned = match raw.flags.get() & (FLAG_SIGNED_HASH | FLAG_UNSIGNED_HASH) {
        0 => return None,
        flags => flags & FLAG_UNSIGNED_HASH != 0,
    };
    Some(Hashing {
        default: Function::from_code(raw.hash_version)?,
        unsigned,
        seed: raw.hash_seed.map(U32::get),
    })
}

const fn bad(what: &'static str) -> Corrupt {
    Corrupt::new(Place::Superblock, what)
}

fn found(what: &'static str, value: u32) -> Corrupt {
    Corrupt::found(Place::Superblock, what, value.into())
}

/// How many bytes after the first 128 a new inode uses for fields: all that are known, and what the
/// superblock asks for.
fn extra_size(
    raw: &RawSuperblock,
    features: &Features,
    geometry: &Geometry,
) -> Result<u16, Corrupt> {
    let room = geometry.inode_size() - GOOD_OLD_INODE_SIZE;
    if room == 0 {
        return Ok(0);
    }
    if !features.ro_compat(RO_COMPAT_EXTRA_ISIZE) {
        return Ok(EXTRA_SIZE);
    }
    let (min, want) = (raw.min_extra_isize.get(), raw.want_extra_isize.get());
    for size in [min, want] {
        if u32::from(size) > room || size & 3 != 0 {
            return Err(found(
                "impossible size of the extra fields of inodes",
                size.into(),
            ));
        }
    }
    Ok(EXTRA_SIZE.max(min).max(want))
}

/// The sizes that a superblock has, checked one by one.
struct Sizes {
    block_bits: u32,
    inode_bits: u32,
    blocks_per_group: NonZeroU32,
    inodes_per_group: NonZeroU32,
}

impl Sizes {
    fn block_size(&self) -> u32 {
        1 << self.block_bits
    }
}

fn parse_sizes(raw: &RawSuperblock) -> Result<Sizes, MountError> {
    let log_block_size = raw.log_block_size.get();
    if log_block_size > LOG_BLOCK_SIZE_MAX {
        return Err(MountError::BlockSize(log_block_size));
    }
    if raw.log_fragment_size.get() != log_block_size {
        return Err(bad("fragments are not of the size of blocks").into());
    }
    let block_bits = 10 + log_block_size;
    let block_size = 1u32 << block_bits;

    let inode_size = match raw.revision.get() {
        0 => GOOD_OLD_INODE_SIZE,
        _ => u32::from(raw.inode_size.get()),
    };
    if !inode_size.is_power_of_two() || !(GOOD_OLD_INODE_SIZE..=block_size).contains(&inode_size) {
        return Err(found("impossible inode size", inode_size).into());
    }
    let inode_bits = inode_size.trailing_zeros();
    let inodes_per_block = 1u32 << (block_bits - inode_bits);

    // A bitmap has one block, and what of them is free is counted in 16 bits: that is less from 8 KiB on.
    let countable = match cfg!(mutant = "group-uncountable") {
        true => u32::MAX,
        false => COUNTABLE,
    };
    let bits = 8 * block_size;
    let blocks_per_group = raw.blocks_per_group.get();
    let Some(group_blocks) =
        NonZeroU32::new(blocks_per_group).filter(|n| n.get() <= bits.min(countable - 8))
    else {
        return Err(found("impossible number of blocks per group", blocks_per_group).into());
    };
    let inodes_per_group = raw.inodes_per_group.get();
    let whole_blocks = |n: &NonZeroU32| n.get() & (inodes_per_block - 1) == 0;
    let Some(group_inodes) = NonZeroU32::new(inodes_per_group)
        .filter(|n| n.get() <= bits.min(countable - inodes_per_block))
        .filter(whole_blocks)
    else {
        return Err(found("impossible number of inodes per group", inodes_per_group).into());
    };
    Ok(Sizes {
        block_bits,
        inode_bits,
        blocks_per_group: group_blocks,
        inodes_per_group: group_inodes,
    })
}

/// The number of groups, on a device with so many bytes. Blocks and inodes fill them.
fn parse_groups(raw: &RawSuperblock, sizes: &Sizes, device_bytes: u64) -> Result<u32, MountError> {
    let first_data_block = raw.first_data_block.get();
    // The superblock at byte 1024 is in block 1 when blocks have 1 KiB, and in block 0 else.
    if first_data_block != u32::from(sizes.block_bits == 10) {
        return Err(found("impossible first data block", first_data_block).into());
    }
    let blocks_count = raw.blocks_count.get();
    let Some(last_relative) = blocks_count.checked_sub(first_data_block + 1) else {
        return Err(found("impossible number of blocks", blocks_count).into());
    };
    let volume_bytes = u64::from(blocks_count) << sizes.block_bits;
    if volume_bytes > device_bytes {
        return Err(MountError::Truncated {
            volume: volume_bytes,
            device: device_bytes,
        });
    }
    // Fewer than 2^32, even with groups of one block, which are refused later.
    let groups = u64::from(last_relative / sizes.blocks_per_group) + 1;

    let inodes_count = raw.inodes_count.get();
    if u64::from(inodes_count) != groups * u64::from(sizes.inodes_per_group.get()) {
        return Err(found(
            "the number of inodes is not groups times inodes per group",
            inodes_count,
        )
        .into());
    }
    // Both fit: inodes_per_group is not 0 and the product fits.
    let groups = u32::try_from(groups).map_err(|_| bad("too many groups"))?;
    if groups > GROUPS_MAX {
        return Err(found("too many groups", groups).into());
    }
    Ok(groups)
}

fn parse_first_ino(raw: &RawSuperblock) -> Result<u32, MountError> {
    let first_ino = match raw.revision.get() {
        0 => GOOD_OLD_FIRST_INO,
        _ => raw.first_ino.get(),
    };
    if first_ino < GOOD_OLD_FIRST_INO || first_ino > raw.inodes_count.get() {
        return Err(found("impossible first inode", first_ino).into());
    }
    Ok(first_ino)
}

/// The number of blocks behind the descriptors that are for more of them.
fn parse_reserved_gdt_blocks(
    raw: &RawSuperblock,
    features: &Features,
    block_size: u32,
) -> Result<u32, MountError> {
    // As e2fsprogs have it: growing in place and meta groups exclude each other.
    if !features.compat(COMPAT_RESIZE_INODE) || features.incompat(INCOMPAT_META_BG) {
        return Ok(0);
    }
    // The resize inode has a pointer to each of them in one block.
    match u32::from(raw.reserved_gdt_blocks.get()) {
        blocks if blocks > block_size / 4 => {
            Err(found("too many blocks reserved for descriptors", blocks).into())
        }
        blocks => Ok(blocks),
    }
}

fn parse_backups(raw: &RawSuperblock, features: &Features) -> Backups {
    if features.compat(COMPAT_SPARSE_SUPER2) {
        Backups::Named(raw.backup_groups.map(U32::get))
    } else if features.ro_compat(RO_COMPAT_SPARSE_SUPER) {
        Backups::Sparse
    } else {
        Backups::All
    }
}

fn parse_geometry(
    raw: &RawSuperblock,
    features: &Features,
    device_bytes: u64,
) -> Result<Geometry, MountError> {
    let sizes = parse_sizes(raw)?;
    let groups = parse_groups(raw, &sizes, device_bytes)?;
    let first_ino = parse_first_ino(raw)?;
    let geometry = Geometry {
        block_bits: sizes.block_bits,
        blocks_count: raw.blocks_count.get(),
        first_data_block: raw.first_data_block.get(),
        blocks_per_group: sizes.blocks_per_group,
        groups,
        inodes_per_group: sizes.inodes_per_group,
        inodes_count: raw.inodes_count.get(),
        inode_bits: sizes.inode_bits,
        first_ino,
        reserved_gdt_blocks: parse_reserved_gdt_blocks(raw, features, sizes.block_size())?,
        backups: parse_backups(raw, features),
        first_meta_group: features
            .incompat(INCOMPAT_META_BG)
            .then_some(raw.first_meta_group.get()),
        filetype: features.incompat(INCOMPAT_FILETYPE),
        huge_file: features.ro_compat(RO_COMPAT_HUGE_FILE),
        uninit_groups: features.ro_compat(RO_COMPAT_UNINIT_BG)
            || features.ro_compat(RO_COMPAT_METADATA_CSUM),
        metadata_csum: features.ro_compat(RO_COMPAT_METADATA_CSUM),
    };
    check_metadata(&geometry)?;
    Ok(geometry)
}

/// Checks that what belongs to the groups has room in them.
fn check_metadata(geometry: &Geometry) -> Result<(), MountError> {
    let first_meta_group = geometry.first_meta_group;
    if let Some(first) = first_meta_group.filter(|&first| first > geometry.descriptor_blocks()) {
        return Err(found("impossible first meta group", first).into());
    }
    // All groups but the last are as large as the first, which is looked at below.
    let last = geometry.descriptor_block(
        geometry.descriptor_blocks() - 1,
        geometry.first_data_block.into(),
    );
    if last >= geometry.blocks_count.into() {
        return Err(bad("the last group has no room for its descriptors").into());
    }
    // Group 0 has a superblock, descriptors, two bitmaps and an inode table.
    let needed = geometry.base_metadata(0) + 2 + geometry.inode_table_blocks();
    if needed > geometry.group_blocks(0) {
        let blocks_per_group = geometry.blocks_per_group.get();
        return Err(found("group 0 is too small for its metadata", blocks_per_group).into());
    }
    Ok(())
}
