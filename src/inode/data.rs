// SPDX-License-Identifier: GPL-2.0

//! The filesystem's part of an inode in memory.

use crate::ext2::directory::hash::Function;
use crate::ext2::directory::rooms::Rooms;
use crate::ext2::inode::{FastSymlink, FileType, InodeFlags};
use crate::ext2::time::Time;
use crate::ext2::{Corrupt, Place};
use crate::inode::deferred::Deferred;
use crate::inode::directory::Absent;
use crate::inode::durable::Durable;
use crate::inode::last_leaf::LastLeaf;
use crate::inode::map::Map;
use crate::inode::name_record::Record;
use crate::inode::pending::Pending;
use crate::inode::stored_attributes::AttributeBlock;
use crate::inode::turns::AtBlocks;
use crate::types::{Inode, InodeLocked};
use crate::volume::blocks::Reservation;
use crate::volume::fault::Result;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_condvar, new_mutex, new_spinlock, CondVar, Mutex, SetOnce, SpinLock};
use kfs::drop_in_atomic;
use kfs::fs::inode::init;
use kfs::fs::inode::lock::Exclusive;
use kfs::time::Timespec;

/// Of a direct write that is being issued: it has no such turn,
const NO_TURN: i64 = -1;
/// or has not asked for turns.
const NOT_ENTERED: i64 = -2;

/// The filesystem's part of an inode in memory, beside `struct inode`.
#[pin_data]
pub(crate) struct InodeData {
    /// The block map.
    #[pin]
    pub(super) map: Map,
    /// The pointers that are not to come to the device yet.
    #[pin]
    pub(super) deferred: Mutex<Deferred>,
    /// The blocks that are being written, and are not in the block map yet.
    #[pin]
    pub(super) pending: Mutex<Pending>,
    /// That some of them are not any more, or a write that has some is over.
    #[pin]
    pub(super) linked: CondVar,
    flags: Atomic<u32>,
    /// Held while extended attributes are read or changed.
    #[pin]
    pub(super) attributes: Mutex<()>,
    /// The block of the extended attributes, and which of them the inode on the device has. Changed with the lock above.
    #[pin]
    pub(super) attribute_block: SpinLock<AttributeBlock>,
    /// There are extended attributes in the slot of the inode, too.
    pub(super) in_slot: Atomic<bool>,
    /// Bytes of the slot after the first 128 that are used for fields.
    pub(super) extra_size: Atomic<u32>,
    /// Time of birth, if it is known.
    pub(crate) crtime: SetOnce<Time>,
    /// Time of deletion, 0 while the inode is in use.
    pub(super) dtime: Atomic<u32>,
    /// Not written yet since it was created: its slot in the inode table has stale contents.
    pub(super) new: Atomic<bool>,
    /// Writeback could not store it, and tries again.
    pub(super) unstored: Atomic<bool>,
    /// The target of a symbolic link that is kept in the inode.
    pub(crate) symlink: SetOnce<FastSymlink>,
    /// The block of a directory in which a name was found last, or looked for by its index: a hint.
    found_in: Atomic<u32>,
    /// The leaf of its index in which names were looked for last.
    pub(super) last_leaf: LastLeaf,
    /// How often entries of a directory were changed. Who has the number knows where an entry is as long as it is the same.
    entries_changed: Atomic<u32>,
    /// The name that was looked for last to be created, and was not there.
    #[pin]
    pub(super) absent: SpinLock<Option<KBox<Absent>>>,
    /// Where a directory without an index may have room for names.
    #[pin]
    pub(super) rooms: SpinLock<Option<KBox<Rooms>>>,
    /// The index of a directory breaks the rules: it is not used.
    index_broken: Atomic<bool>,
    /// The function of hashes by which a directory was read last, and one; 0 if it was not.
    read_by: Atomic<u32>,
    /// Number of direct writes in flight.
    direct_writes: Atomic<u32>,
    /// Where a direct write has stopped at a hole, or -1. Protected by the inode lock, held exclusively.
    stopped: Atomic<i64>,
    /// The direct write that is being issued has found the option `async_alloc`. Protected by the inode lock, held exclusively.
    async_alloc: Atomic<bool>,
    /// The turns of the direct write that is being issued: blocks, or one of the two below. Protected by the inode lock, held exclusively.
    eof_turn: Atomic<i64>,
    first_turn: Atomic<i64>,
    last_turn: Atomic<i64>,
    /// No block is beyond EOF that was there when the inode was read.
    nothing_beyond_eof: Atomic<bool>,
    /// What of the names may not be on the device.
    #[pin]
    pub(super) names: SpinLock<Record>,
    /// How often a directory has got a name, which may be that of a new inode,
    named: Atomic<u32>,
    /// and up to where these are on the device.
    named_synced: Atomic<u32>,
    /// A directory has changed, and was not stored since.
    unstored_names: Atomic<bool>,
    /// What of the inode is on stable storage.
    pub(super) durable: Durable,
    /// The blocks from which the file is extended.
    pub(super) window: Reservation,
}

