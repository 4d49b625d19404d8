// SPDX-License-Identifier: GPL-2.0

//! Tests of `xattr.rs`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::{get16, get32, put16, put32};
use crate::ext2::xattr::{
    are_here, block_hash, may_share, references, value_max, Attributes, Change, Changed, Index,
    Key, HEADER_BYTES, NAME_MAX,
};

const SIZE: usize = 1024;

fn key(index: u8, name: &[u8]) -> Key<'_> {
    Key {
        index: Index(index),
        name,
    }
}

fn set<'a>(key: Key<'a>, value: &'a [u8]) -> Change<'a> {
    Change {
        key,
        value: Some(value),
    }
}

/// A block with these attributes, added in this order.
fn block(attributes: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for &(index, name, value) in attributes {
        let old = match block.is_empty() {
            true => Attributes::NONE,
            false => Attributes::in_block(12, 99, &block).unwrap(),
        };
        let mut new = vec![0xaa; SIZE];
        assert!(Changed::new(old, set(key(index, name), value)).to_block(&mut new));
        block = new;
    }
    block
}

fn message(bytes: &[u8]) -> String {
    Attributes::in_block(12, 99, bytes).unwrap_err().to_string()
}

#[test]
fn a_block_as_the_kernel_makes_it() {
    let b = block(&[(4, b"b", b"second"), (1, b"name", b"v"), (1, b"zz", b"")]);
    assert_eq!(
        [0, 4, 8].map(|at| get32(&b, at)),
        [0xea02_0000, 1, 1],
        "header"
    );
    // Sorted by the index, the length of the name, and the name.
    assert_eq!(b[32..34], [2, 1]);
    assert_eq!(&b[48..50], b"zz");
    assert_eq!(b[52..54], [4, 1]);
    assert_eq!(b[72..74], [1, 4]);
    assert_eq!(b[92..96], [0; 4]);
    // Values from the end on, each padded; an empty one has no place.
    assert_eq!((get16(&b, 34), get32(&b, 40)), (0, 0));
    assert_eq!((get16(&b, 54), get32(&b, 60)), (1020, 1));
    assert_eq!((get16(&b, 74), get32(&b, 80)), (1012, 6));
    assert_eq!(&b[1012..], b"second\0\0v\0\0\0");
    // Hashes by hand.
    let zz = (0x7au32 << 5) ^ 0x7a;
    assert_eq!(get32(&b, 44), zz);
    let name = b"name"
        .iter()
        .fold(0u32, |hash, &c| hash.rotate_left(5) ^ u32::from(c));
    let name = name.rotate_left(16) ^ u32::from(b'v');
    assert_eq!(get32(&b, 64), name);
    let second = u32::from(b'b').rotate_left(16) ^ u32::from_le_bytes(*b"seco");
    let second = second.rotate_left(16) ^ u32::from_le_bytes(*b"nd\0\0");
    assert_eq!(get32(&b, 84), second);
    let all = (zz.rotate_left(16) ^ name).rotate_left(16) ^ second;
    assert_eq!(get32(&b, 12), all);
    assert_eq!(block_hash(&b), Some(all));
}

#[test]
fn the_order_of_changes_does_not_matter() {
    let a: (u8, &[u8], &[u8]) = (1, b"a", b"1");
    let b: (u8, &[u8], &[u8]) = (6, b"selinux", b"label");
    let c: (u8, &[u8], &[u8]) = (1, b"bb", b"22222");
    assert_eq!(block(&[a, b, c]), block(&[c, b, a]));
    assert_eq!(block(&[a, b, c]), block(&[b, (1, b"a", b"old"), c, a]));
}

#[test]
fn references_and_sharing() {
    let mut b = block(&[(1, b"a", b"1")]);
    let same = b.clone();
    assert_eq!(references(12, 99, &b), Ok(1));
    assert_eq!(may_share(&b, &same), Some(1));
    put32(&mut b, 4, 1023);
    assert_eq!(may_share(&b, &same), Some(1023));
    put32(&mut b, 4, 1024);
    assert_eq!(may_share(&b, &same), None);
    put32(&mut b, 4, 0);
    assert_eq!(may_share(&b, &same), None);
    assert!(message(&b).contains("no references"));
    assert_eq!(may_share(&block(&[(1, b"a", b"2")]), &same), None);
    put32(&mut b, 4, 1);
    put32(&mut b, 8, 2);
    assert!(message(&b).contains("not of one block (found 2)"));
    put32(&mut b, 0, 0xea01_0000);
    let error = "inode 12, attribute block 99: wrong magic number (found 3925934080)";
    assert_eq!(message(&b), error);
    assert!(message(&b[..HEADER_BYTES - 1]).contains("shorter than its header"));
}

#[test]
fn what_is_not_in_the_block() {
    let good = block(&[(1, b"name", b"value")]);
    assert!(Attributes::in_block(12, 99, &good).is_ok());
    for (what, offset, bits, value) in [
        ("value of an attribute out of bounds", 34, 16, 1020u32),
        ("value of an attribute out of bounds", 34, 16, 52),
        ("value of an attribute out of bounds", 40, 32, 9),
        ("value of an attribute out of bounds", 40, 32, 0xffff_ffff),
        ("value of an attribute in an inode", 36, 32, 15),
        ("with a NUL", 48, 16, 0),
    ] {
        let mut b = good.clone();
        match bits {
            16 => put16(&mut b, offset, value as u16),
            _ => put32(&mut b, offset, value),
        }
        assert!(message(&b).contains(what), "{what}");
    }
    // Nothing ends the entries.
    let mut b = vec![1; 64];
    b[..32].copy_from_slice(&good[..32]);
    for (len, what) in [
        (64, "name"),
        (48, "without an end"),
        (47, "beyond"),
        (34, "without"),
    ] {
        b[32] = if len == 64 { 17 } else { 1 };
        let text = message(&b[..len]);
        assert!(text.contains("attribute"), "{len}: {text} ({what})");
    }
}

