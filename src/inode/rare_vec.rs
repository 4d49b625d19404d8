// SPDX-License-Identifier: GPL-2.0

//! A vector of which most are never used.

use core::ops::Deref;
use kernel::alloc::Flags;
use kernel::prelude::*;
use kfs::drop_in_atomic;
use kfs::types::DropInAtomic;

/// A vector that is empty as a rule. A [`KVec`] calls the allocator when it is dropped, also if it has no memory: for each
/// inode that leaves memory, here.
pub(super) struct RareVec<T> {
    items: Option<KVec<T>>,
}

drop_in_atomic!(struct [T: DropInAtomic] RareVec<T> { items });

impl<T> RareVec<T> {
    /// An empty one.
    pub(super) const fn new() -> Self {
        RareVec { items: None }
    }

    /// Makes room for `more`. Sleeps as `flags` say. `ENOMEM`.
    pub(super) fn reserve(&mut self, more: usize, flags: Flags) -> Result {
        Ok(self
            .items
            .get_or_insert_with(KVec::new)
            .reserve(more, flags)?)
    }

    /// Inserts `item` at `place`, for which there is room. `ENOMEM` if there is not.
    pub(super) fn insert_within_capacity(&mut self, place: usize, item: T) -> Result {
        let items = self.items.as_mut().ok_or(ENOMEM)?;
        items
            .insert_within_capacity(place, item)
            .map_err(|_| ENOMEM)
    }

    /// Removes the item at `place`, if there is one.
    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        self.items.as_mut()?.remove(place).ok()
    }

    /// Removes all, and keeps the room.
    pub(super) fn clear(&mut self) {
        if let Some(items) = &mut self.items {
            items.clear();
        }
    }
}

impl<T> Default for RareVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for RareVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.items {
            Some(items) => items,
            None => &[],
        }
    }
}
