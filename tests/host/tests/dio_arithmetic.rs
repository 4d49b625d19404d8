// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of the direct I/O worker: runs and zeroes, what a request counts for, and when it
//! is waited for.

#[macro_use]
#[path = "../../../src/mutant.rs"]
mod mutant;
// Each test target uses its own part of the shared source.
#[allow(dead_code)]
#[path = "../../../src/dio/extent.rs"]
mod extent;
#[allow(dead_code)]
#[path = "../../../src/dio/outcome.rs"]
mod outcome;
#[allow(dead_code)]
#[path = "../../../src/dio/policy.rs"]
mod policy;

use extent::BlockBits;
use outcome::{Failure, Outcome};
use policy::{decide, Reason, Stop, Wait};
use proptest::prelude::*;

const K1: BlockBits = BlockBits::new(10);
const K4: BlockBits = BlockBits::new(12);

#[test]
fn blocks() {
    assert_eq!(K4.size(), 4096);
    assert_eq!(K4.block(4095), 0);
    assert_eq!(K4.block(4096), 1);
    assert_eq!(K4.blocks(0), 0);
    assert_eq!(K4.blocks(1), 1);
    assert_eq!(K4.blocks(4096), 1);
    assert_eq!(K4.blocks(4097), 2);
    assert_eq!(K4.round_down(8191), 4096);
    assert_eq!(K4.round_up(4097), 8192);
    assert_eq!(K4.round_up(8192), 8192);
    assert_eq!(extent::round_up(513, 512), 1024);
    assert_eq!(extent::round_up(1024, 512), 1024);
}

#[test]
fn runs() {
    // Three blocks from the one that holds byte 512, cut at the end of the request.
    assert_eq!(extent::run(512, 5000, 3, K1), 512..3072);
    assert_eq!(extent::run(512, 2048, 3, K1), 512..2048);
    assert_eq!(extent::blocks_wanted(512, 2048, K1), 2);
    assert_eq!(extent::blocks_wanted(512, 2049, K1), 3);
    assert_eq!(extent::blocks_wanted(1024, 2048, K1), 1);
}

#[test]
fn unwritten_parts() {
    assert_eq!(extent::unwritten_head(&(512..1536), K1), 0..512);
    assert_eq!(extent::unwritten_tail(&(512..1536), K1), 1536..2048);
    assert!(extent::unwritten_head(&(1024..2048), K1).is_empty());
    assert!(extent::unwritten_tail(&(1024..2048), K1).is_empty());
}

proptest! {
    /// Head, data and tail are exactly the blocks that the data touches.
    #[test]
    fn new_blocks_are_covered(start in 0u64..1 << 20, len in 1u64..1 << 16, bits in 10u8..=12) {
        let bits = BlockBits::new(bits);
        let data = start..start + len;
        let head = extent::unwritten_head(&data, bits);
        let tail = extent::unwritten_tail(&data, bits);
        prop_assert_eq!(head.end, data.start);
        prop_assert_eq!(tail.start, data.end);
        prop_assert_eq!(head.start, bits.block(data.start) * bits.size());
        prop_assert_eq!(tail.end, (bits.block(data.end - 1) + 1) * bits.size());
    }

    /// Runs put one behind the other cover the request, whatever their lengths.
    #[test]
    fn runs_cover_the_request(
        start in 0u64..1 << 20,
        len in 1u64..1 << 18,
        lens in prop::collection::vec(1u32..20, 1..4),
    ) {
        let end = start + len;
        let (mut pos, mut lens) = (start, lens.into_iter().cycle());
        while pos < end {
            let wanted = extent::blocks_wanted(pos, end, K1);
            let got = lens.next().unwrap().min(wanted);
            let run = extent::run(pos, end, got, K1);
            prop_assert_eq!(run.start, pos);
            prop_assert!(run.end > pos && run.end <= end);
            prop_assert!(got < wanted || run.end == end);
            pos = run.end;
        }
    }
}

#[test]
fn everything_issued_counts() {
    let mut outcome = Outcome::<i32>::new(1000);
    assert_eq!(outcome.count(K4), Ok(0));
    outcome.issued_to(3000);
    assert_eq!(outcome.count(K4), Ok(2000));
}

#[test]
fn an_error_while_issuing_cuts_short() {
    let mut outcome = Outcome::new(0);
    outcome.issued_to(4096);
    outcome.stop(-28);
    assert_eq!(outcome.count(K4), Ok(4096));
    assert_eq!(outcome.failure(), Some((4096, Failure::Stopped(-28))));

    let mut outcome = Outcome::new(0);
    outcome.stop(-28);
    outcome.stop(-14);
    assert_eq!(outcome.count(K4), Err(-28));
}

