// SPDX-License-Identifier: GPL-2.0

//! Tests of `geometry.rs`.

use super::support::{descriptor_location, put32, Spec};
use crate::ext2::{superblock::Superblock, Geometry};

#[test]
fn groups_cover_the_volume() {
    let g = Spec::default().geometry();
    assert_eq!(g.group_first_block(0), 1);
    assert_eq!(g.group_first_block(2), 1 + 2 * 8192);
    assert_eq!(g.group_blocks(1), 8192);
    assert_eq!(g.group_blocks(2), 20_000 - 1 - 2 * 8192);
    assert_eq!(g.group_blocks(3), 0);
    assert_eq!(g.locate_block(0), None);
    assert_eq!(g.locate_block(1), Some((0, 0)));
    assert_eq!(g.locate_block(8192), Some((0, 8191)));
    assert_eq!(g.locate_block(8193), Some((1, 0)));
    assert_eq!(g.locate_block(19_999), Some((2, 3614)));
    assert_eq!(g.locate_block(20_000), None);
    assert_eq!(g.sectors_per_block(), 2);
    assert_eq!(g.pointers_per_block(), 256);
}

#[test]
fn backups_are_where_mke2fs_puts_them() {
    let spec = Spec {
        blocks: 1 + 8192 * 130,
        ..Spec::default()
    };
    let sparse = spec.geometry();
    let with: Vec<u32> = (0..130).filter(|&g| sparse.has_super(g)).collect();
    assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);

    let all = Spec {
        ro_compat: 0x2,
        ..spec
    };
    assert!((0..130).all(|g| all.geometry().has_super(g)));

    let two = Spec {
        compat: 0x238,
        ..spec
    };
    let mut bytes = two.superblock();
    put32(&mut bytes, 0x24c, 1);
    put32(&mut bytes, 0x250, 129);
    let two = Superblock::parse(&bytes, spec.device_bytes()).unwrap();
    let with: Vec<u32> = (0..130).filter(|&g| two.geometry.has_super(g)).collect();
    assert_eq!(with, [0, 1, 129]);
}

#[test]
fn descriptors_follow_the_superblock() {
    let spec = Spec {
        blocks: 1 + 8192 * 130,
        ..Spec::default()
    };
    let g = spec.geometry();
    assert_eq!(g.descriptor_blocks(), 5);
    assert_eq!(descriptor_location(&g, 0), Some((2, 0)));
    assert_eq!(descriptor_location(&g, 31), Some((2, 31 * 32)));
    assert_eq!(descriptor_location(&g, 129), Some((6, 32)));
    assert_eq!(descriptor_location(&g, 130), None);
    assert_eq!(g.base_metadata(1), 1 + 5 + 100);
    assert_eq!(g.base_metadata(2), 0);
    // 1 block before group 0, 11 superblocks with descriptors, bitmaps and tables.
    assert_eq!(g.overhead(), 1 + 11 * 6 + 130 * (2 + 256));
    // Without the feature, there is no room reserved, whatever the superblock says.
    let plain = Spec { compat: 0, ..spec };
    assert_eq!(plain.geometry().base_metadata(1), 6);

    let large_blocks = Spec {
        log_block_size: 2,
        blocks: 65_536,
        blocks_per_group: 32_768,
        ..spec
    };
    assert_eq!(
        descriptor_location(&large_blocks.geometry(), 1),
        Some((1, 32))
    );
}

