// SPDX-License-Identifier: GPL-2.0

//! Tests of `block_map.rs`, against a map from blocks of a file to blocks of the volume.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{put32, with_layout, DeviceError, MemDevice, Spec};
use crate::ext2::{
    block_map::{store_pointers, store_root, zero_pointers, Branch, Growth, Mapping, Slot},
    pointers::{max_file_size, tree_blocks, Path, Pointers},
    Layout,
};

const INO: u32 = 12;
const BITS: u32 = 10;
/// Pointers in a block of 1 KiB.
const P: u64 = 256;

fn path(file_block: u64) -> Path {
    Path::new(BITS, file_block).unwrap()
}

#[test]
fn paths() {
    let indexes = |b| path(b).indexes().to_vec();
    assert_eq!(indexes(0), [0]);
    assert_eq!(indexes(11), [11]);
    assert_eq!(indexes(12), [12, 0]);
    assert_eq!(indexes(12 + 255), [12, 255]);
    assert_eq!(indexes(12 + P), [13, 0, 0]);
    assert_eq!(indexes(12 + P + 256 * 3 + 7), [13, 3, 7]);
    assert_eq!(indexes(12 + P + P * P - 1), [13, 255, 255]);
    assert_eq!(indexes(12 + P + P * P), [14, 0, 0, 0]);
    let last = 12 + P + P * P + P * P * P - 1;
    assert_eq!(indexes(last), [14, 255, 255, 255]);
    assert_eq!(Path::new(BITS, last + 1), None);
    assert_eq!(Path::new(BITS, u64::MAX), None);
    assert_eq!(last + 1, tree_blocks(BITS));

    assert_eq!(path(0).room(), 12);
    assert_eq!(path(11).room(), 1);
    assert_eq!(path(12).room(), 256);
    assert_eq!(path(last).room(), 1);
}

#[test]
fn zeroes_behind_a_pointer() {
    let mut block = [0; 64];
    put32(&mut block, 20, 7);
    let zeroes = |index, max| {
        zero_pointers(block.len(), index, max, |offset, out| {
            out.copy_from_slice(block.get(offset..offset + out.len()).ok_or(())?);
            Ok::<(), ()>(())
        })
    };
    assert_eq!(zeroes(0, 3), Ok(3));
    assert_eq!(zeroes(0, 9), Ok(5));
    assert_eq!(zeroes(5, 9), Ok(0));
    assert_eq!(zeroes(6, u32::MAX), Ok(10));
    assert_eq!(zeroes(15, 9), Ok(1));
    assert_eq!(zeroes(16, 9), Ok(0));
}

#[test]
fn sizes_are_those_of_linux() {
    // s_maxbytes of ext2, and of ext4 for files without extents on a volume without huge_file.
    for huge in [false, true] {
        assert_eq!(max_file_size(10, huge), 17_247_252_480);
        assert_eq!(max_file_size(11, huge), 275_415_851_008);
    }
    assert_eq!(max_file_size(12, false), 2_196_873_666_560);
    assert_eq!(max_file_size(12, true), 4_402_345_721_856);
    // Their blocks have numbers of 32 bits.
    assert_eq!(max_file_size(13, true), u64::from(u32::MAX) << 13);
    assert_eq!(max_file_size(16, true), u64::from(u32::MAX) << 16);
    assert!((1 << 40..1 << 41).contains(&max_file_size(16, false)));
}

/// Adds blocks to a file in the way in which the module does: what `growth` plans, with new
/// blocks from `allocate`.
struct File {
    root: Pointers,
    device: MemDevice,
    model: BTreeMap<u64, u32>,
}

impl File {
    fn new(layout: &Layout<'_>) -> Self {
        File {
            root: [0; 15],
            device: MemDevice::new(layout.geometry()),
            model: BTreeMap::new(),
        }
    }

    fn walk(&mut self, layout: &Layout<'_>, file_block: u64) -> Branch {
        Branch::walk(layout, INO, &self.root, path(file_block), &mut self.device).unwrap()
    }

