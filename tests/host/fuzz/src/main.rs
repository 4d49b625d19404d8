// SPDX-License-Identifier: GPL-2.0

//! One target of `ext2_tests::fuzz` under libFuzzer. Built and started by `scripts/fuzz`.
//!
//! `FUZZ_TARGET` names it, and `FUZZ_IMAGES` is a directory of real volumes. With `FUZZ_SEEDS`, a
//! directory, the inputs to begin with are made from these and put there.

#![no_main]

use std::{fs, path::Path, sync::OnceLock};

use libfuzzer_sys::fuzz_target;

#[path = "../../../../src/ext2/mod.rs"]
#[allow(dead_code)]
mod ext2;

#[path = "../../src/ext2_tests"]
#[allow(dead_code)]
mod ext2_tests {
    pub(crate) mod fuzz;
    mod indexed;
    mod support;
    mod volume;
}

use ext2_tests::fuzz::{Images, Target, TARGETS};

fn target() -> &'static (&'static Target, Images) {
    static CHOSEN: OnceLock<(&'static Target, Images)> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is the name of a target");
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("no target is named {name}"));
        let dir = std::env::var("FUZZ_IMAGES").expect("FUZZ_IMAGES is a directory");
        let mut paths: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "img"))
            .collect();
        paths.sort();
        let images = paths.iter().map(|path| fs::read(path).unwrap());
        (target, Images(images.collect()))
    })
}

fn setup() {
    let (target, images) = target();
    let Ok(dir) = std::env::var("FUZZ_SEEDS") else {
        return;
    };
    let seeds = images.0.iter().flat_map(|image| (target.seeds)(image));
    for (n, seed) in seeds.enumerate() {
        fs::write(Path::new(&dir).join(format!("seed-{n}")), seed).unwrap();
    }
}

fuzz_target!(init: setup(), |data: &[u8]| {
    let (target, images) = target();
    (target.run)(images, data);
});
