// SPDX-License-Identifier: GPL-2.0

//! Tests of `superblock.rs`.

use proptest::prelude::*;

use super::support::{descriptor_location, get16, get32, put16, put32, Spec};
use crate::ext2::{
    superblock::{
        update::{
            add_kbytes_written, mark_error, mark_in_use, mark_mounted, mark_unmounted,
            needs_large_file, set_free_counts, set_large_file, set_last_mounted,
        },
        MountError, OnError, State, Superblock,
    },
    tuned::Tuned,
    Geometry,
};

fn parse(change: impl FnOnce(&mut Vec<u8>)) -> Result<Superblock, MountError> {
    let spec = Spec::default();
    let mut bytes = spec.superblock();
    change(&mut bytes);
    Superblock::parse(&bytes, spec.device_bytes())
}

/// What a mount of the changed superblock is refused with.
fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
    parse(change).unwrap_err().to_string()
}

#[test]
fn reads_what_is_there() {
    let sb = parse(|b| {
        put16(b, 0x34, 5);
        put16(b, 0x36, 20);
        put16(b, 0x50, 1000);
        put16(b, 0x52, 1001);
        b[0x68..0x78].copy_from_slice(b"0123456789abcdef");
        put32(b, 0x100, 0xc);
    })
    .unwrap();
    let g = sb.geometry;
    assert_eq!((g.block_bits(), g.block_size()), (10, 1024));
    assert_eq!((g.blocks_count(), g.group_first_block(0)), (20_000, 1));
    assert_eq!((g.groups(), g.blocks_per_group()), (3, 8192));
    assert_eq!((g.inodes_count(), g.inodes_per_group()), (3072, 1024));
    assert_eq!(
        (g.inode_size(), g.is_file_ino(10), g.is_file_ino(11)),
        (256, false, true)
    );
    assert_eq!(g.inode_table_blocks(), 256);
    assert!(g.has_filetype());
    assert_eq!((sb.mount_count, sb.max_mount_count), (5, Some(20)));
    assert_eq!(&sb.uuid, b"0123456789abcdef");
    assert!(sb.state.is_clean() && !sb.state.has_errors());
    assert!(sb.features.has_large_file());
}

#[test]
fn revision_0_has_fixed_inodes() {
    let sb = parse(|b| {
        put32(b, 0x4c, 0);
        // Not fields of a superblock of revision 0.
        put32(b, 0x54, 77);
        put16(b, 0x58, 999);
    })
    .unwrap();
    assert_eq!(sb.geometry.inode_size(), 128);
    assert!(!sb.geometry.is_file_ino(10) && sb.geometry.is_file_ino(11));
}

fn tuned(change: impl FnOnce(&mut Vec<u8>)) -> Tuned {
    let mut raw = Spec::default().superblock();
    change(&mut raw);
    Tuned::read(&Spec::default().geometry(), &raw[..Tuned::SIZE])
}

#[test]
fn what_tune2fs_changes() {
    let expected = Tuned {
        reserved_blocks: 1000,
        reserved_uid: 1000,
        reserved_gid: 1001,
        on_error: OnError::Panic,
        default_mount_options: 0xc,
    };
    let found = tuned(|b| {
        put32(b, 0x08, 1000);
        put16(b, 0x50, 1000);
        put16(b, 0x52, 1001);
        put16(b, 0x3c, 3);
        put32(b, 0x100, 0xc);
    });
    assert_eq!(found, expected);
    // No more blocks are reserved than there are.
    for (raw, blocks) in [(20_000, 20_000), (20_001, 20_000), (u32::MAX, 20_000)] {
        assert_eq!(tuned(|b| put32(b, 0x08, raw)).reserved_blocks, blocks);
    }
    let geometry = Spec::default().geometry();
    assert_eq!(Tuned::read(&geometry, &[]).reserved_blocks, 0);
}

#[test]
fn a_revision_that_is_not_known_can_be_read() {
    for (revision, known) in [(0, true), (1, true), (2, false), (u32::MAX, false)] {
        let sb = parse(|b| put32(b, 0x4c, revision)).unwrap();
        assert_eq!(sb.is_known_revision(), known);
    }
}

