// SPDX-License-Identifier: GPL-2.0

//! Tests of `free_runs.rs`: whatever is allocated and freed, the bounds hold.

use proptest::prelude::*;

use crate::ext2::bitmap::{find_run, is_set, mark_run, next_free, next_run, set_run, Run};
use crate::ext2::free_runs::{FreeRuns, Wanted};

/// Not a multiple of 64.
const END: u32 = 5000;

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

/// Searches `bits`, of which a part is seen at a time: the rest is in use every other block. Returns what is found, and
/// what was seen.
fn find(known: &mut FreeRuns, bits: &[u8], wanted: &Wanted) -> (Option<Run>, Vec<u8>) {
    let mut seen = vec![0xaa; bits.len()];
    let end = (bits.len() as u32 * 8).min(END);
    let found = known.find(&mut seen, end, wanted, |seen, part| {
        assert!(part.start % 64 == 0 && (part.end % 64 == 0 || part.end == end));
        let bytes = part.start as usize / 8..part.end.div_ceil(64) as usize * 8;
        seen[bytes.clone()].copy_from_slice(&bits[bytes]);
        Ok::<_, ()>(())
    });
    (found.unwrap(), seen)
}

/// What happens to a group.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// `want` blocks are allocated near `goal`, and `behind` of those from there on are looked at.
    Take { goal: u32, want: u32, behind: u32 },
    /// Those that are in use of the `len` from `start` on are freed.
    Free { start: u32, len: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..END, 1..900u32, 0..900u32)
            .prop_map(|(goal, want, behind)| Step::Take { goal, want, behind }),
        1 => (0..END, 1..200u32).prop_map(|(start, len)| Step::Free { start, len }),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn are_bounds(steps in steps(), metadata in 0..800u32, used in prop::collection::vec(0..END, 0..40)) {
        let mut bits = vec![0u8; END.div_ceil(64) as usize * 8];
        mark_run(&mut bits, Run { start: 0, len: metadata });
        for start in used {
            mark_run(&mut bits, Run { start, len: 1 });
        }
        let mut known = FreeRuns::UNKNOWN;
        for step in steps {
            match step {
                Step::Take { goal, want, behind } => {
                    let searched = find_run(&bits, 0..END, goal, want);
                    let fits = |run: &Run| run.len == want || !is_set(&bits, goal);
                    let wanted = Wanted { goal, need: want, behind };
                    let (found, part) = find(&mut known, &bits, &wanted);
                    prop_assert_eq!(found, searched.filter(fits));
                    if let Some(run) = found {
                        // What is there can be seen, too.
                        for bit in run.start..END.min(run.start + behind) {
                            prop_assert_eq!(is_set(&part, bit), is_set(&bits, bit));
                        }
                        set_run(&mut bits, END, run).unwrap();
                        known.taken(next_free(&bits, known.first(), END).unwrap_or(END));
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
    let wanted = Wanted {
        goal: 0,
        need: 8,
        behind: 0,
    };
    assert_eq!(find(&mut known, &bits, &wanted).0, None);
    assert_eq!(known.longest(), 1);
    let mut parts = 0;
    let again = known.find(&mut [0xff; 512], 4096, &wanted, |_, _| {
        parts += 1;
        Ok::<_, ()>(())
    });
    assert_eq!((again, parts), (Ok(None), 1), "but for the goal");
    known.freed(Run { start: 10, len: 1 });
    assert_eq!(known.longest(), u32::MAX, "it may have joined others");
}

/// What is near the goal is found without a look at the rest.
#[test]
fn a_part_is_enough() {
    let mut known = FreeRuns::UNKNOWN;
    let wanted = Wanted {
        goal: 1000,
        need: 1,
        behind: 8,
    };
    let mut seen = Vec::new();
    let found = known.find(&mut [0; 4096], 32768, &wanted, |_, part| {
        seen.push(part);
        Ok::<_, ()>(())
    });
    assert_eq!(
        found,
        Ok(Some(Run {
            start: 1000,
            len: 1
        }))
    );
    assert_eq!(seen, [960..1536]);
}
