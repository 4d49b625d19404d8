// SPDX-License-Identifier: GPL-2.0

//! Tests of `directory/hash.rs`, `index.rs`, `path.rs`, `split.rs` and `order.rs`: against debugfs and
//! e2fsck, and against a set of names.

use std::{collections::BTreeSet, fs};

use proptest::prelude::*;

use super::{
    images::{debugfs, fsck, mke2fs, mount, populated, run, tool, Scratch, DEFAULT},
    indexed::{Blocks, Indexed, NotAdded},
    support::{get16, get32, put16, put32, Spec},
};
use crate::ext2::{
    directory::{
        hash::{Function, Hashing, MAX},
        index::{Pointer, Root, CONTINUED},
        order::{Key, Width},
    },
    geometry::ROOT_INO,
    inode::InodeFlags,
    sort::sort_by_key,
};

const FUNCTIONS: [Function; 3] = [Function::Legacy, Function::HalfMd4, Function::Tea];

pub(super) fn hashing(default: Function, unsigned: bool) -> Hashing {
    Hashing {
        default,
        unsigned,
        seed: [0; 4],
    }
}

#[test]
fn hashes_are_those_of_debugfs() {
    let scratch = Scratch::new();
    let image = mke2fs(&scratch, 1024, &format!("-b 1024 -O {DEFAULT}"));
    let mut names = vec![
        "a".to_owned(),
        "x".repeat(255),
        "\u{e4}\u{f6}\u{fc}".to_owned(),
    ];
    for len in [2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 100] {
        names.push("q\u{20ac}z".chars().cycle().take(len).collect());
    }
    let seeds = [
        ("-s 00000000-0000-0000-0000-000000000000", [0; 4]),
        (
            "-s 00112233-4455-6677-8899-aabbccddeeff",
            [0x3322_1100, 0x7766_5544, 0xbbaa_9988, 0xffee_ddcc],
        ),
    ];
    let (mut commands, mut expected) = (String::new(), Vec::new());
    for function in FUNCTIONS {
        assert_eq!(Function::from_code(function.code()), Some(function));
        for unsigned in [false, true] {
            // debugfs has no other name for those of unsigned bytes.
            let code = function.code() + if unsigned { 3 } else { 0 };
            for (option, seed) in seeds {
                for name in &names {
                    commands += &format!("dx_hash -h HASHALG_{code} {option} {name}\n");
                    let hashing = Hashing {
                        seed,
                        ..hashing(function, unsigned)
                    };
                    let hash = hashing.hash(function, name.as_bytes());
                    expected.push(format!("0x{:x} (minor 0x{:x})", hash.major, hash.minor));
                }
            }
        }
    }
    assert_eq!(Function::from_code(3), None);
    let text = debugfs(&image, &commands);
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(" is ").map(|(_, hash)| hash.to_owned()))
        .collect();
    // debugfs pads the numbers with zeroes.
    let plain = |text: &String| text.replace("0x0", "0x").replace("0x0", "0x");
    assert_eq!(
        found.iter().map(plain).collect::<Vec<_>>(),
        expected.iter().map(plain).collect::<Vec<_>>()
    );
}

#[test]
fn the_superblock_says_how_names_are_hashed() {
    let spec = Spec::default();
    let parse = |change: &dyn Fn(&mut [u8])| {
        let mut raw = spec.superblock();
        raw[0xfc] = 1;
        put32(&mut raw, 0xec, 0x1234);
        put32(&mut raw, 0x160, 1);
        change(&mut raw);
        let superblock = crate::ext2::superblock::Superblock::parse(&raw, spec.device_bytes());
        superblock.unwrap().hashing
    };
    let signed = Hashing {
        seed: [0x1234, 0, 0, 0],
        ..hashing(Function::HalfMd4, false)
    };
    assert_eq!(parse(&|_| {}), Some(signed));
    let unsigned = parse(&|raw| put32(raw, 0x160, 2)).unwrap();
    assert!(unsigned.unsigned);
    assert_eq!(
        parse(&|raw| put32(raw, 0x160, 4)),
        None,
        "nobody has said it"
    );
    assert_eq!(parse(&|raw| raw[0xfc] = 6), None, "unknown function");
    assert_eq!(parse(&|raw| put32(raw, 0x5c, 0x18)), None, "no dir_index");
}

