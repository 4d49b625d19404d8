// SPDX-License-Identifier: GPL-2.0

//! Tests of `bitmap.rs`, against vectors of booleans.

use proptest::prelude::*;

use super::support::{with_layout, Spec};
use crate::ext2::bitmap::{
    check_block_bitmap, clear_run, count_free, find_run, is_set, next_free, set_run, Kind, Run,
};

fn bools(bits: &[u8]) -> Vec<bool> {
    (0..bits.len() * 8)
        .map(|i| (bits[i / 8] >> (i % 8)) & 1 == 1)
        .collect()
}

#[test]
fn grows_at_the_goal_however_short() {
    let mut bits = vec![0u8; 16];
    bits[1] = 0b1000_0000;
    let run = find_run(&bits, 0..128, 13, 10).unwrap();
    assert_eq!(run, Run { start: 13, len: 2 });
}

#[test]
fn prefers_a_whole_run_after_the_goal() {
    // Free: bits 0 to 7, 16 to 18, 32 to 39.
    let bits = [0x00, 0xff, 0xf8, 0xff, 0x00, 0xff, 0xff, 0xff];
    let find = |goal, want| find_run(&bits, 0..64, goal, want).map(|r| (r.start, r.len));
    assert_eq!(find(8, 3), Some((16, 3)));
    assert_eq!(find(8, 4), Some((32, 4)));
    assert_eq!(find(40, 4), Some((0, 4)));
    assert_eq!(
        find(8, 9),
        Some((32, 8)),
        "the longest if none is long enough"
    );
    assert_eq!(find(63, 9), Some((0, 8)));
    assert_eq!(find(1000, 2), Some((0, 2)), "a goal that does not exist");
    assert_eq!(find(16, 0), Some((16, 1)), "at least one");
    assert_eq!(find_run(&[0xff; 8], 0..64, 5, 1), None);
    assert_eq!(find_run(&bits, 0..0, 0, 1), None);
    assert_eq!(
        find_run(&[], 0..64, 0, 1),
        None,
        "bits that do not exist are in use"
    );
}

#[test]
fn setting_twice_and_clearing_twice_are_errors() {
    let mut bits = vec![0u8; 4];
    assert_eq!(set_run(&mut bits, 30, Run { start: 5, len: 12 }), Ok(0..3));
    assert_eq!(bits, [0b1110_0000, 0xff, 1, 0]);
    assert_eq!(set_run(&mut bits, 30, Run { start: 3, len: 4 }), Err(5));
    assert_eq!(set_run(&mut bits, 30, Run { start: 29, len: 2 }), Err(29));
    assert_eq!(
        set_run(
            &mut bits,
            30,
            Run {
                start: u32::MAX,
                len: 2
            }
        ),
        Err(u32::MAX)
    );
    assert_eq!(bits, [0b1110_0000, 0xff, 1, 0], "nothing changed");

    let run = Run { start: 6, len: 12 };
    let error = clear_run(&mut bits, 30, run, 7, Kind::Blocks).unwrap_err();
    assert_eq!(
        error.to_string(),
        "group 7: freeing a block that is free, by its index (found 17)"
    );
    let run = Run { start: 6, len: 11 };
    assert_eq!(clear_run(&mut bits, 30, run, 7, Kind::Inodes), Ok(0..3));
    assert_eq!(bits, [0b0010_0000, 0, 0, 0]);
    let error = clear_run(&mut bits, 30, run, 7, Kind::Inodes).unwrap_err();
    assert!(error.to_string().contains("freeing an inode"));
    assert!(set_run(&mut [0; 1], 30, Run { start: 7, len: 2 }).is_err());
}

#[test]
fn a_bitmap_has_to_know_the_metadata() {
    with_layout(&Spec::default(), |layout| {
        // Group 1: 102 blocks of superblock and descriptors, two bitmaps, 256 blocks of table.
        let mut bits = vec![0u8; 1024];
        let all = Run { start: 0, len: 360 };
        set_run(&mut bits, 8192, all).unwrap();
        check_block_bitmap(layout, 1, &bits).unwrap();
        for bit in [0, 101, 102, 103, 104, 359] {
            let mut bad = bits.clone();
            clear_run(&mut bad, 8192, Run { start: bit, len: 1 }, 1, Kind::Blocks).unwrap();
            assert_eq!(
                check_block_bitmap(layout, 1, &bad).unwrap_err().to_string(),
                format!("group 1: block bitmap has metadata as free, by its index (found {bit})")
            );
        }
        assert!(check_block_bitmap(layout, 3, &bits).is_err());
    });
}

proptest! {
    #[test]
    fn searching_agrees_with_a_scan(
        bits in prop::collection::vec(prop::sample::select(vec![0u8, 0xff, 0x0f, 0x81, 0x10, 0xef]), 0..40),
        end in 0..330u32,
        from in 0..330u32,
        first in prop_oneof![Just(0), 0..330u32],
        want in 0..70u32,
    ) {
        let bools = bools(&bits);
        let used = |bit: u32| bools.get(bit as usize).copied().unwrap_or(true);
        assert_eq!(next_free(&bits, from, end), (from..end).find(|&b| !used(b)));
        assert_eq!(is_set(&bits, from), used(from));

        match find_run(&bits, first..end, from, want) {
            None => assert!((first..end).all(used)),
            Some(run) => {
                let stop = run.start + run.len;
                assert!(run.len >= 1 && run.len <= want.max(1) && first <= run.start && stop <= end);
                assert!((run.start..stop).all(|b| !used(b)));
                if (first..end).contains(&from) && !used(from) {
                    assert_eq!(run.start, from);
                    assert!(run.len == want.max(1) || stop == end || used(stop));
                } else if run.len < want {
                    // No run is longer than the one found.
                    let mut length = 0;
                    for bit in first..end {
                        length = if used(bit) { 0 } else { length + 1 };
                        assert!(length <= run.len, "a longer one ends at {bit}");
                    }
                }
            }
        }
    }

    #[test]
    fn counting_agrees_with_a_vector(
        bits in prop::collection::vec(any::<u8>(), 20),
        end in 0..161u32,
    ) {
        let free = bools(&bits).iter().take(end as usize).filter(|&&bit| !bit).count();
        assert_eq!(count_free(&bits, end), free as u32);
    }

    #[test]
    fn changing_agrees_with_a_vector(
        mut bits in prop::collection::vec(any::<u8>(), 20),
        start in 0..170u32,
        len in 1..40u32,
        end in 100..161u32,
        set: bool,
    ) {
        let before = bits.clone();
        let model = bools(&bits);
        let run = Run { start, len };
        let good = start + len <= end && (start..start + len).all(|b| model[b as usize] != set);
        let result = if set {
            set_run(&mut bits, end, run).map_err(|_| ())
        } else {
            clear_run(&mut bits, end, run, 0, Kind::Blocks).map_err(|_| ())
        };
        assert_eq!(result.is_ok(), good);
        let after = bools(&bits);
        for bit in 0..160 {
            let inside = good && (start..start + len).contains(&bit);
            assert_eq!(after[bit as usize], if inside { set } else { model[bit as usize] });
        }
        if let Ok(range) = result {
            assert!(before[..range.start] == bits[..range.start]);
            assert!(before[range.end..] == bits[range.end..]);
        }
    }
}
