// SPDX-License-Identifier: GPL-2.0

//! Tests of `directory/sectors.rs` and of what else keeps to the sectors of a directory block: whichever of the sectors
//! that a change has written the device has, no name is lost that was there and stays.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    dir_block::ByName,
    index::{check, hashing},
    indexed::Indexed,
    support::{put16, put32, Spec},
};
use crate::ext2::{
    directory::{
        blocks::One,
        change::Insert,
        hash::Function,
        sector::{sector, SECTOR},
        split::Named,
        DirBlock, Name,
    },
    inode::FileType,
};

type Names = BTreeMap<Vec<u8>, u32>;

fn spec() -> Spec {
    Spec {
        log_block_size: 2,
        ..Spec::default()
    }
}

fn at() -> DirBlock {
    DirBlock::new(&spec().geometry(), 12, 1)
}

/// Names of all lengths, few of them long.
fn nth(n: usize) -> Vec<u8> {
    let len = match n % 5 {
        0 => 1 + n * 37 % 250,
        _ => 1 + n % 40,
    };
    format!("{n:0len$}").into_bytes()
}

/// How many bytes the entry of a name needs.
fn needed(name: &[u8]) -> usize {
    (8 + name.len()).next_multiple_of(4)
}

/// A block as others make it: the names one behind the other, as many as there is room for, and the slack behind them.
fn compact(size: usize, names: &[Vec<u8>]) -> Vec<u8> {
    let mut block = vec![0; size];
    let (mut end, mut last) = (0, 0);
    for (ino, name) in (100..).zip(names) {
        if end + needed(name) > size {
            break;
        }
        put32(&mut block, end, ino);
        put16(&mut block, end + 4, needed(name) as u16);
        block[end + 6] = name.len() as u8;
        block[end + 7] = 1;
        block[end + 8..end + 8 + name.len()].copy_from_slice(name);
        last = end;
        end += needed(name);
    }
    put16(&mut block, last + 4, (size - last) as u16);
    block
}

/// Removes a name as others do: merges it with the one before it, wherever that is.
fn remove_as_others(at: &DirBlock, block: &mut [u8], name: &[u8]) {
    let found = at.find(block, Name::new(name).unwrap()).unwrap().unwrap();
    let (offset, end) = (found.offset, found.end());
    let before = at
        .entries(block)
        .map(Result::unwrap)
        .take_while(|entry| entry.offset < offset)
        .last()
        .map(|entry| entry.offset);
    match before {
        Some(before) => put16(block, before + 4, (end - before) as u16),
        None => put32(block, 0, 0),
    }
}

/// The names of a block, which is right.
fn names(at: &DirBlock, block: &[u8]) -> Names {
    let mut all = Names::new();
    for entry in at.entries(block) {
        let entry = entry.unwrap();
        if entry.ino != 0 {
            assert_eq!(all.insert(entry.name.to_vec(), entry.ino), None);
        }
    }
    all
}

/// Whichever sectors of a change the device has, the block has the names that were there and still are, and none that
/// never was.
fn torn(at: &DirBlock, before: &[u8], after: &[u8]) {
    let differ: Vec<_> = (0..before.len() / SECTOR)
        .map(|n| n * SECTOR..(n + 1) * SECTOR)
        .filter(|range| before[range.clone()] != after[range.clone()])
        .collect();
    let (old, new) = (names(at, before), names(at, after));
    for written in 0..1_u32 << differ.len() {
        let mut block = before.to_vec();
        for (bit, range) in differ.iter().enumerate() {
            if written & 1 << bit != 0 {
                block[range.clone()].copy_from_slice(&after[range.clone()]);
            }
        }
        let found = names(at, &block);
        for (name, ino) in &new {
            if old.get(name) == Some(ino) {
                assert_eq!(found.get(name), Some(ino));
            }
        }
        for (name, ino) in &found {
            assert!(old.get(name) == Some(ino) || new.get(name) == Some(ino));
        }
    }
}

fn in_one_sector(before: &[u8], after: &[u8]) {
    let changed: BTreeSet<_> = (0..before.len())
        .filter(|&at| before[at] != after[at])
        .map(sector)
        .collect();
    assert!(changed.len() <= 1, "{changed:?}");
}

