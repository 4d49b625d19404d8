// SPDX-License-Identifier: GPL-2.0

//! Tests of `directory.rs`, against a list of names.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::dir_block::{ByName, Inserted};
use super::support::{get16, put16, put32, Spec};
use crate::ext2::{
    directory::{
        blocks::One, grown, sector::sector, type_code, type_from_code, DirBlock, Name, NAME_MAX,
    },
    inode::FileType,
};

const SIZE: usize = 1024;

fn at() -> DirBlock {
    DirBlock::new(&Spec::default().geometry(), 12, 0)
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

/// The first block of directory 12 in directory 2.
fn first() -> Vec<u8> {
    let mut block = vec![0xaa; SIZE];
    at().init_first(&mut block, 2).unwrap();
    block
}

fn message(block: &[u8]) -> String {
    let error = at().entries(block).find_map(Result::err);
    error.map_or(String::new(), |e| e.to_string())
}

#[test]
fn names() {
    assert!(Name::new(b"a").is_some() && Name::new(&[b'x'; NAME_MAX]).is_some());
    for bad in [&b""[..], b"a/b", b"a\0", &[b'x'; NAME_MAX + 1]] {
        assert!(Name::new(bad).is_none());
    }
}

#[test]
fn the_size_has_32_bits() {
    assert_eq!(grown(0, SIZE), Some(1024));
    assert_eq!(grown(0x7fff_f800, SIZE), Some(0x7fff_fc00));
    assert_eq!(grown(0x7fff_fc00, SIZE), None);
    assert_eq!(grown(0xffff_fc00, SIZE), None);
    assert_eq!(grown(u64::MAX, SIZE), None);
}

#[test]
fn type_codes() {
    for code in 0..=255 {
        match type_from_code(code) {
            Some(file_type) => assert_eq!(type_code(file_type), code),
            None => assert!(code == 0 || code > 7),
        }
    }
}

#[test]
fn a_new_directory() {
    let block = first();
    let mut expected = vec![0; SIZE];
    expected[..24]
        .copy_from_slice(b"\x0c\0\0\0\x0c\0\x01\x02.\0\0\0\x02\0\0\0\xf4\x01\x02\x02..\0\0");
    put16(&mut expected, 512 + 4, 512);
    assert_eq!(block, expected);
    assert!(at().is_empty(&block).unwrap());
    let dots = at().find(&block, name(b"..")).unwrap().unwrap();
    assert_eq!((dots.offset, dots.rec_len, dots.end()), (12, 500, 512));
    assert_eq!((dots.ino, dots.file_type), (2, Some(FileType::Directory)));
    assert!(at().init_first(&mut [0; 512], 2).is_err());
}

#[test]
fn an_empty_block() {
    let mut block = vec![0xaa; SIZE];
    at().init_empty(&mut block).unwrap();
    assert_eq!([4, 512 + 4].map(|at| get16(&block, at)), [512; 2]);
    assert!(at().is_empty(&block).unwrap());
    assert_eq!(at().entries(&block).count(), 2);
    let done = at().insert_name(&mut block, name(b"abc"), 13, FileType::Regular);
    assert_eq!(done, Ok(Inserted::Done(0..11)));
    assert!(!at().is_empty(&block).unwrap());
}

#[test]
fn without_the_feature_there_are_no_types() {
    let spec = Spec {
        incompat: 0,
        ..Spec::default()
    };
    let at = DirBlock::new(&spec.geometry(), 12, 0);
    let mut block = vec![0; SIZE];
    at.init_first(&mut block, 2).unwrap();
    at.insert_name(&mut block, name(b"abc"), 13, FileType::Regular)
        .unwrap();
    at.set_inode_of(&mut block, name(b".."), 14, FileType::Directory)
        .unwrap();
    for entry in at.entries(&block) {
        let entry = entry.unwrap();
        assert_eq!(block[entry.offset + 7], 0);
        assert_eq!(entry.file_type, None);
    }
}

#[test]
fn only_dots_is_empty() {
    let mut block = first();
    put32(&mut block, 0, 13);
    assert!(!at().is_empty(&block).unwrap(), "'.' leads elsewhere");
    let mut block = first();
    at().insert_name(&mut block, name(b"..."), 13, FileType::Regular)
        .unwrap();
    assert!(!at().is_empty(&block).unwrap());
    at().remove_name(&mut block, name(b"...")).unwrap().unwrap();
    assert!(at().is_empty(&block).unwrap());
}

#[test]
fn removing_the_first_entry_leaves_an_unused_one() {
    let mut block = vec![0; SIZE];
    at().init_empty(&mut block).unwrap();
    at().insert_name(&mut block, name(b"one"), 13, FileType::Regular)
        .unwrap();
    at().insert_name(&mut block, name(b"two"), 14, FileType::Regular)
        .unwrap();
    let removed = at().remove_name(&mut block, name(b"one")).unwrap().unwrap();
    assert_eq!((removed.ino, removed.changed), (13, 0..4));
    let entries: Vec<_> = at().entries(&block).map(Result::unwrap).collect();
    assert_eq!((entries[0].ino, entries[0].rec_len), (0, 12));
    assert_eq!((entries[1].ino, entries[1].name), (14, &b"two"[..]));
    // The unused entry is used again when the name fits, and there is no room for two.
    let done = at().insert_name(&mut block, name(b"long name"), 15, FileType::Regular);
    assert_eq!(done, Ok(Inserted::Done(12 + 4..24 + 8 + 9)));
    for long in [&[b'x'; 230][..], &[b'y'; 190], &[b'z'; 250], &[b'w'; 250]] {
        let done = at().insert_name(&mut block, name(long), 15, FileType::Regular);
        assert!(matches!(done, Ok(Inserted::Done(_))));
    }
    let done = at().insert_name(&mut block, name(b"four"), 15, FileType::Regular);
    assert_eq!(done, Ok(Inserted::Done(0..12)));
    assert_eq!(at().remove_name(&mut block, name(b"none")), Ok(None));
}

#[test]
fn a_removed_entry_is_marked_also_when_it_is_merged() {
    let mut block = first();
    at().insert_name(&mut block, name(b"one"), 13, FileType::Regular)
        .unwrap();
    let removed = at().remove_name(&mut block, name(b"one")).unwrap().unwrap();
    assert_eq!((removed.ino, removed.changed), (13, 12 + 4..24 + 4));
    assert_eq!(block[24..28], [0; 4]);
    assert_eq!(block[32..35], *b"one", "the name stays");
    let mut expected = first();
    expected[24..36].copy_from_slice(&block[24..36]);
    assert_eq!(block, expected);
}

/// Whichever entry it is, and whatever became of the one before it.
#[test]
fn an_entry_that_was_removed_is_put_back() {
    let mut full = vec![0; SIZE];
    at().init_empty(&mut full).unwrap();
    for (ino, n) in (13..).zip([b"one", b"two", b"six"]) {
        at().insert_name(&mut full, name(n), ino, FileType::Regular)
            .unwrap();
    }
    for (ino, n) in (13..).zip([b"one", b"two", b"six"]) {
        let mut block = full.clone();
        let found = at()
            .find_in(&mut One(&mut block), name(n))
            .unwrap()
            .unwrap();
        at().set_inode_of(&mut block, name(b"two"), 99, FileType::Regular)
            .unwrap();
        at().remove(&mut One(&mut block), &found).unwrap();
        at().put_back(&mut One(&mut block), &found, ino, FileType::Regular)
            .unwrap();
        at().set_inode_of(&mut block, name(b"two"), 14, FileType::Regular)
            .unwrap();
        assert_eq!(block, full);
    }
}

#[test]
fn a_name_is_seen_behind_the_room_for_it() {
    let mut block = first();
    for n in [b"aaaa", b"bbbb"] {
        at().insert_name(&mut block, name(n), 13, FileType::Regular)
            .unwrap();
    }
    at().remove_name(&mut block, name(b"aaaa"))
        .unwrap()
        .unwrap();
    let again = at().insert_name(&mut block, name(b"bbbb"), 13, FileType::Regular);
    assert_eq!(again, Ok(Inserted::Exists));
}

#[test]
fn bad_entries_are_named() {
    type Case = (fn(&mut [u8]), &'static str);
    let cases: [Case; 9] = [
        (|b| put16(b, 16, 0), "entry shorter than possible (found 0)"),
        (|b| put16(b, 16, 8), "entry shorter than possible (found 8)"),
        (
            |b| put16(b, 16, 14),
            "length of an entry not a multiple of 4 (found 14)",
        ),
        (
            |b| put16(b, 16, 1016),
            "entry crosses the end of its block (found 1016)",
        ),
        (
            |b| put16(b, 16, 0xfffc),
            "entry crosses the end of its block (found 65532)",
        ),
        (
            |b| {
                put16(b, 16, 12);
                b[18] = 5;
            },
            "entry too short for its name (found 5)",
        ),
        (
            |b| put32(b, 12, 3073),
            "entry of an inode that does not exist (found 3073)",
        ),
        (
            |b| b[18] = 0,
            "name empty or with impossible bytes (found 2)",
        ),
        (|b| put16(b, 16, 1008), ""),
    ];
    for (change, text) in cases {
        let mut block = first();
        // The last one.
        put16(&mut block, 16, 1012);
        change(&mut block);
        if text.is_empty() {
            // Four bytes are left: not even a header.
            assert_eq!(
                message(&block),
                "directory 12, offset 1020: entry crosses the end of its block (found 0)"
            );
        } else {
            assert_eq!(message(&block), format!("directory 12, offset 12: {text}"));
        }
        let before = block.clone();
        assert!(at().is_empty(&block).is_err());
        assert!(at().find(&block, name(b"x")).is_err());
        assert!(at().remove_name(&mut block, name(b"x")).is_err());
        assert!(at()
            .set_inode_of(&mut block, name(b"x"), 1, FileType::Regular)
            .is_err());
        assert!(at()
            .insert_name(&mut block, name(b"x"), 1, FileType::Regular)
            .is_err());
        assert_eq!(block, before, "nothing changed");
    }
    // Offsets are those in the directory.
    let third = DirBlock::new(&Spec::default().geometry(), 12, 3);
    let error = third.entries(&[0; SIZE]).next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("directory 12, offset 3072:"));
}

#[test]
fn a_search_does_not_validate_the_bytes_of_other_names() {
    for (at_byte, bad) in [(21, b'/'), (20, 0)] {
        let mut block = first();
        at().insert_name(&mut block, name(b"abc"), 13, FileType::Regular)
            .unwrap();
        block[at_byte] = bad;
        let text = "directory 12, offset 12: name empty or with impossible bytes (found 2)";
        assert_eq!(message(&block), text, "who reads it is told");
        assert_eq!(at().find(&block, name(b"abc")).unwrap().unwrap().ino, 13);
        assert_eq!(at().find(&block, name(b"x")), Ok(None));
    }
}

#[test]
fn a_name_is_found_wherever_it_is() {
    // A block is searched in pieces, whose ends are in entries of any length.
    for len in 1..=NAME_MAX {
        let mut block = first();
        let nth = |n: u8| {
            let mut bytes = vec![b'a'; len];
            *bytes.last_mut().unwrap() = b'0' + n;
            bytes
        };
        let mut count = 0;
        while at().insert_name(&mut block, name(&nth(count)), 13, FileType::Regular)
            != Ok(Inserted::Full)
        {
            count += 1;
        }
        assert!(count >= 2);
        for n in 0..count {
            let bytes = nth(n);
            assert_eq!(
                at().find(&block, name(&bytes)).unwrap().unwrap().name,
                bytes
            );
            let again = at().insert_name(&mut block, name(&bytes), 13, FileType::Regular);
            assert_eq!(again, Ok(Inserted::Exists));
        }
        assert_eq!(at().find(&block, name(&nth(count))), Ok(None));
        let last = at().remove_name(&mut block, name(&nth(count - 1))).unwrap();
        assert_eq!(last.unwrap().ino, 13);
        assert_eq!(at().find(&block, name(&nth(count - 1))), Ok(None));
    }
}

#[test]
fn an_unused_entry_may_hold_any_name() {
    let mut block = first();
    at().insert_name(&mut block, name(b"abc"), 13, FileType::Regular)
        .unwrap();
    put32(&mut block, 24, 0);
    block[32] = b'/';
    assert_eq!(message(&block), "");
    assert!(at().is_empty(&block).unwrap());
}

#[test]
fn blocks_of_an_index_read_as_empty() {
    // A block inside the index: one unused entry of the whole block, then numbers.
    let mut block = vec![0xaa; SIZE];
    put32(&mut block, 0, 0);
    put16(&mut block, 4, 1024);
    block[6] = 0;
    block[7] = 0;
    assert_eq!(message(&block), "");
    assert!(at().is_empty(&block).unwrap());
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize),
    Remove(usize),
    Set(usize, u32),
}

