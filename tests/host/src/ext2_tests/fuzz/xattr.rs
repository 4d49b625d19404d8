// SPDX-License-Identifier: GPL-2.0

//! Blocks of extended attributes. Input: the block.

use super::{assert_only_changed, Images, Target};
use crate::ext2::xattr::{release, Release};
use crate::ext2_tests::support::get32;

pub(super) const TARGET: Target = Target {
    name: "xattr",
    run,
    seeds: |_| {
        let header = |references: u8| {
            let mut seed = vec![0, 0, 2, 0xea, references, 0, 0, 0, 1];
            seed.resize(64, 0);
            seed
        };
        [0, 1, 2, 9].map(header).to_vec()
    },
};

fn run(_: &Images, data: &[u8]) {
    let mut bytes = data.to_vec();
    match release(12, 5000, &mut bytes) {
        Ok(Release::Free) => {
            assert_eq!(get32(data, 4), 1);
            assert_eq!(bytes, data);
        }
        Ok(Release::Keep(range)) => {
            assert_only_changed(data, &bytes, range);
            assert!(get32(&bytes, 4) > 0);
            assert_eq!(get32(&bytes, 4), get32(data, 4) - 1);
        }
        Err(error) => {
            assert_eq!(error.ino(), Some(12));
            assert_eq!(bytes, data);
        }
    }
}
