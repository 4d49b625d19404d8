// SPDX-License-Identifier: GPL-2.0

//! Mount contexts and mount options.
//!
//! `fc->fs_private` of a context owns a boxed `F::Options`, from `init_fs_context` until `free`.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use crate::bindings;
use crate::fs::file_system::FileSystem;
use crate::fs::super_block::{self, SuperBlock};
use core::ptr;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::as_char_ptr_in_const_context;

/// The description of a mount option for the kernel's parser.
#[repr(transparent)]
pub struct ParameterSpec(bindings::fs_parameter_spec);

// SAFETY: The pointers inside are to constant data with static lifetime.
unsafe impl Sync for ParameterSpec {}

impl ParameterSpec {
    const fn new(name: &'static CStr, opt: u8, type_: bindings::fs_param_type, flags: u16) -> Self {
        Self(bindings::fs_parameter_spec {
            name: as_char_ptr_in_const_context(name),
            type_,
            opt,
            flags,
            data: ptr::null(),
        })
    }

    /// An option without a value. `opt` is what [`Parameter::opt`] returns for it.
    pub const fn flag(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, None, 0)
    }

    /// An option without a value that may be negated by writing `no` before it.
    pub const fn flag_no(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, None, FS_PARAM_NEG_WITH_NO)
    }

    /// An option with an unsigned 32-bit value.
    pub const fn u32(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, Some(bindings::fs_param_is_u32), 0)
    }

    /// An option with a string for its value.
    pub const fn string(name: &'static CStr, opt: u8) -> Self {
        Self::new(name, opt, Some(bindings::fs_param_is_string), 0)
    }

    /// The end of a table: every [`FileSystem::PARAMETERS`] has it as its last element.
    pub const END: Self = Self(bindings::fs_parameter_spec {
        name: ptr::null(),
        type_: None,
        opt: 0,
        flags: 0,
        data: ptr::null(),
    });
}

const FS_PARAM_NEG_WITH_NO: u16 = 2;

/// The option table of `F`, checked when it is compiled to have an end.
pub(crate) fn parameters<F: FileSystem>() -> *const kernel::bindings::fs_parameter_spec {
    const {
        let table = F::PARAMETERS;
        assert!(!table.is_empty() && table[table.len() - 1].0.name.is_null());
    }
    F::PARAMETERS.as_ptr().cast()
}

/// One mount option as given by the user, after the kernel's parser has checked it.
pub struct Parameter<'a> {
    param: &'a bindings::fs_parameter,
    result: &'a bindings::fs_parse_result,
    opt: c_int,
}

impl Parameter<'_> {
    /// The number that the [`ParameterSpec`] of the option has.
    pub fn opt(&self) -> u8 {
        self.opt as u8
    }

    /// Whether the option was written with a `no` before it.
    pub fn negated(&self) -> bool {
        self.result.negated
    }

    /// The value of an option made by [`ParameterSpec::u32`].
    pub fn u32(&self) -> u32 {
        // SAFETY: The parser fills in the union; every bit pattern is a valid `u32`, and `result`
        // is zeroed before.
        unsafe { *self.result.__bindgen_anon_1.uint_32.as_ref() }
    }

    /// The value of an option, or `None` when it has none.
    pub fn string(&self) -> Option<&CStr> {
        if self.param.type_() != bindings::fs_value_type_fs_value_is_string {
            return None;
        }
        // SAFETY: The type says that the union holds a string; it may be null for an empty one.
        let string = unsafe { self.param.__bindgen_anon_1.string };
        if string.is_null() {
            return None;
        }
        // SAFETY: The string is terminated and lives as long as the parameter.
        Some(unsafe { CStr::from_char_ptr(string) })
    }
}

struct Table<F: FileSystem>(core::marker::PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(free::<F>),
        dup: None,
        parse_param: Some(parse_param::<F>),
        parse_monolithic: None,
        get_tree: Some(get_tree::<F>),
        reconfigure: Some(reconfigure::<F>),
    };
}

