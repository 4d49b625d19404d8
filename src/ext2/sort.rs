// SPDX-License-Identifier: GPL-2.0

//! Sorting in place, without memory, and without the panics of `core`'s sort, of which the kernel's objtool
//! does not know that they do not return. A heapsort.

/// Sorts `items` by the key that `key` returns. Those with equal keys are in any order.
pub(crate) fn sort_by_key<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let len = items.len();
    for root in (0..len / 2).rev() {
        sift_down(items, root, &key);
    }
    for end in (1..len).rev() {
        swap(items, 0, end);
        sift_down(items.get_mut(..end).unwrap_or_default(), 0, &key);
    }
}

/// Moves the item at `root` down to where none below it is greater.
fn sift_down<T: Copy, K: Ord>(items: &mut [T], mut root: usize, key: &impl Fn(&T) -> K) {
    let greater = |items: &[T], a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => key(a) > key(b),
        _ => false,
    };
    loop {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = match greater(items, right, left) {
            true => right,
            false => left,
        };
        if !greater(items, child, root) {
            return;
        }
        swap(items, root, child);
        root = child;
    }
}

fn swap<T: Copy>(items: &mut [T], a: usize, b: usize) {
    if let (Some(&at_a), Some(&at_b)) = (items.get(a), items.get(b)) {
        if let Some(place) = items.get_mut(a) {
            *place = at_b;
        }
        if let Some(place) = items.get_mut(b) {
            *place = at_a;
        }
    }
}
