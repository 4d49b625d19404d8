// SPDX-License-Identifier: GPL-2.0

//! Tests of `xattr.rs`.

use proptest::prelude::*;

use super::support::{get32, put32};
use crate::ext2::xattr::{are_in_slot, release, Release};

fn block(magic: u32, references: u32, blocks: u32) -> Vec<u8> {
    let mut b = vec![0x55; 1024];
    put32(&mut b, 0, magic);
    put32(&mut b, 4, references);
    put32(&mut b, 8, blocks);
    b
}

#[test]
fn attributes_behind_an_inode() {
    let mut slot = vec![0; 256];
    slot[128] = 32;
    assert!(!are_in_slot(&slot));
    slot[160..164].copy_from_slice(&[0, 0, 2, 0xea]);
    assert!(are_in_slot(&slot));
    slot[128] = 28;
    assert!(!are_in_slot(&slot));
    for (len, extra) in [(128, 0), (129, 0), (162, 32), (256, 0xffff_u16)] {
        slot[128..130].copy_from_slice(&extra.to_le_bytes());
        assert!(!are_in_slot(&slot[..len]));
    }
}

#[test]
fn counts_down_to_the_last_user() {
    let mut b = block(0xea020000, 3, 1);
    for left in [2, 1] {
        assert_eq!(release(12, 99, &mut b), Ok(Release::Keep(4..8)));
        assert_eq!(get32(&b, 4), left);
    }
    let before = b.clone();
    assert_eq!(release(12, 99, &mut b), Ok(Release::Free));
    assert_eq!(b, before);
    assert_eq!(b[12..], block(0, 0, 0)[12..]);
}

#[test]
fn refuses_what_is_no_block_of_attributes() {
    for (mut b, message) in [
        (
            block(0xea010000, 1, 1),
            "wrong magic number (found 3925934080)",
        ),
        (block(0xea020000, 0, 1), "no references"),
        (block(0xea020000, 1, 2), "not of one block (found 2)"),
        (vec![0; 31], "shorter than its header"),
    ] {
        let error = release(12, 99, &mut b).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("inode 12, attribute block 99: {message}")
        );
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = release(12, 99, &mut bytes);
    }
}
