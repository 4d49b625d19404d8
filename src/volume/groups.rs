// SPDX-License-Identifier: GPL-2.0

//! Block groups in memory: descriptors, counters, their locks, and buffers for bitmaps.

use crate::ext2::bitmap::Run;
use crate::ext2::choose_group::Totals;
use crate::ext2::free_runs::FreeRuns;
use crate::ext2::group::{Group, GroupCounts, GroupLayout, GROUP_DESCRIPTOR_SIZE};
use crate::ext2::superblock::Superblock;
use crate::ext2::uninit::{Checksums, Uninit};
use crate::ext2::{Corrupt, Geometry, Place};
use crate::types::NewSuperBlock;
use crate::volume::fault::Result;
use crate::volume::scratch::Scratch;
use crate::volume::totals::SharedTotals;
use crate::volume::windows::Windows;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::lock::mutex::MutexGuard;
use kernel::sync::{new_mutex, Mutex};
use kfs::block::buffer_head::BufferHead;
use kfs::compat::{smp_mb, Read};

/// Which counters of a group have been compared with its bitmaps.
#[derive(Clone, Copy, Default)]
pub(super) struct Compared {
    pub(super) blocks: bool,
    pub(super) inodes: bool,
}

/// What is known of a group in memory, beside its counters.
#[derive(Clone, Copy)]
struct GroupState {
    compared: Compared,
    /// What is known of its free blocks without a look at the bitmap.
    free_runs: FreeRuns,
    /// No inode before this is free, by its index.
    first_inode: u32,
    /// What of it is not initialised; nothing on volumes without such groups.
    uninit: Uninit,
}

/// The groups that share a lock, and what is done to their bitmaps and counters under it.
pub(crate) struct GroupSet {
    /// Theirs, in order.
    states: KVVec<GroupState>,
    /// How many sets there are, of which groups take turns, as the power of two.
    bits: u32,
    /// A copy of the bitmap in use, or of a part of it in its place: bitmaps are changed here.
    pub(super) bitmap: Scratch,
    /// Another, of what is not to be allocated: bitmaps are searched here.
    pub(super) taken: Scratch,
    /// Blocks that are free, and for one file only.
    pub(super) windows: Windows,
}

/// How many locks there are for the groups, at most, as the power of two.
const SETS: u32 = 5;

/// So many blocks of descriptors are read at a time: with `meta_bg`, each is in another part of the volume.
const AHEAD: u32 = 64;

/// What is read of a group without a lock, and changed under that of the group: its counters, and how long its free
/// runs are at most.
struct Unlocked(Atomic<u64>);

impl Unlocked {
    /// With these counters; of the runs nothing is known.
    fn new(counts: &GroupCounts) -> Self {
        Unlocked(Atomic::new(Self::pack(counts, u16::MAX)))
    }

    fn pack(counts: &GroupCounts, longest: u16) -> u64 {
        let fields = [
            counts.free_blocks,
            counts.free_inodes,
            counts.used_dirs,
            longest,
        ];
        let [blocks, inodes, dirs, longest] = fields.map(u64::from);
        blocks | inodes << 16 | dirs << 32 | longest << 48
    }

    fn counts(&self) -> GroupCounts {
        let packed = self.0.load(ordering::Relaxed);
        GroupCounts {
            free_blocks: packed as u16,
            free_inodes: (packed >> 16) as u16,
            used_dirs: (packed >> 32) as u16,
        }
    }

    /// See [`FreeRuns::longest`].
    fn longest(&self) -> u32 {
        match (self.0.load(ordering::Relaxed) >> 48) as u16 {
            u16::MAX => u32::MAX,
            longest => longest.into(),
        }
    }

    /// All as [`Unlocked::new`] has it.
    fn reset(&self, counts: &GroupCounts) {
        self.0
            .store(Self::pack(counts, u16::MAX), ordering::Relaxed);
    }

    fn set_counts(&self, counts: &GroupCounts) {
        let longest = (self.0.load(ordering::Relaxed) >> 48) as u16;
        self.0.store(Self::pack(counts, longest), ordering::Relaxed);
    }

    fn set_longest(&self, longest: u32) {
        let longest = u16::try_from(longest).unwrap_or(u16::MAX);
        self.0
            .store(Self::pack(&self.counts(), longest), ordering::Relaxed);
    }
}

/// The groups of a volume.
///
/// The counters of a group, and what is known of it, change under the lock of the set that it is in, and so do its
/// bitmaps. Nobody holds two of these locks, or reads from the device with one. So who has looked at all groups, and
/// found nothing, may have missed what others have given back behind it: see [`Groups::given`].
pub(crate) struct Groups {
    unlocked: KVVec<Unlocked>,
    /// The buffers of the group descriptors, in order.
    descriptors: KVVec<BufferHead>,
    sets: KVec<Pin<KBox<Mutex<GroupSet>>>>,
    /// How often something has become free that could not be had before.
    given: Atomic<u32>,
}