pub(super) fn check(dir: &mut Indexed, names: &BTreeSet<Vec<u8>>) {
    for name in names {
        assert_eq!(dir.find(name), Ok(Some(12)), "{name:?}");
    }
    for width in [Width::Bits31, Width::Bits63] {
        let mut listed = dir.list(width, 400).unwrap();
        assert_eq!(listed[..2], [b".".to_vec(), b"..".to_vec()]);
        listed.drain(..2);
        listed.sort();
        assert!(listed.iter().eq(names), "{width:?}");
    }
}

pub(super) fn name(n: u32) -> Vec<u8> {
    // Of all lengths; most are short.
    let len = match n % 16 {
        0 => n.wrapping_mul(7919) % 240,
        _ => n % 12,
    };
    let mut name = format!("{n}-").into_bytes();
    name.resize(name.len() + len as usize, 0xe0 | (n % 3) as u8);
    name
}

/// Puts the directory into a real volume, for e2fsck.
fn store(dir: &mut Indexed, scratch: &Scratch, args: &str, code: u8, flags: u32) {
    let image = mke2fs(scratch, 8 << 10, args);
    let commands = format!("ssv def_hash_version {code}\nssv flags {flags}\nssv hash_seed clear\n");
    debugfs(&image, &commands);
    let mut volume = mount(&image);
    let file = volume.create(ROOT_INO, b"file").unwrap();
    let ino = volume.mkdir(ROOT_INO, b"d").unwrap();
    assert_eq!((file, ino), (12, dir.ino));
    let bytes: Vec<u8> = dir.blocks.0.concat();
    let names = dir.list(Width::Bits63, 400).unwrap().len() - 2;
    volume.write(ino, 0, &bytes).unwrap();
    let mut inode = volume.inode(ino).unwrap();
    inode.flags.0 |= InodeFlags::INDEX;
    volume.store(ino, &inode, false).unwrap();
    let mut inode = volume.inode(file).unwrap();
    inode.links = names as u16 + 1;
    volume.store(file, &inode, false).unwrap();
    fs::write(&image, volume.unmount().unwrap()).unwrap();
    fsck(&image);
}

#[test]
fn what_is_made_here_is_right_for_e2fsck() {
    let scratch = Scratch::new();
    for function in FUNCTIONS {
        for unsigned in [false, true] {
            for (log_block_size, count) in [(0, 6000), (2, 3000)] {
                let spec = Spec {
                    log_block_size,
                    inode_size: 128,
                    ..Spec::default()
                };
                let hashing = hashing(function, unsigned);
                let mut dir = Indexed::new(spec.geometry(), 13, hashing);
                let mut names = BTreeSet::new();
                for n in 0..count {
                    dir.insert(&name(n), 12).unwrap();
                    names.insert(name(n));
                    if n % 5 == 0 {
                        assert_eq!(dir.remove(&name(n / 2)), Ok(names.remove(&name(n / 2))));
                    }
                }
                check(&mut dir, &names);
                let levels = dir.walk(b"x").unwrap().frames().len();
                assert_eq!(levels, if log_block_size == 0 { 2 } else { 1 });
                let args = format!("-b {} -I 128 -O {DEFAULT}", 1024 << log_block_size);
                let flags = if unsigned { 2 } else { 1 };
                store(&mut dir, &scratch, &args, function.code(), flags);
            }
        }
    }
}

/// As many names as there can be, and one more.
#[test]
fn a_full_index() {
    let scratch = Scratch::new();
    let spec = Spec {
        inode_size: 128,
        ..Spec::default()
    };
    let mut dir = Indexed::new(spec.geometry(), 13, hashing(Function::Tea, false));
    let long = |n: u32| format!("{n:0250}").into_bytes();
    let full = (0..).find(|&n| match dir.insert(&long(n), 12) {
        Ok(()) => false,
        Err(NotAdded::Full) => true,
        Err(other) => panic!("{other:?}"),
    });
    let full = full.unwrap();
    assert!(full > 10_000, "{full}");
    for n in 0..=full {
        assert_eq!(dir.find(&long(n)).unwrap().is_some(), n < full);
    }
    // Others may have room.
    let room = (full + 1..full + 1000).filter(|&n| dir.insert(&long(n), 12).is_ok());
    assert!(room.count() > 0);
    let _ = scratch;
}

