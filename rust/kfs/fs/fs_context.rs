// SPDX-License-Identifier: GPL-2.0

//! Mount contexts.
//!
//! `fc->fs_private` of a context owns a boxed `F::Options`, from `init_fs_context` until `free`.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use crate::bindings;
use crate::fs::file_system::{FileSystem, Reconfigure};
use crate::fs::fs_parser::Parameter;
use crate::fs::super_block::operations;
use crate::fs::super_block::SuperBlock;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use kernel::error::to_result;
use kernel::prelude::*;

/// The option table of `F`, checked when it is compiled to have an end.
pub(crate) fn parameters<F: FileSystem>() -> *const kernel::bindings::fs_parameter_spec {
    const {
        let table = F::PARAMETERS;
        assert!(!table.is_empty() && table[table.len() - 1].is_end());
    }
    F::PARAMETERS.as_ptr().cast()
}

struct Table<F: FileSystem>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(free::<F>),
        dup: None,
        parse_param: if_has!(F::HAS_PARSE_PARAM, parse_param::<F>),
        parse_monolithic: None,
        get_tree: Some(get_tree::<F>),
        reconfigure: if_has!(F::HAS_RECONFIGURE, reconfigure::<F>),
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
    let mut result: bindings::fs_parse_result = pin_init::zeroed();
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
    let (parameter, options) = unsafe {
        let param = NonNull::new_unchecked(param);
        (Parameter::from_raw(param, result, opt), options::<F>(fc))
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
    let result = unsafe { operations::fill_super::<F>(sb, options::<F>(fc)) };
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
    let forced = flags & bindings::SB_FORCE != 0;
    let to = Reconfigure { read_only, forced };
    // SAFETY: The super block is valid and `s_umount` is held by the VFS.
    let synced = to_result(unsafe { bindings::sync_filesystem(sb.as_raw()) });
    let result = match synced {
        Err(error) if !forced => Err(error),
        _ => F::reconfigure(sb, options, to),
    };
    match result {
        Ok(()) => {
            // SAFETY: As above; the VFS changes flags with `s_umount` held.
            unsafe { operations::set_posix_acl::<F>(sb.as_raw()) };
            0
        }
        Err(error) => error.to_errno(),
    }
}
