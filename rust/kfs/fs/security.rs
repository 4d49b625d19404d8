// SPDX-License-Identifier: GPL-2.0

//! Labels of security modules.
//!
//! C header: [`include/linux/security.h`](srctree/include/linux/security.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::init::InodeInit;
use crate::fs::inode::Inode;
use core::marker::PhantomData;
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// Who stores the labels of a new inode.
struct Store<F: FileSystemData, S>(S, PhantomData<F>);

impl<F: FileSystemData, S> Store<F, S>
where
    S: FnMut(&InodeInit<F>, &[u8], &[u8]) -> Result,
{
    /// # Safety
    ///
    /// Called by `security_inode_init_security` for the inode that it was called for, with a list of
    /// attributes that a null name ends, and a `Store` as its data.
    unsafe extern "C" fn initxattrs(
        inode: *mut bindings::inode,
        mut xattr: *const bindings::xattr,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the requirement.
        let (store, inode) = unsafe { (&mut *data.cast::<Self>(), &*inode.cast::<InodeInit<F>>()) };
        // SAFETY: By the requirement: names are terminated, and values as long as said.
        while let Some(name) = unsafe { (*xattr).name.as_ref() } {
            // SAFETY: As above.
            let (name, value) = unsafe {
                let value = (*xattr).value.cast::<u8>();
                let value = match value.is_null() {
                    true => &[],
                    false => core::slice::from_raw_parts(value, (*xattr).value_len),
                };
                (CStr::from_char_ptr(ptr::from_ref(name)), value)
            };
            if let Err(error) = (store.0)(inode, name.to_bytes(), value) {
                return error.to_errno();
            }
            // SAFETY: It was not the last one.
            xattr = unsafe { xattr.add(1) };
        }
        0
    }
}

impl<F: FileSystemData> InodeInit<F> {
    /// Has the security modules label the inode, which is new in `dir`, as `name` if it has one, of at most
    /// 255 bytes. `store` gets the names, without `security.`, and the values of attributes that it has
    /// to store. May sleep.
    pub fn init_security<S>(&self, dir: &Inode<F>, name: Option<&[u8]>, store: S) -> Result
    where
        S: FnMut(&InodeInit<F>, &[u8], &[u8]) -> Result,
    {
        // Terminated, as modules take it for a string.
        let mut bytes = [0u8; 256];
        let len = name.map_or(0, <[u8]>::len);
        if len > 255 {
            return Err(EINVAL);
        }
        for (to, from) in bytes.iter_mut().zip(name.unwrap_or_default()) {
            *to = *from;
        }
        let mut qstr: bindings::qstr = pin_init::zeroed();
        qstr.name = bytes.as_ptr();
        qstr.__bindgen_anon_1.__bindgen_anon_1.len = len as u32;
        let mut store = Store::<F, S>(store, PhantomData);
        // SAFETY: The inodes are valid, and by the type invariant nobody else uses this one. The name and
        // the closure live during the call, in which the function is called back only.
        to_result(unsafe {
            bindings::inode_init_security(
                self.as_raw(),
                dir.as_raw(),
                match name {
                    Some(_) => &raw const qstr,
                    None => ptr::null(),
                },
                Some(Store::<F, S>::initxattrs),
                (&raw mut store).cast(),
            )
        })
    }
}
