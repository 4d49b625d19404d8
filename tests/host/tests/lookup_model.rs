// SPDX-License-Identifier: GPL-2.0

//! Look-ups without a lock under loom: every interleaving, and every order in which memory may be
//! seen, of look-ups with a truncate, with the reuse of what it has freed, and with growth.
//!
//! `src/inode/sequence.rs` and `src/inode/run_slot.rs` are what the module is built from. Only the
//! kernel's atomics and barriers are those of loom. What `src/inode/map.rs` and the look-up in
//! `src/inode/block_map.rs` do with them is in `File`, with one pointer in the inode and one block
//! of pointers with one pointer; the content of a buffer is read and written without any order.
//!
//! Left out: reading from the device, which is a read at any time later; the mutex of who changes
//! pointers, as only one thread does; more levels.

// For `kernel::sync`, `kfs::sync` and `kfs::compat`, below.
extern crate self as kernel;
extern crate self as kfs;

#[macro_use]
#[path = "../../../src/mutant.rs"]
mod mutant;
// Each test target uses its own part of the shared source.
#[allow(dead_code)]
#[path = "../../../src/ext2/mod.rs"]
mod ext2;
#[allow(dead_code)] // What is given up, a look-up asks.
#[path = "../../../src/inode/run_slot.rs"]
mod run_slot;
#[allow(dead_code)] // What an fsync asks.
#[path = "../../../src/inode/sequence.rs"]
mod sequence;

/// The atomics and numbers without order of the kernel and of kfs, as far as they are used.
pub mod sync {
    pub mod atomic {
        use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering as Order};

        pub mod ordering {
            use super::Order;

            pub struct Relaxed;
            pub struct Acquire;
            pub struct Release;
            /// As with `smp_mb()` on both sides.
            pub struct Full;

            pub trait Ordering {
                const ORDER: Order;
            }

            impl Ordering for Relaxed {
                const ORDER: Order = Order::Relaxed;
            }

            impl Ordering for Acquire {
                const ORDER: Order = Order::Acquire;
            }

            impl Ordering for Release {
                const ORDER: Order = Order::Release;
            }
        }

        use ordering::{Full, Ordering};

        pub struct Atomic<T: Value>(T::Loom);

        pub trait Value: Copy {
            type Loom;

            fn make(self) -> Self::Loom;
            fn load(from: &Self::Loom, order: Order) -> Self;
            fn store(self, to: &Self::Loom, order: Order);
            fn exchange(self, new: Self, at: &Self::Loom) -> Result<Self, Self>;
        }

        impl<T: Value> Atomic<T> {
            pub fn new(value: T) -> Self {
                Atomic(value.make())
            }

            pub fn load<O: Ordering>(&self, _: O) -> T {
                T::load(&self.0, O::ORDER)
            }

            pub fn store<O: Ordering>(&self, value: T, _: O) {
                value.store(&self.0, O::ORDER);
            }

            pub fn cmpxchg(&self, old: T, new: T, _: Full) -> Result<T, T> {
                fence(Order::SeqCst);
                let found = old.exchange(new, &self.0);
                fence(Order::SeqCst);
                found
            }
        }

        macro_rules! atomic {
            ($value:ty, $loom:ty) => {
                impl Value for $value {
                    type Loom = $loom;

                    fn make(self) -> $loom {
                        <$loom>::new(self)
                    }

                    fn load(from: &$loom, order: Order) -> Self {
                        from.load(order)
                    }

                    fn store(self, to: &$loom, order: Order) {
                        to.store(self, order);
                    }

                    fn exchange(self, new: Self, at: &$loom) -> Result<Self, Self> {
                        at.compare_exchange(self, new, Order::SeqCst, Order::SeqCst)
                    }
                }
            };
        }

        atomic!(u32, AtomicU32);
        atomic!(u64, AtomicU64);
    }

    pub mod unordered {
        use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

        use super::atomic::{ordering, Atomic};

        pub fn load(atomic: &Atomic<u32>) -> u32 {
            atomic.load(ordering::Relaxed)
        }

        pub struct Unordered<T: Number>(T::Loom);

        pub trait Number: Copy {
            type Loom;

            fn make(self) -> Self::Loom;
            fn load(from: &Self::Loom) -> Self;
            fn store(self, to: &Self::Loom);
        }

        impl<T: Number> Unordered<T> {
            pub fn new(value: T) -> Self {
                Unordered(value.make())
            }

            pub fn load(&self) -> T {
                T::load(&self.0)
            }

            pub fn store(&self, value: T) {
                value.store(&self.0);
            }
        }

        macro_rules! unordered {
            ($value:ty, $loom:ty) => {
                impl Number for $value {
                    type Loom = $loom;

                    fn make(self) -> $loom {
                        <$loom>::new(self)
                    }

                    fn load(from: &$loom) -> Self {
                        from.load(Ordering::Relaxed)
                    }

                    fn store(self, to: &$loom) {
                        to.store(self, Ordering::Relaxed);
                    }
                }
            };
        }

        unordered!(u32, AtomicU32);
        unordered!(usize, AtomicUsize);
    }
}

