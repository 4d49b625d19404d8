// SPDX-License-Identifier: GPL-2.0

//! Tests of `group.rs`.

use proptest::prelude::*;

use super::support::{descriptor, put16, Spec};
use crate::ext2::group::{Group, GroupCounts};

/// Group 0 of the default volume: 102 blocks of superblock and descriptors from block 1 on.
const FIRST: u32 = 1 + 102;

fn parse(group: u32, raw: &[u8]) -> Result<Group, String> {
    Group::parse(&Spec::default().geometry(), group, raw).map_err(|e| e.to_string())
}

#[test]
fn reads_what_is_there() {
    let mut raw = descriptor(FIRST, FIRST + 1, FIRST + 2);
    put16(&mut raw, 12, 7000);
    put16(&mut raw, 14, 1024);
    put16(&mut raw, 16, 3);
    let group = parse(0, &raw).unwrap();
    assert_eq!(group.layout.block_bitmap(), FIRST);
    assert_eq!(group.layout.inode_bitmap(), FIRST + 1);
    assert_eq!(group.layout.inode_table(), FIRST + 2);
    let counts = GroupCounts {
        free_blocks: 7000,
        free_inodes: 1024,
        used_dirs: 3,
    };
    assert_eq!(group.counts, counts);
}

#[test]
fn metadata_has_to_be_in_the_group() {
    let last = 8192;
    // Bitmaps, inode table of 256 blocks, whether it is right.
    let cases = [
        (FIRST, FIRST + 1, last - 255, ""),
        (FIRST, FIRST + 1, last - 254, "inode table outside"),
        (FIRST - 1, FIRST + 1, FIRST + 2, "block bitmap outside"),
        (FIRST, FIRST - 1, FIRST + 2, "inode bitmap outside"),
        (FIRST, FIRST + 1, FIRST - 1, "inode table outside"),
        (last + 1, FIRST + 1, FIRST + 2, "block bitmap outside"),
        (last, last - 1, FIRST, ""),
        (u32::MAX, FIRST, FIRST + 2, "block bitmap outside"),
        (FIRST, u32::MAX, FIRST + 2, "inode bitmap outside"),
        (FIRST, FIRST + 1, u32::MAX, "inode table outside"),
        (0, 0, 0, "block bitmap outside"),
        (FIRST, FIRST, FIRST + 2, "overlap"),
        (FIRST, FIRST + 1, FIRST + 1, "overlap"),
        (FIRST + 255, FIRST + 256, FIRST, "overlap"),
        (FIRST + 256, FIRST + 257, FIRST, ""),
    ];
    for (block_bitmap, inode_bitmap, inode_table, error) in cases {
        match parse(0, &descriptor(block_bitmap, inode_bitmap, inode_table)) {
            Ok(_) => assert_eq!(error, "", "{block_bitmap} {inode_bitmap} {inode_table}"),
            Err(e) => assert!(!error.is_empty() && e.contains(error), "{e}"),
        }
    }
    // Group 2 has no superblock, and only 3615 blocks.
    let base = 1 + 2 * 8192;
    let end = 20_000;
    assert!(parse(2, &descriptor(base, base + 1, base + 2)).is_ok());
    assert!(parse(2, &descriptor(base, base + 1, end - 256)).is_ok());
    assert!(parse(2, &descriptor(base, base + 1, end - 255)).is_err());
    assert!(parse(3, &descriptor(base, base + 1, base + 2)).is_err());
    assert!(parse(0, &[0; 31]).is_err());
}

#[test]
fn counters_are_limited() {
    let base = 1 + 2 * 8192;
    // Of 3615 blocks, 2 are bitmaps and 256 the inode table.
    let mut raw = descriptor(base, base + 1, base + 2);
    put16(&mut raw, 12, 3357);
    assert_eq!(parse(2, &raw).unwrap().clamped, None);
    put16(&mut raw, 12, 3358);
    let group = parse(2, &raw).unwrap();
    assert_eq!(group.clamped, Some(("free blocks", 3358, 3357)));
    assert_eq!(group.counts.free_blocks, 3357);
    for (offset, what) in [(14, "free inodes"), (16, "directories")] {
        let mut raw = descriptor(base, base + 1, base + 2);
        put16(&mut raw, offset, 1024);
        assert_eq!(parse(2, &raw).unwrap().clamped, None);
        put16(&mut raw, offset, 65535);
        let group = parse(2, &raw).unwrap();
        assert_eq!(group.clamped, Some((what, 65535, 1024)));
        assert_eq!(
            group.counts.free_inodes.max(group.counts.used_dirs),
            1024,
            "{what}"
        );
    }
}

#[test]
fn counting_stops_at_the_limits() {
    let geometry = Spec::default().geometry();
    let mut counts = GroupCounts {
        free_blocks: 2,
        free_inodes: 1,
        used_dirs: 0,
    };
    counts.take_blocks(2, 2).unwrap();
    let before = counts;
    assert!(counts.take_blocks(2, 1).is_err());
    assert_eq!(counts, before);
    counts.give_blocks(&geometry, 2, 3357).unwrap();
    assert!(counts.give_blocks(&geometry, 2, 1).is_err());
    assert!(counts.give_blocks(&geometry, 2, u32::MAX).is_err());
    assert_eq!(counts.free_blocks, 3357);

    counts.take_inode(2, true).unwrap();
    assert_eq!((counts.free_inodes, counts.used_dirs), (0, 1));
    assert!(counts.take_inode(2, true).is_err());
    counts.give_inode(&geometry, 2, true).unwrap();
    assert_eq!((counts.free_inodes, counts.used_dirs), (1, 0));
    // A directory that was not counted.
    counts.give_inode(&geometry, 2, true).unwrap();
    assert_eq!((counts.free_inodes, counts.used_dirs), (2, 0));
    counts.free_inodes = 1024;
    assert!(counts.give_inode(&geometry, 2, false).is_err());
    assert_eq!((counts.free_inodes, counts.used_dirs), (1024, 0));
}

#[test]
fn storing_changes_the_counters_only() {
    let mut raw = vec![0xaa; 32];
    let counts = GroupCounts {
        free_blocks: 0x102,
        free_inodes: 0x304,
        used_dirs: 0x506,
    };
    let range = counts.store(0, &mut raw).unwrap();
    assert_eq!(range, 12..18);
    assert_eq!(raw[12..18], [2, 1, 4, 3, 6, 5]);
    assert!(raw[..12].iter().chain(&raw[18..]).all(|&b| b == 0xaa));
    assert!(counts.store(0, &mut [0; 31]).is_err());
}

proptest! {
    #[test]
    fn random_descriptors_never_panic(raw in prop::collection::vec(any::<u8>(), 32), group: u32) {
        let _ = parse(group, &raw);
    }
}
