// SPDX-License-Identifier: GPL-2.0

//! Tests of `truncate.rs`, against what can be reached from the inode.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{get32, put32, with_layout, DeviceError, MemDevice, Spec};
use crate::ext2::{
    pointers::{Path, Pointers},
    truncate::{free_range, FreeBlocks, Unfreed},
    Layout, Place,
};

const INO: u32 = 12;
const BITS: u32 = 10;
const P: u64 = 256;

/// Frees what is behind block `keep` of the file.
fn truncate<D: FreeBlocks>(
    layout: &Layout<'_>,
    ino: u32,
    root: &mut Pointers,
    keep: u64,
    device: &mut D,
) -> Result<(), D::Error> {
    free_range(layout, ino, root, keep..u64::MAX, Unfreed::Lose, device)
}

#[derive(Clone)]
struct File {
    root: Pointers,
    device: MemDevice,
    next: u32,
}

impl File {
    fn new(layout: &Layout<'_>) -> Self {
        File {
            root: [0; 15],
            device: MemDevice::new(layout.geometry()),
            next: 400,
        }
    }

    fn allocate(&mut self, layout: &Layout<'_>, step: u32) -> u32 {
        self.next += step;
        while layout.check_data(Place::Inode(INO), self.next, 1).is_err() {
            self.next += 1;
        }
        let block = self.next;
        self.next += 1;
        block
    }

    /// Gives the file a block at `file_block`, unless it has one, without the code in the module.
    fn add(&mut self, layout: &Layout<'_>, file_block: u64, step: u32) {
        let path = Path::new(BITS, file_block).unwrap();
        let (&first, rest) = path.indexes().split_first().unwrap();
        let mut parent = None;
        let mut index = first;
        for (level, next_index) in rest.iter().map(Some).chain([None]).enumerate() {
            let mut pointer = match parent {
                None => self.root[index as usize],
                Some(block) => get32(&self.device.pointers[&block], index as usize * 4),
            };
            if pointer == 0 {
                pointer = self.allocate(layout, step);
                match parent {
                    None => self.root[index as usize] = pointer,
                    Some(block) => self.device.set_pointer(block, index as usize, pointer),
                }
                if level == rest.len() {
                    self.device.data.insert(pointer);
                } else {
                    self.device.pointer_block(pointer);
                }
            }
            parent = Some(pointer);
            index = next_index.copied().unwrap_or(0);
        }
    }

    /// All blocks of the file with their numbers in it, and the number of blocks of pointers.
    fn reachable(&self) -> (BTreeMap<u64, u32>, usize) {
        let mut blocks = BTreeMap::new();
        let mut pointer_blocks = 0;
        let mut start = 0;
        for (i, &pointer) in self.root.iter().enumerate() {
            let levels = i.saturating_sub(11) as u32;
            self.collect(pointer, levels, start, &mut blocks, &mut pointer_blocks);
            start += P.pow(levels);
        }
        (blocks, pointer_blocks)
    }

    /// The file has `expected`, no more blocks of pointers than it needs, and nothing is lost.
    fn check(&self, expected: &BTreeMap<u64, u32>) {
        let (left, pointer_blocks) = self.reachable();
        assert_eq!(&left, expected);
        assert_eq!(
            self.device.in_use(),
            left.len() + pointer_blocks,
            "lost blocks"
        );
        let used = |bytes: &Vec<u8>| bytes.iter().any(|&b| b != 0);
        assert!(self.device.pointers.values().all(used));
        let trees = |i: usize| {
            (
                12 + (1..i as u32).map(|l| P.pow(l)).sum::<u64>(),
                P.pow(i as u32),
            )
        };
        for level in 1..4 {
            let (start, len) = trees(level);
            let any = expected.range(start..start + len).next().is_some();
            assert_eq!(self.root[11 + level] != 0, any);
        }
    }

    fn collect(
        &self,
        pointer: u32,
        levels: u32,
        start: u64,
        blocks: &mut BTreeMap<u64, u32>,
        pointer_blocks: &mut usize,
    ) {
        if pointer == 0 {
            return;
        }
        if levels == 0 {
            assert!(self.device.data.contains(&pointer));
            blocks.insert(start, pointer);
            return;
        }
        *pointer_blocks += 1;
        let bytes = &self.device.pointers[&pointer];
        for i in 0..P {
            let below = get32(bytes, i as usize * 4);
            let start = start + i * P.pow(levels - 1);
            self.collect(below, levels - 1, start, blocks, pointer_blocks);
        }
    }
}

