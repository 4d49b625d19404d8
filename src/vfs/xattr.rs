// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: `xattr_handler`s, and lists of names.

use crate::ext2::xattr::{Index, Key};
use crate::inode::attributes;
use crate::inode::errors::reported;
use crate::inode::names;
use crate::types::{Inode, InodeLocked, RetryFs};
use kernel::prelude::*;
use kfs::block::bdev::BlockDevice;
use kfs::compat::EOPNOTSUPP;
use kfs::cred;
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::xattr::{SetXattr, XattrBuffer, XattrHandler};

/// The attributes that users make, `user.`.
pub(super) struct User;
/// Those that only privileged tasks see, `trusted.`.
pub(super) struct Trusted;
/// Those of security modules, `security.`: labels, and capabilities of files.
pub(super) struct Security;

const USER: &CStr = c"user.";
const TRUSTED: &CStr = c"trusted.";
const SECURITY: &CStr = c"security.";

fn get(inode: &Inode, index: Index, name: &[u8], value: &mut XattrBuffer<'_>) -> Result {
    let key = Key { index, name };
    reported(
        inode,
        attributes::get(inode, key, |bytes| Ok(value.push(bytes)?)),
    )
}

/// Sets an attribute, or removes it. With `O_SYNC` of the mount or the file it is on the device then.
pub(super) fn set(
    inode: &InodeLocked<Exclusive>,
    key: Key<'_>,
    value: Option<&[u8]>,
    how: SetXattr,
) -> Result {
    let sb = inode.sb();
    sb.data().check_writable(sb)?;
    reported(inode, attributes::set(inode, key, value, how))?;
    sync_changed(inode)
}

/// With `O_SYNC` of the mount or the file, brings its attributes, which have been changed, to the device. May sleep. `EIO` when
/// that fails.
pub(super) fn sync_changed(inode: &InodeLocked<Exclusive>) -> Result {
    if inode.needs_sync() {
        let mark = names::begin(inode);
        inode.sync_metadata()?;
        reported(inode, names::sync(inode))?;
        BlockDevice::of(inode.sb()).issue_flush()?;
        names::flushed(inode, mark);
    }
    Ok(())
}

/// `EOPNOTSUPP` on a mount without `user.` attributes.
fn check_user(inode: &Inode) -> Result {
    match inode.sb().data().options().user_xattr {
        true => Ok(()),
        false => Err(EOPNOTSUPP),
    }
}

#[vtable]
impl XattrHandler<RetryFs> for User {
    const PREFIX: &'static CStr = USER;

    fn get(inode: &Inode, name: &[u8], value: &mut XattrBuffer<'_>) -> Result {
        check_user(inode)?;
        get(inode, Index::USER, name, value)
    }

    fn set(
        inode: &InodeLocked<Exclusive>,
        name: &[u8],
        value: Option<&[u8]>,
        how: SetXattr,
    ) -> Result {
        check_user(inode)?;
        let index = Index::USER;
        set(inode, Key { index, name }, value, how)
    }
}

/// Handlers of attributes that are neither for users nor of the system.
macro_rules! handlers {
    ($($handler:ident: $prefix:ident, $index:ident;)*) => {$(
        #[vtable]
        impl XattrHandler<RetryFs> for $handler {
            const PREFIX: &'static CStr = $prefix;

            fn get(inode: &Inode, name: &[u8], value: &mut XattrBuffer<'_>) -> Result {
                get(inode, Index::$index, name, value)
            }

            fn set(
                inode: &InodeLocked<Exclusive>,
                name: &[u8],
                value: Option<&[u8]>,
                how: SetXattr,
            ) -> Result {
                let index = Index::$index;
                set(inode, Key { index, name }, value, how)
            }
        }
    )*};
}

handlers! {
    Trusted: TRUSTED, TRUSTED;
    Security: SECURITY, SECURITY;
}

/// Appends the names that the current task may see, each with a NUL. Others are of other systems.
pub(super) fn list(inode: &Inode, names: &mut XattrBuffer<'_>) -> Result {
    let options = inode.sb().data().options();
    let listed = attributes::list(inode, |key| {
        let prefix = match key.index {
            Index::USER if options.user_xattr => USER,
            Index::TRUSTED if cred::capable_sys_admin() => TRUSTED,
            Index::SECURITY => SECURITY,
            // With more of a name it is none that could be asked for.
            Index::ACL_ACCESS | Index::ACL_DEFAULT
                if !options.acl || !key.name.is_empty() && !mutant!("list-with-a-name") =>
            {
                return Ok(());
            }
            Index::ACL_ACCESS => c"system.posix_acl_access",
            Index::ACL_DEFAULT => c"system.posix_acl_default",
            _ => return Ok(()),
        };
        names.push(prefix.to_bytes())?;
        names.push(key.name)?;
        Ok(names.push(&[0])?)
    });
    reported(inode, listed)
}

/// For a write that must not wait: whether what the VFS looks up then, capabilities of the file, is in
/// memory, or it knows that there are none.
pub(super) fn are_known(inode: &Inode) -> bool {
    inode.has_no_privileges() || attributes::are_cached(inode) || mutant!("nowait-reads-xattr")
}
