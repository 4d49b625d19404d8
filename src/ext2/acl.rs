// SPDX-License-Identifier: GPL-2.0

//! Access control lists, as they are in the value of an extended attribute.
//!
//! A version, and then the entries: those of a named user or group have eight bytes, all others
//! four.

use zerocopy::{
    little_endian::{U16, U32},
    FromBytes, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Corrupt, Place};

const VERSION: u32 = 1;

/// An entry as it is on the disk. Its tag says whether it has an id.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    tag: U16,
    permissions: U16,
}

/// The largest value that a list of `count` entries needs, in bytes.
pub(crate) const fn bytes_max(count: usize) -> usize {
    size_of::<U32>() + count * (size_of::<RawEntry>() + size_of::<U32>())
}

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The owner.
    Owner,
    /// A user, by number.
    User(u32),
    /// The group of the file.
    OwningGroup,
    /// A group, by number.
    Group(u32),
    /// The most that users and groups can have.
    Mask,
    /// Everybody else.
    Other,
}

impl Tag {
    /// The number that stands for it, and the user or group.
    pub(crate) const fn encode(self) -> (u16, Option<u32>) {
        match self {
            Tag::Owner => (0x01, None),
            Tag::User(id) => (0x02, Some(id)),
            Tag::OwningGroup => (0x04, None),
            Tag::Group(id) => (0x08, Some(id)),
            Tag::Mask => (0x10, None),
            Tag::Other => (0x20, None),
        }
    }

    /// What a number stands for; `id` is asked for the user or group, if it is of one. `None` for
    /// another number, or when there is no id.
    pub(crate) fn decode(tag: u16, id: impl FnOnce() -> Option<u32>) -> Option<Self> {
        Some(match tag {
            0x01 => Tag::Owner,
            0x02 => Tag::User(id()?),
            0x04 => Tag::OwningGroup,
            0x08 => Tag::Group(id()?),
            0x10 => Tag::Mask,
            0x20 => Tag::Other,
            _ => return None,
        })
    }
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whom it is about.
    pub(crate) tag: Tag,
    /// What they may do: read 4, write 2, execute 1.
    pub(crate) permissions: u16,
}

/// Reads the list of inode `ino` from the value of its attribute: the entries in order, each of which
/// may be corrupt.
///
/// # Errors
///
/// The version is another one.
pub(crate) fn decode(
    ino: u32,
    value: &[u8],
) -> Result<impl Iterator<Item = Result<Entry, Corrupt>> + use<'_>, Corrupt> {
    let at = Place::Inode(ino);
    let Ok((version, mut rest)) = U32::read_from_prefix(value) else {
        return Err(Corrupt::new(at, "access control list without a version"));
    };
    if version.get() != VERSION {
        let what = "access control list of another version";
        return Err(Corrupt::found(at, what, version.get().into()));
    }
    Ok(core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = take_entry(&mut rest);
        if entry.is_none() {
            rest = &[];
        }
        let what = "access control list with an impossible entry";
        Some(entry.ok_or(Corrupt::new(at, what)))
    }))
}

/// Takes the first entry off; `None` if it is none.
fn take_entry(bytes: &mut &[u8]) -> Option<Entry> {
    let (raw, rest) = RawEntry::read_from_prefix(bytes).ok()?;
    *bytes = rest;
    let tag = Tag::decode(raw.tag.get(), || {
        let (id, rest) = U32::read_from_prefix(bytes).ok()?;
        *bytes = rest;
        Some(id.get())
    })?;
    let permissions = raw.permissions.get();
    (permissions <= 7).then_some(Entry { tag, permissions })
}

/// Writes a list to `value`. Returns how many bytes it takes; `None` if it does not fit.
pub(crate) fn encode(value: &mut [u8], entries: impl IntoIterator<Item = Entry>) -> Option<usize> {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        value
            .get_mut(len..)?
            .get_mut(..bytes.len())?
            .copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    put(&VERSION.to_le_bytes())?;
    for entry in entries {
        let (tag, id) = entry.tag.encode();
        let raw = RawEntry {
            tag: U16::new(tag),
            permissions: U16::new(entry.permissions),
        };
        put(raw.as_bytes())?;
        if let Some(id) = id {
            put(&id.to_le_bytes())?;
        }
    }
    Some(len)
}