#[test]
fn attributes_in_a_slot() {
    let mut slot = vec![0xaa; 96];
    let change = set(key(1, b"a"), b"value");
    assert!(Changed::new(Attributes::NONE, change).to_slot(&mut slot));
    assert!(are_here(slot[..4].try_into().unwrap()));
    // Values count from the first entry.
    assert_eq!(get16(&slot, 6) as usize, 96 - 4 - 8);
    // There are no hashes.
    assert_eq!(get32(&slot, 16), 0);
    let read = Attributes::in_slot(12, &slot).unwrap();
    assert_eq!(read.find(key(1, b"a")), Some(&b"value"[..]));
    assert_eq!(read.find(key(2, b"a")), None);
    let mut empty = vec![0xaa; 96];
    let gone = Change {
        key: key(1, b"a"),
        value: None,
    };
    assert!(Changed::new(read, gone).to_slot(&mut empty));
    assert_eq!(empty, [0; 96]);
    assert!(Attributes::in_slot(12, &empty)
        .unwrap()
        .iter()
        .next()
        .is_none());
    let long = set(key(1, b"a"), &[1; 80]);
    assert!(!Changed::new(Attributes::NONE, long).to_slot(&mut slot));
    assert!(!Changed::new(Attributes::NONE, change).to_slot(&mut [0; 7]));
}

#[test]
fn the_largest_value() {
    for name in [&b""[..], b"a", &[b'n'; NAME_MAX]] {
        let max = value_max(SIZE, name.len());
        let value = vec![7; max + 1];
        let mut b = vec![0; SIZE];
        let fits = set(key(1, name), &value[..max]);
        assert!(Changed::new(Attributes::NONE, fits).to_block(&mut b));
        let read = Attributes::in_block(12, 99, &b).unwrap();
        assert_eq!(read.find(key(1, name)), Some(&value[..max]));
        let more = set(key(1, name), &value);
        assert!(!Changed::new(Attributes::NONE, more).to_block(&mut b));
    }
}

const INDEXES: [u8; 6] = [
    Index::USER.0,
    Index::ACL_ACCESS.0,
    Index::ACL_DEFAULT.0,
    Index::TRUSTED.0,
    Index::SECURITY.0,
    7,
];

type Step = (u8, Vec<u8>, Option<Vec<u8>>);

fn step() -> impl Strategy<Value = Step> {
    (
        prop::sample::select(INDEXES.to_vec()),
        prop::collection::vec(1u8..5, 0..4),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..60)),
    )
}

proptest! {
    /// Sets and removals agree with a map; what has no room changes nothing.
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec(step(), 1..40), in_slot: bool) {
        let mut model = BTreeMap::new();
        let size = if in_slot { 96 } else { 300 };
        let mut area = vec![0; size];
        for (index, name, value) in steps {
            let old = match in_slot {
                true => Attributes::in_slot(12, &area).unwrap(),
                false if model.is_empty() => Attributes::NONE,
                false => Attributes::in_block(12, 99, &area).unwrap(),
            };
            let change = Change { key: key(index, &name), value: value.as_deref() };
            let changed = Changed::new(old, change);
            let mut new = vec![0x55; size];
            let mut wanted = model.clone();
            match value.clone() {
                Some(value) => wanted.insert((index, name.clone()), value),
                None => wanted.remove(&(index, name.clone())),
            };
            prop_assert_eq!(changed.is_empty(), wanted.is_empty());
            let used: usize = wanted.iter()
                .map(|((_, name), value): (&(u8, Vec<u8>), &Vec<u8>)| {
                    16 + name.len().next_multiple_of(4) + value.len().next_multiple_of(4)
                })
                .sum();
            let header = if in_slot { 4 } else { 32 };
            let fits = used + header + 4 <= size || (in_slot && wanted.is_empty());
            let made = match in_slot {
                true => changed.to_slot(&mut new),
                false => changed.to_block(&mut new),
            };
            prop_assert_eq!(made, fits);
            if made {
                area = new;
                model = wanted;
            }
            let read = match in_slot {
                true => Attributes::in_slot(12, &area).unwrap(),
                false if model.is_empty() => Attributes::NONE,
                false => Attributes::in_block(12, 99, &area).unwrap(),
            };
            let all: BTreeMap<_, _> = read.iter()
                .map(|a| ((a.key.index.0, a.key.name.to_vec()), a.value.to_vec()))
                .collect();
            prop_assert_eq!(&all, &model);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header: bool) {
        if header && bytes.len() >= 32 {
            bytes[..12].copy_from_slice(&[0, 0, 2, 0xea, 1, 0, 0, 0, 1, 0, 0, 0]);
        }
        for read in [Attributes::in_block(12, 99, &bytes), Attributes::in_slot(12, &bytes)] {
            if let Ok(read) = read {
                let total: usize = read.iter().map(|a| a.key.name.len()).sum();
                prop_assert!(total <= bytes.len());
            }
        }
    }
}