/// Takes down which blocks of data are freed.
struct Recording<'a> {
    device: &'a mut MemDevice,
    runs: Vec<(u32, u32)>,
    /// What the inode has, as far as the device knows,
    root: Pointers,
    /// and as others see it.
    seen: Pointers,
}

impl<'a> Recording<'a> {
    fn new(device: &'a mut MemDevice, root: &Pointers) -> Self {
        Recording {
            device,
            runs: Vec::new(),
            root: *root,
            seen: *root,
        }
    }

    /// Nothing leads to the block any more.
    fn check_cleared(&self, block: u32) {
        let all = &self.device.pointers;
        let roots = self.root.iter().chain(&self.seen).copied();
        let mut pointers = roots.chain(
            all.values()
                .flat_map(|bytes| (0..bytes.len() / 4).map(|i| get32(bytes, i * 4))),
        );
        assert!(pointers.all(|pointer| pointer != block), "block {block}");
    }
}

impl crate::ext2::block_map::PointerBlocks for Recording<'_> {
    type Error = DeviceError;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<(), DeviceError> {
        self.device.read(block, offset, out)
    }
}

impl FreeBlocks for Recording<'_> {
    fn root_changed(&mut self, root: &Pointers) {
        self.seen = *root;
    }

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), DeviceError> {
        self.device.clear(block, offset, len)
    }

    fn clear_root(&mut self, root: &Pointers) -> Result<(), DeviceError> {
        self.root = *root;
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<(), DeviceError> {
        self.device.restore(block, index, start, len)
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result<(), DeviceError> {
        self.runs.push((start, len));
        (start..start + len).for_each(|block| self.check_cleared(block));
        self.device.free_data(start, len)
    }

    fn free_pointers(&mut self, block: u32) -> Result<(), DeviceError> {
        self.check_cleared(block);
        self.device.free_pointers(block)
    }

    fn is_corrupt(error: &DeviceError) -> bool {
        MemDevice::is_corrupt(error)
    }
}

/// The borders of all levels.
fn borders() -> Vec<u64> {
    vec![
        0,
        5,
        12,
        12 + P,
        12 + 2 * P,
        12 + P + P * P,
        12 + P + P * P + P,
        12 + P + P * P + P * P,
        12 + P + P * P + P * P * 9,
    ]
}

/// A few blocks, some blocks of pointers, or all that there can be.
fn lengths() -> impl Strategy<Value = u64> {
    prop_oneof![1..40u64, 1..1000u64, 1..3 * P * P, Just(1 << 40)]
}

fn near_borders() -> impl Strategy<Value = u64> {
    (prop::sample::select(borders()), 0..40u64).prop_map(|(b, n)| (b + n).saturating_sub(20))
}

proptest! {
    #[test]
    fn frees_what_is_cut_off_and_nothing_else(
        adds in prop::collection::vec((near_borders(), 1..10u64, 0..2u32), 1..12),
        cuts in prop::collection::vec(near_borders(), 1..4),
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            for &(start, len, step) in &adds {
                for i in 0..len {
                    file.add(layout, start + i, step);
                }
            }
            for &keep in &cuts {
                let (mut expected, _) = file.reachable();
                expected.retain(|&b, _| b < keep);
                truncate(layout, INO, &mut file.root, keep, &mut file.device).unwrap();
                file.check(&expected);
                if keep == 0 {
                    assert_eq!(file.device.in_use(), 0);
                    assert_eq!(file.root, [0; 15]);
                }
            }
        });
    }

    #[test]
    fn punching_frees_what_is_in_the_range(
        adds in prop::collection::vec((near_borders(), 1..40u64, 0..2u32), 1..12),
        punches in prop::collection::vec((near_borders(), lengths()), 1..4),
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            for &(start, len, step) in &adds {
                for i in 0..len {
                    file.add(layout, start + i, step);
                }
            }
            for &(start, len) in &punches {
                let (before, _) = file.reachable();
                let mut expected = before.clone();
                expected.retain(|&b, _| b < start || b >= start + len);
                let mut device = Recording::new(&mut file.device, &file.root);
                free_range(
                    layout, INO, &mut file.root, start..start + len, Unfreed::Keep, &mut device,
                ).unwrap();
                let blocks_of = |&(start, len): &(u32, u32)| start..start + len;
                let mut freed: Vec<u32> = device.runs.iter().flat_map(blocks_of).collect();
                freed.sort();
                let mut wanted: Vec<u32> = before.range(start..start + len).map(|(_, &b)| b).collect();
                wanted.sort();
                assert_eq!(freed, wanted);
                file.check(&expected);
            }
        });
    }

    /// A device that fails, wherever that is: what is freed is not reached any more, and nothing is
    /// lost. When it is well again the rest can be freed.
    #[test]
    fn punching_a_failing_device_loses_nothing(
        adds in prop::collection::vec((near_borders(), 1..40u64, 0..2u32), 1..12),
        (start, len) in (near_borders(), lengths()),
        frees in prop::option::of(0..12usize),
        broken in prop::option::of(0..20usize),
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            for &(start, len, step) in &adds {
                for i in 0..len {
                    file.add(layout, start + i, step);
                }
            }
            let (before, _) = file.reachable();
            let mut expected = before.clone();
            expected.retain(|&b, _| b < start || b >= start + len);
            file.device.frees = frees;
            let broken = broken.and_then(|i| file.device.pointers.keys().nth(i).copied());
            file.device.broken.extend(broken);
            let range = start..start + len;
            let result =
                free_range(layout, INO, &mut file.root, range.clone(), Unfreed::Keep, &mut file.device);
            file.device.frees = None;
            file.device.broken.clear();

            let (left, pointer_blocks) = file.reachable();
            assert_eq!(file.device.in_use(), left.len() + pointer_blocks, "lost blocks");
            for (at, block) in &before {
                match range.contains(at) {
                    true => assert!(left.get(at).is_none_or(|b| b == block)),
                    false => assert_eq!(left.get(at), Some(block)),
                }
            }
            assert!(left.keys().all(|at| before.contains_key(at)));
            if result.is_ok() {
                assert_eq!(left, expected);
            }
            free_range(layout, INO, &mut file.root, range, Unfreed::Keep, &mut file.device).unwrap();
            // A block of pointers may have become empty before the failure.
            assert_eq!(file.reachable().0, expected);
        });
    }

    /// The same when it must not be seen what could not be freed: no pointer is left in the range, but
    /// in a block of pointers that cannot be read.
    #[test]
    fn a_failing_device_shows_nothing_that_was_to_go(
        adds in prop::collection::vec((near_borders(), 1..40u64, 0..2u32), 1..12),
        (start, len) in (near_borders(), lengths()),
        frees in 0..12usize,
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            for &(start, len, step) in &adds {
                for i in 0..len {
                    file.add(layout, start + i, step);
                }
            }
            let (mut expected, _) = file.reachable();
            expected.retain(|&b, _| b < start || b >= start + len);
            file.device.frees = Some(frees);
            let range = start..start + len;
            let _ = free_range(layout, INO, &mut file.root, range, Unfreed::Lose, &mut file.device);
            assert_eq!(file.reachable().0, expected);
        });
    }

    /// Circles, shared blocks, and pointers to anywhere: no endless loop, no panic, and whatever
    /// goes wrong, no pointer is left behind the cut in what the inode still reaches.
    #[test]
    fn crafted_trees_end(
        root in prop::array::uniform15(prop::sample::select(vec![0u32, 1, 500, 501, 502, 503, 600, 20_000])),
        content in prop::collection::vec((
            500..504u32,
            0..256usize,
            1..40usize,
            prop::sample::select(vec![0u32, 3, 500, 501, 502, 503, 601, u32::MAX]),
        ), 0..20),
        keep in near_borders(),
        broken in prop::option::of(500..504u32),
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            file.root = root;
            file.device.broken.extend(broken);
            file.device.data.extend([600, 601]);
            for block in 500..504 {
                file.device.pointer_block(block);
            }
            for &(block, index, count, value) in &content {
                for i in index..(index + count).min(256) {
                    file.device.set_pointer(block, i, value);
                }
            }
            let mut device = Lenient(file.device);
            let result = truncate(layout, INO, &mut file.root, keep, &mut device);
            assert!(device.0.reads < 4000, "{} reads", device.0.reads);
            if result.is_ok() {
                let path = Path::new(BITS, keep).unwrap();
                let cut = path.indexes()[0] as usize;
                assert!(file.root[cut + 1..].iter().all(|&p| p == 0));
            }
        });
    }
}