#[test]
fn an_index_made_by_e2fsck_is_used() {
    let scratch = Scratch::new();
    let root = scratch.path("tree");
    fs::create_dir_all(root.join("dir")).unwrap();
    for i in 0..3000 {
        fs::write(root.join(format!("dir/file-number-{i}")), b"").unwrap();
    }
    for block_size in [1024, 4096, 65536] {
        let args = format!("-b {block_size} -O {DEFAULT} -N 4000");
        let image = populated(&scratch, 24 << 10, &args, Some(&root));
        let status = run(tool("e2fsck").arg("-fyD").arg(&image)).status;
        assert!(matches!(status.code(), Some(0 | 1)), "{status}");
        let mut volume = mount(&image);
        let ino = volume.resolve("dir").unwrap();
        let bytes = volume.read(ino, u64::MAX).unwrap();
        let blocks = bytes.chunks(block_size).map(<[u8]>::to_vec).collect();
        let mut dir = Indexed {
            geometry: volume.geometry(),
            ino,
            hashing: volume.superblock.hashing.unwrap(),
            blocks: Blocks(blocks),
        };
        for i in 0..3000 {
            let name = format!("file-number-{i}").into_bytes();
            assert!(dir.find(&name).unwrap().is_some(), "{i}");
        }
        assert_eq!(dir.find(b"file-number-3000"), Ok(None));
        assert_eq!(dir.list(Width::Bits63, 400).unwrap().len(), 3002);
        assert_eq!(dir.list(Width::Bits31, 3).unwrap().len(), 3002);
    }
}

/// Names of one hash, in as many leaves as there are.
#[test]
fn collisions() {
    let spec = Spec::default();
    let hashing = hashing(Function::Legacy, false);
    let mut dir = Indexed::new(spec.geometry(), 13, hashing);
    let same = ["1068700", "1068722", "1068744"].map(|end| format!("{}{end}", "x".repeat(240)));
    let hashes = same
        .clone()
        .map(|name| hashing.hash(Function::Legacy, name.as_bytes()));
    assert!(hashes[0] == hashes[1] && hashes[1] == hashes[2]);
    let mut names = BTreeSet::new();
    for n in 0..400 {
        if let Some(name) = same.get(n) {
            dir.insert(name.as_bytes(), 12).unwrap();
            names.insert(name.clone().into_bytes());
        }
        dir.insert(format!("{n:0240}").as_bytes(), 12).unwrap();
        names.insert(format!("{n:0240}").into_bytes());
    }
    check(&mut dir, &names);
    for step in 1..5 {
        for width in [Width::Bits31, Width::Bits63] {
            assert_eq!(dir.list(width, step).unwrap().len(), names.len() + 2);
        }
    }
    for name in &same {
        assert_eq!(dir.insert(name.as_bytes(), 12), Err(NotAdded::Exists));
        assert_eq!(dir.remove(name.as_bytes()), Ok(true));
        assert_eq!(dir.find(name.as_bytes()), Ok(None));
    }
}

/// With 31 bits, the hashes 0, 2 and 4 have one position: leaves between which they are divided are read together.
#[test]
fn hashes_of_the_first_position() {
    // One of hash 0, seven of 2, two of 4.
    const ENDS: [&[u8; 7]; 10] = [
        b"a49fso\xa1",
        b"ceyy76m",
        b"epvi50o",
        b"e0d3a64",
        b"ip12cof",
        b"jwgxeny",
        b"j3o8edy",
        b"k6rp9pc",
        b"a902r54",
        b"bkiq6si",
    ];
    let hashing = hashing(Function::Legacy, false);
    let mut dir = Indexed::new(Spec::default().geometry(), 13, hashing);
    let mut names = BTreeSet::new();
    for (end, hash) in ENDS.iter().zip([0, 2, 2, 2, 2, 2, 2, 2, 4, 4]) {
        let name = [&[b'x'; 248], &end[..]].concat();
        assert_eq!(hashing.hash(Function::Legacy, &name).major, hash);
        dir.insert(&name, 12).unwrap();
        names.insert(name);
    }
    let root = &dir.blocks.0[0];
    let count = usize::from(get16(root, 34));
    let bounds: Vec<_> = (1..count).map(|n| get32(root, 32 + 8 * n)).collect();
    assert!(bounds.contains(&2) && bounds.contains(&4), "{bounds:?}");
    check(&mut dir, &names);
    // Others behind them.
    for n in 0..100 {
        let name = format!("{n:0240}").into_bytes();
        dir.insert(&name, 12).unwrap();
        names.insert(name);
    }
    check(&mut dir, &names);
    for step in 1..5 {
        for width in [Width::Bits31, Width::Bits63] {
            assert_eq!(dir.list(width, step).unwrap().len(), names.len() + 2);
        }
    }
}

