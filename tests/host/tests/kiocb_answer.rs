// SPDX-License-Identifier: GPL-2.0

//! What the callers of `read_iter`, `write_iter` and `direct_IO` are told.

#[path = "../../../rust/kfs/fs/kiocb/answer.rs"]
mod answer;

use proptest::prelude::*;

#[test]
fn counts() {
    assert_eq!(answer::count(0, 0), Ok(0));
    assert_eq!(answer::count(4096, 0), Ok(0));
    assert_eq!(answer::count(4096, 4096), Ok(4096));
    assert_eq!(answer::count(4096, 4097), Err(4096));
    assert_eq!(answer::count(0, 1), Err(0));
    // What would be an error.
    assert_eq!(answer::count(4096, -5_isize as usize), Err(4096));
    let more = u32::MAX;
    assert_eq!(answer::count(more, usize::MAX), Err(more as isize));
    assert_eq!(answer::count(more, isize::MAX as usize), Ok(isize::MAX));
    assert_eq!(
        answer::count(more - 1, more as usize),
        Err(more as isize - 1)
    );
}

#[test]
fn errors() {
    assert_eq!(answer::error(-5), Ok(-5));
    assert_eq!(answer::error(-11), Ok(-11));
    assert_eq!(answer::error(-answer::EIOCBQUEUED), Err(-5));
    assert_eq!(answer::error(-answer::EIOCBQUEUED + 1), Ok(-528));
}

proptest! {
    /// It is neither an error nor more than was asked for.
    #[test]
    fn never_more(asked: u32, count: usize) {
        let (Ok(told) | Err(told)) = answer::count(asked, count);
        prop_assert!(told >= 0 && told as usize <= count);
        prop_assert!(told as usize <= asked as usize || asked == u32::MAX);
    }
}