/// Inserts a name, step by step. Returns whether there was room.
fn insert(at: &DirBlock, block: &mut Vec<u8>, name: &[u8], near: Option<usize>) -> bool {
    let valid = Name::new(name).unwrap();
    let before = block.clone();
    let mut found = at.find_room(&mut One(block), valid, near).unwrap();
    if found == Insert::Undivided {
        at.prepare_division(block).unwrap();
        assert_eq!(names(at, &before), names(at, block));
        torn(at, &before, block);
        let prepared = block.clone();
        at.divide(block).unwrap();
        torn(at, &prepared, block);
        found = at.find_room(&mut One(block), valid, near).unwrap();
        assert!(matches!(found, Insert::Room(_)));
        // The device may have nothing of the second step when the name is there.
        let divided = block.clone();
        let Insert::Room(room) = found else {
            unreachable!()
        };
        at.insert(&mut One(block), room, valid, 99, FileType::Regular)
            .unwrap();
        torn(at, &prepared, block);
        in_one_sector(&divided, block);
        return true;
    }
    let Insert::Room(room) = found else {
        return false;
    };
    at.insert(&mut One(block), room, valid, 99, FileType::Regular)
        .unwrap();
    in_one_sector(&before, block);
    torn(at, &before, block);
    true
}

#[test]
fn room_in_the_wanted_sector() {
    let at = at();
    let mut block = vec![0; 4096];
    at.init_empty(&mut block).unwrap();
    for (near, name) in [(3, b"a"), (5, b"b"), (3, b"c")] {
        assert!(insert(&at, &mut block, name, Some(near)));
        let offset = at.find(&block, Name::new(name).unwrap()).unwrap().unwrap();
        assert_eq!(sector(offset.offset), near);
    }
    // There is none: it comes to the first one.
    for name in [b"d", b"e"] {
        let mut long = vec![b'x'; 240];
        long.extend(name);
        assert!(insert(&at, &mut block, &long, Some(3)));
    }
    let second = at.find(
        &block,
        Name::new(&[[b'x'; 240].as_slice(), b"e"].concat()).unwrap(),
    );
    assert_eq!(sector(second.unwrap().unwrap().offset), 0);
}

/// What was left of names that were longer is not taken for an entry.
#[test]
fn a_short_name_in_the_room_of_long_ones() {
    let at = at();
    let mut block = compact(
        4096,
        &(0..80)
            .map(|n| format!("{n:024}").into_bytes())
            .collect::<Vec<_>>(),
    );
    let all: Vec<_> = names(&at, &block).into_keys().collect();
    for pair in all.windows(2) {
        let mut block = block.clone();
        for name in pair {
            let before = block.clone();
            at.remove_name(&mut block, Name::new(name).unwrap())
                .unwrap()
                .unwrap();
            in_one_sector(&before, &block);
        }
        for name in [b"n", b"m"] {
            assert!(insert(&at, &mut block, name, None));
        }
    }
}

/// An entry that e2fsck has cleared keeps the length of its name, which may be more than is left of it.
#[test]
fn a_cleared_entry_across_sectors() {
    let at = at();
    let all: Vec<_> = (0..100).map(|n| format!("{n:060}").into_bytes()).collect();
    let block = compact(4096, &all);
    let across = at.entries(&block).map(Result::unwrap);
    let across: Vec<_> = across
        .filter(|entry| sector(entry.offset) != sector(entry.offset + entry.rec_len - 1))
        .map(|entry| entry.offset)
        .collect();
    assert!(across.len() > 3);
    for offset in across {
        let mut block = block.clone();
        put32(&mut block, offset, 0);
        let there = names(&at, &block);
        insert(&at, &mut block, b"short", None);
        let now = names(&at, &block);
        assert!(there.iter().all(|(name, ino)| now.get(name) == Some(ino)));
    }
}