    /// Gives the file up to `want` blocks from `file_block` on; returns how many.
    fn grow(
        &mut self,
        layout: &Layout<'_>,
        file_block: u64,
        want: u32,
        allocate: &mut impl FnMut(u32) -> u32,
    ) -> u32 {
        let branch = self.walk(layout, file_block);
        let growth = branch.growth(&self.root, want, &mut self.device).unwrap();
        let Some(growth) = growth else {
            assert!(self.model.contains_key(&file_block));
            return 0;
        };
        self.apply(file_block, &growth, allocate);
        growth.data_blocks
    }

    fn apply(&mut self, file_block: u64, growth: &Growth, allocate: &mut impl FnMut(u32) -> u32) {
        let pointer_blocks: Vec<u32> = growth.indexes().iter().map(|_| allocate(1)).collect();
        let start = allocate(growth.data_blocks);
        let mut below = (start, growth.data_blocks);
        for (&block, &index) in pointer_blocks.iter().zip(growth.indexes()).rev() {
            let bytes = self.device.pointer_block(block);
            store_pointers(bytes, index, below.0, below.1).unwrap();
            below = (block, 1);
        }
        match growth.slot {
            Slot::Inode(index) => store_root(&mut self.root, index, below.0, below.1).unwrap(),
            Slot::Block { block, index } => {
                let bytes = self.device.pointer_block(block);
                store_pointers(bytes, index, below.0, below.1).unwrap();
            }
        }
        for i in 0..growth.data_blocks {
            let previous = self.model.insert(file_block + u64::from(i), start + i);
            assert_eq!(previous, None, "a block was there already");
            self.device.data.insert(start + i);
        }
    }

    /// Checks that a walk from the last block of pointers leads to the same as one from the inode.
    fn check_from(&mut self, layout: &Layout<'_>, pointers: u32, file_block: u64, max: u32) {
        let whole = self.walk(layout, file_block);
        let reads = self.device.reads;
        let way = path(file_block);
        let device = &mut self.device;
        let part = Branch::walk_from(layout, INO, pointers, way, device).unwrap();
        assert_eq!(device.reads, reads + 1);
        assert_eq!(part.data(), whole.data());
        assert_eq!(part.last_pointers(), whole.last_pointers());
        let mut growth = |branch: &Branch| branch.growth(&self.root, max, &mut self.device);
        let planned = [&part, &whole].map(&mut growth).map(Result::unwrap);
        assert_eq!(planned[0], planned[1]);
        let mut lookup = |branch: &Branch| branch.lookup(layout, &self.root, max, &mut self.device);
        let found = [&part, &whole].map(&mut lookup).map(Result::unwrap);
        assert_eq!(found[0], found[1]);
    }

    /// Checks `lookup` at `file_block` against the model.
    fn check(&mut self, layout: &Layout<'_>, file_block: u64, max: u32) {
        let branch = self.walk(layout, file_block);
        let found = branch
            .lookup(layout, &self.root, max, &mut self.device)
            .unwrap();
        assert_eq!(branch.data(), self.model.get(&file_block).copied());
        match found {
            Mapping::Mapped { start, len } => {
                assert!(len >= 1 && len <= max.max(1));
                for i in 0..len {
                    assert_eq!(
                        self.model.get(&(file_block + u64::from(i))),
                        Some(&(start + i))
                    );
                }
                if let Some(pointers) = branch.last_pointers() {
                    self.check_from(layout, pointers, file_block, max);
                    if path(file_block).room() > 1 {
                        self.check_from(layout, pointers, file_block + 1, max);
                    }
                }
                let (before, after) = branch.around(&mut self.device).unwrap();
                let near = (file_block - u64::from(before)..).zip(start - before..);
                for (block, pointer) in near.take((before + 1 + after) as usize) {
                    assert_eq!(self.model.get(&block), Some(&pointer));
                }
                if len < max.min(path(file_block).room()) {
                    let next = self.model.get(&(file_block + u64::from(len)));
                    assert_ne!(next, Some(&(start + len)), "the run was cut short");
                }
            }
            Mapping::Hole { len } => {
                assert!(len >= 1 && len <= max.max(1));
                let end = file_block + u64::from(len);
                assert_eq!(self.model.range(file_block..end).next(), None);
                assert_eq!(branch.around(&mut self.device).unwrap(), (0, 0));
                let before = branch.before(&self.root, &mut self.device).unwrap();
                let want = || self.model.get(&(file_block - 1)).copied();
                let is_beside = path(file_block).indexes().last() != Some(&0);
                assert_eq!(before, is_beside.then(|| want().unwrap_or_default()));
            }
        }
    }
}

