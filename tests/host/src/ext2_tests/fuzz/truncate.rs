// SPDX-License-Identifier: GPL-2.0

//! Freeing blocks of a file. Input: the kind of the volume, a range, what becomes of what cannot be
//! freed, pointers.

use super::{
    device::Device,
    input::{spec_of, Input},
    Images, Target,
};
use crate::ext2::{
    pointers::{tree_blocks, Path, Pointers},
    truncate::{free_range, Unfreed},
    Geometry, Layout, Place,
};
use crate::ext2_tests::support::packed_groups;

pub(super) const TARGET: Target = Target {
    name: "truncate",
    run,
    seeds,
};

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let kind = spec_of(&image[1024..]);
    [(0u32, u32::MAX), (3, 9), (20, 300), (100, 70_000)]
        .map(|(start, len)| {
            let mut seed = vec![kind];
            seed.extend(start.to_le_bytes());
            seed.extend(len.to_le_bytes());
            seed.extend([0, 0]);
            seed.extend(3..15);
            seed.extend([40, 50, 60, 5]);
            seed.extend([40, 0, 0, 70, 41, 50, 0, 0, 40, 3, 60, 0, 0, 50, 3]);
            seed
        })
        .to_vec()
}

/// Blocks of the file that are worth looking at: near every place where something begins.
fn samples(geometry: &Geometry, range: &std::ops::Range<u64>) -> Vec<u64> {
    let per_block = u64::from(geometry.pointers_per_block());
    let ends = [
        range.start,
        range.end,
        0,
        12,
        12 + per_block,
        12 + per_block + per_block * per_block,
        tree_blocks(geometry.block_bits()),
    ];
    let near = |end: u64| (end.saturating_sub(9)..end.saturating_add(40)).step_by(3);
    ends.into_iter().flat_map(near).collect()
}

fn follow(geometry: &Geometry, root: &Pointers, block: u64, device: &Device) -> u32 {
    let Some(path) = Path::new(geometry.block_bits(), block) else {
        return 0;
    };
    let mut indexes = path.indexes().iter();
    let mut at = root[*indexes.next().unwrap() as usize];
    for &index in indexes {
        at = if at == 0 {
            0
        } else {
            device.pointer(at, index)
        };
    }
    at
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let geometry = input.spec().geometry();
    let groups = packed_groups(&geometry);
    let layout = Layout::new(&geometry, &groups);
    let start = u64::from(input.u32());
    let len = match input.u32() {
        u32::MAX => u64::MAX - start,
        len => len.into(),
    };
    let range = start..start + len;
    let unfreed = match input.u8() % 2 {
        0 => Unfreed::Keep,
        _ => Unfreed::Lose,
    };
    let frees = input.u8();
    let (mut device, mut root) = Device::new(&mut input, geometry.block_size());
    device.frees_left = (frees != 0).then_some(frees.into());
    let samples = samples(&geometry, &range);
    let look = |root: &Pointers, device: &Device| -> Vec<u32> {
        let follow = |&block| follow(&geometry, root, block, device);
        samples.iter().map(follow).collect()
    };
    let before = look(&root, &device);
    let result = free_range(&layout, 12, &mut root, range.clone(), unfreed, &mut device);

    // No metadata is ever freed, and nothing twice: the device would have said so.
    for &block in &device.freed {
        layout.check_data(Place::Inode(12), block, 1).unwrap();
    }
    // Each block of pointers that is gone through is freed, but for those at the ends of the range
    // and the one where it failed.
    let holders = device.freed.len() + 16;
    let pointers = geometry.pointers_per_block() as usize + 64;
    assert!(device.reads <= holders * pointers, "{} reads", device.reads);
    if result.is_ok() {
        let after = look(&root, &device);
        // With pointers to pointers of the same file one block has several places; then a hole in
        // one is a hole in the others.
        for ((&block, &old), &new) in samples.iter().zip(&before).zip(&after) {
            match range.contains(&block) {
                true => assert_eq!(new, 0, "block {block}"),
                false => assert!(new == old || new == 0, "block {block}: {old}, then {new}"),
            }
        }
    }
}
