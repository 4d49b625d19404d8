// SPDX-License-Identifier: GPL-2.0

//! Inodes on the disk: their layout, reading and validating them, and storing them.
//!
//! An inode of more than 128 bytes says how many of the following bytes it uses for fields
//! (`extra_size`): those of ext4, of which the times are kept here. Extended attributes may follow.

use core::{mem::offset_of, ops::Range};

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{
    inode_extra::{self, Extra},
    pointers::{tree_blocks, Pointers, POINTERS},
    time::Time,
    Corrupt, Geometry, Layout, Place,
};

pub(crate) use super::file_type::FileType;
pub(crate) use super::inode_extra::EXTRA_SIZE;
pub(crate) use super::inode_flags::InodeFlags;

/// The size of the block pointers in bytes; the target of a shorter symbolic link is kept there.
/// Some programs also keep one of just this size there, without a NUL.
const FAST_SYMLINK_BYTES: usize = POINTERS * 4;

/// Links that an inode can have.
pub(crate) const LINKS_MAX: u16 = 65000;

/// An inode as it is on the disk: the 128 bytes that all inodes have.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    pub(super) mode: U16,
    pub(super) uid: U16,
    pub(super) size: U32,
    pub(super) atime: U32,
    pub(super) ctime: U32,
    pub(super) mtime: U32,
    pub(super) dtime: U32,
    pub(super) gid: U16,
    pub(super) links: U16,
    pub(super) sectors: U32,
    pub(super) flags: U32,
    pub(super) os1: U32,
    pub(super) block: [U32; POINTERS],
    pub(super) generation: U32,
    pub(super) file_acl: U32,
    /// Upper half of the size of a regular file; for a directory the ACL, which is not used.
    pub(super) size_high: U32,
    pub(super) fragment_address: U32,
    /// Bits 32 to 47 of the sectors, with `huge_file`.
    pub(super) sectors_high: U16,
    pub(super) padding: U16,
    pub(super) uid_high: U16,
    pub(super) gid_high: U16,
    pub(super) os2: U32,
}

/// Bytes of the slot that have known fields, if it is that large.
pub(crate) const KNOWN_BYTES: usize = 256;

const _: () = {
    assert!(size_of::<RawInode>() == 128);
    assert!(offset_of!(RawInode, block) == 40);
    assert!(offset_of!(RawInode, generation) == 100);
    assert!(offset_of!(RawInode, uid_high) == 120);
    assert!(size_of::<RawInode>() + EXTRA_SIZE as usize <= KNOWN_BYTES);
};

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The major number, below 2^12.
    pub(crate) major: u32,
    /// The minor number, below 2^20.
    pub(crate) minor: u32,
}

impl Device {
    /// Decodes the first two words in the place of the block pointers: one byte each in the first
    /// word or, if that is 0, 12 and 20 bits in the second.
    pub(crate) const fn decode(first: u32, second: u32) -> Self {
        if first != 0 {
            Device {
                major: (first >> 8) & 0xff,
                minor: first & 0xff,
            }
        } else {
            Device {
                major: (second >> 8) & 0xfff,
                minor: (second & 0xff) | ((second >> 12) & 0xf_ff00),
            }
        }
    }

    /// The two words that [`Device::decode`] decodes.
    pub(crate) const fn encode(self) -> (u32, u32) {
        if self.major < 256 && self.minor < 256 && (self.major | self.minor) != 0 {
            ((self.major << 8) | self.minor, 0)
        } else {
            let high = (self.minor & 0xf_ff00) << 12;
            (0, (self.minor & 0xff) | ((self.major & 0xfff) << 8) | high)
        }
    }
}

/// The target of a fast symbolic link, which is kept in the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FastSymlink {
    bytes: [u8; FAST_SYMLINK_BYTES + 1],
}

impl FastSymlink {
    /// A new link to `target`; `None` when it is empty, has a NUL, or is longer than the 59 bytes
    /// that an inode has room for with a terminating NUL.
    pub(crate) fn new(target: &[u8]) -> Option<Self> {
        Self::read(target).filter(|_| target.len() < FAST_SYMLINK_BYTES)
    }