#[test]
fn meta_groups_have_their_descriptors() {
    let spec = Spec {
        blocks: 1 + 256 * 130,
        blocks_per_group: 256,
        inodes_per_group: 64,
        compat: 0x28,
        incompat: 0x12,
        ..Spec::default()
    };
    let mut bytes = spec.superblock();
    let mut geometry = |first: u32| {
        put32(&mut bytes, 0x104, first);
        Superblock::parse(&bytes, spec.device_bytes()).map(|sb| sb.geometry)
    };
    let g = geometry(0).unwrap();
    assert_eq!(g.descriptor_blocks(), 5);
    // After the superblock in group 0; groups 32, 64, 96 and 128 have none.
    let first = |group: u32| 1 + 256 * group;
    assert_eq!(descriptor_location(&g, 0), Some((2, 0)));
    assert_eq!(descriptor_location(&g, 31), Some((2, 31 * 32)));
    assert_eq!(descriptor_location(&g, 32), Some((first(32), 0)));
    assert_eq!(descriptor_location(&g, 129), Some((first(128), 32)));
    let base = |g: &Geometry, groups: &[u32]| -> Vec<u32> {
        groups.iter().map(|&group| g.base_metadata(group)).collect()
    };
    // Superblocks are in 0, 1, 3, 5, 7, 9, 25, 27, 49, 81 and 125.
    let some = [0, 1, 2, 3, 31, 32, 33, 34, 49, 63, 64, 125, 127, 128, 129];
    assert_eq!(
        base(&g, &some),
        [2, 2, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    );
    let descriptors = 4 * 3 + 2;
    assert_eq!(g.overhead(), 1 + 11 + descriptors + 130 * (2 + 16));
    // For who has lost the primary superblock.
    let backup = u64::from(first(1));
    assert_eq!(g.descriptor_block(0, backup), backup + 1);
    assert_eq!(g.descriptor_block(1, backup), first(33).into());
    assert_eq!(g.descriptor_block(4, backup), first(129).into());

    // One that has grown: the first 64 groups are as they were.
    let g = geometry(2).unwrap();
    assert_eq!(descriptor_location(&g, 63), Some((3, 31 * 32)));
    assert_eq!(descriptor_location(&g, 64), Some((first(64), 0)));
    assert_eq!(
        base(&g, &some),
        [3, 3, 0, 3, 0, 0, 0, 0, 3, 0, 1, 1, 1, 1, 1]
    );
    assert!(geometry(5).is_ok());
    assert_eq!(
        geometry(6).unwrap_err().to_string(),
        "superblock: impossible first meta group (found 6)"
    );
}

#[test]
fn the_last_group_has_room_for_its_descriptors() {
    let spec = |more: u32| Spec {
        blocks: 1 + 256 * 32 + more,
        blocks_per_group: 256,
        inodes_per_group: 64,
        compat: 0x28,
        incompat: 0x12,
        // Each group has a superblock.
        ro_compat: 0x2,
        ..Spec::default()
    };
    let parse = |more| Superblock::parse(&spec(more).superblock(), spec(more).device_bytes());
    assert!(parse(2).is_ok());
    assert_eq!(
        parse(1).unwrap_err().to_string(),
        "superblock: the last group has no room for its descriptors"
    );
}

#[test]
fn inodes_count_from_1() {
    let g = Spec::default().geometry();
    let slot = |ino| {
        let s = g.inode_slot(ino).unwrap();
        (s.group, s.index, s.table_block, s.offset)
    };
    assert_eq!(slot(1), (0, 0, 0, 0));
    assert_eq!(slot(2), (0, 1, 0, 256));
    assert_eq!(slot(5), (0, 4, 1, 0));
    assert_eq!(slot(1024), (0, 1023, 255, 768));
    assert_eq!(slot(1025), (1, 0, 0, 0));
    assert_eq!(slot(3072), (2, 1023, 255, 768));
    assert!(g.inode_slot(0).is_err());
    assert!(g.inode_slot(3073).is_err());
    assert_eq!(g.ino_at(1, 0), Some(1025));
    assert_eq!(g.ino_at(2, 1024), None);
    assert_eq!(g.ino_at(3, 0), None);
}

#[test]
fn files_are_the_root_and_what_is_not_reserved() {
    let g = Spec::default().geometry();
    let files: Vec<u32> = (0..14).filter(|&ino| g.is_file_ino(ino)).collect();
    assert_eq!(files, [2, 11, 12, 13]);
    assert!(g.is_file_ino(3072) && !g.is_file_ino(3073));
}
