// SPDX-License-Identifier: GPL-2.0

//! The access control lists of an inode.

use crate::ext2::acl::{self, Entry, Tag};
use crate::ext2::xattr::{Index, Key};
use crate::inode::attributes;
use crate::inode::data::ino32;
use crate::inode::stored_attributes;
use crate::types::Inode;
use crate::volume::fault::{Fault, Result};
use kernel::prelude::*;
use kfs::compat::{zeroed, ENODATA};
use kfs::fs::posix_acl::{AclEntry, AclType, PosixAcl};
use kfs::fs::xattr::SetXattr;

/// The attribute that has a list.
const fn key(acl_type: AclType) -> Key<'static> {
    Key {
        index: match acl_type {
            AclType::Access => Index::ACL_ACCESS,
            AclType::Default => Index::ACL_DEFAULT,
        },
        name: b"",
    }
}

/// Reads a list; `None` when there is none. Takes the lock of the attributes; may sleep.
pub(crate) fn get(inode: &Inode, acl_type: AclType) -> Result<Option<PosixAcl>> {
    let read = attributes::get(inode, key(acl_type), |value| {
        let count = acl::decode(ino32(inode), value)?.count();
        if count == 0 {
            return Ok(None);
        }
        let entries = acl::decode(ino32(inode), value)?.map(|entry| -> Result<AclEntry> {
            let entry = entry?;
            let (tag, id) = entry.tag.encode();
            Ok(AclEntry {
                tag,
                permissions: entry.permissions,
                id,
            })
        });
        PosixAcl::new(count, entries).map(Some)
    });
    match read {
        Err(Fault::Error(error)) if error == ENODATA => Ok(None),
        read => read,
    }
}

/// Stores a list, or removes it. The inode lock is held, or the inode is new. As [`attributes::set`].
///
/// The mode gives no more than it did before, and does with the list: as long as the device does not have the list, it has no
/// other.
pub(crate) fn set(inode: &Inode, acl_type: AclType, list: Option<&PosixAcl>) -> Result {
    let Some(list) = list else {
        return attributes::set(inode, key(acl_type), None, SetXattr::ANY);
    };
    let mut value: KVVec<u8> = zeroed(acl::bytes_max(list.count()), GFP_KERNEL)?;
    let mut unknown = false;
    let entries = list.entries().filter_map(|entry| {
        let tag = Tag::decode(entry.tag, || entry.id);
        unknown |= tag.is_none();
        tag.map(|tag| Entry {
            tag,
            permissions: entry.permissions,
        })
    });
    let len = acl::encode(&mut value, entries).ok_or(EINVAL)?;
    if unknown {
        return Err(EINVAL.into());
    }
    attributes::set(inode, key(acl_type), value.get(..len), SetXattr::ANY)?;
    if acl_type == AclType::Access {
        stored_attributes::restrict(inode, inode.mode());
    }
    Ok(())
}