fn nth_name(n: usize) -> Vec<u8> {
    let len = 1 + n * 7 % 40;
    format!("{n:0len$}").into_bytes()
}

proptest! {
    #[test]
    fn agrees_with_a_map(
        ops in prop::collection::vec(prop_oneof![
            4 => (0..60usize).prop_map(Op::Insert),
            3 => (0..60usize).prop_map(Op::Remove),
            1 => (0..60usize, 1..3000u32).prop_map(|(n, ino)| Op::Set(n, ino)),
        ], 0..200),
        with_dots: bool,
    ) {
        let at = at();
        let mut block = vec![0; SIZE];
        let mut model: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        if with_dots {
            at.init_first(&mut block, 2).unwrap();
            model.insert(b".".to_vec(), 12);
            model.insert(b"..".to_vec(), 2);
        } else {
            at.init_empty(&mut block).unwrap();
        }
        for op in ops {
            let before = block.clone();
            let changed = match op {
                Op::Insert(n) => {
                    let bytes = nth_name(n);
                    let ino = 100 + n as u32;
                    match at.insert_name(&mut block, name(&bytes), ino, FileType::Regular).unwrap() {
                        Inserted::Done(range) => {
                            assert_eq!(model.insert(bytes, ino), None);
                            range
                        }
                        Inserted::Exists => {
                            assert!(model.contains_key(&bytes));
                            0..0
                        }
                        Inserted::Full => {
                            let used = model.keys().map(|k| (k.len() + 11) / 4 * 4);
                            let free = SIZE - used.sum::<usize>();
                            // It may be in pieces, but in no more than there are entries and sectors.
                            assert!(free / (model.len() + 2) < 8 + bytes.len() + 3);
                            assert!(!model.contains_key(&bytes));
                            0..0
                        }
                    }
                }
                Op::Remove(n) => {
                    let bytes = nth_name(n);
                    let removed = at.remove_name(&mut block, name(&bytes)).unwrap();
                    assert_eq!(removed.as_ref().map(|r| r.ino), model.remove(&bytes));
                    removed.map_or(0..0, |r| r.changed)
                }
                Op::Set(n, ino) => {
                    let bytes = nth_name(n);
                    let set = at.set_inode_of(&mut block, name(&bytes), ino, FileType::Fifo).unwrap();
                    assert_eq!(set.is_some(), model.contains_key(&bytes));
                    if set.is_some() {
                        model.insert(bytes, ino);
                    }
                    set.unwrap_or(0..0)
                }
            };
            assert_eq!(before[..changed.start], block[..changed.start]);
            assert_eq!(before[changed.end..], block[changed.end..]);

            let mut found = BTreeMap::new();
            let mut end = 0;
            for entry in at.entries(&block) {
                let entry = entry.unwrap();
                assert_eq!(entry.offset, end);
                end = entry.end();
                assert_eq!(sector(entry.offset), sector(end - 1));
                if entry.ino != 0 {
                    assert_eq!(found.insert(entry.name.to_vec(), entry.ino), None);
                }
            }
            assert_eq!(end, SIZE);
            assert_eq!(found, model);
            for (bytes, &ino) in &model {
                assert_eq!(at.find(&block, name(bytes)).unwrap().unwrap().ino, ino);
            }
            let dots = model.keys().all(|k| k == b"." || k == b"..");
            assert_eq!(at.is_empty(&block).unwrap(), dots);
        }
    }

    /// Damage anywhere in a block is found or harmless; either way, what is changed afterwards
    /// leaves a block that is still a chain of entries.
    #[test]
    fn damage_never_panics(
        damage in prop::collection::vec((0..SIZE, any::<u8>()), 0..6),
        names in prop::collection::vec(0..60usize, 0..10),
        op in 0..4usize,
    ) {
        let at = at();
        let mut block = first();
        for &n in &names {
            at.insert_name(&mut block, name(&nth_name(n)), 100, FileType::Regular).unwrap();
        }
        for (offset, value) in damage {
            block[offset] = value;
        }
        let was_good = message(&block).is_empty();
        let bytes = nth_name(names.first().copied().unwrap_or(3));
        let ok = match op {
            0 => at.insert_name(&mut block, name(&bytes), 100, FileType::Regular).is_ok(),
            1 => at.insert_name(&mut block, name(b"new"), 100, FileType::Regular).is_ok(),
            2 => at.remove_name(&mut block, name(&bytes)).is_ok(),
            _ => at.set_inode_of(&mut block, name(&bytes), 100, FileType::Fifo).is_ok(),
        };
        if was_good {
            assert!(ok);
            assert_eq!(message(&block), "");
        }
    }

    #[test]
    fn random_blocks_never_panic(mut block in prop::collection::vec(any::<u8>(), 0..SIZE + 8)) {
        let at = at();
        assert!(at.entries(&block).count() <= SIZE);
        let _ = at.insert_name(&mut block, name(b"x"), 1, FileType::Regular);
        let _ = at.remove_name(&mut block, name(b"x"));
    }
}
