// SPDX-License-Identifier: GPL-2.0

//! Tests of `run_cache.rs`.

use proptest::prelude::*;

use crate::ext2::{
    block_map::Mapping,
    run_cache::{last_pointers, slot, Run, SlotRuns, RUNS, SLOTS},
};

/// The cache as the module has it, less that it is read while it is changed.
struct RunCache(Vec<SlotRuns<RUNS>>, u32);

impl RunCache {
    fn new(block_bits: u32) -> Self {
        RunCache(vec![SlotRuns::EMPTY; SLOTS], block_bits)
    }

    fn get(&self, block: u64, max: u32) -> Option<Mapping> {
        let block = u32::try_from(block).ok()?;
        let runs = self.0[slot(last_pointers(self.1, block))].0;
        runs.iter().find_map(|run| run.get(block, max))
    }

    fn put(&mut self, block: u64, start: u32, len: u32) {
        if let Ok(block) = u32::try_from(block) {
            let runs = &mut self.0[slot(last_pointers(self.1, block))];
            runs.put(Run { block, start, len });
        }
    }
}

fn mapped(start: u32, len: u32) -> Option<Mapping> {
    Some(Mapping::Mapped { start, len })
}

#[test]
fn nothing_is_known_at_first() {
    let cache = RunCache::new(10);
    assert_eq!(cache.get(0, 1), None);
    assert_eq!(cache.get(12, 1), None);
    assert_eq!(cache.get(u64::MAX, 1), None);
}

#[test]
fn a_run_is_found_from_all_its_blocks_and_no_others() {
    let mut cache = RunCache::new(10);
    cache.put(20, 1000, 8);
    assert_eq!(cache.get(19, 9), None);
    assert_eq!(cache.get(20, 9), mapped(1000, 8));
    assert_eq!(cache.get(23, 2), mapped(1003, 2));
    assert_eq!(cache.get(23, 0), mapped(1003, 1));
    assert_eq!(cache.get(27, 9), mapped(1007, 1));
    assert_eq!(cache.get(28, 9), None);
}

#[test]
fn neighbours_on_the_volume_become_one() {
    let mut cache = RunCache::new(10);
    cache.put(20, 1000, 8);
    cache.put(28, 1008, 4);
    cache.put(16, 996, 5);
    assert_eq!(cache.get(16, 99), mapped(996, 16));
    // What is in the middle of a run does not make it shorter.
    cache.put(18, 998, 1);
    assert_eq!(cache.get(16, 99), mapped(996, 16));
}

#[test]
fn others_do_not() {
    let mut cache = RunCache::new(10);
    cache.put(20, 1000, 8);
    cache.put(28, 1009, 4);
    assert_eq!(cache.get(20, 9), mapped(1000, 8));
    assert_eq!(cache.get(28, 9), mapped(1009, 4));
    // A gap between them is not known.
    cache.put(34, 1015, 2);
    assert_eq!(cache.get(33, 1), None);
    assert_eq!(cache.get(34, 9), mapped(1015, 2));
}

#[test]
fn what_lies_between_two_makes_them_one() {
    let run = |block, len| Run {
        block,
        start: block + 1000,
        len,
    };
    let mut runs = SlotRuns::<4>::EMPTY;
    for new in [run(20, 8), run(32, 8), run(28, 4)] {
        runs.put(new);
    }
    assert_eq!(runs.0[0], run(20, 20));
    assert!(runs.0[1..].iter().all(|run| run.len == 0));
}

#[test]
fn the_shortest_and_oldest_is_given_up() {
    let run = |block, len| Run {
        block,
        start: 2 * block,
        len,
    };
    let mut runs = SlotRuns::<4>::EMPTY;
    for new in [run(100, 9), run(200, 3), run(300, 3), run(400, 5)] {
        runs.put(new);
    }
    runs.put(run(500, 1));
    assert_eq!(runs.0, [run(500, 1), run(400, 5), run(300, 3), run(100, 9)]);
    runs.put(run(600, 2));
    assert_eq!(runs.0, [run(600, 2), run(400, 5), run(300, 3), run(100, 9)]);
    // What continues one takes its place.
    runs.put(Run {
        block: 109,
        start: 209,
        len: 3,
    });
    assert_eq!(
        runs.0,
        [run(100, 12), run(600, 2), run(400, 5), run(300, 3)]
    );
}

