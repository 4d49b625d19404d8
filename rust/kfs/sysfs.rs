// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs: `/sys/fs/TYPE/DEVICE/`, with one file for each number that a mount shows.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::bindings;
use crate::fs::file_system_data::FileSystemData;
use crate::fs::file_system_type::FileSystemType;
use crate::fs::super_block::SuperBlock;
use crate::kobject::Directory;
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

impl<F: FileSystemData> SuperBlock<F> {
    /// Makes the directory of the mount in sysfs, with the files of `data`, for the rest of the mount. May sleep.
    ///
    /// `EBUSY` if it has one; `ENOMEM`.
    pub fn make_sysfs<T: Attributes>(&self, data: Arc<T>) -> Result {
        self.set_sysfs(|| {
            let directory = Object::add(self, data)?;
            for attribute in T::ATTRIBUTES {
                // SAFETY: The object was added, and the attribute is static.
                to_result(unsafe {
                    bindings::sysfs_create_file_ns(
                        directory.as_raw(),
                        &attribute.attr,
                        core::ptr::null_mut(),
                    )
                })?;
            }
            Ok(directory)
        })
    }
}

impl<T: Attributes> Object<T> {
    const SYSFS_OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: None,
    };

    const KTYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(Self::release),
        sysfs_ops: &Self::SYSFS_OPS,
        ..pin_init::zeroed()
    };

    /// Makes the directory of the mount `sb`, without files. May sleep.
    fn add<F: FileSystemData>(sb: &SuperBlock<F>, data: Arc<T>) -> Result<Directory> {
        let released = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let object = KBox::new(
            Object {
                kobj: Opaque::zeroed(),
                data,
                released: released.clone(),
            },
            GFP_KERNEL,
        )?;
        let object = KBox::into_raw(object);
        // SAFETY: The super block is of a type registered for `F`, and outlives the directory, which it owns. The
        // object stays where it is until `release`, which any thread may call, as `T` may be used and dropped by any; the
        // format takes one string, which is terminated. The function gives us the first reference, also
        // when it fails.
        unsafe {
            let kobj = NonNull::new_unchecked(Opaque::cast_into(&raw const (*object).kobj));
            let error = bindings::kobject_init_and_add(
                kobj.as_ptr(),
                &Self::KTYPE,
                FileSystemType::<F>::of(sb.as_raw()).sysfs(),
                c"%s".as_char_ptr(),
                sb.id().as_char_ptr(),
            );
            let directory = Directory::from_owned(kobj, released);
            to_result(error).map(|()| directory)
        }
    }

    /// # Safety
    ///
    /// Called by sysfs with the object and one of the attributes that [`SuperBlock::make_sysfs`] added;
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
