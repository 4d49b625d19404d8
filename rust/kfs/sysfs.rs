// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs: `/sys/fs/TYPE/DEVICE/`, with one file for each number that a mount shows.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::file_system_type::FileSystemType;
use crate::fs::super_block::SuperBlock;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::as_char_ptr_in_const_context;
use kernel::sync::{Arc, Completion};
use kernel::types::Opaque;

/// A file with a number that is read from a `T`.
#[repr(C)]
pub struct Attribute<T> {
    attr: bindings::attribute,
    read: fn(&T) -> u64,
}

// SAFETY: The pointers in `attr` are to constant data with static lifetime.
unsafe impl<T> Sync for Attribute<T> {}

impl<T> Attribute<T> {
    /// A file with the name `name` that everybody may read.
    // With lockdep, `attribute` has fields beyond those named.
    #[allow(clippy::needless_update)]
    pub const fn new(name: &'static CStr, read: fn(&T) -> u64) -> Self {
        Attribute {
            attr: bindings::attribute {
                name: as_char_ptr_in_const_context(name),
                mode: 0o444,
                ..pin_init::zeroed()
            },
            read,
        }
    }
}

/// What has files in sysfs.
pub trait Attributes: Send + Sync + Sized + 'static {
    /// The files.
    const ATTRIBUTES: &'static [Attribute<Self>];
}

#[repr(C)]
struct Object<T> {
    kobj: Opaque<bindings::kobject>,
    data: Arc<T>,
    released: Arc<Completion>,
}

/// The directory of a mount in sysfs, removed when dropped.
///
/// # Invariants
///
/// The pointer is to an object that [`Directory::new`] made, with a reference that this owns.
pub struct Directory<T: Attributes> {
    object: NonNull<Object<T>>,
    released: Arc<Completion>,
    _p: PhantomData<T>,
}

// SAFETY: The functions that are called on the object may be called by any thread, and `T` may be
// used and dropped by any thread.
unsafe impl<T: Attributes> Send for Directory<T> {}
// SAFETY: There is no method but the destructor.
unsafe impl<T: Attributes> Sync for Directory<T> {}

impl<T: Attributes> Directory<T> {
    const SYSFS_OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: None,
    };

    const KTYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(Self::release),
        sysfs_ops: &Self::SYSFS_OPS,
        ..pin_init::zeroed()
    };

    /// Makes the directory for the mount `sb`, with the files of `data`. May sleep.
    pub fn new<F: FileSystemData>(sb: &SuperBlock<F>, data: Arc<T>) -> Result<Self> {
        let released = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let object = KBox::new(
            Object {
                kobj: Opaque::zeroed(),
                data,
                released: released.clone(),
            },
            GFP_KERNEL,
        )?;
        let object = NonNull::from(KBox::leak(object));
        // INVARIANT: `kobject_init_and_add` gives us the first reference, also when it fails.
        let this = Self {
            object,
            released,
            _p: PhantomData,
        };
        // SAFETY: The super block is of a type registered for `F`, and outlives the directory as
        // it owns the module. The object stays where it is until `release`; the format takes one
        // string, which is terminated.
        unsafe {
            let error = bindings::kobject_init_and_add(
                this.kobj(),
                &Self::KTYPE,
                FileSystemType::<F>::of(sb.as_raw()).sysfs(),
                c"%s".as_char_ptr(),
                sb.id().as_char_ptr(),
            );
            to_result(error)?;
        }
        for attribute in T::ATTRIBUTES {
            // SAFETY: The object was added, and the attribute is static.
            to_result(unsafe {
                bindings::sysfs_create_file_ns(this.kobj(), &attribute.attr, core::ptr::null_mut())
            })?;
        }
        Ok(this)
    }

    fn kobj(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant.
        unsafe { self.object.as_ref() }.kobj.get()
    }

    /// # Safety
    ///
    /// Called by sysfs with the object and one of the attributes that [`Directory::new`] added;
    /// `buf` has room for a page.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: By the requirement, `kobj` and `attr` are the fields of these structures; the
        // object exists until the files are removed, which waits for this to return.
        unsafe {
            let object = &*kobj
                .byte_sub(offset_of!(Object<T>, kobj))
                .cast::<Object<T>>();
            let attribute = &*attr
                .byte_sub(offset_of!(Attribute<T>, attr))
                .cast::<Attribute<T>>();
            let number = (attribute.read)(&object.data);
            bindings::sysfs_emit(buf, c"%llu\n".as_char_ptr(), number) as isize
        }
    }

    /// # Safety
    ///
    /// Called by the kobject core when the last reference is gone.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: By the requirement nobody uses the object any more; it came from a box.
        let object = unsafe {
            let object = kobj
                .byte_sub(offset_of!(Object<T>, kobj))
                .cast::<Object<T>>();
            KBox::from_raw(object)
        };
        let released = object.released.clone();
        drop(object);
        // That this returns is waited for when the module goes: see `Registration`.
        released.complete_all();
    }
}

impl<T: Attributes> Drop for Directory<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; `kobject_del` does nothing to an object that was not
        // added, and this is the end of our reference.
        unsafe {
            bindings::kobject_del(self.kobj());
            bindings::kobject_put(self.kobj());
        }
        // The core may put the release off, but the code for it is gone with the module.
        self.released.wait_for_completion();
    }
}
