// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: entries in an area, which is a block or the rest of an inode's slot.
//!
//! ```text
//!   block   | header | entry | entry | 0 0 0 0 |   ...   | value | value |
//!   slot       | magic | entry | entry | 0 0 0 0 | ...   | value | value |
//! ```
//!
//! An entry has a name, without the prefix that its number stands for, and the place of its value,
//! from the begin of the block, or from the first entry in a slot. In a block entries are sorted and
//! have hashes, by which blocks of the same content are found: inodes share one, which
//! has a reference count.

use core::{cmp::Ordering, mem::offset_of};

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Corrupt, Place};

/// The number that marks attributes.
const MAGIC: u32 = 0xea02_0000;
/// The longest name, without its prefix, in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// How many references a block may have, so that other drivers agree.
const REFERENCES_MAX: u32 = 1024;

/// The header of a block as it is on the disk.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    references: U32,
    blocks: U32,
    hash: U32,
    reserved: [U32; 4],
}

/// An entry as it is on the disk, without its name.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    name_len: u8,
    index: u8,
    value_offset: U16,
    value_ino: U32,
    value_size: U32,
    hash: U32,
}

const HEADER: usize = size_of::<RawHeader>();
const ENTRY: usize = size_of::<RawEntry>();
/// The magic number in a slot, and the end of its entries.
const WORD: usize = size_of::<U32>();

const _: () = assert!(HEADER == 32 && ENTRY == 16);

/// What stands for a prefix of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) u8);

impl Index {
    /// `user.`
    pub(crate) const USER: Index = Index(1);
    /// `system.posix_acl_access`, with an empty name.
    pub(crate) const ACL_ACCESS: Index = Index(2);
    /// `system.posix_acl_default`, with an empty name.
    pub(crate) const ACL_DEFAULT: Index = Index(3);
    /// `trusted.`
    pub(crate) const TRUSTED: Index = Index(4);
    /// `security.`
    pub(crate) const SECURITY: Index = Index(6);
}

/// The name of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// The prefix.
    pub(crate) index: Index,
    /// What follows it: at most [`NAME_MAX`] bytes, none of them 0.
    pub(crate) name: &'a [u8],
}

impl Key<'_> {
    /// Whether it is no name at all. Nobody can ask for such an attribute, and without a value its entry would be read as the end of
    /// them all.
    fn is_nothing(&self) -> bool {
        self.index.0 == 0 && self.name.is_empty() && !cfg!(mutant = "xattr-nothing-kept")
    }

    /// The order in a block.
    fn order(&self, other: &Key<'_>) -> Ordering {
        let key = |key: &Key<'_>| (key.index.0, key.name.len());
        key(self)
            .cmp(&key(other))
            .then_with(|| self.name.cmp(other.name))
    }
}

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// Its name.
    pub(crate) key: Key<'a>,
    /// Its value.
    pub(crate) value: &'a [u8],
}

/// Attributes in an area, which have been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    /// The entries, up to the four bytes of 0 behind the last.
    entries: &'a [u8],
    /// What the places of values count from.
    values: &'a [u8],
}

/// Rounds up to a multiple of four.
const fn pad(len: usize) -> usize {
    (len + 3) & !3
}

