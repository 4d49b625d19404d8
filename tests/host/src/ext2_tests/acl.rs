// SPDX-License-Identifier: GPL-2.0

//! Tests of `acl.rs`.

use proptest::prelude::*;

use crate::ext2::acl::{bytes_max, decode, encode, Entry, Tag};

fn entry(tag: Tag, permissions: u16) -> Entry {
    Entry { tag, permissions }
}

fn read(value: &[u8]) -> Result<Vec<Entry>, String> {
    decode(12, value)
        .and_then(|entries| entries.collect())
        .map_err(|error| error.to_string())
}

#[test]
fn as_the_kernel_has_them() {
    let list = [
        entry(Tag::Owner, 6),
        entry(Tag::User(1001), 7),
        entry(Tag::OwningGroup, 4),
        entry(Tag::Group(70_000), 5),
        entry(Tag::Mask, 6),
        entry(Tag::Other, 0),
    ];
    let mut value = [0xaa; 64];
    let len = encode(&mut value, list).unwrap();
    assert!(len <= bytes_max(list.len()));
    let expected = [
        1, 0, 0, 0, //
        1, 0, 6, 0, //
        2, 0, 7, 0, 0xe9, 3, 0, 0, //
        4, 0, 4, 0, //
        8, 0, 5, 0, 0x70, 0x11, 1, 0, //
        0x10, 0, 6, 0, //
        0x20, 0, 0, 0,
    ];
    assert_eq!(value[..len], expected);
    assert_eq!(read(&expected).unwrap(), list);
    assert!(encode(&mut value[..len - 1], list).is_none());
}

#[test]
fn what_is_none() {
    for (value, what) in [
        (&[1, 0, 0][..], "without a version"),
        (&[2, 0, 0, 0], "of another version (found 2)"),
        (&[1, 0, 0, 0, 1, 0, 7], "an impossible entry"),
        (&[1, 0, 0, 0, 3, 0, 7, 0], "an impossible entry"),
        (&[1, 0, 0, 0, 1, 0, 8, 0], "an impossible entry"),
        (&[1, 0, 0, 0, 2, 0, 7, 0, 1, 2, 3], "an impossible entry"),
    ] {
        let error = format!("inode 12: access control list {what}");
        let error = error.replace("list an", "list with an");
        assert_eq!(read(value).unwrap_err(), error);
    }
    assert_eq!(read(&[1, 0, 0, 0]), Ok(vec![]));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut value in prop::collection::vec(0..9u8, 0..80)) {
        if let Some(first) = value.first_mut() {
            *first = 1;
        }
        if let Ok(list) = read(&value) {
            let mut again = vec![0; bytes_max(list.len())];
            let len = encode(&mut again, list).unwrap();
            prop_assert_eq!(&again[..len], &value[..]);
        }
    }
}
