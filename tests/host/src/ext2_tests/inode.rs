// SPDX-License-Identifier: GPL-2.0

//! Tests of `inode.rs`.

use proptest::prelude::*;

use super::support::{get16, get32, put16, put32, target, with_layout, Spec};
use crate::ext2::{
    inode::{Content, Device, FastSymlink, FileType, Inode, InodeError, InodeFlags, LINKS_MAX},
    pointers::tree_blocks,
    time::Time,
    Geometry, Layout,
};

/// A block of the default volume that may hold data.
const DATA: u32 = 1000;

/// The bytes of an inode in use.
fn raw(mode: u16) -> Vec<u8> {
    let mut b = vec![0; 256];
    put16(&mut b, 0, mode);
    put16(&mut b, 26, 1);
    b
}

fn parse(bytes: &[u8]) -> Result<Inode, InodeError> {
    with_layout(&Spec::default(), |layout| Inode::parse(layout, 12, bytes))
}

fn message(bytes: &[u8]) -> String {
    match parse(bytes) {
        Err(InodeError::Corrupt(corrupt)) => corrupt.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_what_is_there() {
    let mut b = raw(0o100644);
    put16(&mut b, 2, 0x1234);
    put32(&mut b, 4, 5000);
    put32(&mut b, 8, -1i32 as u32);
    put32(&mut b, 12, 12);
    put32(&mut b, 16, 16);
    put16(&mut b, 24, 0x5678);
    put16(&mut b, 26, 3);
    put32(&mut b, 28, 10);
    put32(&mut b, 32, 0x80);
    for i in 0..15 {
        put32(&mut b, 40 + 4 * i, 100 + i as u32);
    }
    put32(&mut b, 100, 0xabcd);
    put32(&mut b, 104, DATA);
    put32(&mut b, 108, 2);
    put16(&mut b, 120, 0x9abc);
    put16(&mut b, 122, 0xdef0);
    let inode = parse(&b).unwrap();
    assert_eq!((inode.mode, inode.file_type), (0o100644, FileType::Regular));
    assert_eq!((inode.uid, inode.gid), (0x9abc1234, 0xdef05678));
    assert_eq!(inode.size, (2 << 32) + 5000);
    let times = [inode.atime, inode.ctime, inode.mtime];
    assert_eq!(times, [-1, 12, 16].map(Time::seconds));
    assert_eq!((inode.crtime, inode.extra_size), (None, 0));
    assert_eq!((inode.links, inode.sectors, inode.dtime), (3, 10, 0));
    assert!(inode.flags.has(InodeFlags::NOATIME));
    assert!(!inode
        .flags
        .has(InodeFlags::SYNC | InodeFlags::APPEND | InodeFlags::IMMUTABLE | InodeFlags::INDEX));
    assert_eq!((inode.generation, inode.file_acl), (0xabcd, DATA));
    assert_eq!(inode.pointers().unwrap()[14], 114);
    assert_eq!(parse(&b[..128]).unwrap(), inode);
    assert!(message(&b[..127]).contains("shorter"));
}

#[test]
fn inodes_not_in_use() {
    let mut b = raw(0);
    put16(&mut b, 26, 0);
    assert_eq!(parse(&b), Err(InodeError::Deleted));
    let mut b = raw(0o100644);
    put16(&mut b, 26, 0);
    assert!(message(&b).contains("no links"));
    put32(&mut b, 20, 1234);
    assert_eq!(parse(&b), Err(InodeError::Deleted));
    // The time of deletion of an inode that has links again means nothing.
    put16(&mut b, 26, 1);
    assert_eq!(parse(&b).unwrap().dtime, 0);
    assert_eq!(LINKS_MAX, 65000);
}

#[test]
fn types() {
    for kind in 0..16u16 {
        let mut b = raw((kind << 12) | 0o644);
        put32(&mut b, 4, 1024);
        put32(&mut b, 28, 2);
        let known = [1, 2, 4, 6, 8, 10, 12].contains(&kind);
        match parse(&b) {
            Ok(inode) => {
                assert!(known);
                assert_eq!(inode.pointers().is_some(), [4, 8].contains(&kind));
            }
            Err(_) if kind == 10 => assert!(message(&b).contains("symbolic link")),
            Err(_) => {
                assert!(!known);
                assert!(message(&b).contains("no known file type"));
            }
        }
    }
}

#[test]
fn sizes() {
    let with_size = |mode, low, high, sectors| {
        let mut b = raw(mode);
        put32(&mut b, 4, low);
        put32(&mut b, 108, high);
        put32(&mut b, 28, sectors);
        b
    };
    let reach = tree_blocks(10) << 10;
    let (low, high) = (reach as u32, (reach >> 32) as u32);
    assert_eq!(
        parse(&with_size(0o100644, low, high, 0)).unwrap().size,
        reach
    );
    assert!(message(&with_size(0o100644, low + 1, high, 0)).contains("beyond"));
    assert!(message(&with_size(0o100644, 0, 0x8000_0000, 0)).contains("beyond"));
    // The upper half is something else in a directory.
    assert_eq!(parse(&with_size(0o40755, 2048, 5, 4)).unwrap().size, 2048);
    assert!(message(&with_size(0o40755, 0, 0, 0)).contains("directory"));
    assert!(message(&with_size(0o40755, 1000, 0, 2)).contains("directory"));
    // What a listing would go round millions of times on.
    assert!(message(&with_size(0o40755, 0xffff_fc00, 0, 2)).contains("larger than the volume"));

    assert_eq!(parse(&with_size(0o120777, 1023, 0, 2)).unwrap().size, 1023);
    assert!(message(&with_size(0o120777, 1024, 0, 2)).contains("symbolic link"));
    assert!(message(&with_size(0o120777, 0, 0, 2)).contains("symbolic link"));
}

#[test]
fn flags_and_attributes() {
    for flag in [0x80000u32, 0x1000_0000] {
        let mut b = raw(0o100644);
        put32(&mut b, 32, flag);
        assert!(message(&b).contains("extents"));
    }
    let mut b = raw(0o100644);
    put32(&mut b, 104, 20_000);
    assert!(message(&b).contains("outside the volume"));
    put32(&mut b, 104, 2);
    assert!(message(&b).contains("metadata"));

    let dir = InodeFlags(u32::MAX);
    assert_eq!(dir.inherit(FileType::Directory).0, 0x1c6cf);
    assert_eq!(dir.inherit(FileType::Regular).0, 0xc6cf);
    assert_eq!(dir.inherit(FileType::Symlink).0, 0xc0);
    assert!(dir.has(InodeFlags::TOPDIR) && dir.has(InodeFlags::DIRSYNC));
}

#[test]
fn flags_that_users_set() {
    let set = |old: u32, new, file_type| {
        let set = InodeFlags(old).with_settable(new, file_type);
        set.map(|flags| flags.0)
    };
    let (index, dirsync) = (InodeFlags::INDEX, InodeFlags::DIRSYNC);
    assert_eq!(
        set(index, dirsync, FileType::Directory),
        Some(index | dirsync)
    );
    assert_eq!(
        set(index, index | 0x10, FileType::Directory),
        Some(index | 0x10)
    );
    assert_eq!(set(0x10, 0, FileType::Regular), Some(0));
    assert_eq!(set(0, 0x80ff, FileType::Regular), Some(0x80ff));
    assert_eq!(set(0, dirsync, FileType::Regular), None);
    assert_eq!(set(0, 0xc0, FileType::Fifo), Some(0xc0));
    assert_eq!(set(0, 0x8, FileType::Symlink), None);
    assert_eq!(set(0, !InodeFlags::VISIBLE, FileType::Regular), None);
    // journal_data, of which lsattr tells, and which nobody can change
    assert_eq!(set(0, 0x4000, FileType::Regular), None);
    assert_eq!(set(0x4000, 0x4080, FileType::Regular), Some(0x4080));
    assert_eq!(set(0x4000, 0, FileType::Regular), Some(0x4000));
    assert_eq!(set(0, index, FileType::Directory), Some(0));
}

#[test]
fn devices() {
    for mode in [0o20600, 0o60600] {
        let mut b = raw(mode);
        put32(&mut b, 40, 0x0803);
        let expected = Device { major: 8, minor: 3 };
        assert_eq!(parse(&b).unwrap().content, Content::Device(expected));
        put32(&mut b, 40, 0);
        put32(&mut b, 44, 0xfff0_0000 | (0x103 << 8) | 0x45);
        let expected = Device {
            major: 0x103,
            minor: 0xfff45,
        };
        assert_eq!(parse(&b).unwrap().content, Content::Device(expected));
    }
    for (major, minor, words) in [
        (8, 3, (0x803, 0)),
        (255, 255, (0xffff, 0)),
        (256, 0, (0, 0x10000)),
        (8, 256, (0, 0x10_0800)),
        (0, 0, (0, 0)),
    ] {
        assert_eq!(Device { major, minor }.encode(), words);
    }
}

#[test]
fn short_links() {
    let link = |target: &[u8], size: u32, acl: u32, sectors: u32| {
        let mut b = raw(0o120777);
        b[40..40 + target.len()].copy_from_slice(target);
        put32(&mut b, 4, size);
        put32(&mut b, 104, acl);
        put32(&mut b, 28, sectors);
        b
    };
    let target_in = |b: &[u8]| match parse(b).unwrap().content {
        Content::FastSymlink(link) => target(&link).to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(target_in(&link(b"a/b", 3, 0, 0)), b"a/b");
    assert_eq!(target_in(&link(b"a/b", 3, DATA, 2)), b"a/b");
    assert_eq!(target_in(&link(&[b'x'; 59], 59, 0, 0)), [b'x'; 59]);
    // Not made here, but read, and stored as it was.
    let full = link(&[b'x'; 60], 60, 0, 0);
    assert_eq!(target_in(&full), [b'x'; 60]);
    let mut stored = full.clone();
    parse(&full).unwrap().store(12, &mut stored, false).unwrap();
    assert_eq!(stored[40..100], [b'x'; 60]);
    for bad in [
        link(b"", 0, 0, 0),
        link(&[b'x'; 60], 61, 0, 0),
        link(b"x", u32::MAX, 0, 0),
        link(b"a\0b", 3, 0, 0),
        link(b"ab", 3, 0, 0),
    ] {
        assert!(message(&bad).contains("short symbolic link"));
    }
    // Attributes and one block of its own: not a short one.
    assert!(parse(&link(b"abc", 3, DATA, 4))
        .unwrap()
        .pointers()
        .is_some());

    assert!(FastSymlink::new(&[b'x'; 60]).is_none());
    assert!(FastSymlink::new(b"").is_none());
    let link = FastSymlink::new(&[b'x'; 59]).unwrap();
    assert_eq!(link.zero_terminated()[59], 0);
}

#[test]
fn new_inodes_take_nothing_over() {
    let mut b = vec![0xff; 256];
    let inode = Inode {
        mode: 0o10600,
        file_type: FileType::Fifo,
        uid: 1,
        gid: 2,
        size: 0,
        links: 1,
        sectors: 0,
        huge: false,
        atime: Time::seconds(1),
        ctime: Time::seconds(2),
        mtime: Time::seconds(1 << 33),
        crtime: Some(Time {
            seconds: -5,
            nanoseconds: 999_999_999,
        }),
        dtime: 0,
        flags: InodeFlags(0),
        generation: 9,
        file_acl: 0,
        extra_size: 32,
        content: Content::Nothing,
    };
    assert_eq!(inode.store(12, &mut b, true).unwrap(), 0..256);
    assert_eq!(parse(&b).unwrap(), inode);
    assert!(b[160..].iter().all(|&b| b == 0));
    assert!(b[40..100].iter().all(|&b| b == 0));
    assert!(inode.store(12, &mut [0; 127], false).is_err());
}

#[test]
fn sectors_of_huge_files() {
    let geometry = |ro_compat| {
        let spec = Spec {
            ro_compat,
            ..Spec::default()
        };
        spec.geometry()
    };
    let (small, huge) = (geometry(0x3), geometry(0xb));
    let parse =
        |geometry: &Geometry, b: &[u8]| Inode::parse(&Layout::new(geometry, &[]), 12, b).unwrap();
    let mut b = raw(0o100644);
    put32(&mut b, 28, 0xffff_fffe);
    put16(&mut b, 116, 3);
    put32(&mut b, 32, 0x40080);
    // Without the feature these are no sectors, and are kept.
    let mut inode = parse(&small, &b);
    assert_eq!((inode.sectors, inode.flags.0), (0xffff_fffe, 0x40080));
    inode.sectors = 10;
    inode.store(12, &mut b, false).unwrap();
    assert_eq!((get32(&b, 28), get16(&b, 116)), (10, 3));
    assert_eq!(get32(&b, 32), 0x40080);
    // Blocks of 1 KiB.
    let mut inode = parse(&huge, &b);
    assert_eq!((inode.sectors, inode.flags.0), ((3 << 32 | 10) * 2, 0x80));
    inode.sectors += 4;
    inode.store(12, &mut b, false).unwrap();
    assert_eq!((get32(&b, 28), get16(&b, 116)), (24, 6));
    assert_eq!(parse(&huge, &b), inode);
}

#[test]
fn deletion_clears_the_upper_ids() {
    let mut b = raw(0o100644);
    put16(&mut b, 120, 1);
    put16(&mut b, 122, 1);
    let mut inode = parse(&b).unwrap();
    inode.dtime = 1000;
    inode.links = 0;
    inode.store(12, &mut b, false).unwrap();
    assert_eq!((get16(&b, 120), get16(&b, 122)), (0, 0));
    assert_eq!(parse(&b), Err(InodeError::Deleted));
}

#[test]
fn extra_times_are_kept_as_far_as_there_is_room() {
    let late = Time {
        seconds: 1 << 33,
        nanoseconds: 7,
    };
    for (extra_size, rooms) in [
        (32u16, [true; 3]),
        (8, [true, false, false]),
        (0, [false; 3]),
    ] {
        let mut b = raw(0o100644);
        b[128..].fill(0x77);
        put16(&mut b, 128, extra_size);
        let mut inode = parse(&b).unwrap();
        let before = b.clone();
        inode.store(12, &mut b, false).unwrap();
        assert_eq!(b, before, "nothing changed");
        (inode.ctime, inode.mtime, inode.atime) = (late, late, late);
        let changed = inode.store(12, &mut b, false).unwrap();
        assert_eq!(changed, 0..128 + usize::from(extra_size));
        let again = parse(&b).unwrap();
        for (time, room) in [again.ctime, again.mtime, again.atime]
            .into_iter()
            .zip(rooms)
        {
            let short = Time::seconds(i32::MAX.into());
            assert_eq!(time, if room { late } else { short }, "{extra_size}");
        }
        assert_eq!(b[144..], before[144..]);
    }
}

#[test]
fn fields_are_taken_into_use() {
    let mut b = raw(0o100644);
    b[128..].fill(0x77);
    put16(&mut b, 128, 0);
    let mut inode = parse(&b).unwrap();
    assert_eq!((inode.extra_size, inode.crtime), (0, None));
    inode.extra_size = 32;
    assert_eq!(inode.store(12, &mut b, false).unwrap(), 0..160);
    assert_eq!(get16(&b, 128), 32);
    assert!(b[130..160].iter().all(|&b| b == 0));
    assert!(b[160..].iter().all(|&b| b == 0x77));
}

#[test]
fn a_time_of_birth_is_stored_as_far_as_there_is_room() {
    let birth = Time {
        seconds: 1 << 20,
        nanoseconds: 7,
    };
    for (extra_size, stored) in [
        (24, Some(birth)),
        (20, Some(Time::seconds(birth.seconds))),
        (16, None),
    ] {
        let inode = Inode {
            crtime: Some(birth),
            extra_size,
            ..parse(&raw(0o100644)).unwrap()
        };
        let mut b = raw(0o100644);
        inode.store(12, &mut b, true).unwrap();
        assert_eq!(parse(&b).unwrap().crtime, stored, "{extra_size}");
    }
}

#[test]
fn fields_that_are_none() {
    for (size, ok) in [(0, true), (4, true), (128, true), (6, false), (132, false)] {
        let mut b = raw(0o100644);
        put16(&mut b, 128, size);
        assert_eq!(parse(&b).is_ok(), ok, "{size}");
    }
}

#[test]
fn times() {
    for (field, extra, seconds, nanoseconds) in [
        (0, 0, 0, 0),
        (0xffff_ffff, 0, -1, 0),
        (0x8000_0000, 0, i32::MIN.into(), 0),
        (0x8000_0000, 1, 0x8000_0000, 0),
        (0, 1 | (5 << 2), 1 << 32, 5),
        (
            0x7fff_ffff,
            3 | (999_999_999 << 2),
            0x3_7fff_ffff,
            999_999_999,
        ),
    ] {
        let time = Time {
            seconds,
            nanoseconds,
        };
        assert_eq!(Time::decode(field, Some(extra)), time);
        assert_eq!(time.encode(), (field, extra));
    }
    let late = Time {
        seconds: 6,
        nanoseconds: 73_741_823,
    };
    assert_eq!(Time::decode(5, Some(((1 << 30) - 1) << 2)), late);
    assert_eq!(Time::decode(0xffff_ffff, None), Time::seconds(-1));
    assert_eq!(Time::seconds(1 << 40).encode(), (0x7fff_ffff, 3));
    assert_eq!(Time::seconds(-1 << 40).encode(), (0x8000_0000, 0));
    assert_eq!(Time::seconds(1 << 32).encode_short(), 0x7fff_ffff);
}

prop_compose! {
    /// Bytes of an inode that has good chances to be right.
    fn likely()(
        mut bytes in prop::collection::vec(any::<u8>(), 256),
        kind in prop::sample::select(vec![1u16, 2, 4, 6, 8, 10, 12, 15]),
        links in 0..3u16,
        size in prop::sample::select(vec![0u32, 1, 59, 60, 1023, 1024, 4096, u32::MAX]),
        size_high in prop::sample::select(vec![0u32, 1, 4, u32::MAX]),
        sectors in prop::sample::select(vec![0u32, 2, 4]),
        acl in prop::sample::select(vec![0u32, DATA, 5, u32::MAX]),
        flags: u32,
        extra_size in prop::sample::select(vec![0u16, 4, 8, 24, 28, 32, 128, 130]),
    ) -> Vec<u8> {
        put16(&mut bytes, 0, (kind << 12) | 0o644);
        put16(&mut bytes, 26, links);
        put32(&mut bytes, 4, size);
        put32(&mut bytes, 108, size_high);
        put32(&mut bytes, 28, sectors);
        put32(&mut bytes, 104, acl);
        put32(&mut bytes, 32, flags & !0x1008_0000);
        put16(&mut bytes, 128, extra_size);
        bytes
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    /// An inode that was read and is written back unchanged changes no byte that has a meaning.
    #[test]
    fn reading_and_writing_back_changes_nothing(bytes in likely()) {
        if let Ok(inode) = parse(&bytes) {
            let mut after = bytes.clone();
            inode.store(12, &mut after, false).unwrap();
            let mut expected = bytes.clone();
            // The time of deletion means nothing in an inode in use.
            put32(&mut expected, 20, 0);
            if let Content::Device(_) = inode.content {
                // There is more than one way to write a device.
                expected[40..48].copy_from_slice(&after[40..48]);
            }
            if let Content::FastSymlink(link) = inode.content {
                // What follows the target is cleared.
                expected[40 + target(&link).len()..100].fill(0);
            }
            assert_eq!(after, expected);
            assert_eq!(parse(&after), Ok(inode));
            assert_eq!(inode.store(12, &mut vec![0; 256], true), Ok(0..256));
        }
    }

    #[test]
    fn times_survive(seconds in -(1i64 << 31)..(7i64 << 31), nanoseconds in 0u32..1_000_000_000) {
        let time = Time { seconds, nanoseconds };
        let (field, extra) = time.encode();
        assert_eq!(Time::decode(field, Some(extra)), time);
    }

    #[test]
    fn device_numbers_survive(major in 0..4096u32, minor in 0..0x100000u32) {
        let device = Device { major, minor };
        let (first, second) = device.encode();
        assert_eq!(Device::decode(first, second), device);
    }
}