/// A leaf is the first one of its node, may have names of the hash of the leaf before, and has only one, which moves when
/// it is split: the entry lies across the end of a sector, so that there is no room before it or behind it.
#[test]
fn the_only_name_of_a_leaf_moves() {
    const AT: usize = 256;
    let hashing = hashing(Function::HalfMd4, false);
    let hash = |name: &[u8]| hashing.hash(Function::HalfMd4, name).major;
    let mut dir = Indexed::new(Spec::default().geometry(), 13, hashing);
    let size = dir.blocks.0[0].len();
    assert_eq!(size, 1024);
    let name = |n: u32| format!("{n:0255}").into_bytes();
    let only = name(0);
    let bound = hash(&only) | CONTINUED;
    let other = (1..).map(name).find(|name| hash(name) > bound).unwrap();

    let pointers = [(0, 1), (bound, 2)].map(|(hash, block)| Pointer { hash, block });
    let at = dir.at(0);
    Root::init(&at, &mut dir.blocks.0[0], Function::HalfMd4, &pointers).unwrap();
    dir.blocks.0[0][30] = 1;
    for leaf in [3, 4] {
        let mut node = vec![0; size];
        put16(&mut node, 4, 1024);
        put16(&mut node, 8, 127);
        put16(&mut node, 10, 1);
        put32(&mut node, 12, leaf);
        dir.blocks.0.push(node);
    }
    let mut leaf = vec![0; size];
    put16(&mut leaf, 4, 1024);
    dir.blocks.0.push(leaf.clone());
    put16(&mut leaf, 4, AT as u16);
    put32(&mut leaf, AT, 12);
    put16(&mut leaf, AT + 4, (size - AT) as u16);
    leaf[AT + 6] = 255;
    leaf[AT + 8..AT + 8 + 255].copy_from_slice(&only);
    dir.blocks.0.push(leaf);

    let mut names = BTreeSet::from([only]);
    check(&mut dir, &names);
    dir.insert(&other, 12).unwrap();
    names.insert(other);
    assert_eq!(dir.blocks.0.len(), 6, "a leaf was split");
    check(&mut dir, &names);
}

#[test]
fn an_index_that_breaks_the_rules_is_named() {
    let spec = Spec {
        inode_size: 128,
        ..Spec::default()
    };
    let mut dir = Indexed::new(spec.geometry(), 13, hashing(Function::HalfMd4, false));
    for n in 0..9000 {
        dir.insert(&name(n), 12).unwrap();
    }
    let path = dir.walk(b"x").unwrap();
    let node = path.frames()[1].block;
    let mut message = |block: u32, change: &dyn Fn(&mut [u8])| {
        let before = dir.blocks.0[block as usize].clone();
        change(&mut dir.blocks.0[block as usize]);
        let error = dir.walk(b"x").unwrap_err().to_string();
        dir.blocks.0[block as usize] = before;
        error
    };
    let says = |error: String, what: &str| assert!(error.contains(what), "{error}");
    says(message(0, &|b| b[8] = b'x'), "no root of an index");
    says(message(0, &|b| put16(b, 16, 100)), "no root of an index");
    says(message(0, &|b| b[24] = 1), "not as it must be");
    says(message(0, &|b| b[28] = 3), "unknown hash function");
    says(message(0, &|b| b[29] = 12), "length of the root");
    says(message(0, &|b| b[30] = 2), "too many levels");
    says(message(0, &|b| b[31] = 1), "unknown flags");
    says(message(0, &|b| put16(b, 32, 9)), "wrong limit");
    says(message(0, &|b| put16(b, 34, 0)), "number of pointers");
    says(message(0, &|b| put16(b, 34, 125)), "number of pointers");
    let all = |value: u32| {
        move |b: &mut [u8]| {
            for offset in (8..1024).step_by(8).filter(|&at| at >= 36 - 32) {
                if get16(b, 8) == 127 {
                    put32(b, offset + 4, value);
                }
            }
        }
    };
    says(message(node, &all(0)), "no block below");
    says(message(node, &all(node)), "no block below");
    says(message(node, &all(1 << 20)), "no block below");
    says(message(node, &|b| b[0] = 1), "no node");
    says(message(node, &|b| put16(b, 4, 12)), "no node");
    says(message(node, &|b| put16(b, 8, 126)), "wrong limit");
    says(message(node, &|b| put16(b, 10, 128)), "number of pointers");
    // Of the root, and of a node: which are searched by halves.
    says(message(0, &|b| put32(b, 48, 3)), "not sorted");
    says(message(node, &|b| put32(b, 24, 3)), "not sorted");
    // Of a node within the hashes for which it is looked at.
    let last = |b: &[u8]| 8 + 8 * (usize::from(get16(b, 10)) - 1);
    let beyond = |b: &mut [u8]| put32(b, last(b), u32::MAX);
    says(message(node, &beyond), "not sorted");
    // Where a checksum is, is no pointer.
    dir.geometry = Spec {
        ro_compat: 0x403,
        ..spec
    }
    .geometry();
    says(dir.walk(b"x").unwrap_err().to_string(), "wrong limit");
    put16(&mut dir.blocks.0[0], 32, 123);
    put16(&mut dir.blocks.0[node as usize], 8, 126);
    dir.walk(b"x").unwrap();
    assert_eq!(get32(&dir.blocks.0[0], 24), 0);
}