drop_in_atomic!(plain Time);
drop_in_atomic!(plain FastSymlink);
drop_in_atomic!(plain Absent);
drop_in_atomic!(plain Rooms);
drop_in_atomic!(struct InodeData {
    map,
    deferred,
    pending,
    linked,
    flags,
    attributes,
    attribute_block,
    in_slot,
    extra_size,
    crtime,
    dtime,
    new,
    unstored,
    symlink,
    found_in,
    last_leaf,
    entries_changed,
    absent,
    rooms,
    index_broken,
    read_by,
    direct_writes,
    stopped,
    async_alloc,
    eof_turn,
    first_turn,
    last_turn,
    nothing_beyond_eof,
    names,
    named,
    named_synced,
    unstored_names,
    durable,
    window,
});

impl InodeData {
    /// An initialiser for an inode that is yet to be read or created.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            map <- Map::new(),
            deferred <- new_mutex!(Deferred::default()),
            pending <- new_mutex!(Pending::new()),
            linked <- new_condvar!(),
            flags: Atomic::new(0),
            attributes <- new_mutex!(()),
            attribute_block <- new_spinlock!(AttributeBlock::of(0)),
            in_slot: Atomic::new(false),
            extra_size: Atomic::new(0),
            crtime: SetOnce::new(),
            dtime: Atomic::new(0),
            new: Atomic::new(false),
            unstored: Atomic::new(false),
            symlink: SetOnce::new(),
            found_in: Atomic::new(0),
            last_leaf: LastLeaf::new(),
            entries_changed: Atomic::new(0),
            absent <- new_spinlock!(None),
            rooms <- new_spinlock!(None),
            index_broken: Atomic::new(false),
            read_by: Atomic::new(0),
            direct_writes: Atomic::new(0),
            stopped: Atomic::new(-1),
            async_alloc: Atomic::new(false),
            eof_turn: Atomic::new(NO_TURN),
            first_turn: Atomic::new(NOT_ENTERED),
            last_turn: Atomic::new(NO_TURN),
            nothing_beyond_eof: Atomic::new(false),
            names <- new_spinlock!(Record::new()),
            named: Atomic::new(1),
            named_synced: Atomic::new(0),
            unstored_names: Atomic::new(false),
            durable: Durable::new(),
            window: Reservation::new(),
        })
    }

    /// The flags, as `lsattr` shows them.
    pub(crate) fn flags(&self) -> InodeFlags {
        InodeFlags(self.flags.load(ordering::Relaxed))
    }

    pub(crate) fn set_flags(&self, flags: InodeFlags) {
        self.flags.store(flags.0, ordering::Relaxed);
    }

    /// Whether a directory has a hash index that can be used.
    pub(super) fn has_index(&self) -> bool {
        self.flags().has(InodeFlags::INDEX) && !self.index_broken.load(ordering::Relaxed)
    }

    /// Whether the index of a directory, which it has or had, breaks the rules. Does not sleep.
    pub(super) fn index_is_broken(&self) -> bool {
        self.index_broken.load(ordering::Relaxed)
    }

    /// The function of hashes by which a directory was read last. Does not sleep.
    pub(super) fn read_by(&self) -> Option<Function> {
        let code = self.read_by.load(ordering::Relaxed).checked_sub(1)?;
        Function::from_code(code as u8)
    }

    /// A directory is read by `function`. Does not sleep.
    pub(super) fn set_read_by(&self, function: Function) {
        self.read_by
            .store(u32::from(function.code()) + 1, ordering::Relaxed);
    }

    /// Notes that the index of a directory breaks the rules. Returns whether that is news.
    pub(super) fn break_index(&self) -> bool {
        !self.index_broken.xchg(true, ordering::Relaxed)
    }

    /// Sets the flag of a directory with a hash index, or clears it, as it was changed without that. The
    /// inode lock is held exclusively.
    pub(super) fn set_index(&self, indexed: bool) {
        let flags = self.flags();
        if flags.has(InodeFlags::INDEX) != indexed {
            self.set_flags(InodeFlags(flags.0 ^ InodeFlags::INDEX));
        }
        if indexed && !mutant!("index-stays-broken") {
            self.index_broken.store(false, ordering::Relaxed);
        }
    }

    /// How often entries of a directory were changed.
    pub(super) fn entries_changed(&self) -> u32 {
        self.entries_changed.load(ordering::Relaxed)
    }

    /// Counts that. The inode lock is held exclusively, or that of renames.
    pub(super) fn set_entries_changed(&self) {
        self.entries_changed.fetch_add(1, ordering::Relaxed);
    }

    /// The block of a directory in which a name was found last, or looked for by its index.
    pub(super) fn found_in(&self) -> u32 {
        self.found_in.load(ordering::Relaxed)
    }

    /// Sets [`InodeData::found_in`].
    pub(super) fn set_found_in(&self, block: u32) {
        // Read by many, changed by few.
        if self.found_in() != block {
            self.found_in.store(block, ordering::Relaxed);
        }
    }

    /// Counts a direct write in. The inode lock is held.
    pub(crate) fn direct_write_begin(&self) {
        self.direct_writes.add(1, ordering::Relaxed);
    }

    /// Counts a direct write out. Needs no lock.
    pub(crate) fn direct_write_end(&self) {
        self.direct_writes.fetch_sub(1, ordering::Release);
    }

    /// Whether a direct write is in flight. With the inode lock held exclusively, none can start.
    pub(crate) fn has_direct_writes(&self) -> bool {
        self.direct_writes.load(ordering::Acquire) != 0
    }

    /// Notes where and why a direct write has stopped; at first it is -1. The inode lock is held exclusively.
    pub(crate) fn set_stopped(&self, at: i64) {
        self.stopped.store(at, ordering::Relaxed);
    }

    /// What was noted last. The inode lock is held exclusively.
    pub(crate) fn stopped(&self) -> i64 {
        self.stopped.load(ordering::Relaxed)
    }

    /// Notes whether a write that is about to be made has found the option `async_alloc`. The inode lock is held exclusively.
    pub(crate) fn set_async_alloc(&self, found: bool) {
        self.async_alloc.store(found, ordering::Relaxed);
    }

    /// What was noted last. The inode lock is held exclusively.
    pub(crate) fn async_alloc(&self) -> bool {
        self.async_alloc.load(ordering::Relaxed)
    }

    /// Notes which turns a direct write has that is about to be issued. The inode lock is held exclusively.
    pub(super) fn set_turns(&self, at: AtBlocks) {
        let number = |block: Option<u64>| block.map_or(NO_TURN, |block| block as i64);
        self.eof_turn.store(number(at.eof), ordering::Relaxed);
        self.first_turn.store(number(at.first), ordering::Relaxed);
        self.last_turn.store(number(at.last), ordering::Relaxed);
    }

    /// Takes what was noted. The inode lock is held exclusively.
    pub(super) fn take_turns(&self) -> Option<AtBlocks> {
        let first = self.first_turn.load(ordering::Relaxed);
        if first == NOT_ENTERED {
            return None;
        }
        self.first_turn.store(NOT_ENTERED, ordering::Relaxed);
        let block = |number: i64| u64::try_from(number).ok();
        Some(AtBlocks {
            eof: block(self.eof_turn.load(ordering::Relaxed)),
            first: block(first),
            last: block(self.last_turn.load(ordering::Relaxed)),
        })
    }

    /// Whether blocks beyond EOF that the inode had when it was read are gone.
    pub(crate) fn has_nothing_beyond_eof(&self) -> bool {
        self.nothing_beyond_eof.load(ordering::Relaxed)
    }

    /// Notes that they are, or that there were none. The inode lock is held exclusively, or nobody
    /// else knows the inode.
    pub(crate) fn nothing_beyond_eof(&self) {
        self.nothing_beyond_eof.store(true, ordering::Relaxed);
    }

    /// Something has changed that an fsync of the inode writes now. Does not sleep.
    pub(crate) fn changed(&self) {
        self.durable.changed();
    }

    /// A directory has got a name, or lost one.
    pub(super) fn set_named(&self) {
        self.named.fetch_add(1, ordering::Release);
    }

    /// Whether a directory has got names since [`InodeData::named_synced`], which takes what this returns.
    pub(super) fn named(&self) -> Option<u32> {
        let named = self.named.load(ordering::Acquire);
        (named != self.named_synced.load(ordering::Acquire)).then_some(named)
    }

    /// Notes that a directory has changed, and has to be stored. Returns whether that is news.
    pub(super) fn set_unstored(&self) -> bool {
        !self.unstored_names.xchg(true, ordering::Full)
    }

    /// Notes that it is about to be. Returns whether it had to.
    pub(super) fn take_unstored(&self) -> bool {
        self.unstored_names.xchg(false, ordering::Full)
    }

    /// On the device, names lead to inodes.
    pub(super) fn named_synced(&self, named: u32) {
        self.named_synced.store(named, ordering::Release);
    }

    /// Whether there are extended attributes in the slot of the inode.
    pub(super) fn has_slot_attributes(&self) -> bool {
        self.in_slot.load(ordering::Relaxed)
    }

    /// Whether there may be extended attributes at all.
    pub(super) fn may_have_attributes(&self) -> bool {
        self.has_slot_attributes() || self.file_acl() != 0
    }

    /// How many bytes of the slot after the first 128 are used for fields.
    pub(super) fn extra_size(&self) -> u16 {
        self.extra_size.load(ordering::Relaxed) as u16
    }

    /// The block with the extended attributes, 0 for none. It counts in `i_blocks`. Does not sleep.
    pub(super) fn file_acl(&self) -> u32 {
        self.attribute_block.lock().block
    }
}