/// An allocator of blocks that may hold data, with gaps of `gap` blocks between runs.
fn allocator<'a>(layout: &'a Layout<'a>, gap: u32) -> impl FnMut(u32) -> u32 + 'a {
    let mut next = 400;
    move |len| {
        while layout
            .check_data(crate::ext2::Place::Inode(INO), next, len)
            .is_err()
        {
            next += 1;
        }
        let start = next;
        next += len + gap;
        start
    }
}

#[test]
fn holes_are_as_large_as_what_is_missing() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        let hole = |file: &mut File, b, max| {
            let branch = file.walk(layout, b);
            match branch.lookup(layout, &file.root, max, &mut file.device) {
                Ok(Mapping::Hole { len }) => u64::from(len),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(hole(&mut file, 0, u32::MAX), 12);
        assert_eq!(hole(&mut file, 3, 4), 4);
        assert_eq!(hole(&mut file, 11, 100), 1);
        assert_eq!(hole(&mut file, 12, u32::MAX), P);
        assert_eq!(hole(&mut file, 13, u32::MAX), P - 1);
        assert_eq!(hole(&mut file, 12 + P, u32::MAX), P * P);
        assert_eq!(hole(&mut file, 12 + P + 300, u32::MAX), P * P - 300);
        assert_eq!(hole(&mut file, 12 + P + P * P, u32::MAX), P * P * P);
        assert_eq!(hole(&mut file, 12 + P + P * P + 70_000, 0), 1);
        assert_eq!(file.device.reads, 0, "nothing had to be read");

        let mut allocate = allocator(layout, 1);
        file.grow(layout, 12 + P + P * P + 70_000, 1, &mut allocate);
        // What is in the same block of pointers, before and after.
        assert_eq!(hole(&mut file, 12 + P + P * P + 69_999, u32::MAX), 1);
        assert_eq!(
            hole(&mut file, 12 + P + P * P + 70_001, u32::MAX),
            P - 1 - 70_000 % P
        );
        // A missing block of pointers in an existing one, at two levels.
        assert_eq!(
            hole(&mut file, 12 + P + P * P + 69_000, u32::MAX),
            P - 69_000 % P
        );
        assert_eq!(hole(&mut file, 12 + P + P * P, u32::MAX), P * P);
    });
}

#[test]
fn growth_plans_what_is_missing() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        let plan = |file: &mut File, b, max| {
            let branch = file.walk(layout, b);
            let growth = branch.growth(&file.root, max, &mut file.device).unwrap();
            growth.map(|g| (g.slot, g.indexes().to_vec(), g.data_blocks))
        };
        let inode = Slot::Inode;
        assert_eq!(plan(&mut file, 3, 5), Some((inode(3), vec![], 5)));
        assert_eq!(plan(&mut file, 3, 50), Some((inode(3), vec![], 9)));
        assert_eq!(plan(&mut file, 3, 0), Some((inode(3), vec![], 1)));
        assert_eq!(plan(&mut file, 12, 1000), Some((inode(12), vec![0], 256)));
        let far = 12 + P + P * P + P * P * 5 + P * 6 + 7;
        assert_eq!(
            plan(&mut file, far, 1000),
            Some((inode(14), vec![5, 6, 7], 249))
        );
        let mut allocate = allocator(layout, 0);
        assert_eq!(file.grow(layout, far, 3, &mut allocate), 3);
        assert_eq!(plan(&mut file, far, 1), None);
        let top = file.root[14];
        let leaf_parent = file.device.pointers[&top][20..24].try_into().unwrap();
        let leaf_parent = u32::from_le_bytes(leaf_parent);
        let leaf = file.device.pointers[&leaf_parent][24..28]
            .try_into()
            .unwrap();
        let leaf = u32::from_le_bytes(leaf);
        let at = |block, index| Slot::Block { block, index };
        assert_eq!(plan(&mut file, far - 7, 99), Some((at(leaf, 0), vec![], 7)));
        assert_eq!(
            plan(&mut file, far + P, 99),
            Some((at(leaf_parent, 7), vec![7], 99))
        );
        assert_eq!(
            plan(&mut file, far + P * P, 99),
            Some((at(top, 6), vec![6, 7], 99))
        );
    });
}