#[test]
fn positions() {
    for width in [Width::Bits31, Width::Bits63] {
        assert!(width.has_dots(0) && width.has_dots(1) && !width.has_dots(2));
        assert_eq!(width.major(0), 0);
        assert_eq!(width.major(width.first(MAX)), MAX);
        assert!(width.first(MAX) < width.end());
        assert_eq!(width.first(0x1235), width.first(0x1234));
        assert!(width.major(width.end()) > MAX);
        // Names of the hash are in both leaves.
        assert!(width.joins(3) && width.joins(0x1235) && !width.joins(0x1234));
    }
    for bound in [2, 4, 6] {
        assert!(!Width::Bits63.joins(bound));
        assert_eq!(Width::Bits31.joins(bound), bound < 6);
    }
    assert_eq!(Key::default().entry(), (0, 0));
}

proptest! {
    #[test]
    fn sorted(mut items in proptest::collection::vec(0u8..20, 0..40)) {
        let mut expected = items.clone();
        expected.sort_unstable();
        sort_by_key(&mut items, |item| *item);
        prop_assert_eq!(items, expected);
    }

    /// Names come and go while somebody reads: who stays is read once.
    #[test]
    fn a_reader_sees_each_name_that_stays_once(
        before in 1u32..400,
        step in 1usize..20,
        narrow in any::<bool>(),
        ops in proptest::collection::vec((any::<bool>(), 0u32..900), 0..500),
        each in 1usize..40,
    ) {
        let spec = Spec { inode_size: 128, ..Spec::default() };
        let mut dir = Indexed::new(spec.geometry(), 13, hashing(Function::HalfMd4, true));
        let mut names = BTreeSet::new();
        for n in 0..before {
            dir.insert(&name(n), 12).unwrap();
            names.insert(name(n));
        }
        let mut stays = names.clone();
        // Names of one position that move while they are read are not told apart by where they are.
        let width = if narrow && before < 4 { Width::Bits31 } else { Width::Bits63 };
        let (mut read, mut from) = (Vec::new(), Some(Key::default()));
        let mut ops = ops.chunks(each);
        while let Some(key) = from {
            from = dir.list_from(width, step, key, &mut read).unwrap();
            for &(add, n) in ops.next().unwrap_or_default() {
                let name = name(n);
                if add {
                    let added = dir.insert(&name, 12);
                    prop_assert_eq!(added.is_ok(), names.insert(name.clone()));
                } else {
                    prop_assert_eq!(dir.remove(&name), Ok(names.remove(&name)));
                    stays.remove(&name);
                }
            }
        }
        for name in &stays {
            prop_assert_eq!(read.iter().filter(|other| *other == name).count(), 1);
        }
        check(&mut dir, &names);
    }
}