#[test]
fn a_failed_bio_cuts_short() {
    let mut outcome = Outcome::new(512);
    outcome.issued_to(1 << 16);
    outcome.fail(8192, -5);
    outcome.fail(4096, -61);
    outcome.fail(6144, -5);
    // Blocks that were there before: to the byte.
    assert_eq!(outcome.count(K4), Ok(4096 - 512));
    assert_eq!(outcome.failure(), Some((4096, Failure::Bio(-61))));
    // It is lower than what stopped the worker.
    outcome.stop(-28);
    assert_eq!(outcome.failure(), Some((4096, Failure::Bio(-61))));
    outcome.fail(512, -6);
    assert_eq!(outcome.count(K4), Err(-6));
}

#[test]
fn a_new_block_counts_whole_or_not() {
    // Data from 512 on, the blocks from 4096 on are new.
    let mut outcome = Outcome::new(512);
    outcome.new_from(4096);
    outcome.new_from(8192);
    outcome.issued_to(8704);
    // The last data bio failed, or the zeroes behind it did.
    for failed in [8192, 8704] {
        let mut outcome = outcome;
        outcome.fail(failed, -5);
        assert_eq!(outcome.end(K4), 8192);
        assert_eq!(outcome.count(K4), Ok(8192 - 512));
    }
    // A bio in the middle of a new block failed.
    let mut middle = outcome;
    middle.fail(4608, -5);
    assert_eq!(middle.count(K4), Ok(4096 - 512));
    // Before the new ones.
    let mut before = outcome;
    before.fail(1024, -5);
    assert_eq!(before.count(K4), Ok(512));
}

#[test]
fn zeroes_before_the_data_count_with_it() {
    // The request starts in the middle of a new block, and the zeroes before it fail.
    let mut outcome = Outcome::new(4608);
    outcome.new_from(4096);
    outcome.issued_to(9000);
    outcome.fail(4096, -5);
    assert_eq!(outcome.count(K4), Err(-5));
}

proptest! {
    /// Whatever fails in whatever order: the count ends at or before the lowest failure, and before
    /// no byte earlier than needed.
    #[test]
    fn the_lowest_failure_decides(
        start in 0u64..1 << 14,
        len in 1u64..1 << 16,
        new in prop::option::of(0u64..20),
        fails in prop::collection::vec(0u64..1 << 17, 0..6),
    ) {
        let mut outcome = Outcome::new(start);
        let issued = start + len;
        outcome.issued_to(issued);
        if let Some(new) = new {
            outcome.new_from(new * K4.size());
        }
        for (n, &fail) in fails.iter().enumerate() {
            outcome.fail(fail.min(issued), n);
        }
        let end = outcome.end(K4);
        prop_assert!(start <= end && end <= issued);
        match fails.iter().map(|&fail| fail.min(issued).max(start)).min() {
            None => prop_assert_eq!(end, issued),
            Some(lowest) => {
                prop_assert!(end <= lowest);
                prop_assert!(end + K4.size() > lowest);
                let is_new = new.is_some_and(|new| lowest >= new * K4.size());
                if !is_new {
                    prop_assert_eq!(end, lowest);
                } else if end > start {
                    prop_assert_eq!(K4.offset(end), 0);
                }
                prop_assert_eq!(outcome.count(K4).is_err(), end == start);
            }
        }
    }
}

#[test]
fn when_to_wait() {
    let (inside, beyond) = (false, true);
    assert_eq!(decide(false, false, inside, Stop::End, false), Wait::Async);
    assert_eq!(
        decide(false, false, beyond, Stop::End, false),
        Wait::Switch(Reason::Extend)
    );
    assert_eq!(
        decide(false, false, inside, Stop::Hole, false),
        Wait::Switch(Reason::Hole)
    );
    assert_eq!(
        decide(false, false, beyond, Stop::Hole, false),
        Wait::Switch(Reason::Hole)
    );
    assert_eq!(
        decide(false, false, beyond, Stop::Error, false),
        Wait::Switch(Reason::Error)
    );
    assert_eq!(decide(false, false, beyond, Stop::End, true), Wait::Async);
    assert_eq!(
        decide(false, false, beyond, Stop::Memory, true),
        Wait::Switch(Reason::Memory)
    );
    for stop in [Stop::End, Stop::Hole, Stop::Memory, Stop::Error] {
        assert_eq!(decide(true, false, beyond, stop, false), Wait::Sync);
        assert_eq!(decide(true, true, beyond, stop, false), Wait::Sync);
    }
    // What must not wait has no new blocks.
    for stop in [Stop::End, Stop::Error] {
        assert_eq!(decide(false, true, beyond, stop, false), Wait::Async);
    }
}