#[test]
fn when_a_check_is_due() {
    // State, mounts, mounts allowed, last check, interval, what the reason contains.
    let cases = [
        (1, 5, 20, 1000, 0, ""),
        (0, 5, 20, 1000, 0, "not clean"),
        (3, 5, 20, 1000, 0, "errors"),
        (1, 20, 20, 1000, 0, "as often"),
        (1, 19, 20, 1000, 0, ""),
        (1, 20, 0xffff, 1000, 0, ""),
        (1, 20, 0, 1000, 0, ""),
        (1, 5, 20, 1000, 1000, "longer"),
        (1, 5, 20, 1000, 1001, ""),
        (1, 5, 20, 3000, 1, ""),
    ];
    for (state, mounts, most, checked, interval, why) in cases {
        let sb = parse(|b| {
            put16(b, 0x3a, state);
            put16(b, 0x34, mounts);
            put16(b, 0x36, most);
            put32(b, 0x40, checked);
            put32(b, 0x44, interval);
        })
        .unwrap();
        match sb.check_due(2000) {
            Some(found) => assert!(!why.is_empty() && found.contains(why), "{found}"),
            None => assert_eq!(why, ""),
        }
    }
}

#[test]
fn on_error_and_mount_counts() {
    for (code, on_error) in [
        (0, OnError::RemountReadOnly),
        (1, OnError::Continue),
        (2, OnError::RemountReadOnly),
        (3, OnError::Panic),
        (4, OnError::RemountReadOnly),
    ] {
        assert_eq!(tuned(|b| put16(b, 0x3c, code)).on_error, on_error);
    }
    for (raw, count) in [
        (0, None),
        (1, Some(1)),
        (0x7fff, Some(0x7fff)),
        (0x8000, None),
    ] {
        let sb = parse(|b| put16(b, 0x36, raw)).unwrap();
        assert_eq!(sb.max_mount_count, count);
    }
}

#[test]
fn refusals_say_why() {
    assert_eq!(
        refusal(|b| put16(b, 0x38, 0)),
        "not an ext2 volume: magic number 0x0000 instead of 0xef53"
    );
    assert_eq!(
        refusal(|b| put32(b, 0x60, 0x2c2)),
        "unsupported features: extent, 64bit, flex_bg"
    );
    for log in [7, u32::MAX] {
        assert_eq!(
            refusal(|b| put32(b, 0x18, log)),
            format!("impossible block size: 2^{log} KiB, the largest is 64")
        );
    }
    assert_eq!(
        refusal(|b| put32(b, 0x1c, 1)),
        "superblock: fragments are not of the size of blocks"
    );
    for size in [0, 64, 192, 2048] {
        assert_eq!(
            refusal(|b| put16(b, 0x58, size)),
            format!("superblock: impossible inode size (found {size})")
        );
    }
    for blocks in [0, 8193] {
        assert_eq!(
            refusal(|b| put32(b, 0x20, blocks)),
            format!("superblock: impossible number of blocks per group (found {blocks})")
        );
    }
    // Bitmaps of 64 KiB have room for more than the counters of a group.
    let large = |b: &mut [u8], blocks| {
        put32(b, 0x18, 6);
        put32(b, 0x1c, 6);
        put32(b, 0x20, blocks);
    };
    assert_eq!(
        refusal(|b| large(b, 65529)),
        "superblock: impossible number of blocks per group (found 65529)"
    );
    assert_eq!(
        refusal(|b| {
            large(b, 65528);
            put32(b, 0x28, 65536);
        }),
        "superblock: impossible number of inodes per group (found 65536)"
    );
    for inodes in [0, 1022, 8196] {
        assert_eq!(
            refusal(|b| put32(b, 0x28, inodes)),
            format!("superblock: impossible number of inodes per group (found {inodes})")
        );
    }
    assert_eq!(
        refusal(|b| put32(b, 0x14, 0)),
        "superblock: impossible first data block (found 0)"
    );
    for blocks in [0, 1] {
        assert_eq!(
            refusal(|b| put32(b, 0x04, blocks)),
            format!("superblock: impossible number of blocks (found {blocks})")
        );
    }
    assert_eq!(
        refusal(|b| put32(b, 0x04, 20_001)),
        "truncated: the volume has 20481024 bytes, the device only 20480000"
    );
    assert_eq!(
        refusal(|b| put32(b, 0x00, 3071)),
        "superblock: the number of inodes is not groups times inodes per group (found 3071)"
    );
    for ino in [0, 10, 3073] {
        assert_eq!(
            refusal(|b| put32(b, 0x54, ino)),
            format!("superblock: impossible first inode (found {ino})")
        );
    }
    assert_eq!(
        refusal(|b| put16(b, 0xce, 257)),
        "superblock: too many blocks reserved for descriptors (found 257)"
    );
    assert_eq!(
        Superblock::parse(&[0; 1023], u64::MAX)
            .unwrap_err()
            .to_string(),
        "superblock: shorter than 1024 bytes"
    );
    // Groups of 300 blocks cannot hold 256 + 2 + 1 + 3 + 100.
    let groups = 19_999u32.div_ceil(300);
    assert_eq!(
        refusal(|b| {
            put32(b, 0x20, 300);
            put32(b, 0x00, groups * 1024);
        }),
        "superblock: group 0 is too small for its metadata (found 300)"
    );
}