/// The barriers of kfs.
pub mod compat {
    use loom::sync::atomic::{fence, Ordering};

    pub struct Read;
    pub struct Write;

    pub trait Barrier {
        const ORDER: Ordering;
    }

    impl Barrier for Read {
        const ORDER: Ordering = Ordering::Acquire;
    }

    impl Barrier for Write {
        const ORDER: Ordering = Ordering::Release;
    }

    pub fn smp_mb<B: Barrier>(_: B) {
        fence(B::ORDER);
    }
}

use ext2::block_map::Mapping;
use ext2::run_cache::Run;
use loom::sync::{Arc, Mutex};
use loom::thread;
use run_slot::{LookedUp, RunSlot};
use sequence::{Sequence, Stamp};
use sync::atomic::{ordering, Atomic};
use sync::unordered::Unordered;

/// The block of pointers of the file.
const POINTERS: u32 = 1;
/// The block of data of the file, and another one it gets later.
const DATA: u32 = 10;
const LATER: u32 = 11;
/// What is in the block of pointers when it is free: data that may look like a pointer.
const OTHERS: u32 = 99;
/// A hole.
const HOLE: u32 = 0;

struct File {
    sequence: Sequence,
    storing: Mutex<()>,
    root: Unordered<u32>,
    /// The content of the block of pointers, in two halves, as it is copied byte by byte.
    halves: [Unordered<u32>; 2],
    slot: RunSlot<1>,
    /// What the file had is free: whoever sees this began after that.
    freed: Atomic<u32>,
}

impl File {
    fn new(root: u32, data: u32) -> Arc<Self> {
        Arc::new(File {
            sequence: Sequence::new(),
            storing: Mutex::new(()),
            root: Unordered::new(root),
            halves: [Unordered::new(data), Unordered::new(data)],
            slot: RunSlot::new(),
            freed: Atomic::new(0),
        })
    }

    fn set_content(&self, to: u32) {
        for half in &self.halves {
            half.store(to);
        }
    }

    /// Both halves of the pointer.
    fn content(&self) -> [u32; 2] {
        [0, 1].map(|half: usize| self.halves[half].load())
    }

    /// Looks block 0 up in the cache.
    fn cached(&self) -> Option<u32> {
        match self.slot.get(self.sequence.age(), 0, 1)? {
            Mapping::Mapped { start, .. } => Some(start),
            Mapping::Hole { .. } => None,
        }
    }

    /// Follows the pointers; `None` if they were changed meanwhile.
    fn find(&self, stamp: &Stamp) -> Option<u32> {
        let known = self.slot.pointers(stamp.age, |_| true);
        let found = match known.unwrap_or_else(|| self.root.load()) {
            0 => [HOLE; 2],
            _ => self.content(),
        };
        if !self.sequence.is_current(stamp) {
            return None;
        }
        assert_eq!(found[0], found[1], "half of a pointer");
        if found[0] != HOLE {
            self.slot.put(stamp.age, looked_up(0, found[0], 1));
        }
        Some(found[0])
    }

    /// A look-up of what is not cached.
    fn look_up(&self) -> u32 {
        loop {
            let Some(stamp) = self.sequence.begin() else {
                drop(self.storing.lock().unwrap());
                continue;
            };
            if let Some(found) = self.find(&stamp) {
                return found;
            }
            // Whoever changes something is done soon.
            thread::yield_now();
        }
    }

    fn store(&self, store: impl FnOnce()) {
        let _storing = self.storing.lock().unwrap();
        self.sequence.store(store);
    }

    /// Frees all blocks, by the pointer in the inode.
    fn truncate(&self) {
        let storing = self.storing.lock().unwrap();
        self.sequence.clear(|| self.root.store(0));
        drop(storing);
        self.freed.store(1, ordering::Release);
    }
}

fn looked_up(block: u32, start: u32, len: u32) -> LookedUp {
    LookedUp {
        run: Run { block, start, len },
        pointers: Some(POINTERS),
    }
}

fn spawn(file: &Arc<File>, run: impl FnOnce(&File) + 'static) -> thread::JoinHandle<()> {
    let file = file.clone();
    thread::spawn(move || run(&file))
}