    /// A link that an inode has: as [`FastSymlink::new`], but 60 bytes without a NUL are taken, too.
    fn read(target: &[u8]) -> Option<Self> {
        if target.is_empty() || target.contains(&0) {
            return None;
        }
        let mut bytes = [0; FAST_SYMLINK_BYTES + 1];
        let kept = bytes.get_mut(..FAST_SYMLINK_BYTES)?;
        kept.get_mut(..target.len())?.copy_from_slice(target);
        Some(FastSymlink { bytes })
    }

    /// The target, padded with NULs, of which there is at least one.
    pub(crate) const fn zero_terminated(&self) -> &[u8; FAST_SYMLINK_BYTES + 1] {
        &self.bytes
    }
}

/// The contents of the block pointers of an inode, by its file type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Regular files, directories and long symbolic links: block pointers, not yet checked.
    Blocks(Pointers),
    /// Short symbolic links: the target.
    FastSymlink(FastSymlink),
    /// Block and character devices: the device.
    Device(Device),
    /// Pipes and sockets: nothing.
    Nothing,
}

/// Why an inode cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InodeError {
    /// It is unused: never used, or deleted. No name may lead to it; a file handle that does is
    /// stale.
    Deleted,
    /// It is in use, and corrupt.
    Corrupt(Corrupt),
}

impl From<Corrupt> for InodeError {
    fn from(corrupt: Corrupt) -> Self {
        InodeError::Corrupt(corrupt)
    }
}

/// A validated inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    /// Type and permissions.
    pub(crate) mode: u16,
    /// The type in the mode.
    pub(crate) file_type: FileType,
    /// Owner.
    pub(crate) uid: u32,
    /// Group of the owner.
    pub(crate) gid: u32,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Link count.
    pub(crate) links: u16,
    /// 512-byte sectors: data, blocks of pointers and extended attributes.
    pub(crate) sectors: u64,
    /// They are counted in 48 bits, not in 32.
    pub(crate) huge: bool,
    /// Time of the last access.
    pub(crate) atime: Time,
    /// Time of the last change of the inode.
    pub(crate) ctime: Time,
    /// Time of the last change of the content.
    pub(crate) mtime: Time,
    /// Time of birth, if there is room for it.
    pub(crate) crtime: Option<Time>,
    /// Time of deletion; 0 while it is in use.
    pub(crate) dtime: u32,
    /// Flags.
    pub(crate) flags: InodeFlags,
    /// The generation, which differs between files that had the inode number in turn.
    pub(crate) generation: u32,
    /// Block of the extended attributes, 0 for none.
    pub(crate) file_acl: u32,
    /// Bytes after the first 128 that are used for fields; 0 in an inode that has no more.
    pub(crate) extra_size: u16,
    /// Block pointers, or what is kept in place of them.
    pub(crate) content: Content,
}