#[test]
fn read_only_features_do_not_forbid_the_mount() {
    let sb = parse(|b| put32(b, 0x64, 0x403)).unwrap();
    assert_eq!(sb.features.forbid_write().to_string(), "metadata_csum");
}

#[test]
fn a_larger_device_is_fine() {
    let spec = Spec::default();
    assert!(Superblock::parse(&spec.superblock(), spec.device_bytes() + 1).is_ok());
    assert!(Superblock::parse(&spec.superblock(), u64::MAX).is_ok());
    assert!(matches!(
        Superblock::parse(&spec.superblock(), spec.device_bytes() - 1),
        Err(MountError::Truncated { .. })
    ));
}

/// Runs `change`, checks that it changed only bytes in the range that it returned.
fn changed(bytes: &mut [u8], change: impl FnOnce(&mut [u8]) -> std::ops::Range<usize>) {
    let before = bytes.to_vec();
    let range = change(bytes);
    assert_eq!(before[..range.start], bytes[..range.start]);
    assert_eq!(before[range.end..], bytes[range.end..]);
}

#[test]
fn mount_and_unmount_leave_the_state() {
    for state in [0, 1, 2, 3] {
        let spec = Spec::default();
        let mut bytes = spec.superblock();
        put16(&mut bytes, 0x3a, state);
        put16(&mut bytes, 0x34, 0xffff);
        let sb = Superblock::parse(&bytes, spec.device_bytes()).unwrap();
        assert_eq!(State::read(&bytes), sb.state);

        changed(&mut bytes, |b| mark_mounted(b, 1000).unwrap());
        assert_eq!(get16(&bytes, 0x3a), state & 2);
        assert_eq!(get16(&bytes, 0x34), 0xffff, "the mount count does not wrap");
        assert_eq!((get32(&bytes, 0x2c), get32(&bytes, 0x30)), (1000, 1000));

        changed(&mut bytes, |b| set_free_counts(b, 12, 34, 1500).unwrap());
        assert_eq!((get32(&bytes, 0x0c), get32(&bytes, 0x10)), (12, 34));
        assert_eq!(get32(&bytes, 0x30), 1500);

        let mut clean = bytes.clone();
        changed(&mut clean, |b| {
            mark_unmounted(b, sb.state, (56, 78), 2000).unwrap()
        });
        assert_eq!(get16(&clean, 0x3a), state);
        assert_eq!((get32(&clean, 0x0c), get32(&clean, 0x10)), (56, 78));
        assert_eq!((get32(&clean, 0x2c), get32(&clean, 0x30)), (1000, 2000));
        // It goes on, and that is no other mount.
        let mounts = get16(&clean, 0x34);
        changed(&mut clean, |b| mark_in_use(b, 3000).unwrap());
        assert_eq!(get16(&clean, 0x3a), state & !1);
        assert_eq!(get16(&clean, 0x34), mounts);
        assert_eq!((get32(&clean, 0x2c), get32(&clean, 0x30)), (1000, 3000));

        changed(&mut bytes, |b| mark_error(b).unwrap());
        changed(&mut bytes, |b| {
            mark_unmounted(b, sb.state, (1, 2), 2000).unwrap()
        });
        assert_eq!(get16(&bytes, 0x3a), state | 2);
        let after = Superblock::parse(&bytes, spec.device_bytes()).unwrap();
        assert!(after.state.has_errors());
    }
    assert!(mark_error(&mut [0; 1000]).is_err());
    assert!(!State::read(&[0xff; 1000]).is_clean());
}

#[test]
fn large_files() {
    assert!(!needs_large_file(0x7fff_ffff));
    assert!(needs_large_file(0x8000_0000));
    let spec = Spec {
        ro_compat: 0x1,
        ..Spec::default()
    };
    let mut bytes = spec.superblock();
    assert!(!spec.parse().features.has_large_file());
    changed(&mut bytes, |b| set_large_file(b).unwrap());
    let after = Superblock::parse(&bytes, spec.device_bytes()).unwrap();
    assert!(after.features.has_large_file());
    assert_eq!(after.geometry, spec.geometry());

    let mut old = spec.superblock();
    put32(&mut old, 0x4c, 0);
    put32(&mut old, 0x54, 0);
    put16(&mut old, 0x58, 0);
    let before = Superblock::parse(&old, spec.device_bytes()).unwrap();
    changed(&mut old, |b| set_large_file(b).unwrap());
    let after = Superblock::parse(&old, spec.device_bytes()).unwrap();
    assert_eq!(get32(&old, 0x4c), 1);
    assert_eq!(after.geometry, before.geometry);
}

