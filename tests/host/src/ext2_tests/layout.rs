// SPDX-License-Identifier: GPL-2.0

//! Tests of `layout.rs`.

use proptest::prelude::*;

use super::support::{packed_groups, spread_groups, with_layout, Spec};
use crate::ext2::{Layout, Place};

const AT: Place = Place::Inode(12);

#[test]
fn inodes_are_in_the_table_of_their_group() {
    with_layout(&Spec::default(), |layout| {
        let place = |ino| layout.locate_inode(ino).map(|l| (l.block, l.offset));
        // After 102 blocks of superblock and descriptors, and two bitmaps.
        assert_eq!(place(1), Ok((1 + 102 + 2, 0)));
        assert_eq!(place(6), Ok((1 + 102 + 2 + 1, 256)));
        assert_eq!(place(1025), Ok((1 + 8192 + 102 + 2, 0)));
        assert_eq!(place(3072), Ok((1 + 2 * 8192 + 2 + 255, 768)));
        assert!(place(0).is_err());
        assert!(place(3073).is_err());
    });
}

#[test]
fn messages_of_bad_pointers() {
    with_layout(&Spec::default(), |layout| {
        let message = |start, len| layout.check_data(AT, start, len).unwrap_err().to_string();
        assert_eq!(
            message(20_000, 1),
            "inode 12: block pointer outside the volume (found 20000)"
        );
        assert_eq!(
            message(1, 1),
            "inode 12: block pointer into metadata (found 1)"
        );
        assert!(message(500, 0).contains("outside"));
        assert!(message(u32::MAX, 2).contains("outside"));
        assert!(message(0, 1).contains("outside"));
    });
}

#[test]
fn a_list_of_groups_that_is_too_short_is_an_error() {
    let geometry = Spec::default().geometry();
    let groups = packed_groups(&geometry);
    let layout = Layout::new(&geometry, &groups[..1]);
    assert!(layout.check_data(AT, 4000, 1).is_ok());
    assert!(layout.check_data(AT, 10_000, 1).is_err());
    assert!(layout.locate_inode(2000).is_err());
    assert!(layout.for_each_metadata(1, |_, _| Ok(())).is_err());
}

#[test]
fn every_block_is_metadata_or_data() {
    for spec in [
        Spec::default(),
        Spec {
            ro_compat: 0,
            compat: 0,
            ..Spec::default()
        },
        Spec {
            log_block_size: 2,
            blocks_per_group: 10_000,
            ..Spec::default()
        },
    ] {
        let geometry = spec.geometry();
        for groups in [packed_groups(&geometry), spread_groups(&geometry)] {
            let layout = Layout::new(&geometry, &groups);
            let mut metadata = vec![false; spec.blocks as usize];
            for group in 0..spec.groups() {
                let first = layout.geometry().group_first_block(group);
                layout
                    .for_each_metadata(group, |start, len| {
                        for block in start..start + len {
                            let block = (first + block) as usize;
                            assert!(!metadata[block], "twice: {block}");
                            metadata[block] = true;
                        }
                        Ok(())
                    })
                    .unwrap();
            }
            for block in 0..spec.blocks + 2 {
                let data = block >= spec.first_data_block()
                    && block < spec.blocks
                    && !metadata[block as usize];
                assert_eq!(layout.check_data(AT, block, 1).is_ok(), data, "{block}");
            }
        }
    }
}

proptest! {
    #[test]
    fn so_it_is_when_the_metadata_is_spread(start in 0..20_010u32, len in 1..9000u32) {
        let geometry = Spec::default().geometry();
        let groups = spread_groups(&geometry);
        let layout = Layout::new(&geometry, &groups);
        let good = (start..start + len).all(|b| layout.check_data(AT, b, 1).is_ok());
        assert_eq!(layout.check_data(AT, start, len).is_ok(), good);
    }

    #[test]
    fn a_run_is_good_when_each_block_is(start in 0..20_010u32, len in 1..9000u32) {
        with_layout(&Spec::default(), |layout| {
            let good = (start..start + len).all(|b| layout.check_data(AT, b, 1).is_ok());
            assert_eq!(layout.check_data(AT, start, len).is_ok(), good);
        });
    }

    #[test]
    fn any_run_can_be_checked(start: u32, len: u32) {
        with_layout(&Spec::default(), |layout| {
            let _ = layout.check_data(AT, start, len);
        });
    }
}