#[test]
fn goals_are_near() {
    with_layout(&Spec::default(), |layout| {
        let mut file = File::new(layout);
        let goal = |file: &mut File, b| {
            let branch = file.walk(layout, b);
            branch.goal(&file.root, &mut file.device).unwrap()
        };
        assert_eq!(goal(&mut file, 5), None);
        file.root[2] = 5000;
        assert_eq!(goal(&mut file, 1), None);
        assert_eq!(goal(&mut file, 3), Some(5001));
        assert_eq!(goal(&mut file, 7), Some(5005));
        assert_eq!(goal(&mut file, 12), Some(5010));
        file.root[12] = 6000;
        file.device.pointer_block(6000);
        assert_eq!(goal(&mut file, 12), Some(6001));
        assert_eq!(goal(&mut file, 12 + 200), Some(6001));
        file.device.set_pointer(6000, 3, 7000);
        assert_eq!(goal(&mut file, 12 + 3), Some(6001), "the block exists");
        assert_eq!(goal(&mut file, 12 + 4), Some(7001));
        assert_eq!(goal(&mut file, 12 + 200), Some(7197));
        file.device.set_pointer(6000, 100, u32::MAX);
        assert_eq!(goal(&mut file, 12 + 200), Some(u32::MAX), "no overflow");
    });
}

#[test]
fn bad_pointers_are_not_followed() {
    with_layout(&Spec::default(), |layout| {
        for bad in [1, 150, 20_000, u32::MAX] {
            let mut file = File::new(layout);
            file.root[0] = bad;
            file.root[12] = bad;
            file.root[13] = 6000;
            file.device.set_pointer(6000, 0, bad);
            for file_block in [0, 12, 12 + P] {
                let walked =
                    Branch::walk(layout, INO, &file.root, path(file_block), &mut file.device);
                assert!(matches!(walked, Err(DeviceError::Corrupt(_))));
            }
        }
        // A run that leads into the metadata of the next group.
        let mut file = File::new(layout);
        (file.root[0], file.root[1]) = (8192, 8193);
        let branch = file.walk(layout, 0);
        assert!(branch
            .lookup(layout, &file.root, 1, &mut file.device)
            .is_ok());
        assert!(branch
            .lookup(layout, &file.root, 2, &mut file.device)
            .is_err());
        // A block of pointers that cannot be read.
        file.root[12] = 6000;
        file.device.broken.insert(6000);
        let walked = Branch::walk(layout, INO, &file.root, path(12), &mut file.device);
        assert_eq!(walked, Err(DeviceError::Io(6000)));
    });
}

