// SPDX-License-Identifier: GPL-2.0

//! Tests of `choose_group.rs`.

use proptest::prelude::*;

use crate::ext2::{
    choose_group::{for_directory, for_file, groups_from, Spread, Totals},
    group::GroupCounts,
};

fn counts(free_blocks: u16, free_inodes: u16, used_dirs: u16) -> GroupCounts {
    GroupCounts {
        free_blocks,
        free_inodes,
        used_dirs,
    }
}

fn spread(all: &[GroupCounts]) -> Spread {
    let sum = |of: fn(&GroupCounts) -> u16| all.iter().map(|c| u32::from(of(c))).sum();
    Spread {
        groups: all.len() as u32,
        inodes_per_group: 1024,
        blocks_per_group: 8192,
        totals: Totals {
            free_blocks: sum(|c| c.free_blocks),
            free_inodes: sum(|c| c.free_inodes),
            used_dirs: sum(|c| c.used_dirs),
        },
    }
}

fn file(all: &[GroupCounts], parent_group: u32, parent_ino: u32) -> Option<u32> {
    for_file(
        all.len() as u32,
        |g| all[g as usize],
        parent_group,
        parent_ino,
    )
}

fn directory(all: &[GroupCounts], top: bool, parent_group: u32, start: u32) -> Option<u32> {
    for_directory(&spread(all), |g| all[g as usize], top, parent_group, start)
}

#[test]
fn all_groups_once() {
    let order: Vec<u32> = groups_from(3, 5).collect();
    assert_eq!(order, [3, 4, 0, 1, 2]);
    assert_eq!(groups_from(7, 3).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(groups_from(0, 0).count(), 0);
}

#[test]
fn files_stay_with_their_directory() {
    let all = [counts(1, 1, 0); 8];
    assert_eq!(file(&all, 5, 1234), Some(5));
    assert_eq!(file(&all, 500, 1234), Some(0));
    assert_eq!(file(&[], 0, 2), None);
}

#[test]
fn files_of_one_directory_meet_elsewhere() {
    let mut all = vec![counts(100, 100, 0); 64];
    all[5] = counts(0, 100, 0);
    let group = file(&all, 5, 1234).unwrap();
    assert_eq!(file(&all, 5, 1234), Some(group));
    assert_ne!(group, 5);
    assert_ne!(file(&all, 5, 1235), Some(group));
    // No group with blocks is left: any with an inode will do.
    let mut all = vec![counts(0, 0, 0); 64];
    all[3] = counts(0, 1, 0);
    assert_eq!(file(&all, 5, 1234), Some(3));
}

#[test]
fn directories_of_the_root_are_spread() {
    let mut all = vec![counts(4000, 1000, 7); 8];
    all[6] = counts(4000, 1000, 2);
    assert_eq!(directory(&all, true, 0, 0), Some(6));
    // Fewest directories, but less than average free.
    all[3] = counts(3000, 1000, 0);
    assert_eq!(directory(&all, true, 0, 0), Some(6));
    // Among equals the start decides.
    let all = vec![counts(4000, 1000, 7); 8];
    assert_eq!(directory(&all, true, 0, 12), Some(4));
}

#[test]
fn directories_stay_with_their_parent_unless_it_is_worse_off() {
    let mut all = vec![counts(4000, 1000, 10); 8];
    assert_eq!(directory(&all, false, 5, 0), Some(5));
    all[5] = counts(4000, 1000, 100);
    assert_eq!(
        directory(&all, false, 5, 0),
        Some(6),
        "too many directories"
    );
    all[5] = counts(4000, 500, 10);
    assert_eq!(directory(&all, false, 5, 0), Some(6), "too few inodes");
    all[5] = counts(1000, 1000, 10);
    assert_eq!(directory(&all, false, 5, 0), Some(6), "too few blocks");
}

#[test]
fn old_totals_do_not_hide_the_last_inode() {
    let all = [counts(0, 0, 0), counts(0, 1, 0)];
    let mut spread = spread(&all);
    spread.totals.free_inodes = 1000;
    for top in [false, true] {
        let group = for_directory(&spread, |g| all[g as usize], top, 0, 0);
        assert_eq!(group, Some(1));
    }
}

proptest! {
    #[test]
    fn an_inode_is_found_whenever_there_is_one(
        all in prop::collection::vec(
            (0..3u16, 0..2u16, 0..2000u16).prop_map(|(b, i, d)| counts(b * 4000, i * 500, d)),
            0..40
        ),
        parent_group: u32,
        parent_ino: u32,
        start: u32,
        top: bool,
    ) {
        let free = all.iter().any(|c| c.free_inodes > 0);
        for group in [
            file(&all, parent_group, parent_ino),
            directory(&all, top, parent_group, start),
        ] {
            assert_eq!(group.is_some(), free);
            if let Some(group) = group {
                assert!(all[group as usize].free_inodes > 0);
            }
        }
    }
}
