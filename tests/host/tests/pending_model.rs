// SPDX-License-Identifier: GPL-2.0

//! The new blocks of direct writes in flight under loom: two writers, a reader, writeback of a store through a
//! mapping, and a truncate; and writers of parts of one block, of which one may fail.
//!
//! `src/inode/pending.rs` and `src/inode/turns.rs` are what the module is built from; the kernel's tree is a sorted vector. What
//! `src/inode/new_blocks.rs`, `src/inode/in_flight.rs` and the block map do with it is in `File`: with the locks
//! they take, in their order. A bio is a store to the disk, and the retry runs in the thread of the writer, without
//! the inode lock.
//!
//! Left out: bios of whole blocks that fail, and are given back in the place of being linked; look-ups without a lock, which have a
//! model of their own; the workqueues.

// For `kernel::rbtree` and `kfs::drop_in_atomic`, below.
extern crate self as kernel;
extern crate self as kfs;

#[macro_use]
#[path = "../../../src/mutant.rs"]
mod mutant;

// The test uses its own part of the shared source.
#[allow(dead_code)]
#[path = "../../../src/inode/pending.rs"]
mod pending;
#[allow(dead_code)]
#[path = "../../../src/inode/turns.rs"]
mod turns;

mod inode {
    pub(crate) use crate::turns;
}

/// As far as it is used.
pub mod rbtree {
    use crate::{alloc::Flags, error::Result};

    pub struct RBTree<K, V>(Vec<(K, V)>);

    pub struct RBTreeNodeReservation<K, V>(std::marker::PhantomData<(K, V)>);

    impl<K, V> RBTreeNodeReservation<K, V> {
        pub fn new(_: Flags) -> Result<Self> {
            Ok(RBTreeNodeReservation(std::marker::PhantomData))
        }

        pub fn into_node(self, key: K, value: V) -> (K, V) {
            (key, value)
        }
    }

    pub struct RBTreeNode<K, V>((K, V));

    impl<K, V> RBTreeNode<K, V> {
        pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
            RBTreeNodeReservation(std::marker::PhantomData)
        }
    }

    pub struct Cursor<T> {
        tree: T,
        at: usize,
    }

    impl<K: Ord, V> RBTree<K, V> {
        pub fn new() -> Self {
            RBTree(Vec::new())
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub fn values(&self) -> impl Iterator<Item = &V> {
            self.0.iter().map(|(_, value)| value)
        }

        pub fn get(&self, key: &K) -> Option<&V> {
            let at = self.0.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
            Some(&self.0[at].1)
        }

        pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
            let at = self.0.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
            Some(&mut self.0[at].1)
        }

        pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
            let at = self.0.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
            Some(RBTreeNode(self.0.remove(at)))
        }

        pub fn remove(&mut self, key: &K) -> Option<V> {
            self.remove_node(key).map(|node| node.0 .1)
        }

        pub fn insert(&mut self, node: (K, V)) {
            let at = self.0.partition_point(|(key, _)| *key < node.0);
            assert!(self.0.get(at).is_none_or(|(key, _)| *key != node.0));
            self.0.insert(at, node);
        }

        pub fn cursor_lower_bound(&self, from: &K) -> Option<Cursor<&Vec<(K, V)>>> {
            let at = self.0.partition_point(|(key, _)| key < from);
            (at < self.0.len()).then_some(Cursor { tree: &self.0, at })
        }

        pub fn cursor_back(&self) -> Option<Cursor<&Vec<(K, V)>>> {
            let at = self.0.len().checked_sub(1)?;
            Some(Cursor { tree: &self.0, at })
        }

        pub fn cursor_lower_bound_mut(&mut self, from: &K) -> Option<Cursor<&mut Vec<(K, V)>>> {
            let at = self.0.partition_point(|(key, _)| key < from);
            (at < self.0.len()).then(|| Cursor {
                tree: &mut self.0,
                at,
            })
        }
    }

    impl<'a, K, V> Cursor<&'a Vec<(K, V)>> {
        pub fn current(&self) -> (&'a K, &'a V) {
            let (key, value) = &self.tree[self.at];
            (key, value)
        }

        pub fn peek_prev(&self) -> Option<(&'a K, &'a V)> {
            let (key, value) = self.tree.get(self.at.checked_sub(1)?)?;
            Some((key, value))
        }
    }

    impl<K, V> Cursor<&mut Vec<(K, V)>> {
        pub fn current(&self) -> (&K, &V) {
            let (key, value) = &self.tree[self.at];
            (key, value)
        }

        pub fn current_mut(&mut self) -> (&K, &mut V) {
            let (key, value) = &mut self.tree[self.at];
            (key, value)
        }

        pub fn move_next(self) -> Option<Self> {
            let at = self.at + 1;
            (at < self.tree.len()).then_some(Cursor {
                tree: self.tree,
                at,
            })
        }

        pub fn remove_current(self) -> (Option<Self>, RBTreeNode<K, V>) {
            let node = self.tree.remove(self.at);
            (None, RBTreeNode(node))
        }
    }
}

