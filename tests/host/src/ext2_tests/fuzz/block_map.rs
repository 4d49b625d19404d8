// SPDX-License-Identifier: GPL-2.0

//! The block map. Input: the kind of the volume, a block of a file and how many, pointers.

use super::{
    device::Device,
    input::{spec_of, Input},
    Images, Target,
};
use crate::ext2::{
    block_map::{store_pointers, store_root, Branch, Mapping, Slot},
    pointers::{Path, Pointers},
    Geometry, Layout, Place,
};
use crate::ext2_tests::support::{packed_groups, put32, spread_groups};

pub(super) const TARGET: Target = Target {
    name: "block_map",
    run,
    seeds,
};

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let kind = spec_of(&image[1024..]);
    // Direct, single, double and triple indirect; a run in each, and pointers to pointers.
    [0u32, 12, 300, 70_000, 1 << 22]
        .map(|block| {
            let mut seed = vec![kind];
            seed.extend(block.to_le_bytes());
            seed.push(9);
            seed.extend([3; 12]);
            seed.extend([4, 5, 6, 5]);
            seed.extend([
                4, 0, 0, 20, 41, 5, 0, 0, 4, 3, 6, 0, 0, 5, 3, 4, 9, 0, 60, 41, 7, 0, 0, 1,
            ]);
            seed
        })
        .to_vec()
}

/// The block that a path of pointers leads to, 0 for a hole, one step at a time.
fn follow(root: &Pointers, path: &Path, device: &Device) -> u32 {
    let mut indexes = path.indexes().iter();
    let mut block = root[*indexes.next().unwrap() as usize];
    for &index in indexes {
        if block == 0 {
            return 0;
        }
        block = device.pointer(block, index);
    }
    block
}

fn path(geometry: &Geometry, block: u64) -> Option<Path> {
    Path::new(geometry.block_bits(), block)
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let spec = input.spec();
    let geometry = spec.geometry();
    let block = u64::from(input.u32());
    let max = u32::from(input.u8());
    let groups = match max % 2 {
        0 => packed_groups(&geometry),
        _ => spread_groups(&geometry),
    };
    let layout = Layout::new(&geometry, &groups);
    let (mut device, mut root) = Device::new(&mut input, geometry.block_size());
    let Some(path_of) = path(&geometry, block) else {
        return;
    };
    let Ok(branch) = Branch::walk(&layout, 12, &root, path_of, &mut device) else {
        return;
    };
    assert!(device.reads <= 3);
    let data = |block: u32, len| layout.check_data(Place::Inode(12), block, len).is_ok();
    let at = |i: u64, root: &Pointers, device: &Device| {
        path(&geometry, block + i).map(|path| follow(root, &path, device))
    };
    let (before, after) = branch.around(&mut device).unwrap();
    match branch.lookup(&layout, &root, max, &mut device) {
        Ok(Mapping::Mapped { start, len }) => {
            assert!(len >= 1 && len <= max.max(1) && data(start, len));
            assert_eq!(branch.data(), Some(start));
            for i in 0..len {
                assert_eq!(at(i.into(), &root, &device), Some(start + i));
            }
            for i in 1..=before {
                let there = path(&geometry, block - u64::from(i)).unwrap();
                assert_eq!(follow(&root, &there, &device), start - i);
            }
            for i in 1..=after {
                assert_eq!(at(i.into(), &root, &device), Some(start + i));
            }
        }
        Ok(Mapping::Hole { len }) => {
            assert!(len >= 1 && len <= max.max(1));
            assert_eq!(branch.data(), None);
            for i in 0..len {
                assert!(matches!(at(i.into(), &root, &device), None | Some(0)));
            }
        }
        Err(_) => assert!(branch.data().is_some()),
    }
    let growth = branch.growth(&root, max, &mut device).unwrap();
    assert_eq!(growth.is_none(), branch.data().is_some());
    let Some(growth) = growth else {
        return;
    };
    let _ = branch.goal(&root, &mut device).unwrap();
    assert!(growth.data_blocks >= 1 && growth.data_blocks <= max.max(1));

    // Give it what it says is missing: blocks that nobody has.
    let mut below = (6000, growth.data_blocks);
    for (i, &index) in growth.indexes().iter().enumerate().rev() {
        let holder = 7000 + i as u32;
        let mut bytes = vec![0; geometry.block_size() as usize];
        store_pointers(&mut bytes, index, below.0, below.1).unwrap();
        device.blocks.insert(holder, bytes);
        below = (holder, 1);
    }
    match growth.slot {
        Slot::Inode(index) => store_root(&mut root, index, below.0, below.1).unwrap(),
        Slot::Block { block, index } => {
            let size = geometry.block_size() as usize;
            let bytes = device.blocks.entry(block).or_insert_with(|| vec![0; size]);
            for i in 0..below.1 {
                assert_eq!(&bytes[(index + i) as usize * 4..][..4], [0; 4]);
                put32(bytes, (index + i) as usize * 4, below.0 + i);
            }
        }
    }
    let branch = Branch::walk(&layout, 12, &root, path_of, &mut device);
    // It need not be found if a pointer to itself was among those that have been set.
    if let Ok(branch) = branch {
        if at(0, &root, &device) == Some(6000) {
            assert_eq!(branch.data(), Some(6000));
        }
    }
}
