// SPDX-License-Identifier: GPL-2.0

//! Tests of `uninit.rs`.

use super::support::{get16, put16, with_layout, Spec};
use crate::ext2::{
    bitmap::{check_block_bitmap, count_free, is_set},
    group::Group,
    uninit::{Checksums, Uninit},
};

const SPEC: Spec = Spec {
    log_block_size: 0,
    blocks: 20_000,
    blocks_per_group: 8192,
    inodes_per_group: 1000,
    inode_size: 256,
    compat: 0x38,
    incompat: 0x2,
    // With uninit_bg.
    ro_compat: 0x13,
    reserved_gdt: 100,
};

fn checksums() -> Checksums {
    let mut bytes = SPEC.superblock();
    bytes[0x68..0x78].copy_from_slice(b"0123456789abcdef");
    let superblock = crate::ext2::superblock::Superblock::parse(&bytes, SPEC.device_bytes());
    superblock.unwrap().checksums
}

/// A descriptor with these flags, and so many inodes that were never used.
fn raw(flags: u16, unused: u16) -> Vec<u8> {
    let mut raw = super::support::descriptor(103, 104, 105);
    put16(&mut raw, 18, flags);
    put16(&mut raw, 28, unused);
    raw
}

fn uninit(flags: u16, unused: u16) -> Uninit {
    Uninit::read(&SPEC.geometry(), 0, &raw(flags, unused)).unwrap()
}