/// Lets pointers be cleared in blocks that were freed, or that hold data: crafted trees do that.
struct Lenient(MemDevice);

impl crate::ext2::block_map::PointerBlocks for Lenient {
    type Error = DeviceError;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(block, offset, out)
    }
}

impl crate::ext2::truncate::FreeBlocks for Lenient {
    fn root_changed(&mut self, _: &Pointers) {}

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<(), DeviceError> {
        if let Some(bytes) = self.0.pointers.get_mut(&block) {
            bytes[offset..offset + len].fill(0);
        }
        Ok(())
    }

    fn clear_root(&mut self, _root: &Pointers) -> Result<(), DeviceError> {
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<(), DeviceError> {
        match self.0.pointers.contains_key(&block) {
            true => self.0.restore(block, index, start, len),
            false => Ok(()),
        }
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result<(), DeviceError> {
        self.0.free_data(start, len)
    }

    fn free_pointers(&mut self, block: u32) -> Result<(), DeviceError> {
        self.0.free_pointers(block)
    }

    fn is_corrupt(error: &DeviceError) -> bool {
        MemDevice::is_corrupt(error)
    }
}

#[test]
fn blocks_in_a_row_are_freed_together() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        for file_block in 0..12 + P {
            file.add(layout, file_block, 0);
        }
        let mut device = Recording::new(&mut file.device, &file.root);
        truncate(layout, INO, &mut file.root, 4, &mut device).unwrap();
        // 8 direct ones; then the block of pointers, which is in between, and its 256.
        assert_eq!(device.runs, [(404, 8), (413, 256)]);
        assert_eq!(file.device.in_use(), 4);
    });
}