proptest! {
    /// In blocks that were made here, and in those of others.
    #[test]
    fn changes_are_not_torn(
        others in prop::option::of((0..120usize, prop::collection::vec(0..120usize, 0..40))),
        ops in prop::collection::vec((0..3u8, 0..200usize), 0..80),
        near in prop::option::of(0..8usize),
    ) {
        let at = at();
        let mut block = vec![0; 4096];
        match &others {
            None => at.init_empty(&mut block).unwrap(),
            Some((count, gone)) => {
                block = compact(4096, &(0..*count).map(nth).collect::<Vec<_>>());
                for &n in gone {
                    if names(&at, &block).contains_key(&nth(n)) {
                        remove_as_others(&at, &mut block, &nth(n));
                    }
                }
            }
        }
        for (op, n) in ops {
            let bytes = nth(n);
            let name = Name::new(&bytes).unwrap();
            let before = block.clone();
            let had = names(&at, &before);
            match op {
                0 if had.contains_key(&bytes) => {}
                0 => {
                    insert(&at, &mut block, &bytes, near);
                }
                1 => {
                    let found = at.find_in(&mut One(&mut block), name).unwrap();
                    let removed = at.remove_name(&mut block, name).unwrap();
                    in_one_sector(&before, &block);
                    torn(&at, &before, &block);
                    prop_assert_eq!(removed.is_some(), had.contains_key(&bytes));
                    if let (Some(found), Some(&ino)) = (found, had.get(&bytes)) {
                        let mut again = block.clone();
                        at.put_back(&mut One(&mut again), &found, ino, FileType::Regular).unwrap();
                        in_one_sector(&block, &again);
                        prop_assert_eq!(names(&at, &again), had.clone());
                    }
                }
                _ => {
                    at.set_inode_of(&mut block, name, 98, FileType::Regular).unwrap();
                    in_one_sector(&before, &block);
                    torn(&at, &before, &block);
                }
            }
            if others.is_none() {
                for entry in at.entries(&block) {
                    let entry = entry.unwrap();
                    prop_assert_eq!(sector(entry.offset), sector(entry.end() - 1));
                }
            }
        }
    }

    /// What stays in a block that is split stays in its sectors, and what moves is within some of the new one.
    #[test]
    fn a_split_is_not_torn(
        others in any::<bool>(),
        count in 1..300usize,
        gone in prop::collection::vec(0..300usize, 0..40),
    ) {
        let at = at();
        let all: Vec<_> = (0..count).map(nth).collect();
        let mut block = compact(4096, &all);
        if !others {
            at.init_empty(&mut block).unwrap();
            for name in &all {
                insert(&at, &mut block, name, None);
            }
        }
        for n in gone {
            if names(&at, &block).contains_key(&nth(n)) {
                match others {
                    true => remove_as_others(&at, &mut block, &nth(n)),
                    false => drop(at.remove_name(&mut block, Name::new(&nth(n)).unwrap())),
                }
            }
        }
        let before = names(&at, &block);
        let hashing = hashing(Function::HalfMd4, true);
        let mut room = vec![Named::default(); at.names_max()];
        let hash = |name: &[u8]| hashing.hash(Function::HalfMd4, name).major;
        let Some(halves) = at.halves(&block, hash, &mut room).unwrap() else {
            prop_assert!(before.is_empty());
            return Ok(());
        };
        let (mut moved, mut stays, mut spare) = (vec![1; 4096], vec![1; 4096], vec![0; 4096]);
        at.copy_moving(&mut moved, &block, &halves).unwrap();
        at.copy_staying(&mut stays, &block, &halves).unwrap();
        let mut after = block.clone();
        at.remove_moving(&mut after, &halves, &mut spare).unwrap();
        torn(&at, &block, &after);
        for copy in [&moved, &stays] {
            for entry in at.entries(copy) {
                let entry = entry.unwrap();
                prop_assert_eq!(sector(entry.offset), sector(entry.end() - 1));
            }
        }
        prop_assert_eq!(names(&at, &stays), names(&at, &after));
        let mut both = names(&at, &moved);
        prop_assert!(both.keys().all(|name| hash(name) >= halves.hash & !1));
        both.extend(names(&at, &after));
        prop_assert_eq!(both, before);
    }

    /// Directories that others made take names of all lengths, with blocks of two sectors too.
    #[test]
    fn directories_of_others_grow(
        log_block_size in 0..3u32,
        lens in prop::collection::vec(prop_oneof![1..256usize, 200..256usize], 0..40),
        gone in prop::collection::vec(0..40usize, 0..30),
        new in prop::collection::vec(1..256usize, 1..60),
    ) {
        let spec = Spec { log_block_size, inode_size: 128, ..Spec::default() };
        let mut dir = Indexed::new(spec.geometry(), 13, hashing(Function::HalfMd4, true));
        let name = |n: usize, len: usize| format!("{n:0len$}").into_bytes();
        let mut all = vec![b".".to_vec(), b"..".to_vec()];
        all.extend(lens.iter().enumerate().map(|(n, &len)| name(n, len)));
        let at = dir.at(0);
        let block = &mut dir.blocks.0[0];
        *block = compact(block.len(), &all);
        let offsets: Vec<_> = at.entries(block).map(|entry| entry.unwrap().offset).collect();
        for offset in offsets {
            put32(block, offset, 12);
        }
        put32(block, 0, 13);
        for n in gone {
            if let Some(name) = all.get(2 + n).filter(|name| names(&at, block).contains_key(*name)) {
                remove_as_others(&at, block, name);
            }
        }
        let mut expected: BTreeSet<_> = names(&at, block).into_keys().collect();
        expected.retain(|name| !name.starts_with(b"."));
        for (n, &len) in new.iter().enumerate() {
            let name = name(1000 + n, len);
            prop_assert_eq!(dir.insert(&name, 12), Ok(()));
            expected.insert(name);
        }
        check(&mut dir, &expected);
    }
}
