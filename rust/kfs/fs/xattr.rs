// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: `struct xattr_handler`.
//!
//! C header: [`include/linux/xattr.h`](srctree/include/linux/xattr.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::lock::{Exclusive, InodeLocked};
use crate::fs::inode::Inode;
use crate::fs::super_block::NewSuperBlock;
use core::marker::PhantomData;
use core::ptr;
use kernel::prelude::*;

/// Where a value, or a list of names, goes: what the caller gave, which may be nothing if it only asks
/// for the size.
pub struct XattrBuffer<'a> {
    to: *mut u8,
    /// Bytes there; with a null pointer, without meaning.
    size: usize,
    len: usize,
    _p: PhantomData<&'a mut [u8]>,
}

impl XattrBuffer<'_> {
    /// # Safety
    ///
    /// `to` must be null, or valid for writes of `size` bytes, and used by nobody else, for as long as
    /// the value lives.
    pub(crate) unsafe fn from_raw(to: *mut c_void, size: usize) -> Self {
        XattrBuffer {
            to: to.cast(),
            size,
            len: 0,
            _p: PhantomData,
        }
    }

    /// Appends `bytes`. `ERANGE` when there is no room.
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        let end = self.len.checked_add(bytes.len()).ok_or(ERANGE)?;
        if !self.to.is_null() {
            if end > self.size {
                return Err(ERANGE);
            }
            // SAFETY: By the contract of `from_raw`, and it ends within the size.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.to.add(self.len), bytes.len()) };
        }
        self.len = end;
        Ok(())
    }

    /// How many bytes were appended, or would have been.
    pub(crate) fn ret(&self, result: Result) -> Result<usize> {
        result.map(|()| self.len)
    }
}

/// When an attribute is set: `setxattr(2)`. With both it never is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetXattr {
    /// Only if it is not there (`XATTR_CREATE`).
    pub must_not_exist: bool,
    /// Only if it is there (`XATTR_REPLACE`).
    pub must_exist: bool,
}

impl SetXattr {
    /// Whether it is there or not.
    pub const ANY: Self = SetXattr {
        must_not_exist: false,
        must_exist: false,
    };
}

/// What can be done to the attributes whose names begin with a prefix. All methods may sleep. Without one
/// of them the VFS refuses what it is for, with `EOPNOTSUPP`.
#[vtable]
pub trait XattrHandler<F: FileSystemData> {
    /// The prefix, with its dot.
    const PREFIX: &'static CStr;

    /// Appends the value of the attribute to `value`. `name` is what follows the prefix. `ENODATA` when
    /// there is none. The lock of the inode may be held, in either mode, or not: a write asks for capabilities with it.
    fn get(_inode: &Inode<F>, _name: &[u8], _value: &mut XattrBuffer<'_>) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the attribute, or removes it, if `value` is `None`. `EEXIST` or `ENODATA` if it is to be
    /// made, or replaced, and cannot.
    fn set(
        _inode: &InodeLocked<F, Exclusive>,
        _name: &[u8],
        _value: Option<&[u8]>,
        _how: SetXattr,
    ) -> Result {
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

struct Handler<F, T>(PhantomData<(F, T)>);

impl<F: FileSystemData, T: XattrHandler<F>> Handler<F, T> {
    const HANDLER: bindings::xattr_handler = bindings::xattr_handler {
        prefix: T::PREFIX.to_bytes_with_nul().as_ptr().cast(),
        get: if_has!(T::HAS_GET, Self::get),
        set: if_has!(T::HAS_SET, Self::set),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS as `get` of a handler for `F`.
    unsafe extern "C" fn get(
        _handler: *const bindings::xattr_handler,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        buffer: *mut c_void,
        size: usize,
    ) -> c_int {
        // SAFETY: By the requirement: the inode is valid, the name is terminated, and the buffer is null
        // or of that size.
        let (inode, name, mut value) = unsafe {
            (
                Inode::<F>::from_raw(inode),
                CStr::from_char_ptr(name),
                XattrBuffer::from_raw(buffer, size),
            )
        };
        let result = T::get(inode, name.to_bytes(), &mut value);
        match value.ret(result) {
            // Values have at most `XATTR_SIZE_MAX` bytes.
            Ok(len) => len as c_int,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS as `set` of a handler for `F`, with the lock of the inode held.
    unsafe extern "C" fn set(
        _handler: *const bindings::xattr_handler,
        _idmap: *mut bindings::mnt_idmap,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int {
        // SAFETY: By the requirement, as in `get`.
        let (inode, name, value) = unsafe {
            (
                InodeLocked::<F, Exclusive>::from_raw(inode),
                CStr::from_char_ptr(name),
                (!value.is_null()).then(|| core::slice::from_raw_parts(value.cast::<u8>(), size)),
            )
        };
        let has = |flag: u32| flags as u32 & flag != 0;
        let how = SetXattr {
            must_not_exist: has(bindings::XATTR_CREATE),
            must_exist: has(bindings::XATTR_REPLACE),
        };
        match T::set(inode, name.to_bytes(), value, how) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }
}

struct List<F, A, B, C>(PhantomData<(F, A, B, C)>);

impl<F, A, B, C> List<F, A, B, C>
where
    F: FileSystemData,
    A: XattrHandler<F>,
    B: XattrHandler<F>,
    C: XattrHandler<F>,
{
    const HANDLERS: &'static [*const bindings::xattr_handler; 4] = &[
        &Handler::<F, A>::HANDLER,
        &Handler::<F, B>::HANDLER,
        &Handler::<F, C>::HANDLER,
        ptr::null(),
    ];
}

impl<F: FileSystemData> NewSuperBlock<'_, F> {
    /// Lets the inodes of the filesystem have extended attributes, of the prefixes of three handlers.
    /// Lists of names are made by `InodeOperations::listxattr`.
    pub fn set_xattr_handlers<A: XattrHandler<F>, B: XattrHandler<F>, C: XattrHandler<F>>(
        &mut self,
    ) {
        self.set_xattr(List::<F, A, B, C>::HANDLERS);
    }
}