#[test]
fn beyond_the_reach_there_is_nothing_to_free() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        file.add(layout, 3, 0);
        truncate(layout, INO, &mut file.root, u64::MAX, &mut file.device).unwrap();
        assert_eq!(file.device.in_use(), 1);
    });
}

#[test]
fn an_unreadable_block_loses_blocks_but_keeps_no_pointers() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        let base = 12 + P;
        for file_block in [
            0,
            11,
            12,
            base,
            base + P,
            base + 5 * P,
            base + 200 * P,
            base + P * P,
        ] {
            file.add(layout, file_block, 0);
        }
        let double = file.root[13];
        let second = get32(&file.device.pointers[&double], 4);
        file.device.broken.insert(second);
        let in_use = file.device.in_use();
        let result = truncate(layout, INO, &mut file.root, base + 1, &mut file.device);
        assert_eq!(result, Err(DeviceError::Io(second)));
        assert_eq!(file.device.in_use(), in_use, "freed after an error");
        assert_eq!(file.root[14], 0, "cleared, although not freed");
        file.device.broken.clear();
        let (left, _) = file.reachable();
        assert_eq!(left.keys().copied().collect::<Vec<_>>(), [0, 11, 12, base]);
    });
}

#[test]
fn a_block_that_is_freed_twice_is_found() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        file.add(layout, 0, 0);
        file.root[1] = file.root[0];
        let block = file.root[0];
        let result = truncate(layout, INO, &mut file.root, 0, &mut file.device);
        assert_eq!(result, Err(DeviceError::NotInUse(block)));
        assert_eq!(file.root, [0; 15]);

        // A tree in which each block of pointers has itself 256 times.
        let mut file = File::new(layout);
        file.root[14] = 500;
        for i in 0..256 {
            put32(file.device.pointer_block(500), i * 4, 500);
        }
        let result = truncate(layout, INO, &mut file.root, 0, &mut file.device);
        assert!(result.is_err());
        assert!(file.device.reads < 100);
    });
}