impl<'a> Attributes<'a> {
    /// No attributes.
    pub(crate) const NONE: Attributes<'static> = Attributes {
        entries: &[],
        values: &[],
    };

    /// The attributes of inode `ino` in `bytes`, the contents of `block`.
    ///
    /// # Errors
    ///
    /// It is no block of attributes, or an entry or a value is not in it.
    pub(crate) fn in_block(ino: u32, block: u32, bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let at = Place::Xattr { ino, block };
        check_header(at, bytes)?;
        Self::check(at, bytes.get(HEADER..).unwrap_or_default(), bytes)
    }

    /// The attributes of inode `ino` in `bytes`, which is its slot after its fields.
    ///
    /// # Errors
    ///
    /// An entry or a value is not in it.
    pub(crate) fn in_slot(ino: u32, bytes: &'a [u8]) -> Result<Self, Corrupt> {
        match bytes.split_first_chunk() {
            Some((magic, area)) if are_here(*magic) => Self::check(Place::Inode(ino), area, area),
            _ => Ok(Self::NONE),
        }
    }

    /// Checks the entries at the begin of `area`, whose values are in it, too, behind them.
    fn check(at: Place, area: &'a [u8], values: &'a [u8]) -> Result<Self, Corrupt> {
        let corrupt = |what, offset: usize| Corrupt::found(at, what, offset as u64);
        let mut end = 0;
        loop {
            let rest = area.get(end..).unwrap_or_default();
            match rest.first_chunk::<WORD>() {
                None => return Err(corrupt("attributes without an end", end)),
                Some([0, 0, 0, 0]) => break,
                Some(_) => {}
            }
            let Ok((raw, name)) = RawEntry::ref_from_prefix(rest) else {
                return Err(corrupt("attribute beyond the end", end));
            };
            let Some(name) = name.get(..raw.name_len.into()) else {
                return Err(corrupt("name of an attribute beyond the end", end));
            };
            if name.contains(&0) {
                return Err(corrupt("name of an attribute with a NUL", end));
            }
            end += pad(ENTRY + name.len());
        }
        let (entries, _) = area.split_at_checked(end).unwrap_or_default();
        let checked = Attributes { entries, values };
        // From the begin of what values count from.
        let behind = values.len() - area.len() + end + WORD;
        let mut offset = 0;
        while let Some((raw, name)) = checked.raw(offset) {
            let size = raw.value_size.get() as usize;
            let start = usize::from(raw.value_offset.get());
            if raw.value_ino.get() != 0 {
                return Err(corrupt("value of an attribute in an inode", offset));
            }
            let value = start.checked_add(pad(size)).filter(|_| size < 1 << 16);
            let inside = start >= behind && value.is_some_and(|end| end <= values.len());
            if size != 0 && !inside {
                return Err(corrupt("value of an attribute out of bounds", offset));
            }
            offset += pad(ENTRY + name.len());
        }
        Ok(checked)
    }

    /// The entry at a byte offset, and its name.
    fn raw(&self, offset: usize) -> Option<(&'a RawEntry, &'a [u8])> {
        let (raw, rest) = RawEntry::ref_from_prefix(self.entries.get(offset..)?).ok()?;
        Some((raw, rest.get(..raw.name_len.into())?))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let this = *self;
        let mut offset = 0;
        core::iter::from_fn(move || {
            let (raw, name) = this.raw(offset)?;
            offset += pad(ENTRY + name.len());
            let size = raw.value_size.get() as usize;
            let rest = this.values.get(raw.value_offset.get().into()..);
            Some(Attribute {
                key: Key {
                    index: Index(raw.index),
                    name,
                },
                value: rest.and_then(|rest| rest.get(..size)).unwrap_or_default(),
            })
        })
    }

    /// The value of an attribute.
    pub(crate) fn find(&self, key: Key<'_>) -> Option<&'a [u8]> {
        self.iter()
            .find(|attribute| attribute.key == key)
            .map(|attribute| attribute.value)
    }
}

/// Whether these are the first bytes of the attributes in a slot, after the fields of the inode.
pub(crate) fn are_here(bytes: [u8; WORD]) -> bool {
    u32::from_le_bytes(bytes) == MAGIC
}

/// How many bytes of a slot attributes need at least.
pub(crate) const SLOT_MIN: usize = 2 * WORD;

/// The longest value of an attribute with a name of `name_len` bytes in a block of `block_size`.
pub(crate) const fn value_max(block_size: usize, name_len: usize) -> usize {
    (block_size - HEADER - WORD).saturating_sub(pad(ENTRY + name_len))
}

/// A change of attributes: the key gets the value, or goes.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    /// Which attribute.
    pub(crate) key: Key<'a>,
    /// Its new value, `None` to remove it.
    pub(crate) value: Option<&'a [u8]>,
}

/// Attributes with a change to be made.
#[derive(Clone, Copy)]
pub(crate) struct Changed<'a> {
    old: Attributes<'a>,
    change: Change<'a>,
}

impl<'a> Changed<'a> {
    /// The attributes `old` with the change, but for those with no name at all.
    pub(crate) const fn new(old: Attributes<'a>, change: Change<'a>) -> Self {
        Changed { old, change }
    }

