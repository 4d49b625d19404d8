// SPDX-License-Identifier: GPL-2.0

//! Tests of `directory/rooms.rs`, against a list of how much room each block has.

use proptest::prelude::*;

use crate::ext2::directory::{rooms::Rooms, Name, NAME_MAX};

const LONGEST: [u8; NAME_MAX] = [b'x'; NAME_MAX];

fn name(len: usize) -> Name<'static> {
    Name::new(&LONGEST[..len]).unwrap()
}

/// What an entry with a name of this length needs.
fn needed(len: usize) -> usize {
    (8 + len).next_multiple_of(4)
}

#[test]
fn names_of_other_lengths() {
    let mut rooms = Rooms::new();
    assert_eq!(rooms.first(name(1)), 0);
    rooms.none_below(name(20), 7);
    // Of 20 to 28 bytes an entry needs no less.
    assert_eq!(
        [16, 17, 20, 21, 255].map(|len| rooms.first(name(len))),
        [0, 7, 7, 7, 7]
    );
    rooms.none_below(name(40), 5);
    assert_eq!(rooms.first(name(40)), 7);
    rooms.freed(needed(30), 3);
    assert_eq!(
        [1, 20, 30, 32, 33].map(|len| rooms.first(name(len))),
        [0, 3, 3, 3, 7]
    );
}

proptest! {
    /// Names come and go: no block that is left out has room, and one is found if there is any.
    #[test]
    fn no_room_is_missed(
        blocks in prop::collection::vec(0..80usize, 1..12),
        ops in prop::collection::vec((any::<bool>(), 1..=NAME_MAX, any::<usize>()), 1..60),
    ) {
        // In units of four bytes, each in one piece.
        let mut blocks: Vec<usize> = blocks.iter().map(|units| 4 * units).collect();
        let mut rooms = Rooms::new();
        for (adds, len, which) in ops {
            if !adds {
                let at = which % blocks.len();
                blocks[at] += needed(len);
                // It may know of more than there is.
                rooms.freed(blocks[at] + which % 3 * 4, at as u32);
                continue;
            }
            let want = needed(len);
            let from = rooms.first(name(len)) as usize;
            let right = blocks.iter().position(|&room| room >= want);
            let found = (from..blocks.len()).find(|&at| blocks[at] >= want);
            assert_eq!(found, right);
            rooms.none_below(name(len), found.unwrap_or(blocks.len()) as u32);
            match found {
                Some(at) => blocks[at] -= want,
                None => blocks.push(4000 - want),
            }
        }
    }
}
