// SPDX-License-Identifier: GPL-2.0

//! Tests of `free_runs.rs`: whatever is allocated and freed, the bounds hold.

use proptest::prelude::*;

use crate::ext2::bitmap::{find_run, is_set, mark_run, next_free, next_run, set_run, Run};
use crate::ext2::free_runs::FreeRuns;

const END: u32 = 500;

fn longest(bits: &[u8]) -> u32 {
    let mut longest = 0;
    let mut at = 0;
    while let Some(run) = next_run(bits, at, END, u32::MAX) {
        longest = longest.max(run.len);
        at = run.start + run.len;
    }
    longest
}

fn clear(bits: &mut [u8], run: Run) {
    for bit in run.start..run.start + run.len {
        bits[bit as usize / 8] &= !(1 << (bit % 8));
    }
}

/// What happens to a group.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// `want` blocks are allocated near `goal`.
    Take { goal: u32, want: u32 },
    /// Those that are in use of the `len` from `start` on are freed.
    Free { start: u32, len: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..END, 1..60u32).prop_map(|(goal, want)| Step::Take { goal, want }),
        1 => (0..END, 1..20u32).prop_map(|(start, len)| Step::Free { start, len }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn are_bounds(steps in steps(), metadata in 0..80u32) {
        let mut bits = vec![0u8; END.div_ceil(8) as usize];
        mark_run(&mut bits, Run { start: 0, len: metadata });
        let mut known = FreeRuns::UNKNOWN;
        for step in steps {
            match step {
                Step::Take { goal, want } => {
                    // As the allocator does it.
                    let searched = find_run(&bits, known.first().min(END)..END, goal, want);
                    prop_assert_eq!(
                        searched.map(|run| run.len),
                        find_run(&bits, 0..END, goal, want).map(|run| run.len)
                    );
                    match searched {
                        Some(run) if run.len == want || !is_set(&bits, goal) => {
                            set_run(&mut bits, END, run).unwrap();
                            known.taken(&bits, END);
                        }
                        other => known.searched(other.map_or(0, |run| run.len)),
                    }
                }
                Step::Free { start, len } => {
                    let len = len.min(END - start);
                    for bit in start..start + len {
                        if is_set(&bits, bit) {
                            clear(&mut bits, Run { start: bit, len: 1 });
                            known.freed(Run { start: bit, len: 1 });
                        }
                    }
                }
            }
            prop_assert!(known.longest() >= longest(&bits));
            prop_assert!(next_free(&bits, 0, END).is_none_or(|first| known.first() <= first));
        }
    }
}

/// In a group of many short runs, the second search for a long one is none.
#[test]
fn a_fragmented_group_is_searched_once() {
    let bits = [0x55; 512];
    let mut known = FreeRuns::UNKNOWN;
    assert!(known.longest() >= 8);
    let best = find_run(&bits, known.first()..4096, 0, 8).unwrap();
    known.searched(best.len);
    assert_eq!(known.longest(), 1);
    known.freed(Run { start: 10, len: 1 });
    assert_eq!(known.longest(), u32::MAX, "it may have joined others");
}