proptest! {
    #[test]
    fn to_grow_the_last_run_is_to_put(
        puts in prop::collection::vec((0..40u32, 0..3u32, 0..6u32), 1..40)
    ) {
        let mut runs = SlotRuns::<4>::EMPTY;
        for (block, part, len) in puts {
            // Most of them go on with those before; that of another part does not.
            let start = block + 1000 * (1 + part / 2);
            let new = Run { block, start, len };
            let [last, others @ ..] = runs.0;
            let grown = SlotRuns::<4>::grown(last, others.into_iter(), new);
            runs.put(new);
            if let Some(grown) = grown {
                prop_assert_eq!(runs.0[0], grown);
                prop_assert_eq!(&runs.0[1..], &others);
            }
        }
    }
}

#[test]
fn a_file_that_grows_makes_its_run_longer() {
    let run = |block, start, len| Run { block, start, len };
    let grown = |new| SlotRuns::<2>::grown(run(20, 1000, 8), [run(40, 1020, 2)].into_iter(), new);
    assert_eq!(grown(run(28, 1008, 4)), Some(run(20, 1000, 12)));
    // Another block of the volume, a gap, a block before it, nothing, and up to the next one.
    for (block, start, len) in [
        (28, 1009, 4),
        (29, 1009, 4),
        (16, 996, 4),
        (28, 1008, 0),
        (28, 1008, 12),
    ] {
        assert_eq!(grown(run(block, start, len)), None);
    }
}

#[test]
fn blocks_of_pointers_have_slots_of_their_own() {
    for apart in [
        1,
        SLOTS as u32,
        SLOTS as u32 / 4,
        (SLOTS * SLOTS) as u32 / 512,
    ] {
        let slots: std::collections::HashSet<_> = (0..256).map(|i| slot(i * apart)).collect();
        assert_eq!(slots.len(), 256, "{apart} apart");
    }
    // The cache of a small file is in one piece.
    assert!((0..64).all(|number| slot(number) == number as usize));
    assert_eq!(last_pointers(12, 12), 0);
    assert_eq!(last_pointers(12, 12 + 1023), 0);
    assert_eq!(last_pointers(12, 12 + 1024), 1);
    assert!(last_pointers(12, 11) > last_pointers(12, u32::MAX - 12) - 1);
}

#[test]
fn numbers_at_the_end() {
    let mut cache = RunCache::new(12);
    cache.put(u64::from(u32::MAX), u32::MAX, 1);
    assert_eq!(cache.get(u64::from(u32::MAX), 9), mapped(u32::MAX, 1));
    cache.put(1 << 32, 77, 1);
    assert_eq!(cache.get(1 << 32, 9), None);
    assert_eq!(cache.get(0, 9), None);
}

proptest! {
    /// Runs of a file that jumps every so often are put in any order: what is found is true, and
    /// what was put last is found.
    #[test]
    fn what_is_found_is_true(
        bits in 10..13u32,
        jump in 1..700u64,
        puts in prop::collection::vec((0..200_000u64, 1..64u32), 1..60),
        probes in prop::collection::vec((0..200_000u64, 1..300u32), 1..60),
    ) {
        let per_block = 1u64 << (bits - 2);
        let place = |block: u64| (block + block / jump * 3 + 500) as u32;
        // The run is in one piece, and in one block of pointers.
        let cut = |block: u64, len: u32| {
            let piece = jump - block % jump;
            let pointers = per_block - (block + per_block - 12) % per_block;
            u64::from(len).min(piece).min(pointers) as u32
        };
        let mut cache = RunCache::new(bits);
        let check = |cache: &RunCache, block: u64, max: u32| {
            if let Some(found) = cache.get(block, max) {
                let Mapping::Mapped { start, len } = found else { panic!("a hole") };
                assert!(len >= 1 && len <= max);
                for i in 0..len {
                    assert_eq!(place(block + u64::from(i)), start + i);
                }
            }
        };
        for &(block, len) in &puts {
            let block = block + 12;
            let len = cut(block, len);
            cache.put(block, place(block), len);
            let Some(Mapping::Mapped { start, len: found }) = cache.get(block, u32::MAX) else {
                panic!("what was put is not found")
            };
            prop_assert_eq!(start, place(block));
            prop_assert!(found >= len);
        }
        for &(block, max) in &probes {
            check(&cache, block, max);
        }
        for &(block, len) in &puts {
            check(&cache, block + 12, len);
            check(&cache, block + 12 + u64::from(len), 9);
        }
    }
}
