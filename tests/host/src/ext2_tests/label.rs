// SPDX-License-Identifier: GPL-2.0

//! Tests of `label.rs`.

use super::support::Spec;
use crate::ext2::label::{read, set};

#[test]
fn label_is_where_mke2fs_has_it() {
    let mut bytes = Spec::default().superblock();
    let before = bytes.clone();
    let label = *b"sixteen-bytes-16";
    assert_eq!(set(&mut bytes, &label).unwrap(), 0x78..0x88);
    assert_eq!(&bytes[0x78..0x88], &label);
    assert_eq!(read(&bytes), label);
    assert_eq!(
        (&bytes[..0x78], &bytes[0x88..]),
        (&before[..0x78], &before[0x88..])
    );
}

#[test]
fn short_superblock() {
    assert!(set(&mut [0; 1023], &[1; 16]).is_err());
    assert_eq!(read(&[1; 1023]), [0; 16]);
}
