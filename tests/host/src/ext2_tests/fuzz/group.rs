// SPDX-License-Identifier: GPL-2.0

//! Group descriptors. Input: a superblock and the size of its device, the number of a group, its
//! descriptor, and changes of its counters.

use super::{assert_only_changed, input::Input, superblock, Images, Target};
use crate::ext2::{
    group::{Group, GROUP_DESCRIPTOR_SIZE},
    superblock::{Superblock, SUPERBLOCK_SIZE},
    Layout, Place,
};
use crate::ext2_tests::support::descriptor_location;

pub(super) const TARGET: Target = Target {
    name: "group",
    run,
    seeds,
};

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let superblock = Superblock::parse(&image[1024..2048], image.len() as u64).unwrap();
    let g = superblock.geometry;
    (0..g.groups().min(3))
        .map(|group| {
            let (block, offset) = descriptor_location(&g, group).unwrap();
            let at = ((block << g.block_bits()) + offset) as usize;
            let mut seed = superblock::seed(image);
            seed.extend(group.to_le_bytes());
            seed.extend(&image[at..at + GROUP_DESCRIPTOR_SIZE]);
            seed.extend([0, 9, 1, 8, 2, 3, 2, 2]);
            seed
        })
        .collect()
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let bytes = input.bytes(SUPERBLOCK_SIZE);
    let size = input.u64();
    let Ok(superblock) = Superblock::parse(&bytes, size) else {
        return;
    };
    let g = superblock.geometry;
    let number = input.u32();
    let mut bytes = input.bytes(GROUP_DESCRIPTOR_SIZE);
    let group = match Group::parse(&g, number, &bytes) {
        Ok(group) => group,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let first = g.group_first_block(number);
    let end = first + g.group_blocks(number);
    let table = group.layout.inode_table();
    let table = table..table + g.inode_table_blocks();
    let inside = first + g.base_metadata(number)..end;
    let bitmaps = [group.layout.block_bitmap(), group.layout.inode_bitmap()];
    assert!(inside.contains(&table.start) && table.end <= end);
    assert_ne!(bitmaps[0], bitmaps[1]);
    for bitmap in bitmaps {
        assert!(inside.contains(&bitmap) && !table.contains(&bitmap));
    }
    if number == 0 {
        let groups = [group.layout];
        let layout = Layout::new(&g, &groups);
        let mut metadata = 0;
        layout
            .for_each_metadata(0, |start, len| {
                assert!(start + len <= g.group_blocks(0));
                for block in [first + start, first + start + len - 1] {
                    assert!(layout.check_data(Place::Superblock, block, 1).is_err());
                }
                metadata += len;
                Ok(())
            })
            .unwrap();
        assert_eq!(metadata, g.base_metadata(0) + 2 + g.inode_table_blocks());
        let place = layout.locate_inode(g.inodes_per_group()).unwrap();
        assert_eq!(place.block, table.end - 1);
    }

    let mut counts = group.counts;
    assert!(u32::from(counts.free_blocks) <= g.group_data_blocks(number));
    assert!(u32::from(counts.free_inodes) <= g.inodes_per_group());
    assert!(u32::from(counts.used_dirs) <= g.inodes_per_group());
    while !input.is_empty() {
        let (kind, many) = (input.u8(), u32::from(input.u8()));
        let old = counts;
        let dir = many % 2 == 1;
        let result = match kind % 4 {
            0 => counts.take_blocks(number, many),
            1 => counts.give_blocks(&g, number, many),
            2 => counts.take_inode(number, dir),
            _ => counts.give_inode(&g, number, dir),
        };
        if result.is_err() {
            assert_eq!(old, counts);
        }
        assert!(u32::from(counts.free_blocks) <= g.group_data_blocks(number));
        assert!(u32::from(counts.free_inodes) <= g.inodes_per_group());
    }
    let before = bytes.clone();
    let range = counts.store(number, &mut bytes).unwrap();
    assert_only_changed(&before, &bytes, range);
    let again = Group::parse(&g, number, &bytes).unwrap();
    assert_eq!(again.layout, group.layout);
    match again.clamped {
        None => assert_eq!(again.counts, counts),
        // Inodes that were free and became directories without having been counted.
        Some(_) => assert!(u32::from(counts.used_dirs) > g.inodes_per_group()),
    }
}
