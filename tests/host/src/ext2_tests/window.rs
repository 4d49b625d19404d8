// SPDX-License-Identifier: GPL-2.0

//! Tests of `window.rs`.

use proptest::prelude::*;

use crate::ext2::bitmap::Run;
use crate::ext2::window::{next, Room, Size};

const ROOM: Room = Room {
    in_group: 300,
    free: 100_000,
};

#[test]
fn grows_while_it_is_used_up() {
    let mut size = next(None, 0, 100, 1, ROOM);
    assert_eq!(size, Size { len: 8, need: 1 }, "any gap will do");
    let mut start = 100;
    for (len, need) in [(64, 64), (300, 150), (300, 150)] {
        let old = Run {
            start,
            len: size.len,
        };
        start += size.len;
        size = next(Some(old), size.len, start, 1, ROOM);
        assert_eq!(size, Size { len, need });
    }
}

#[test]
fn one_that_was_cut_short_grows_too() {
    let old = Run { start: 100, len: 3 };
    let size = next(Some(old), 16, 103, 1, ROOM);
    assert_eq!(
        size,
        Size {
            len: 128,
            need: 128
        }
    );
}

#[test]
fn leaves_some_for_others() {
    let old = Run {
        start: 100,
        len: 32,
    };
    let room = Room {
        in_group: 300,
        free: 800,
    };
    let size = next(Some(old), 32, 132, 1, room);
    assert_eq!(size, Size { len: 50, need: 50 });
}

#[test]
fn is_short_again_elsewhere() {
    let old = Run {
        start: 100,
        len: 64,
    };
    for goal in [99, 165, 5000] {
        assert_eq!(next(Some(old), 64, goal, 1, ROOM), Size { len: 8, need: 1 });
    }
}

proptest! {
    #[test]
    fn has_what_is_wanted(
        old in prop::option::of((1..u32::MAX, 1..u32::MAX)),
        old_len: u32,
        goal: u32,
        want in 1..u32::MAX,
        in_group in 1..40000u32,
        free: u32,
    ) {
        let old = old.map(|(start, len)| Run { start, len });
        let Size { len, need } = next(old, old_len, goal, want, Room { in_group, free });
        prop_assert!(len >= want && need >= want && need <= len);
        prop_assert!(len == want || (len <= in_group && len <= free / 16));
    }
}