fn bounded(preemptions: usize, model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A look-up beside a truncate, and what it has freed gets other contents.
fn freed_and_used_by_others() {
    let file = File::new(POINTERS, DATA);
    let look_up = spawn(&file, |file| {
        let free = file.freed.load(ordering::Acquire) != 0;
        let found = file.look_up();
        assert!(found == HOLE || (found == DATA && !free), "{found}");
    });
    let cached = spawn(&file, |file| {
        let free = file.freed.load(ordering::Acquire) != 0;
        let found = file.cached();
        assert!(
            found.is_none() || (found == Some(DATA) && !free),
            "{found:?}"
        );
    });
    file.truncate();
    file.set_content(OTHERS);
    assert_eq!(file.cached(), None);
    look_up.join().unwrap();
    cached.join().unwrap();
    // What the look-up has put there late is of an age that is over.
    assert_eq!(file.cached(), None);
}

#[test]
fn look_up_and_truncate() {
    bounded(2, freed_and_used_by_others);
}

/// A look-up beside a truncate, after which the file gets the same block of pointers again, but
/// another block of data.
fn freed_and_allocated_again() {
    let file = File::new(POINTERS, DATA);
    let look_up = spawn(&file, |file| {
        let found = file.look_up();
        assert!([DATA, HOLE, LATER].contains(&found), "{found}");
    });
    file.truncate();
    file.set_content(OTHERS);
    // The block is zeroed and filled before it is part of the file.
    file.store(|| file.set_content(LATER));
    file.store(|| file.root.store(POINTERS));
    assert!([None, Some(LATER)].contains(&file.cached()));
    look_up.join().unwrap();
    assert!([None, Some(LATER)].contains(&file.cached()));
    assert_eq!(file.look_up(), LATER);
    assert_eq!(file.cached(), Some(LATER));
}

#[test]
fn look_up_and_another_life() {
    bounded(2, freed_and_allocated_again);
}

/// Look-ups beside the store of a pointer into a block of pointers.
fn pointer_that_is_stored() {
    let file = File::new(POINTERS, HOLE);
    let look_up = spawn(&file, |file| {
        let found = file.look_up();
        assert!([HOLE, DATA].contains(&found), "{found}");
        let cached = file.cached();
        assert!([None, Some(DATA)].contains(&cached), "{cached:?}");
    });
    file.store(|| file.set_content(DATA));
    assert_eq!(file.look_up(), DATA);
    look_up.join().unwrap();
    assert_eq!(file.cached(), Some(DATA));
}

#[test]
fn look_up_and_growth() {
    bounded(3, pointer_that_is_stored);
}

/// Look-ups beside a block that was reserved, and is written and linked.
fn block_that_is_linked() {
    let file = File::new(POINTERS, HOLE);
    let written = Arc::new(Unordered::new(0u32));
    let look_up = {
        let written = written.clone();
        spawn(&file, move |file| {
            let found = file.cached().unwrap_or_else(|| file.look_up());
            assert!(found == HOLE || written.load() == 1, "{found}");
        })
    };
    written.store(1);
    file.store(|| file.set_content(DATA));
    let looked_up = looked_up(0, DATA, 1);
    file.slot.put(file.sequence.age(), looked_up);
    look_up.join().unwrap();
}

#[test]
fn look_up_and_link() {
    bounded(3, block_that_is_linked);
}

/// Two runs that are put into one slot, of two ages, beside somebody who looks.
fn runs_in_one_slot() {
    let slot = Arc::new(RunSlot::<1>::new());
    let put = |age, block, start| {
        let slot = slot.clone();
        thread::spawn(move || {
            let len = 1;
            slot.put(age, looked_up(block, start, len));
        })
    };
    let puts = [put(1, 5, 50), put(2, 7, 70)];
    for _ in 0..2 {
        for (age, block, start) in [(1, 5, 50), (2, 7, 70)] {
            let found = slot.get(age, block, 1);
            let run = Mapping::Mapped { start, len: 1 };
            assert!(found.is_none() || found == Some(run), "{found:?}");
        }
        assert_eq!(slot.get(1, 7, 1), None);
        assert_eq!(slot.get(2, 5, 1), None);
    }
    for put in puts {
        put.join().unwrap();
    }
    assert!(slot.get(1, 5, 1).is_some() != slot.get(2, 7, 1).is_some());
}

#[test]
fn two_runs_for_one_slot() {
    bounded(3, runs_in_one_slot);
}

/// Two runs of one age.
fn runs_of_one_age() {
    let slot = Arc::new(RunSlot::<2>::new());
    let put = |block, start| {
        let slot = slot.clone();
        thread::spawn(move || {
            let len = 2;
            slot.put(1, looked_up(block, start, len));
        })
    };
    let puts = [put(5, 50), put(7, 90)];
    for (block, start) in [(5, 50), (6, 51), (7, 90), (8, 91)] {
        let found = slot.get(1, block, 1);
        let run = Mapping::Mapped { start, len: 1 };
        assert!(found.is_none() || found == Some(run), "{found:?}");
    }
    for put in puts {
        put.join().unwrap();
    }
}

#[test]
fn two_runs_of_one_age() {
    bounded(3, runs_of_one_age);
}