#[test]
fn place_and_writes_are_recorded() {
    let mut bytes = Spec::default().superblock();
    let before = bytes.clone();
    put32(&mut bytes, 0x178, 0xffff_fff0);
    assert_eq!(add_kbytes_written(&mut bytes, 0x20).unwrap(), 0x178..0x180);
    assert_eq!((get32(&bytes, 0x178), get32(&bytes, 0x17c)), (0x10, 1));
    add_kbytes_written(&mut bytes, u64::MAX).unwrap();
    assert_eq!(bytes[0x178..0x180], [0xff; 8]);
    assert_eq!(set_last_mounted(&mut bytes, &[7; 64]).unwrap(), 0x88..0xc8);
    assert_eq!(bytes[0x88..0xc8], [7; 64]);
    assert_eq!(bytes[..0x88], before[..0x88]);
    assert_eq!(bytes[0xc8..0x178], before[0xc8..0x178]);
    assert!(set_last_mounted(&mut bytes[..1000], &[0; 64]).is_err());
}

/// Does all the arithmetic there is on a geometry; none of it may panic.
fn exercise(g: &Geometry) {
    assert!(g.overhead() <= g.blocks_count());
    let mut next = g.group_first_block(0);
    let probe = |group: u32| {
        let first = g.group_first_block(group);
        assert!(first < g.blocks_count());
        assert!((1..=g.blocks_per_group()).contains(&g.group_blocks(group)));
        assert_eq!(g.locate_block(first), Some((group, 0)));
        let (block, offset) = descriptor_location(&g, group).unwrap();
        assert!(block < g.blocks_count() && offset + 32 <= g.block_size());
    };
    for group in (0..g.groups()).take(100) {
        assert_eq!(g.group_first_block(group), next);
        next += g.group_blocks(group);
        probe(group);
    }
    probe(g.groups() - 1);
    assert_eq!(
        g.group_first_block(g.groups() - 1) + g.group_blocks(g.groups() - 1),
        g.blocks_count()
    );
    for group in [g.groups(), u32::MAX] {
        assert_eq!(g.group_blocks(group), 0);
        assert_eq!(descriptor_location(&g, group), None);
        assert_eq!(g.ino_at(group, 0), None);
        g.base_metadata(group);
    }
    for ino in [1, 2, 11, g.inodes_count() / 2 + 1, g.inodes_count()] {
        let slot = g.inode_slot(ino).unwrap();
        assert!(slot.group < g.groups() && slot.index < g.inodes_per_group());
        assert!(slot.table_block < g.inode_table_blocks());
        assert!(slot.offset + g.inode_size() <= g.block_size());
        assert_eq!(g.ino_at(slot.group, slot.index), Some(ino));
    }
    assert!(g.inode_slot(0).is_err());
    assert!(g.inode_slot(u32::MAX).is_err() || g.inodes_count() == u32::MAX);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1024), size: u64) {
        put16(&mut bytes, 0x38, 0xef53);
        put32(&mut bytes, 0x4c, 1);
        put32(&mut bytes, 0x60, 2);
        if let Ok(sb) = Superblock::parse(&bytes, size) {
            exercise(&sb.geometry);
        }
    }

    /// Fields with values that are nearly right come further than random bytes.
    #[test]
    fn near_misses_never_panic(
        changes in prop::collection::vec((0..22usize, 0..12u8), 0..6),
        log in 0..3u32,
        huge: bool,
    ) {
        let spec = Spec {
            log_block_size: log,
            blocks_per_group: 8 * (1024 << log),
            ..Spec::default()
        };
        let mut bytes = spec.superblock();
        for (field, how) in changes {
            let offset = field * 4;
            let old = get32(&bytes, offset);
            let new = match how {
                0 => 0,
                1 => 1,
                2 => old.wrapping_add(1),
                3 => old.wrapping_sub(1),
                4 => old.wrapping_mul(2),
                5 => old / 2,
                6 => u32::MAX,
                7 => 0x8000_0000,
                8 => 8,
                9 => 4,
                10 => 16,
                _ => old.wrapping_mul(1000),
            };
            put32(&mut bytes, offset, new);
        }
        // Often, let the number of inodes fit what else was changed.
        let per_group = get32(&bytes, 0x20);
        let blocks = get32(&bytes, 0x04);
        if huge && per_group != 0 && blocks > 1 {
            let groups = (blocks - u32::from(log == 0)).div_ceil(per_group);
            let inodes = groups.wrapping_mul(get32(&bytes, 0x28));
            put32(&mut bytes, 0, inodes);
        }
        let size = if huge { u64::MAX } else { spec.device_bytes() };
        if let Ok(sb) = Superblock::parse(&bytes, size) {
            exercise(&sb.geometry);
        }
    }
}