impl Inode {
    /// Reads inode `ino` from `bytes`, its slot or the first [`KNOWN_BYTES`] of that.
    ///
    /// # Errors
    ///
    /// The inode is unused, or corrupt: no file type, a size that the type cannot have, attributes
    /// in a block of metadata, fields beyond the slot.
    pub(crate) fn parse(layout: &Layout<'_>, ino: u32, bytes: &[u8]) -> Result<Self, InodeError> {
        let at = Place::Inode(ino);
        let Ok((raw, rest)) = RawInode::ref_from_prefix(bytes) else {
            return Err(Corrupt::new(at, "shorter than 128 bytes").into());
        };
        let mode = raw.mode.get();
        // With links it is in use, also if it has a time of deletion: so e2fsck says.
        if raw.links.get() == 0 {
            if mode == 0 || raw.dtime.get() != 0 {
                return Err(InodeError::Deleted);
            }
            return Err(Corrupt::new(at, "no links, but not deleted either").into());
        }
        let Some(file_type) = FileType::from_mode(mode) else {
            let what = "mode of no known file type";
            return Err(Corrupt::found(at, what, mode.into()).into());
        };
        let mut flags = InodeFlags(raw.flags.get());
        if flags.has(InodeFlags::EXTENTS | InodeFlags::INLINE_DATA) {
            let what = "flags of extents or inline data on a volume without";
            return Err(Corrupt::found(at, what, flags.0.into()).into());
        }
        let file_acl = raw.file_acl.get();
        if file_acl != 0 {
            layout.check_data(at, file_acl, 1)?;
        }

        let size = match file_type {
            FileType::Regular => u64::from(raw.size.get()) | (u64::from(raw.size_high.get()) << 32),
            _ => raw.size.get().into(),
        };
        let geometry = layout.geometry();
        let sectors = parse_sectors(geometry, raw, &mut flags);
        let content = parse_content(geometry, ino, file_type, size, sectors, raw)?;
        let room = layout.geometry().inode_size() - size_of::<RawInode>() as u32;
        let extra = Extra::read(rest);
        if !extra.is_valid(room) {
            let what = "fields end beyond the inode, or not at a multiple of four";
            return Err(Corrupt::found(at, what, extra.size.into()).into());
        }
        let [ctime, mtime, atime, crtime] = extra.times;
        Ok(Inode {
            mode,
            file_type,
            uid: u32::from(raw.uid.get()) | (u32::from(raw.uid_high.get()) << 16),
            gid: u32::from(raw.gid.get()) | (u32::from(raw.gid_high.get()) << 16),
            size,
            links: raw.links.get(),
            sectors,
            huge: geometry.has_huge_files(),
            atime: Time::decode(raw.atime.get(), atime),
            ctime: Time::decode(raw.ctime.get(), ctime),
            mtime: Time::decode(raw.mtime.get(), mtime),
            crtime: extra.crtime.map(|field| Time::decode(field, crtime)),
            dtime: 0,
            flags,
            generation: raw.generation.get(),
            file_acl,
            extra_size: extra.size,
            content,
        })
    }

    /// Stores the inode in `bytes`, its slot or the first [`KNOWN_BYTES`] of that, and returns the
    /// range changed, which ends before extended attributes.
    ///
    /// With `new`, all bytes are cleared first: they are the stale contents of an earlier inode.
    /// Without, unknown fields keep their values, unless the inode uses more bytes for fields than
    /// before.
    ///
    /// # Errors
    ///
    /// `bytes` is shorter than 128 bytes.
    pub(crate) fn store(
        &self,
        ino: u32,
        bytes: &mut [u8],
        new: bool,
    ) -> Result<Range<usize>, Corrupt> {
        if new {
            bytes.fill(0);
        }
        let whole = bytes.len();
        let Ok((raw, rest)) = RawInode::mut_from_prefix(bytes) else {
            let what = "shorter than 128 bytes";
            return Err(Corrupt::new(Place::Inode(ino), what));
        };
        let times = [
            (self.ctime, &mut raw.ctime),
            (self.mtime, &mut raw.mtime),
            (self.atime, &mut raw.atime),
        ];
        let extra = inode_extra::store(times, self.crtime, self.extra_size, rest);

        raw.mode.set(self.mode);
        raw.uid.set(low(self.uid));
        raw.gid.set(low(self.gid));
        // As in Linux' ext2: a deleted inode has no upper halves, in case a kernel with 16-bit IDs
        // reuses it.
        let deleted = self.dtime != 0;
        raw.uid_high.set(if deleted { 0 } else { high(self.uid) });
        raw.gid_high.set(if deleted { 0 } else { high(self.gid) });
        raw.size.set(self.size as u32);
        if self.file_type == FileType::Regular {
            raw.size_high.set((self.size >> 32) as u32);
        }
        raw.dtime.set(self.dtime);
        raw.links.set(self.links);
        raw.sectors.set(self.sectors as u32);
        if self.huge {
            // No volume has so many that they need more.
            let high = (self.sectors >> 32) as u16;
            let is_cut = cfg!(mutant = "sectors-cut");
            raw.sectors_high.set(if is_cut { 0 } else { high });
        }
        raw.flags.set(self.flags.0);
        raw.generation.set(self.generation);
        raw.file_acl.set(self.file_acl);
        match &self.content {
            Content::Blocks(pointers) => raw.block = pointers.map(U32::new),
            Content::FastSymlink(link) => {
                let (kept, _) = link.zero_terminated().split_at(FAST_SYMLINK_BYTES);
                raw.block.as_mut_bytes().copy_from_slice(kept);
            }
            Content::Device(device) => {
                let (first, second) = device.encode();
                let [word0, word1, ..] = &mut raw.block;
                word0.set(first);
                word1.set(second);
            }
            Content::Nothing => {}
        }
        Ok(match new {
            true => 0..whole,
            false => 0..size_of::<RawInode>() + extra,
        })
    }

