// SPDX-License-Identifier: GPL-2.0

//! What the compiler is to know of types.

use kernel::alloc::allocator::Kmalloc;
use kernel::alloc::kvec::Vec;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::atomic::{Atomic, AtomicType};
use kernel::sync::lock::{Backend, Lock};
use kernel::sync::{Arc, CondVar, SetOnce};

/// A type whose values may be dropped in any context: the destructor does not sleep.
///
/// Data of an inode are dropped in an RCU callback, that is in softirq context, and the owner of bios
/// where the last bio has ended, which may be a hard interrupt. To sleep there takes the machine down.
///
/// A structure gets it by [`drop_in_atomic!`](crate::drop_in_atomic), which looks at each of its fields.
///
/// # Safety
///
/// The destructor must not sleep, nor take a lock that is taken with interrupts on.
pub unsafe trait DropInAtomic {}

/// Says [`DropInAtomic`] of a type of the calling crate, and has the compiler prove it:
///
/// ```ignore
/// // There is nothing to be dropped in it, so its destructor does nothing.
/// drop_in_atomic!(plain Pointers);
/// // It has no destructor of its own, and all fields, which have to be named, are such types.
/// drop_in_atomic!(struct Map { pointers, runs });
/// drop_in_atomic!(struct[F: Retry] Dio<F> { state, done });
/// // It has nothing to be dropped but what is of the types that it is generic over: here, nothing.
/// drop_in_atomic!(generic State<K = (), L = ()>);
/// ```
#[macro_export]
macro_rules! drop_in_atomic {
    (plain $type:ty) => {
        const _: () = {
            ::core::assert!(!::core::mem::needs_drop::<$type>(), "it has something to be dropped");
            // SAFETY: The destructor does nothing.
            unsafe impl $crate::types::DropInAtomic for $type {}
        };
    };
    (generic $name:ident<$($param:ident = $empty:ty),+ $(,)?>) => {
        const _: () = {
            ::core::assert!(
                !::core::mem::needs_drop::<$name<$($empty),+>>(),
                "it has more to be dropped"
            );
            // SAFETY: With some types in place of its parameters the destructor does nothing. There is
            // no bound on a parameter by which it could choose what else it has, so that it drops
            // values of their types at most.
            unsafe impl<$($param: $crate::types::DropInAtomic),+> $crate::types::DropInAtomic
                for $name<$($param),+> {}
        };
    };
    (struct $([$param:ident: $bound:path])? $name:ident $(<$arg:ident>)? { $($field:ident),* $(,)? }) => {
        const _: () = {
            #[allow(dead_code)]
            fn fields$(<$param: $bound>)?(this: &$name$(<$arg>)?) {
                let $name { $($field),* } = this;
                $($crate::types::is_drop_in_atomic($field);)*
            }

            // There are two of it for a type with a destructor.
            trait MustNotImplDrop {}
            #[allow(drop_bounds)]
            impl<T: ::core::ops::Drop> MustNotImplDrop for T {}
            impl$(<$param: $bound>)? MustNotImplDrop for $name$(<$arg>)? {}

            // SAFETY: All that is done is to drop the fields, all of which are named above.
            unsafe impl$(<$param: $bound>)? $crate::types::DropInAtomic for $name$(<$arg>)? {}
        };
    };
}

/// Compiles for a value of a type that may be dropped in any context.
#[doc(hidden)]
pub fn is_drop_in_atomic<T: DropInAtomic + ?Sized>(_: &T) {}

macro_rules! plain {
    ($($type:ty),*) => {
        $(drop_in_atomic!(plain $type);)*
    };
}
plain!((), bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
plain!(Error);

// SAFETY: Nothing is done to drop it.
unsafe impl<T: AtomicType> DropInAtomic for Atomic<T> {}
// SAFETY: The values are dropped.
unsafe impl<T: DropInAtomic, const N: usize> DropInAtomic for [T; N] {}
// SAFETY: A value is dropped, if it has one.
unsafe impl<T: DropInAtomic> DropInAtomic for Option<T> {}
// SAFETY: A value is dropped, if it has one.
unsafe impl<T: DropInAtomic> DropInAtomic for SetOnce<T> {}
// SAFETY: The value is dropped. There is nothing to be done for the lock.
unsafe impl<T: DropInAtomic, B: Backend> DropInAtomic for Lock<T, B> {}
// SAFETY: There is nothing to be done: who waits borrows it.
unsafe impl DropInAtomic for CondVar {}
// SAFETY: The value is dropped, and `kfree` may be called in any context.
unsafe impl<T: DropInAtomic + ?Sized> DropInAtomic for KBox<T> {}
// SAFETY: The values are dropped, and `kfree` may be called in any context.
unsafe impl<T: DropInAtomic> DropInAtomic for Vec<T, Kmalloc> {}
// SAFETY: Keys and values are dropped, and `kfree` may be called in any context.
unsafe impl<K: DropInAtomic, V: DropInAtomic> DropInAtomic for RBTree<K, V> {}
// SAFETY: There is no key and no value yet, and `kfree` may be called in any context.
unsafe impl<K, V> DropInAtomic for RBTreeNodeReservation<K, V> {}
// SAFETY: The value is dropped, if this was the last reference, and `kfree` may be called in any
// context.
unsafe impl<T: DropInAtomic + ?Sized> DropInAtomic for Arc<T> {}