#[test]
fn checksums_are_those_of_linux() {
    let mut b = raw(7, 9);
    assert_eq!(checksums().store(3, &mut b, 12..18).unwrap(), 12..32);
    // By crc16() of the kernel, of the identifier, of 3, and of the first 30 bytes.
    let crc = |mut crc: u16, bytes: &[u8]| {
        for byte in bytes {
            crc ^= u16::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ if crc & 1 != 0 { 0xa001 } else { 0 };
            }
        }
        crc
    };
    // The check value of this polynomial.
    assert_eq!(crc(0, b"123456789"), 0xbb3d);
    let expected = crc(
        crc(crc(0xffff, b"0123456789abcdef"), &[3, 0, 0, 0]),
        &b[..30],
    );
    assert_eq!(get16(&b, 30), expected);
    assert!(checksums().check(3, &b).is_ok());
    for bit in 0..256 {
        b[bit / 8] ^= 1 << (bit % 8);
        let error = checksums().check(3, &b).unwrap_err().to_string();
        assert!(error.contains("group 3: wrong checksum"), "{error}");
        b[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(checksums().check(2, &b).is_err());
    assert!(checksums().check(3, &b[..31]).is_err());
    assert!(checksums().store(3, &mut b[..31], 0..1).is_err());

    // A volume without has none.
    let none = Spec::default().parse().checksums;
    let before = b.clone();
    assert_eq!(none.store(3, &mut b, 12..18).unwrap(), 12..18);
    assert_eq!(b, before);
    assert!(none.check(7, &b).is_ok());
    let all = Uninit::read(&Spec::default().geometry(), 0, &raw(3, 2000)).unwrap();
    assert!(!all.is_any());
    // With metadata_csum groups can be left for later, too; that it has other checksums is another matter.
    let other = Spec {
        ro_compat: 0x403,
        ..SPEC
    };
    assert!(other.parse().checksums.check(3, &raw(7, 9)).is_ok());
    let some = Uninit::read(&other.geometry(), 0, &raw(3, 9)).unwrap();
    assert!(some.is_any() && some.has_no_inodes());
}

#[test]
fn what_is_not_initialised() {
    for (flags, unused, any, no_inodes) in [
        (0, 0, false, false),
        (4, 0, false, false),
        (4, 1, true, false),
        (1, 1000, true, true),
        (2, 0, true, false),
        (7, 1000, true, true),
    ] {
        let found = uninit(flags, unused);
        assert_eq!((found.is_any(), found.has_no_inodes()), (any, no_inodes));
    }
    // More than there are: all may be in use.
    let found = Uninit::read(&SPEC.geometry(), 5, &raw(0, 1001)).unwrap();
    assert_eq!(found, Uninit::default());
}

#[test]
fn what_every_volume_has_in_use() {
    let geometry = SPEC.geometry();
    // Ten inodes are reserved.
    for (flags, unused, group, sound) in [
        (0, 0, 0, true),
        (4, 990, 0, true),
        (0, 991, 0, false),
        (4, 1000, 0, false),
        (1, 0, 0, false),
        (2, 0, 0, false),
        (3, 1000, 1, true),
        // Taken for none.
        (0, 1001, 0, true),
    ] {
        let checked = uninit(flags, unused).check(&geometry, group);
        assert_eq!(checked.is_ok(), sound, "{flags} {unused} {group}");
    }
    // They are in two groups.
    let small = Spec {
        inodes_per_group: 8,
        ..SPEC
    };
    let geometry = small.geometry();
    let check = |group, flags, unused| {
        let uninit = Uninit::read(&geometry, group, &raw(flags, unused)).unwrap();
        uninit.check(&geometry, group).is_ok()
    };
    assert!(check(0, 0, 0) && !check(0, 0, 1));
    assert!(check(1, 2, 6) && !check(1, 2, 7) && !check(1, 1, 0));
    assert!(check(2, 3, 8));
}

#[test]
fn stale_blocks_of_the_table() {
    // 250 blocks with 4 inodes each.
    let stale = |flags, unused| uninit(flags, unused).stale_table(&SPEC.geometry());
    assert_eq!(stale(0, 1000), 0..250);
    assert_eq!(stale(0, 989), 3..250);
    assert_eq!(stale(0, 988), 3..250);
    assert_eq!(stale(0, 987), 4..250);
    assert_eq!(stale(0, 3), 250..250);
    assert_eq!(stale(0, 4), 249..250);
    // Not believed beside a bitmap that is not there.
    assert_eq!(stale(1, 0), 0..250);
    assert!(stale(4, 1000).is_empty() && stale(5, 1000).is_empty());
}

#[test]
fn bitmaps_that_are_not_there() {
    with_layout(&SPEC, |layout| {
        let geometry = layout.geometry();
        for group in 0..3 {
            let mut bits = vec![0x5a; 1024];
            assert!(uninit(2, 0).fill_blocks(layout, group, &mut bits).unwrap());
            check_block_bitmap(layout, group, &bits).unwrap();
            let end = geometry.group_blocks(group);
            assert_eq!(count_free(&bits, end), geometry.group_data_blocks(group));
            assert!((end..8192).all(|bit| is_set(&bits, bit)));
        }
        assert!(uninit(2, 0).fill_blocks(layout, 3, &mut [0; 1024]).is_err());
        let mut bits = vec![0x5a; 1024];
        assert!(uninit(1, 1000).fill_inodes(geometry, &mut bits));
        assert_eq!(count_free(&bits, 8192), 1000);
        assert!((1000..8192).all(|bit| is_set(&bits, bit)));

        // Those that are there stay.
        let mut bits = vec![0x5a; 1024];
        assert!(!uninit(1, 7).fill_blocks(layout, 0, &mut bits).unwrap());
        assert!(!uninit(2, 7).fill_inodes(geometry, &mut bits));
        assert_eq!(bits, [0x5a; 1024]);
    });
}

#[test]
fn all_is_initialised_then() {
    let mut b = raw(3, 1000);
    let before = b.clone();
    assert_eq!(uninit(3, 1000).store_done(0, &mut b).unwrap(), 18..30);
    assert_eq!((get16(&b, 18), get16(&b, 28)), (4, 0));
    assert_eq!((&b[..18], &b[20..28]), (&before[..18], &before[20..28]));
    let done = Uninit::read(&SPEC.geometry(), 0, &b).unwrap();
    assert!(!done.is_any() && done.stale_table(&SPEC.geometry()).is_empty());
    assert!(Group::parse(&SPEC.geometry(), 0, &b).is_ok());
    assert!(uninit(3, 1000).store_done(0, &mut b[..31]).is_err());
}
