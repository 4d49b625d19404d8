// SPDX-License-Identifier: GPL-2.0

//! All together: a real volume with some damage is mounted, walked, read and written, by the small
//! filesystem of these tests. Input: which volume, and places of it with what they become.

use super::{input::Input, Images, Target};
use crate::ext2::{
    geometry::ROOT_INO,
    inode::{Content, FileType},
};
use crate::ext2_tests::volume::Volume;

pub(super) const TARGET: Target = Target {
    name: "volume",
    run,
    seeds: |_| {
        let seed = |image, head: &[u8]| {
            let mut seed = vec![image];
            seed.extend(head);
            seed
        };
        (0..8)
            .flat_map(|image| {
                [
                    seed(image, &[]),
                    seed(image, &[0, 26, 1, 0, 0, 0]),
                    seed(image, &[1, 0, 0, 40, 1, 0, 0, 2, 5, 3, 7, 9]),
                ]
            })
            .collect()
    },
};

/// Reads all there is, and changes something in every way; whatever the bytes are, nothing may
/// panic and everything has to end.
pub(crate) fn poke(bytes: Vec<u8>) {
    let Ok(mut volume) = Volume::mount(bytes) else {
        return;
    };
    let mut dirs = vec![ROOT_INO];
    let mut seen = std::collections::BTreeSet::new();
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        if !seen.insert(dir) {
            continue;
        }
        for (_, ino, _) in volume.entries(dir).unwrap_or_default() {
            if let Ok(inode) = volume.inode(ino) {
                match inode.file_type {
                    FileType::Directory => dirs.push(ino),
                    _ => files.push(ino),
                }
            }
        }
    }
    for ino in files {
        let _ = volume.read(ino, 1 << 20);
        let _ = volume.map(ino, 100_000, 1000);
    }
    let _ = volume.mkdir(ROOT_INO, b"new-dir");
    if let Ok(ino) = volume.create(ROOT_INO, b"new-file") {
        let _ = volume.write(ino, 300 << 10, &[1; 5000]);
    }
    let names = volume.entries(ROOT_INO).unwrap_or_default();
    for (name, ino, _) in names
        .into_iter()
        .filter(|(name, ..)| !name.starts_with(b"."))
    {
        let is = |volume: &mut Volume, file_type| {
            volume
                .inode(ino)
                .is_ok_and(|inode| inode.file_type == file_type)
        };
        if is(&mut volume, FileType::Regular) {
            let _ = volume.punch(ino, 3, 20);
            let _ = volume.set_size(ino, 5000);
        }
        if is(&mut volume, FileType::Directory) {
            let _ = volume.rmdir(ROOT_INO, &name);
            continue;
        }
        let _ = volume.rename(ROOT_INO, &name, ROOT_INO, b"other");
        let _ = volume.unlink(ROOT_INO, b"other");
    }
    let _ = volume.rmdir(ROOT_INO, b"new-dir");
    let _ = volume.mknod(ROOT_INO, b"new-pipe", 0o10644, Content::Nothing);
    let _ = volume.unmount();
}

fn run(images: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let which = usize::from(input.u8());
    let Some(image) = images.0.get(which % images.0.len().max(1)) else {
        return;
    };
    let mut bytes = image.clone();
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        let kind = input.u8();
        // Most of what matters is at the start of a volume.
        let at = match kind & 1 {
            0 => 1024 + usize::from(input.u16()),
            _ => usize::from(input.u8()) << 16 | usize::from(input.u16()),
        };
        let at = at % (bytes.len() - 4);
        match kind >> 1 & 3 {
            0 => bytes[at] = input.u8(),
            1 => bytes[at..at + 2].copy_from_slice(&input.u16().to_le_bytes()),
            2 => bytes[at..at + 4].copy_from_slice(&input.u32().to_le_bytes()),
            _ => {
                let from = usize::from(input.u16()) * 128 % (bytes.len() - 4);
                let len = (usize::from(input.u8()) * 8).min(bytes.len() - from.max(at));
                bytes.copy_within(from..from + len, at);
            }
        }
    }
    poke(bytes);
}
