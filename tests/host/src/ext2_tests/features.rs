// SPDX-License-Identifier: GPL-2.0

//! Tests of `features.rs`.

use crate::ext2::features::{Features, Named, Set};

fn named(set: Set, bits: u32) -> String {
    Named { set, bits }.to_string()
}

#[test]
fn names_in_order_then_the_unknown_bits() {
    assert_eq!(
        named(Set::Incompat, 0x80000000 | 0x2c4),
        "needs_recovery, extent, 64bit, flex_bg, unknown 0x80000000"
    );
    assert_eq!(named(Set::RoCompat, 0x400), "metadata_csum");
    assert_eq!(named(Set::RoCompat, 0x1002_0000), "unknown 0x10020000");
    assert_eq!(named(Set::RoCompat, 0), "");
}

#[test]
fn every_bit_prints_once() {
    for set in [Set::Incompat, Set::RoCompat] {
        let all = named(set, u32::MAX);
        let mut names: Vec<_> = all.split(", ").collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{all}");
        for bit in 0..32 {
            let one = named(set, 1 << bit);
            assert!(
                one.starts_with("unknown ") || names.contains(&one.as_str()),
                "{one}"
            );
        }
    }
}

#[test]
fn what_forbids_what() {
    let features = Features::new(u32::MAX, 0x42, 0x403);
    assert_eq!(features.forbid_mount().to_string(), "extent");
    assert_eq!(features.forbid_write().to_string(), "metadata_csum");
    let plain = Features::new(u32::MAX, 0x2, 0x7);
    assert!(plain.forbid_mount().is_empty() && plain.forbid_write().is_empty());
    assert!(plain.compat(0x5) && plain.incompat(0x2) && plain.ro_compat(0x3));
    assert!(!plain.incompat(0x3) && !plain.ro_compat(0x9));
    // filetype and meta_bg; the first three, huge_file, dir_nlink and extra_isize.
    let all = Features::new(0, 0x12, 0x6f);
    assert!(all.forbid_mount().is_empty() && all.forbid_write().is_empty());
}
