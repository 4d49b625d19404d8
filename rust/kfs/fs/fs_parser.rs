// SPDX-License-Identifier: GPL-2.0

//! Mount options.
//!
//! C header: [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use crate::bindings;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
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

    /// The end of a table: every `FileSystem::PARAMETERS` has it as its last element.
    pub const END: Self = Self(bindings::fs_parameter_spec {
        name: ptr::null(),
        type_: None,
        opt: 0,
        flags: 0,
        data: ptr::null(),
    });

    /// Whether this is [`ParameterSpec::END`].
    pub(super) const fn is_end(&self) -> bool {
        self.0.name.is_null()
    }
}

const FS_PARAM_NEG_WITH_NO: u16 = 2;

/// One mount option as given by the user, after the kernel's parser has checked it.
///
/// # Invariants
///
/// The pointer is a parameter that is valid during `'a`, and does not change. `result` and `opt` are what
/// the parser has made of it.
pub struct Parameter<'a> {
    param: NonNull<bindings::fs_parameter>,
    result: bindings::fs_parse_result,
    opt: c_int,
    _p: PhantomData<&'a ()>,
}

impl Parameter<'_> {
    /// # Safety
    ///
    /// The arguments must satisfy the type invariants for as long as the value lives.
    pub(super) unsafe fn from_raw(
        param: NonNull<bindings::fs_parameter>,
        result: bindings::fs_parse_result,
        opt: c_int,
    ) -> Self {
        // INVARIANT: By the requirement.
        Parameter {
            param,
            result,
            opt,
            _p: PhantomData,
        }
    }

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
        let param = self.param.as_ptr();
        // SAFETY: By the type invariants. The type says whether the union holds a string; it may be null
        // for an empty one.
        let string = unsafe {
            if bindings::fs_parameter::type__raw(param)
                != bindings::fs_value_type_fs_value_is_string
            {
                return None;
            }
            (*param).__bindgen_anon_1.string
        };
        if string.is_null() {
            return None;
        }
        // SAFETY: The string is terminated and lives as long as the parameter.
        Some(unsafe { CStr::from_char_ptr(string) })
    }
}