    /// All that will be there, in no order.
    fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let Change { key, value } = self.change;
        let is_kept = move |old: &Key<'_>| *old != key && !old.is_nothing();
        let kept = self.old.iter().filter(move |old| is_kept(&old.key));
        let added = value.map(|value| Attribute { key, value });
        kept.chain(added)
    }

    /// The first that comes after `last`.
    fn next_after(&self, last: Option<Key<'_>>) -> Option<Attribute<'a>> {
        self.iter()
            .filter(|new| last.is_none_or(|last| new.key.order(&last) == Ordering::Greater))
            .min_by(|a, b| a.key.order(&b.key))
    }

    /// Whether nothing will be left.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Makes `bytes` a block of them, with one reference. Returns whether there is room; if not,
    /// what is in `bytes` then means nothing.
    pub(crate) fn to_block(self, bytes: &mut [u8]) -> bool {
        bytes.fill(0);
        let Some(hash) = self.write(bytes, HEADER, 0, true) else {
            return false;
        };
        let Ok((raw, _)) = RawHeader::mut_from_prefix(bytes) else {
            return false;
        };
        raw.magic.set(MAGIC);
        raw.references.set(1);
        raw.blocks.set(1);
        raw.hash.set(hash);
        true
    }

    /// Makes `bytes`, the slot of an inode after its fields, the area with them. Returns whether there
    /// is room; if not, what is in `bytes` then means nothing.
    pub(crate) fn to_slot(self, bytes: &mut [u8]) -> bool {
        bytes.fill(0);
        if self.is_empty() {
            return true;
        }
        if bytes.len() < SLOT_MIN || self.write(bytes, WORD, WORD, false).is_none() {
            return false;
        }
        if let Some(magic) = bytes.first_chunk_mut() {
            *magic = MAGIC.to_le_bytes();
        }
        true
    }

    /// Writes them to `bytes`, which are 0, the entries from the offset `first` on. Places of values
    /// count from the offset `base`. Returns the hash of them all; `None` without room.
    fn write(&self, bytes: &mut [u8], first: usize, base: usize, hashed: bool) -> Option<u32> {
        let (mut next, mut values) = (first, bytes.len());
        let mut last = None;
        let mut hash = 0u32;
        let mut sharable = true;
        while let Some(Attribute { key, value }) = self.next_after(last) {
            last = Some(key);
            let end = next.checked_add(pad(ENTRY + key.name.len()))?;
            values = values.checked_sub(pad(value.len()))?;
            if end.checked_add(WORD)? > values {
                return None;
            }
            let hashed = hashed && !cfg!(mutant = "xattr-unhashed");
            let entry_hash = if hashed {
                entry_hash(key.name, value)
            } else {
                0
            };
            let at = if value.is_empty() { 0 } else { values - base };
            let raw = RawEntry {
                name_len: u8::try_from(key.name.len()).ok()?,
                index: key.index.0,
                value_offset: U16::new(u16::try_from(at).ok()?),
                value_ino: U32::new(0),
                value_size: U32::new(u32::try_from(value.len()).ok()?),
                hash: U32::new(entry_hash),
            };
            let entry = bytes.get_mut(next..end)?;
            entry.get_mut(..ENTRY)?.copy_from_slice(raw.as_bytes());
            entry
                .get_mut(ENTRY..ENTRY + key.name.len())?
                .copy_from_slice(key.name);
            let place = bytes.get_mut(values..values + value.len())?;
            place.copy_from_slice(value);
            sharable &= entry_hash != 0;
            hash = hash.rotate_left(16) ^ entry_hash;
            next = end;
        }
        // 0 stands for a block that is not to be shared.
        Some(if sharable { hash } else { 0 })
    }
}

/// The hash of an entry in a block.
fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let mut hash = name
        .iter()
        .fold(0u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    for word in value.chunks(4) {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(word) {
            *to = *from;
        }
        hash = hash.rotate_left(16) ^ u32::from_le_bytes(bytes);
    }
    hash
}

/// Checks the header of a block.
fn check_header(at: Place, bytes: &[u8]) -> Result<&RawHeader, Corrupt> {
    let Ok((raw, _)) = RawHeader::ref_from_prefix(bytes) else {
        return Err(Corrupt::new(at, "shorter than its header"));
    };
    if raw.magic.get() != MAGIC {
        let what = "wrong magic number";
        return Err(Corrupt::found(at, what, raw.magic.get().into()));
    }
    if raw.blocks.get() != 1 {
        let what = "not of one block";
        return Err(Corrupt::found(at, what, raw.blocks.get().into()));
    }
    if raw.references.get() == 0 {
        return Err(Corrupt::new(at, "no references"));
    }
    Ok(raw)
}

/// The bytes of a block that have its reference count.
pub(crate) const REFERENCES_AT: usize = offset_of!(RawHeader, references);
/// How many bytes of a block are its header.
pub(crate) const HEADER_BYTES: usize = HEADER;

/// How many inodes have the attributes in `bytes`, the header of `block`, of which `ino` is one.
///
/// # Errors
///
/// It is no block of attributes.
pub(crate) fn references(ino: u32, block: u32, bytes: &[u8]) -> Result<u32, Corrupt> {
    let raw = check_header(Place::Xattr { ino, block }, bytes)?;
    Ok(raw.references.get())
}

/// The hash in the header of a block, by which an equal one is found; `None` if it is not to be
/// shared.
pub(crate) fn block_hash(bytes: &[u8]) -> Option<u32> {
    let (raw, _) = RawHeader::ref_from_prefix(bytes).ok()?;
    Some(raw.hash.get()).filter(|&hash| hash != 0)
}

/// Whether `bytes`, the contents of a block, are the attributes in the block `new`, and may have one
/// more reference. Returns their number.
pub(crate) fn may_share(bytes: &[u8], new: &[u8]) -> Option<u32> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (_, new_rest) = new.split_at_checked(HEADER)?;
    let (raw, _) = RawHeader::ref_from_prefix(header).ok()?;
    let valid = raw.magic.get() == MAGIC && raw.blocks.get() == 1;
    let references = raw.references.get();
    (valid && (1..REFERENCES_MAX).contains(&references) && rest == new_rest).then_some(references)
}