/// A time as the VFS has it.
pub(crate) fn timespec(time: Time) -> Timespec {
    Timespec {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

/// A time as the format has it.
pub(super) fn disk_time(time: Timespec) -> Time {
    Time {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

/// The inode number of `inode`; the format has 32 bits for it.
pub(crate) fn ino32(inode: &Inode) -> u32 {
    inode.ino() as u32
}

/// The file type of `inode`.
pub(crate) fn file_type(inode: &Inode) -> Result<FileType> {
    let what = "mode of no known file type";
    let found = inode.mode().into();
    FileType::from_mode(inode.mode())
        .ok_or_else(|| Corrupt::found(Place::Inode(ino32(inode)), what, found).into())
}

/// Waits for direct writes in flight. May sleep.
///
/// For a buffered write of a partial block, which reads the rest of the block into the page cache
/// and writes all of it back: a direct write to the rest, in flight meanwhile, would be overwritten
/// with stale data.
pub(crate) fn direct_writes_wait(inode: &InodeLocked<Exclusive>) {
    if inode.data().has_direct_writes() && !mutant!("part-no-wait") {
        inode.dio_wait();
    }
}

/// The flags that the VFS acts on, as `S_*` flags.
pub(crate) fn vfs_flags(flags: InodeFlags) -> init::InodeFlags {
    init::InodeFlags {
        sync: flags.has(InodeFlags::SYNC),
        append: flags.has(InodeFlags::APPEND),
        immutable: flags.has(InodeFlags::IMMUTABLE),
        noatime: flags.has(InodeFlags::NOATIME),
        dirsync: flags.has(InodeFlags::DIRSYNC),
    }
}
