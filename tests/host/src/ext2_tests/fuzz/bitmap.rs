// SPDX-License-Identifier: GPL-2.0

//! Bitmaps. Input: how many bits, a goal, how many are wanted, a run, the bits.

use super::{assert_only_changed, input::Input, Images, Target};
use crate::ext2::bitmap::{clear_run, find_run, is_set, next_free, set_run, Kind, Run};
use crate::ext2_tests::{support::descriptor_location, volume::Volume};

pub(super) const TARGET: Target = Target {
    name: "bitmap",
    run,
    seeds,
};

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let mut volume = Volume::mount(image.to_vec()).unwrap();
    let geometry = volume.geometry();
    let (block, offset) = descriptor_location(&geometry, 0).unwrap();
    let raw = volume.disk.block(block)[offset as usize..].to_vec();
    (0..2)
        .map(|i| {
            let bitmap = crate::ext2_tests::support::get32(&raw, i * 4);
            let bits = volume.disk.block(bitmap)[..256].to_vec();
            let mut seed = Vec::new();
            for number in [2000u16, 300, 20, 310, 5] {
                seed.extend(number.to_le_bytes());
            }
            seed.extend(bits);
            seed
        })
        .collect()
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let [end, goal, want, start, len] = [(); 5].map(|()| u32::from(input.u16()));
    let bits = input.rest();
    let bits = &bits[..bits.len().min(4096)];
    let set = |bit: u32| {
        bits.get(bit as usize / 8)
            .is_none_or(|byte| byte >> (bit % 8) & 1 == 1)
    };
    for bit in [end, goal, start, start + len] {
        assert_eq!(is_set(bits, bit), set(bit));
    }
    assert_eq!(
        next_free(bits, start, end),
        (start..end).find(|&bit| !set(bit))
    );
    let found = find_run(bits, 0..end, goal, want);
    match found {
        None => assert!((0..end).all(set)),
        Some(run) => {
            assert!(run.len >= 1 && run.len <= want.max(1) && run.start + run.len <= end);
            assert!((run.start..run.start + run.len).all(|bit| !set(bit)));
            if goal < end && !set(goal) {
                assert_eq!(run.start, goal);
            }
        }
    }

    let run = Run { start, len };
    let within = start + len <= end.min(bits.len() as u32 * 8);
    let mut changed = bits.to_vec();
    match set_run(&mut changed, end, run) {
        Ok(range) => {
            assert!(within && (start..start + len).all(|bit| !set(bit)));
            assert_only_changed(bits, &changed, range);
            for bit in 0..bits.len() as u32 * 8 {
                let in_run = (start..start + len).contains(&bit);
                assert_eq!(is_set(&changed, bit), in_run || set(bit));
            }
            let range = clear_run(&mut changed, end, run, 1, Kind::Blocks).unwrap();
            assert!(range.end <= bits.len());
            assert_eq!(changed, bits);
        }
        Err(bit) => {
            assert!(!within || set(bit));
            assert_eq!(changed, bits);
        }
    }
    match clear_run(&mut changed, end, run, 1, Kind::Inodes) {
        Ok(range) => {
            assert!(within && (start..start + len).all(set));
            assert_only_changed(bits, &changed, range);
        }
        Err(error) => {
            assert!(
                !within || (start..start + len).any(|bit| !set(bit)),
                "{error}"
            );
            assert_eq!(changed, bits);
        }
    }
}