#[macro_export]
macro_rules! drop_in_atomic {
    ($($type:tt)*) => {};
}

pub mod error {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Error;

    pub type Result<T> = std::result::Result<T, Error>;
}

pub mod alloc {
    pub struct Flags;
}

pub mod block {
    pub mod bio {
        /// The write that they belong to.
        #[derive(Default)]
        pub struct ReadyBios(pub Option<u64>);

        impl ReadyBios {
            pub fn append(&mut self, other: Self) {
                assert!(self.0.is_none(), "left over");
                *self = other;
            }
        }
    }

    pub mod buffer_head {
        /// No run of the model is below a block of pointers.
        pub struct BufferHead;
    }
}

mod volume {
    pub(crate) mod blocks {
        #[derive(Clone, Copy)]
        pub(crate) struct Blocks {
            pub(crate) start: u32,
            pub(crate) len: u32,
        }
    }
}

use alloc::Flags;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use pending::{Pending, PointerTo, Reserved};
use turns::{AtBlocks, Come, Enter, ParkingPlace, Room};
use volume::blocks::Blocks;

/// The blocks of the file, and those of the disk.
const BLOCKS: usize = 4;
/// What a block of the disk holds that was never written.
const STALE: u32 = 0;

/// What is taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who writes to blocks that are new in another one does not wait.
    Waiting,
    /// An append begins at EOF, whatever is in flight.
    AppendAt,
    /// Writeback allocates a block for what is pending.
    Room,
    /// Truncate does not wait for direct I/O.
    Truncate,
    /// Blocks are linked before they have been written.
    Order,
}

struct File {
    without: Without,
    /// The inode lock. Sizes are in blocks.
    locked: Mutex<()>,
    /// `invalidate_lock`.
    invalidate: Mutex<()>,
    i_size: AtomicU64,
    map: Mutex<[Option<u32>; BLOCKS]>,
    pending: Mutex<Pending>,
    linked: Condvar,
    /// `i_dio_count`.
    in_flight: Mutex<u32>,
    ended: Condvar,
    next: AtomicU32,
    disk: [AtomicU32; BLOCKS],
}

impl File {
    /// A file of `size` blocks, all holes.
    fn new(size: u64, without: Without) -> Arc<Self> {
        Arc::new(File {
            without,
            locked: Mutex::new(()),
            invalidate: Mutex::new(()),
            i_size: AtomicU64::new(size),
            map: Mutex::new([None; BLOCKS]),
            pending: Mutex::new(Pending::new()),
            linked: Condvar::new(),
            in_flight: Mutex::new(0),
            ended: Condvar::new(),
            next: AtomicU32::new(0),
            disk: std::array::from_fn(|_| AtomicU32::new(STALE)),
        })
    }

    fn allocate(&self) -> u32 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// `inode_dio_wait`, with the inode lock.
    fn dio_wait(&self) {
        let mut in_flight = self.in_flight.lock().unwrap();
        while *in_flight != 0 {
            in_flight = self.ended.wait(in_flight).unwrap();
        }
    }