    /// The block pointers; `None` for a file type without.
    pub(crate) const fn pointers(&self) -> Option<&Pointers> {
        match &self.content {
            Content::Blocks(pointers) => Some(pointers),
            _ => None,
        }
    }
}

const fn low(id: u32) -> u16 {
    id as u16
}

const fn high(id: u32) -> u16 {
    (id >> 16) as u16
}

/// Whether `bytes`, a slot of the inode table, has an inode without links: deleted, or never used.
pub(crate) fn has_no_link(bytes: &[u8]) -> bool {
    RawInode::ref_from_prefix(bytes).is_ok_and(|(raw, _)| raw.links.get() == 0)
}

/// The sectors of an inode. Another driver may have counted blocks instead, and have set a flag that says
/// so: as that is not needed for any volume of this format, it is dropped.
fn parse_sectors(geometry: &Geometry, raw: &RawInode, flags: &mut InodeFlags) -> u64 {
    let low = u64::from(raw.sectors.get());
    if !geometry.has_huge_files() {
        return low;
    }
    let count = low | (u64::from(raw.sectors_high.get()) << 32);
    match flags.has(InodeFlags::HUGE_FILE) {
        true => {
            flags.0 &= !InodeFlags::HUGE_FILE;
            count * u64::from(geometry.sectors_per_block())
        }
        false => count,
    }
}

fn parse_content(
    geometry: &Geometry,
    ino: u32,
    file_type: FileType,
    size: u64,
    sectors: u64,
    raw: &RawInode,
) -> Result<Content, Corrupt> {
    let at = Place::Inode(ino);
    let block_size = u64::from(geometry.block_size());
    let bad_size = |what| Err(Corrupt::found(at, what, size));
    let pointers = Content::Blocks(raw.block.map(U32::get));
    match file_type {
        FileType::Regular => {
            if size > tree_blocks(geometry.block_bits()) << geometry.block_bits() {
                return bad_size("size beyond what block pointers can reach");
            }
            Ok(pointers)
        }
        FileType::Directory => {
            if size > u64::from(geometry.blocks_count()) * block_size {
                return bad_size("directory larger than the volume");
            }
            if size == 0 || size & (block_size - 1) != 0 {
                return bad_size("size of a directory is not a number of blocks");
            }
            Ok(pointers)
        }
        FileType::Symlink => {
            let xattr_sectors = if raw.file_acl.get() == 0 {
                0
            } else {
                geometry.sectors_per_block()
            };
            if sectors != u64::from(xattr_sectors) {
                // The target and its NUL are in one block.
                if size == 0 || size >= block_size {
                    return bad_size("impossible size of a symbolic link");
                }
                return Ok(pointers);
            }
            let target = usize::try_from(size)
                .ok()
                .and_then(|len| raw.block.as_bytes().get(..len))
                .and_then(FastSymlink::read);
            match target {
                Some(link) => Ok(Content::FastSymlink(link)),
                None => bad_size("impossible target of a short symbolic link"),
            }
        }
        FileType::CharDevice | FileType::BlockDevice => {
            let [first, second, ..] = raw.block.map(U32::get);
            Ok(Content::Device(Device::decode(first, second)))
        }
        FileType::Fifo | FileType::Socket => Ok(Content::Nothing),
    }
}
