// SPDX-License-Identifier: GPL-2.0

//! Hash indexes of directories. Input: the kind of the volume, a function, names, and the first blocks.

use super::{
    input::{spec_of, Input},
    Images, Target,
};
use crate::ext2::directory::{
    hash::{Function, Hashing},
    order::Width,
};
use crate::ext2_tests::{
    indexed::{Blocks, Indexed},
    support::Spec,
};

pub(super) const TARGET: Target = Target {
    name: "index",
    run,
    seeds,
};

const NAMES: usize = 8;
const BLOCKS: usize = 6;

fn hashing(kind: u8) -> Hashing {
    Hashing {
        default: Function::from_code(kind % 3).unwrap(),
        unsigned: kind & 4 != 0,
        seed: [kind.into(), 0, 0, 0],
    }
}

/// Directories of the sizes of blocks of `image`, with indexes of one and two levels.
fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let kind = spec_of(&image[1024..]);
    let spec: Spec = Input::new(&[kind]).spec();
    let mut seeds = Vec::new();
    for function in 0..3 {
        for names in [30, 100, 900] {
            let mut dir = Indexed::new(spec.geometry(), 12, hashing(function));
            for n in 0..names {
                let name = format!("{n:0200}").into_bytes();
                dir.insert(&name, 13).unwrap();
            }
            let mut seed = vec![kind, function];
            seed.extend((0..NAMES).map(|n| n as u8));
            // A leaf and the last block, which may be a node, come with the root.
            let path = dir.walk(b"x").unwrap_or_else(|_| panic!("an index"));
            let mut blocks = vec![0, path.leaf];
            blocks.extend(path.frames().iter().map(|frame| frame.block));
            for block in blocks {
                seed.extend(&dir.blocks.0[block as usize]);
            }
            seeds.push(seed);
        }
    }
    seeds
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let spec = input.spec();
    let hashing = hashing(input.u8());
    let names: Vec<u8> = (0..NAMES).map(|_| input.u8()).collect();
    let size = spec.block_size() as usize;
    let blocks = (0..BLOCKS).map(|_| input.bytes(size)).collect();
    let mut dir = Indexed {
        geometry: spec.geometry(),
        ino: 12,
        hashing,
        blocks: Blocks(blocks),
    };
    for width in [Width::Bits31, Width::Bits63] {
        let mut from = Some(Default::default());
        // Damaged, it need not come to an end here: the module finds that it is not sorted.
        for _ in 0..20 {
            let Some(key) = from else { break };
            let mut names = Vec::new();
            from = match dir.list_from(width, 4, key, &mut names) {
                Ok(next) => next,
                Err(_) => None,
            };
            assert!(names.len() <= 4);
        }
    }
    for which in names {
        let name = format!("{which:0200}").into_bytes();
        let found = dir.find(&name);
        let added = dir.insert(&name, 13);
        assert!(added.is_err() || !matches!(found, Ok(Some(_))));
        // A block that is a node and a leaf at once is no index any more.
        let _ = dir.remove(&name);
        assert!(dir.blocks.0.iter().all(|block| block.len() == size));
    }
}