    /// The submitter of a write of one block; `None` appends. What its retry needs.
    fn submit(&self, block: Option<u64>) -> (u64, Option<u32>) {
        let _locked = self.locked.lock().unwrap();
        let extended_to = self.pending.lock().unwrap().extended_to();
        let behind = match self.without {
            Without::AppendAt => 0,
            _ => extended_to,
        };
        let i_size = self.i_size.load(Ordering::SeqCst);
        let block = block.unwrap_or(i_size.max(behind));
        let overlaps = self.pending.lock().unwrap().overlaps(&(block..block + 1));
        if overlaps && self.without != Without::Waiting {
            self.dio_wait();
        }
        *self.in_flight.lock().unwrap() += 1;
        let map = self.map.lock().unwrap();
        if map[block as usize].is_some() {
            return (block, None);
        }
        let start = self.allocate();
        let run = Reserved {
            blocks: Blocks { start, len: 1 },
            at: Some(PointerTo {
                parent: None,
                index: block as u32,
            }),
        };
        let mut pending = self.pending.lock().unwrap();
        let place = pending.place(Flags).unwrap();
        pending.add(place, block, run);
        if block >= i_size {
            pending.extend(block + 1);
        }
        (block, Some(start))
    }

    /// The block is written, and its retry does the rest.
    fn end(&self, block: u64, new: Option<u32>, data: u32) {
        let range = block..block + 1;
        if self.without == Without::Order {
            self.link(&range);
        }
        let at = new.or_else(|| self.map.lock().unwrap()[block as usize]);
        if let Some(at) = at {
            self.disk[at as usize].store(data, Ordering::SeqCst);
        }
        if new.is_some() {
            self.link(&range);
            {
                let _invalidate = self.invalidate.lock().unwrap();
                let i_size = self.i_size.load(Ordering::SeqCst);
                self.i_size.store(i_size.max(range.end), Ordering::SeqCst);
            }
            self.pending.lock().unwrap().remove(&range);
        }
        *self.in_flight.lock().unwrap() -= 1;
        self.ended.notify_all();
    }

    fn link(&self, range: &std::ops::Range<u64>) {
        let mut map = self.map.lock().unwrap();
        loop {
            let Some((block, blocks, _)) = self.pending.lock().unwrap().take(range) else {
                break;
            };
            let slot = &mut map[block as usize];
            assert_eq!(*slot, None, "a block of the file has got two");
            *slot = Some(blocks.start);
        }
        self.linked.notify_all();
    }

    fn write(&self, block: Option<u64>, data: u32) -> u64 {
        let (block, new) = self.submit(block);
        self.end(block, new, data);
        block
    }

    /// What a reader sees of a block: nothing beyond EOF, `Some(None)` for a hole.
    fn read(&self, block: u64) -> Option<Option<u32>> {
        if block >= self.i_size.load(Ordering::SeqCst) {
            return None;
        }
        let at = self.map.lock().unwrap()[block as usize];
        Some(at.map(|at| self.disk[at as usize].load(Ordering::SeqCst)))
    }

    /// Writeback of a store to a block, which is in a hole perhaps.
    fn write_back(&self, block: u64, data: u32) {
        let at = loop {
            {
                let mut map = self.map.lock().unwrap();
                if let Some(at) = map[block as usize] {
                    break at;
                }
                let room = self.pending.lock().unwrap().room(block, 1);
                if room > 0 || self.without == Without::Room {
                    let at = self.allocate();
                    map[block as usize] = Some(at);
                    break at;
                }
            }
            let mut pending = self.pending.lock().unwrap();
            while pending.room(block, 1) == 0 {
                pending = self.linked.wait(pending).unwrap();
            }
        };
        self.disk[at as usize].store(data, Ordering::SeqCst);
    }

