// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, and access control lists in them. Input: whether they are in a slot, the key and
//! the length of a value to set, and the area.

use super::{input::Input, Images, Target};
use crate::ext2::{
    acl,
    xattr::{Attributes, Change, Changed, Index, Key},
    Corrupt,
};

pub(super) const TARGET: Target = Target {
    name: "xattr",
    run,
    seeds: |_| {
        let change = Change {
            key: Key {
                index: Index::ACL_ACCESS,
                name: b"",
            },
            value: Some(&[1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 7, 0, 1, 2, 3, 4]),
        };
        let changed = Changed::new(Attributes::NONE, change);
        let mut block = vec![0; 256];
        assert!(changed.to_block(&mut block));
        let mut slot = vec![0; 96];
        assert!(changed.to_slot(&mut slot));
        let seed = |in_slot: u8, area: &[u8]| [&[in_slot, 2, 1, 9], area].concat();
        vec![seed(0, &block), seed(1, &slot)]
    },
};

fn read(in_slot: bool, area: &[u8]) -> Result<Attributes<'_>, Corrupt> {
    match in_slot {
        true => Attributes::in_slot(12, area),
        false => Attributes::in_block(12, 5000, area),
    }
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let in_slot = input.u8() & 1 != 0;
    let (index, name, len) = (input.u8(), input.u8(), input.u8());
    let area = input.rest();
    let old = match read(in_slot, area) {
        Ok(old) => old,
        Err(error) => {
            assert_eq!(error.ino(), Some(12));
            return;
        }
    };
    for attribute in old.iter() {
        assert!(!attribute.key.name.contains(&0));
        assert!(attribute.value.len() <= area.len());
        if let Ok(entries) = acl::decode(12, attribute.value) {
            assert!(entries.count() <= attribute.value.len());
        }
    }
    let value = vec![len; len.into()];
    let name = vec![name.max(1); usize::from(name & 15)];
    let key = Key {
        index: Index(index),
        name: &name,
    };
    // The value that was set is there, and all others are as they were.
    for value in [Some(&value[..]), None] {
        let changed = Changed::new(old, Change { key, value });
        let mut new = vec![0x5a; area.len()];
        let made = match in_slot {
            true => changed.to_slot(&mut new),
            false => !changed.is_empty() && changed.to_block(&mut new),
        };
        if !made {
            continue;
        }
        let new = read(in_slot, &new).unwrap();
        // An entry without a name and an index ends the others.
        if index == 0 && name.is_empty() || old.iter().any(|a| a.key.index.0 == 0) {
            continue;
        }
        assert_eq!(new.find(key), value);
        for attribute in old.iter().filter(|attribute| attribute.key != key) {
            assert!(new.find(attribute.key).is_some());
        }
    }
}
