// SPDX-License-Identifier: GPL-2.0

//! Tests of `error.rs`: the lines that a user reads.

use crate::ext2::{Corrupt, Place};

#[test]
fn says_what_and_where() {
    let cases = [
        (Place::Superblock, "superblock: wrong (found 7)"),
        (Place::Group(3), "group 3: wrong (found 7)"),
        (Place::Inode(12), "inode 12: wrong (found 7)"),
        (
            Place::Directory { ino: 2, offset: 24 },
            "directory 2, offset 24: wrong (found 7)",
        ),
        (
            Place::Xattr { ino: 12, block: 99 },
            "inode 12, attribute block 99: wrong (found 7)",
        ),
    ];
    for (place, line) in cases {
        let error = Corrupt::found(place, "wrong", 7);
        assert_eq!(error.to_string(), line);
    }
    assert_eq!(
        Corrupt::new(Place::Inode(12), "no such inode").to_string(),
        "inode 12: no such inode"
    );
}