    fn truncate(&self) {
        let _locked = self.locked.lock().unwrap();
        if self.without != Without::Truncate {
            self.dio_wait();
        }
        assert!(self.pending.lock().unwrap().is_empty(), "cut off in flight");
        self.i_size.store(0, Ordering::SeqCst);
        *self.map.lock().unwrap() = [None; BLOCKS];
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs each of `parts` in a thread of its own, and waits for them.
fn beside(file: &Arc<File>, parts: Vec<fn(&File)>) {
    let threads: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let file = file.clone();
            thread::spawn(move || part(&file))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn read_all(file: &File) {
    for block in 0..2 {
        assert_ne!(file.read(block), Some(Some(STALE)), "stale data");
    }
}

/// Two that fill the same hole, and a reader.
fn same_block(without: Without) {
    check(move || {
        let file = File::new(1, without);
        beside(
            &file,
            vec![
                |file| _ = file.write(Some(0), 1),
                |file| _ = file.write(Some(0), 2),
                read_all,
            ],
        );
        assert!(matches!(file.read(0), Some(Some(1 | 2))));
    });
}

#[test]
fn two_writers_of_one_block() {
    same_block(Without::Nothing);
}

#[test]
#[should_panic]
fn two_writers_of_one_block_that_do_not_wait() {
    same_block(Without::Waiting);
}

#[test]
#[should_panic(expected = "stale data")]
fn a_block_that_is_linked_before_it_is_written() {
    same_block(Without::Order);
}

/// Two appends, and a reader.
fn appends(without: Without) {
    check(move || {
        let file = File::new(0, without);
        beside(
            &file,
            vec![
                |file| _ = file.write(None, 1),
                |file| _ = file.write(None, 2),
                read_all,
            ],
        );
        let mut found = [file.read(0), file.read(1)];
        found.sort();
        assert_eq!(found, [Some(Some(1)), Some(Some(2))]);
    });
}

#[test]
fn two_appends() {
    appends(Without::Nothing);
}

#[test]
#[should_panic]
fn two_appends_at_eof() {
    appends(Without::AppendAt);
}

/// A write to a hole, and a store to it that is written back.
fn stored_to(without: Without) {
    check(move || {
        let file = File::new(1, without);
        beside(
            &file,
            vec![
                |file| _ = file.write(Some(0), 1),
                |file| file.write_back(0, 2),
                read_all_but_written_back,
            ],
        );
        assert!(matches!(file.read(0), Some(Some(1 | 2))));
    });
}

/// Readers have the page of what is written back.
fn read_all_but_written_back(file: &File) {
    file.read(0);
}

#[test]
fn a_store_to_the_hole() {
    stored_to(Without::Nothing);
}

#[test]
#[should_panic(expected = "a block of the file has got two")]
fn a_store_that_gets_a_block() {
    stored_to(Without::Room);
}

/// Two writers, one of which appends, and a truncate.
fn cut_off(without: Without) {
    check(move || {
        let file = File::new(1, without);
        beside(
            &file,
            vec![
                |file| _ = file.write(Some(0), 1),
                |file| _ = file.write(None, 2),
                |file| file.truncate(),
            ],
        );
        read_all(&file);
        assert!(file.pending.lock().unwrap().is_empty());
        assert_eq!(*file.in_flight.lock().unwrap(), 0);
    });
}

#[test]
fn a_truncate() {
    cut_off(Without::Nothing);
}

#[test]
#[should_panic(expected = "cut off in flight")]
fn a_truncate_that_does_not_wait() {
    cut_off(Without::Truncate);
}

/// Bytes of a part of a block, and the parts of one: two.
const PART: u64 = 512;
const PARTS: u64 = 2;
const BITS: u32 = 10;
/// What the first one writes to the rest of the block.
const ZEROES: u32 = 9;

/// A new block of which two appends in flight write a part each: `src/inode/in_flight.rs` and `src/dio/parking.rs`.
struct Parts {
    /// The first one fails.
    fails: bool,
    /// The second one does not wait for its turn.
    early: bool,
    pending: Mutex<Pending>,
    is_linked: Mutex<bool>,
    i_size: AtomicU64,
    disk: [AtomicU32; PARTS as usize],
    /// How each of them has ended: 1 as it should, 2 with an error.
    ended: [AtomicU32; PARTS as usize],
}

const AT: AtBlocks = AtBlocks {
    eof: None,
    first: Some(0),
    last: None,
};

impl Parts {
    /// The first one is in flight.
    fn new(fails: bool, early: bool) -> Arc<Self> {
        let mut pending = Pending::new();
        let blocks = Blocks { start: 0, len: 1 };
        let at = Some(PointerTo {
            parent: None,
            index: 0,
        });
        let run = Reserved { blocks, at };
        let place = pending.place(Flags).unwrap();
        pending.add(place, 0, run);
        pending.turns.begin(Room::new(Flags).unwrap(), 0, 0, None);
        Arc::new(Parts {
            fails,
            early,
            pending: Mutex::new(pending),
            is_linked: Mutex::new(false),
            i_size: AtomicU64::new(0),
            disk: std::array::from_fn(|_| AtomicU32::new(STALE)),
            ended: std::array::from_fn(|_| AtomicU32::new(0)),
        })
    }

    /// The submitter of the second one.
    fn submit_second(&self) {
        {
            let mut pending = self.pending.lock().unwrap();
            let i_size = self.i_size.load(Ordering::SeqCst);
            let entered = pending.enter(&(PART..2 * PART), i_size, BITS);
            let Enter::Takes(at) = entered else {
                // It has ended, and its block is given back or in the file.
                return;
            };
            if at != AT {
                return;
            }
            let place = (!pending.turns.is_next(at)).then(|| ParkingPlace::new(Flags).unwrap());
            pending.turns.take(at, 2 * PART, BITS, place);
        }
        let bios = kfs::block::bio::ReadyBios(Some(1));
        if self.early {
            return self.end(1, None);
        }
        let parked = {
            let mut pending = self.pending.lock().unwrap();
            pending.turns.keep_back(bios);
            pending.turns.park(AT)
        };
        match parked {
            Ok(()) => {}
            Err((_, Come::Yes)) => self.end(1, None),
            Err((_, Come::After(error))) => self.end(1, Some(error)),
            Err((_, Come::NotYet)) => panic!("no memory"),
        }
    }

    /// The bios of one are submitted, or fail with `error`, and end; and its retry.
    fn end(&self, which: u64, error: Option<kernel::error::Error>) {
        let mut error = error;
        if error.is_none() {
            self.disk[which as usize].store(1 + which as u32, Ordering::SeqCst);
            if which == 0 {
                self.disk[1].store(ZEROES, Ordering::SeqCst);
                error = self.fails.then_some(kernel::error::Error);
            } else {
                assert!(*self.is_linked.lock().unwrap(), "written, and not there");
            }
        }
        if which == 0 {
            let mut pending = self.pending.lock().unwrap();
            while pending.take(&(0..1)).is_some() {
                *self.is_linked.lock().unwrap() = error.is_none();
            }
        }
        self.pending.lock().unwrap().turns.pass(AT, error);
        loop {
            let next = self.pending.lock().unwrap().turns.next(AT);
            match next {
                Some((bios, error)) => self.end(bios.0.unwrap(), error),
                None => break,
            }
        }
        if error.is_none() {
            self.i_size.fetch_max((which + 1) * PART, Ordering::SeqCst);
        }
        let range = if which == 0 { 0..1 } else { 0..0 };
        self.pending.lock().unwrap().turns.leave(AT);
        self.pending.lock().unwrap().remove(&range);
        let how = if error.is_none() { 1 } else { 2 };
        let before = self.ended[which as usize].swap(how, Ordering::SeqCst);
        assert_eq!(before, 0, "ended twice");
    }

    /// Nothing inside i_size is stale, nor what is to be written over yet.
    fn read(&self) {
        let i_size = self.i_size.load(Ordering::SeqCst);
        for part in 0..i_size / PART {
            let found = self.disk[part as usize].load(Ordering::SeqCst);
            assert_eq!(found, 1 + part as u32, "not what was written");
        }
    }
}

fn parts(fails: bool, early: bool) {
    check(move || {
        let parts = Parts::new(fails, early);
        let threads: Vec<_> = [
            |parts: &Parts| parts.end(0, None),
            Parts::submit_second,
            Parts::read,
        ]
        .into_iter()
        .map(|part| {
            let parts = parts.clone();
            thread::spawn(move || part(&parts))
        })
        .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        parts.read();
        let how = [0, 1].map(|i: usize| parts.ended[i].load(Ordering::SeqCst));
        // The second one was not behind the first one, if that was over.
        let want = if fails { 2 } else { 1 };
        assert!(how[0] == want && (how[1] == want || how[1] == 0), "{how:?}");
        assert!(parts.pending.lock().unwrap().is_empty(), "left over");
    });
}

#[test]
fn two_parts_of_a_block() {
    parts(false, false);
}

#[test]
fn two_parts_of_which_the_first_fails() {
    parts(true, false);
}

#[test]
#[should_panic]
fn two_parts_without_turns() {
    parts(false, true);
}
