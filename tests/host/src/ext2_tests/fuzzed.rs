// SPDX-License-Identifier: GPL-2.0

//! The targets of [`super::fuzz`] on some thousand inputs that are always the same: from real
//! volumes, with a little damage. `FUZZ_ROUNDS` multiplies their number; a fuzzer that learns what
//! its inputs reach is in `tests/host/fuzz`.

use std::{fs, sync::OnceLock};

use super::{
    fuzz::{Images, Target, TARGETS},
    images::{populated, sample_tree, Scratch, DEFAULT},
};

/// Volumes of all sizes of blocks and inodes.
fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let scratch = Scratch::new();
        let (root, _) = sample_tree(&scratch);
        let make = |(block_size, inode_size)| {
            let args = format!("-b {block_size} -I {inode_size} -O {DEFAULT} -g 1024 -N 512");
            let image = populated(&scratch, 3 << 10, &args, Some(&root));
            fs::read(image).unwrap()
        };
        Images([(1024, 128), (2048, 256), (4096, 256)].map(make).into())
    })
}

fn random(state: &mut u64, below: usize) -> usize {
    // splitmix64
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as usize % below.max(1)
}

/// Some bytes of `input` become others.
fn damage(state: &mut u64, input: &mut Vec<u8>) {
    const WORDS: [u32; 8] = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 12, 1024];
    for _ in 0..1 + random(state, 4) {
        let at = random(state, input.len());
        let word = WORDS[random(state, WORDS.len())].to_le_bytes();
        match random(state, 6) {
            0 => input.push(random(state, 256) as u8),
            1 if !input.is_empty() => input[at] = random(state, 256) as u8,
            2 if !input.is_empty() => input[at] ^= 1 << random(state, 8),
            3 => input.truncate(at),
            4 if at + 2 <= input.len() => input[at..at + 2].copy_from_slice(&word[..2]),
            5 if (at & !3) + 4 <= input.len() => {
                input[at & !3..(at & !3) + 4].copy_from_slice(&word);
            }
            _ => {}
        }
    }
}

fn run(name: &str, rounds: usize) {
    let more: usize = std::env::var("FUZZ_ROUNDS").map_or(1, |n| n.parse().expect("a number"));
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let images = images();
    let mut seeds = vec![Vec::new()];
    for image in &images.0 {
        seeds.extend((target.seeds)(image));
    }
    for seed in &seeds {
        (target.run)(images, seed);
    }
    for round in 0..rounds * more {
        let mut state = round as u64;
        let mut input = seeds[random(&mut state, seeds.len())].clone();
        damage(&mut state, &mut input);
        // Seen when this one fails.
        println!("round {round}: {} bytes", input.len());
        (target.run)(images, &input);
    }
}

#[test]
fn all_targets_are_run() {
    // Those below.
    assert_eq!(TARGETS.len(), 10);
}

#[test]
fn superblock() {
    run("superblock", 3000);
}

#[test]
fn group() {
    run("group", 3000);
}

#[test]
fn inode() {
    run("inode", 3000);
}

#[test]
fn directory() {
    run("directory", 3000);
}

#[test]
fn index() {
    run("index", 1000);
}

#[test]
fn block_map() {
    run("block_map", 3000);
}

#[test]
fn truncate() {
    run("truncate", 3000);
}

#[test]
fn bitmap() {
    run("bitmap", 3000);
}

#[test]
fn xattr() {
    run("xattr", 3000);
}

#[test]
fn volume() {
    run("volume", 200);
}
