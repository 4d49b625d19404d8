// SPDX-License-Identifier: GPL-2.0

//! Credentials of the current task.
//!
//! [`kernel::cred::Credential`] gives out the effective user alone: not the one for file access
//! (`fsuid`), groups, or capabilities.
//!
//! C headers: [`include/linux/capability.h`](srctree/include/linux/capability.h),
//! [`include/linux/cred.h`](srctree/include/linux/cred.h)

use crate::bindings;
use kernel::prelude::*;

/// Whether the current task may exceed limits on resources (`CAP_SYS_RESOURCE`).
///
/// A check that succeeds marks the task as having used the privilege (`PF_SUPERPRIV`), and is
/// audited: check other limits first. Does not sleep.
pub fn capable_sys_resource() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as c_int) }
}

/// Whether the current task may administer the system (`CAP_SYS_ADMIN`). As [`capable_sys_resource`].
pub fn capable_sys_admin() -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) }
}

/// Whether the current task acts on files as the user `uid` of the initial user namespace.
pub fn fsuid_is(uid: u32) -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::current_fsuid().val == uid }
}

/// Whether the current task is in the group `gid` of the initial user namespace.
pub fn in_group(gid: u32) -> bool {
    // SAFETY: The function looks at the current task only.
    unsafe { bindings::in_group_p(bindings::kgid_t { val: gid }) != 0 }
}