impl Groups {
    /// Reads and validates all group descriptors, for a mount from the superblock at byte `super_place`.
    /// May sleep. The last of the results is whether a counter was too large, of which the log has the first; the one
    /// before are the sums.
    pub(super) fn read(
        sb: &mut NewSuperBlock<'_>,
        superblock: &Superblock,
        super_place: u64,
    ) -> Result<(KVVec<GroupLayout>, Self, Totals, bool)> {
        let geometry = &superblock.geometry;
        let checksums = &superblock.checksums;
        let mut descriptors =
            KVVec::with_capacity(geometry.descriptor_blocks() as usize, GFP_KERNEL)?;
        let super_block = super_place / u64::from(geometry.block_size());
        let blocks = geometry.descriptor_blocks();
        let place = |index| geometry.descriptor_block(index, super_block);
        for index in 0..blocks {
            if index % AHEAD == 0 && !mutant!("descriptors-not-ahead") {
                sb.bread_ahead((index..blocks.min(index + AHEAD)).map(place));
            }
            descriptors.push(sb.bread(place(index))?, GFP_KERNEL)?;
        }
        let mut layouts = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let mut unlocked = KVVec::with_capacity(geometry.groups() as usize, GFP_KERNEL)?;
        let bits = SETS.min(geometry.groups().ilog2());
        let mut states = KVec::new();
        for _ in 0..1 << bits {
            let most = (geometry.groups() >> bits) as usize + 1;
            states.push(KVVec::with_capacity(most, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let mut totals = Totals::default();
        let mut clamped = false;
        for group in 0..geometry.groups() {
            let bytes = raw(geometry, &descriptors, group)?;
            let uninit = Uninit::read(geometry, group, &bytes)?;
            // As with ext4: a volume that is only read is read as far as that goes.
            if !sb.rdonly() {
                checksums.check(group, &bytes)?;
                check_uninit(geometry, group, &uninit)?;
            }
            let mut parsed = Group::parse(geometry, group, &bytes)?;
            if let (Some(("free blocks", counted, _)), true) =
                (parsed.clamped, mutant!("counters-unclamped"))
            {
                parsed.counts.free_blocks = counted as u16;
            }
            add(&mut totals, &parsed.counts);
            if let Some((what, counted, most)) = parsed.clamped.filter(|_| !clamped) {
                warn_miscounted(sb.id(), group, what, counted, most);
                clamped = true;
            }
            layouts.push(parsed.layout, GFP_KERNEL)?;
            unlocked.push(Unlocked::new(&parsed.counts), GFP_KERNEL)?;
            if let Some(states) = states.get_mut(set_of(group, bits)) {
                states.push(GroupState::new(uninit), GFP_KERNEL)?;
            }
        }
        let mut sets = KVec::with_capacity(states.len(), GFP_KERNEL)?;
        for states in states {
            let set = GroupSet {
                states,
                bits,
                bitmap: Scratch::new(geometry.block_size())?,
                taken: Scratch::new(geometry.block_size())?,
                windows: Windows::new(),
            };
            sets.push(KBox::pin_init(new_mutex!(set), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let groups = Groups {
            unlocked,
            descriptors,
            sets,
            given: Atomic::new(0),
        };
        Ok((layouts, groups, totals, clamped))
    }

    /// Reads the counters anew, which e2fsck may have repaired under a read-only mount; so are their sums `totals`. Returns
    /// whether one is too large. Fails, and changes nothing, when the groups are not laid out as in `layouts` any more. Takes the
    /// locks of the groups; may sleep.
    ///
    /// After a forced remount (sysrq-u) there may be somebody who frees blocks meanwhile.
    pub(super) fn reread(
        &self,
        geometry: &Geometry,
        checksums: &Checksums,
        layouts: &[GroupLayout],
        totals: &SharedTotals,
    ) -> Result<bool> {
        for (group, layout) in (0..geometry.groups()).zip(layouts) {
            let bytes = raw(geometry, &self.descriptors, group)?;
            checksums.check(group, &bytes)?;
            check_uninit(geometry, group, &Uninit::read(geometry, group, &bytes)?)?;
            if parse(geometry, &self.descriptors, group)?.layout != *layout {
                let what = "bitmaps or inode table have been moved";
                return Err(Corrupt::new(Place::Group(group), what).into());
            }
        }
        let mut clamped = false;
        for (group, unlocked) in (0..geometry.groups()).zip(&self.unlocked) {
            let mut set = self.lock(group)?;
            let bytes = raw(geometry, &self.descriptors, group)?;
            let parsed = Group::parse(geometry, group, &bytes)?;
            totals.recount(&unlocked.counts(), &parsed.counts);
            unlocked.reset(&parsed.counts);
            clamped |= parsed.clamped.is_some();
            if let Some(state) = set.state_mut(group) {
                *state = GroupState::new(Uninit::read(geometry, group, &bytes)?);
            }
        }
        Ok(clamped)
    }

    /// Takes the lock of `group`, which it shares with others. May sleep. `EUCLEAN` when there is no such group.
    pub(super) fn lock(&self, group: u32) -> Result<MutexGuard<'_, GroupSet>, Corrupt> {
        Ok(self.set(group)?.lock())
    }

    /// The same if that is free: `None` if it is not. Does not sleep.
    pub(super) fn try_lock(&self, group: u32) -> Result<Option<MutexGuard<'_, GroupSet>>, Corrupt> {
        Ok(self.set(group)?.try_lock())
    }

    fn set(&self, group: u32) -> Result<&Mutex<GroupSet>, Corrupt> {
        let bits = self.sets.len().ilog2();
        let set = self.sets.get(set_of(group, bits));
        set.map(|set| &**set).ok_or(no_group(group))
    }

    /// Whether two groups have the same lock.
    pub(super) fn share_lock(&self, group: u32, other: u32) -> bool {
        let bits = self.sets.len().ilog2();
        set_of(group, bits) == set_of(other, bits)
    }

    /// The sets of groups, one after the other under its lock. May sleep.
    pub(super) fn for_each_set(&self, mut f: impl FnMut(&mut GroupSet)) {
        for set in &self.sets {
            f(&mut set.lock());
        }
    }

    /// Whether there is a group of which something is not initialised. Takes the locks of the groups; may sleep.
    pub(super) fn are_uninit(&self) -> bool {
        let mut any = false;
        self.for_each_set(|set| any |= set.states.iter().any(|state| state.uninit.is_any()));
        any
    }

    /// The counters of `group`, as they are now; zeroes when there is no such group. Does not sleep.
    pub(super) fn counts(&self, group: u32) -> GroupCounts {
        let unlocked = self.unlocked.get(group as usize);
        unlocked.map(Unlocked::counts).unwrap_or_default()
    }

    /// No free run of `group` is longer, as far as that is known now; 0 when there is no such group. Does not sleep.
    pub(super) fn longest_run(&self, group: u32) -> u32 {
        let unlocked = self.unlocked.get(group as usize);
        unlocked.map_or(0, Unlocked::longest)
    }

    /// How often something was given back until now, for who is going to look at all groups.
    pub(super) fn given(&self) -> u32 {
        self.given.load(ordering::Acquire)
    }

    /// Whether that is still so for who has: then there was nothing. If not, what was given back may lie in
    /// groups that it had looked at before.
    pub(super) fn is_given(&self, given: u32) -> bool {
        // The groups were looked at before this.
        smp_mb(Read);
        self.given.load(ordering::Relaxed) == given || mutant!("given-behind")
    }

    /// Takes note that something can be had that could not, after everything that makes it so.
    pub(super) fn give(&self) {
        self.given.fetch_add(1, ordering::Release);
    }

    /// The buffer of the descriptor of `group`, and the byte offset in it. The bytes there change under the lock of
    /// the group.
    pub(super) fn descriptor(
        &self,
        geometry: &Geometry,
        group: u32,
    ) -> Option<(&BufferHead, usize)> {
        descriptor(geometry, &self.descriptors, group)
    }
}

impl GroupState {
    fn new(uninit: Uninit) -> Self {
        GroupState {
            compared: Compared::default(),
            free_runs: FreeRuns::UNKNOWN,
            first_inode: 0,
            uninit,
        }
    }
}

impl GroupSet {
    fn state(&self, group: u32) -> Option<&GroupState> {
        self.states.get((group >> self.bits) as usize)
    }

    fn state_mut(&mut self, group: u32) -> Option<&mut GroupState> {
        self.states.get_mut((group >> self.bits) as usize)
    }

    /// Changes the counters of `group`, one of this set of `groups`, in memory.
    pub(super) fn change_counts(
        &self,
        groups: &Groups,
        group: u32,
        change: impl FnOnce(&mut GroupCounts) -> Result<(), Corrupt>,
    ) -> Result<(), Corrupt> {
        let unlocked = groups.unlocked.get(group as usize);
        let unlocked = unlocked.ok_or(no_group(group))?;
        let mut counts = unlocked.counts();
        change(&mut counts)?;
        unlocked.set_counts(&counts);
        Ok(())
    }

    /// Which of the counters of `group` have been compared with its bitmaps.
    pub(super) fn compared(&mut self, group: u32) -> Option<&mut Compared> {
        Some(&mut self.state_mut(group)?.compared)
    }

    /// What is known of the free blocks of `group`.
    pub(super) fn free_runs(&self, group: u32) -> FreeRuns {
        let known = self.state(group).map(|state| state.free_runs);
        known.unwrap_or(FreeRuns::UNKNOWN)
    }

    /// Changes that.
    pub(super) fn change_free_runs(
        &mut self,
        groups: &Groups,
        group: u32,
        change: impl FnOnce(&mut FreeRuns),
    ) {
        let unlocked = groups.unlocked.get(group as usize);
        if let (Some(state), Some(unlocked)) = (self.state_mut(group), unlocked) {
            change(&mut state.free_runs);
            let longest = state.free_runs.longest();
            if longest < unlocked.longest() || !mutant!("longest-kept") {
                unlocked.set_longest(longest);
            }
        }
    }

    /// No inode of `group` before this index is free.
    pub(super) fn first_inode(&self, group: u32) -> u32 {
        self.state(group).map_or(0, |state| state.first_inode)
    }

    /// Changes that.
    pub(super) fn set_first_inode(&mut self, group: u32, index: u32) {
        if let Some(state) = self.state_mut(group) {
            state.first_inode = index;
        }
    }

    /// What of `group` is not initialised.
    pub(super) fn uninit(&self, group: u32) -> Uninit {
        let uninit = self.state(group).map(|state| state.uninit);
        uninit.unwrap_or_default()
    }

    /// Notes that all of `group` is.
    pub(super) fn set_initialised(&mut self, group: u32) {
        if let Some(state) = self.state_mut(group) {
            state.uninit = Uninit::default();
        }
    }

    /// All may allocate the blocks of `run`, within one group of this set, from now on, if they are free.
    /// [`Groups::give`] follows.
    pub(super) fn freed(&mut self, groups: &Groups, geometry: &Geometry, run: Run) {
        if let Some((group, start)) = geometry.locate_block(run.start) {
            self.change_free_runs(groups, group, |known| known.freed(Run { start, ..run }));
        }
    }
}

/// Which set a group is in.
fn set_of(group: u32, bits: u32) -> usize {
    (group & ((1 << bits) - 1)) as usize
}

fn no_group(group: u32) -> Corrupt {
    Corrupt::new(Place::Group(group), "no such group")
}

/// Says in the log that the counter `what` of `group` is not `counted` but `found`.
pub(super) fn warn_miscounted(id: &CStr, group: u32, what: &str, counted: u32, found: u32) {
    pr_warn!(
        "{}: group {}: {} {} counted, taken for {} (said once): run e2fsck\n",
        id,
        group,
        counted,
        what,
        found
    );
}

/// Checks what of `group` is not initialised, before it is written to.
fn check_uninit(geometry: &Geometry, group: u32, uninit: &Uninit) -> Result<(), Corrupt> {
    match mutant!("uninit-unchecked") {
        true => Ok(()),
        false => uninit.check(geometry, group),
    }
}

/// Reads the descriptor of `group`.
fn raw(
    geometry: &Geometry,
    descriptors: &[BufferHead],
    group: u32,
) -> Result<[u8; GROUP_DESCRIPTOR_SIZE]> {
    let (buffer, offset) = descriptor(geometry, descriptors, group)
        .ok_or(Corrupt::new(Place::Group(group), "no descriptor"))?;
    let mut bytes = [0; GROUP_DESCRIPTOR_SIZE];
    buffer.read(offset, &mut bytes)?;
    Ok(bytes)
}

/// Reads and validates it.
fn parse(geometry: &Geometry, descriptors: &[BufferHead], group: u32) -> Result<Group> {
    let bytes = raw(geometry, descriptors, group)?;
    Ok(Group::parse(geometry, group, &bytes)?)
}

/// Adds the counters of a group. Each is bounded by the size of its group, and the volume has fewer
/// than 2^32 blocks and inodes.
fn add(totals: &mut Totals, counts: &GroupCounts) {
    totals.free_blocks += u32::from(counts.free_blocks);
    totals.free_inodes += u32::from(counts.free_inodes);
    totals.used_dirs += u32::from(counts.used_dirs);
}

/// The buffer of the descriptor of `group`, and the byte offset in it.
fn descriptor<'a>(
    geometry: &Geometry,
    descriptors: &'a [BufferHead],
    group: u32,
) -> Option<(&'a BufferHead, usize)> {
    let (index, offset) = geometry.descriptor_slot(group)?;
    Some((descriptors.get(index as usize)?, offset as usize))
}