#[test]
fn pointers_are_written_where_they_fit() {
    let mut bytes = vec![0xaa; 1024];
    assert_eq!(store_pointers(&mut bytes, 254, 1000, 2), Some(1016..1024));
    assert_eq!(bytes[1016..], [0xe8, 3, 0, 0, 0xe9, 3, 0, 0]);
    assert!(bytes[..1016].iter().all(|&b| b == 0xaa));
    for (index, start, len) in [(255, 1, 2), (256, 1, 1), (u32::MAX, 1, u32::MAX)] {
        assert_eq!(store_pointers(&mut bytes, index, start, len), None);
    }
    assert_eq!(store_pointers(&mut bytes, 0, u32::MAX, 2), None);

    let mut root = [0; 15];
    assert!(store_root(&mut root, 10, 7, 2).is_some());
    assert!(store_root(&mut root, 14, 9, 1).is_some());
    for (index, start, len) in [(11, 1, 2), (13, 1, 2), (15, 1, 1), (usize::MAX, 1, 1)] {
        assert!(store_root(&mut root, index, start, len).is_none());
    }
    assert_eq!(root, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8, 0, 0, 9]);
}

/// Blocks of a file, with all levels and their borders.
fn file_blocks() -> impl Strategy<Value = u64> {
    let borders = [0, 12, 12 + P, 12 + P + P * P, 12 + P + P * P + P * P * 9];
    (prop::sample::select(borders.to_vec()), 0..600u64)
        .prop_map(|(border, n)| (border + n).saturating_sub(100))
}

proptest! {
    #[test]
    fn agrees_with_a_map(
        writes in prop::collection::vec((file_blocks(), 1..80u32, 0..2u32), 1..20),
        probes in prop::collection::vec((file_blocks(), 0..400u32), 1..30),
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut file = File::new(layout);
            let mut allocate = allocator(layout, 0);
            for &(start, len, gap) in &writes {
                allocate(1 + gap);
                let mut done = 0;
                while done < len {
                    let at = start + u64::from(done);
                    done += file.grow(layout, at, len - done, &mut allocate).max(1);
                }
                file.check(layout, start, len);
            }
            for &(file_block, max) in &probes {
                file.check(layout, file_block, max);
            }
            let blocks: Vec<u64> = file.model.keys().copied().collect();
            for file_block in blocks {
                file.check(layout, file_block, 300);
                file.check(layout, file_block + 1, 300);
            }
        });
    }

    /// Pointers to anywhere, also in circles: an error or a block that may hold data.
    #[test]
    fn crafted_trees_never_panic(
        root in prop::array::uniform15(prop::sample::select(vec![0u32, 1, 500, 501, 19_999, 20_000, u32::MAX])),
        content in prop::collection::vec((500..502u32, 0..256usize, prop::sample::select(vec![0u32, 3, 500, 501, 502, u32::MAX])), 0..40),
        file_block in file_blocks(),
        max: u32,
    ) {
        with_layout(&Spec::default(), |layout| {
            let mut device = MemDevice::new(layout.geometry());
            device.pointer_block(500);
            device.pointer_block(501);
            for &(block, index, value) in &content {
                put32(device.pointer_block(block), index * 4, value);
            }
            let Ok(branch) = Branch::walk(layout, INO, &root, path(file_block), &mut device) else {
                return;
            };
            let mapping = branch.lookup(layout, &root, max, &mut device);
            if let Ok(Mapping::Mapped { start, len }) = mapping {
                assert!(layout.check_data(crate::ext2::Place::Inode(1), start, len).is_ok());
            }
            branch.growth(&root, max, &mut device).unwrap();
            branch.goal(&root, &mut device).unwrap();
        });
    }

    #[test]
    fn paths_and_borders_agree(bits in 10..13u32, file_block in 0..5_000_000_000u64) {
        let p = 1u64 << (bits - 2);
        let Some(path) = Path::new(bits, file_block) else {
            assert!(file_block >= tree_blocks(bits));
            return Ok(());
        };
        let offset = match path.indexes() {
            &[a] => u64::from(a),
            &[12, b] => 12 + u64::from(b),
            &[13, b, c] => 12 + p + u64::from(b) * p + u64::from(c),
            &[14, b, c, d] => {
                12 + p + p * p + (u64::from(b) * p + u64::from(c)) * p + u64::from(d)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(offset, file_block);
        assert!(path.indexes()[1..].iter().all(|&i| u64::from(i) < p));
    }
}
