// SPDX-License-Identifier: GPL-2.0

//! Tests of `run_set.rs`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::ext2::{bitmap::Run, run_set::RunSet};

const NONE: Run = Run { start: 0, len: 0 };

fn set(runs: usize) -> RunSet<Vec<Run>> {
    RunSet::new(vec![NONE; runs])
}

#[test]
fn what_touches_is_one_run() {
    let mut set = set(1);
    for (start, len) in [(10, 2), (12, 3), (8, 2), (9, 1), (7, 20)] {
        assert!(set.insert(Run { start, len }));
    }
    let all: Vec<_> = set.within(0..u32::MAX).collect();
    assert_eq!(all, [Run { start: 7, len: 20 }]);
}

#[test]
fn a_full_set_stays_as_it_is() {
    let mut set = set(1);
    assert!(set.insert(Run { start: 10, len: 2 }));
    assert!(!set.insert(Run { start: 13, len: 2 }));
    assert_eq!(
        set.within(0..100).collect::<Vec<_>>(),
        [Run { start: 10, len: 2 }]
    );
    set.clear();
    assert!(set.is_empty());
    assert!(set.insert(Run { start: 13, len: 2 }));
}

proptest! {
    #[test]
    fn as_a_set(
        runs in prop::collection::vec((0u32..200, 1u32..20), 0..40),
        from in 0u32..220,
        len in 0u32..100,
    ) {
        let mut set = set(40);
        let mut model = BTreeSet::new();
        for (start, len) in runs {
            let inserted = set.insert(Run { start, len });
            prop_assert!(inserted);
            model.extend(start..start + len);
            prop_assert_eq!(set.total() as usize, model.len());
        }
        let blocks = |run: Run| run.start..run.start + run.len;
        let found: Vec<_> = set.within(from..from + len).flat_map(blocks).collect();
        let want: Vec<_> = model.range(from..from + len).copied().collect();
        prop_assert_eq!(found, want);
    }
}