/// # Safety
///
/// Called by the VFS as `init_fs_context` of a registered type: `fc` is valid and not shared.
pub(crate) unsafe extern "C" fn init_fs_context<F: FileSystem>(
    fc: *mut kernel::bindings::fs_context,
) -> c_int {
    let fc: *mut bindings::fs_context = fc.cast();
    let options = match KBox::new(F::Options::default(), GFP_KERNEL) {
        Ok(options) => options,
        Err(_) => return ENOMEM.to_errno(),
    };
    // SAFETY: `fc` is valid by the requirement. `free` takes the box back.
    unsafe {
        (*fc).fs_private = KBox::into_raw(options).cast();
        (*fc).ops = &Table::<F>::OPS;
    }
    0
}

/// # Safety
///
/// `fc` must be a context that [`init_fs_context`] initialised, used by nobody else meanwhile.
unsafe fn options<'a, F: FileSystem>(fc: *mut bindings::fs_context) -> &'a mut F::Options {
    // SAFETY: By the requirement `fs_private` owns a box of this type, not shared.
    unsafe { &mut *(*fc).fs_private.cast::<F::Options>() }
}

/// # Safety
///
/// Called by the VFS as `free` of a context of [`init_fs_context`].
unsafe extern "C" fn free<F: FileSystem>(fc: *mut bindings::fs_context) {
    // SAFETY: `fs_private` is null or the box of `init_fs_context`; this is its end.
    unsafe {
        let options = (*fc).fs_private.cast::<F::Options>();
        if !options.is_null() {
            drop(KBox::from_raw(options));
            (*fc).fs_private = ptr::null_mut();
        }
    }
}

/// # Safety
///
/// Called by the VFS as `parse_param` of a context of [`init_fs_context`].
unsafe extern "C" fn parse_param<F: FileSystem>(
    fc: *mut bindings::fs_context,
    param: *mut bindings::fs_parameter,
) -> c_int {
    // SAFETY: All zeroes is a valid value: a flag and a union of integers.
    let mut result: bindings::fs_parse_result = unsafe { core::mem::zeroed() };
    // SAFETY: The pointers are valid; the table has an end (see `parameters`).
    let opt = unsafe {
        bindings::__fs_parse(
            &raw mut (*fc).log,
            parameters::<F>().cast(),
            param,
            &mut result,
        )
    };
    if opt < 0 {
        return opt;
    }
    // SAFETY: `param` is valid during the call, and so is the context.
    let (param, options) = unsafe { (&*param, options::<F>(fc)) };
    let parameter = Parameter {
        param,
        result: &result,
        opt,
    };
    match F::parse_param(options, &parameter) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS as `get_tree` of a context of [`init_fs_context`].
unsafe extern "C" fn get_tree<F: FileSystem>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: `fc` is valid by the requirement.
    unsafe { bindings::get_tree_bdev(fc.cast(), Some(fill_super::<F>)) }
}

/// # Safety
///
/// Called by `get_tree_bdev` for a new super block of the type of `F`.
unsafe extern "C" fn fill_super<F: FileSystem>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    // SAFETY: `fc` is the context of the mount, and `sb` is new: nobody else uses either.
    let result = unsafe { super_block::fill_super::<F>(sb, options::<F>(fc)) };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS as `reconfigure` of a context of [`init_fs_context`]: `fc->root` is the root
/// of a mounted super block of `F`.
unsafe extern "C" fn reconfigure<F: FileSystem>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: By the requirement.
    let (sb, options, flags, mask) = unsafe {
        let sb = (*(*fc).root).d_sb;
        (
            SuperBlock::<F>::from_raw(sb),
            options::<F>(fc),
            (*fc).sb_flags as c_ulong,
            (*fc).sb_flags_mask as c_ulong,
        )
    };
    // Only what is in the mask is to change.
    let read_only = match mask & bindings::SB_RDONLY {
        0 => sb.rdonly(),
        _ => flags & bindings::SB_RDONLY != 0,
    };
    // SAFETY: The super block is valid and `s_umount` is held by the VFS.
    let result = to_result(unsafe { bindings::sync_filesystem(sb.as_ptr()) })
        .and_then(|()| F::reconfigure(sb, options, read_only));
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
