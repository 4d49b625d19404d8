// SPDX-License-Identifier: GPL-2.0

//! Blocks of directories. Input: the kind of the volume, operations, and the block.

use super::{
    assert_only_changed,
    input::{spec_of, Input},
    Images, Target,
};
use crate::ext2::{
    block_map::Mapping,
    directory::{type_code, type_from_code, DirBlock, Name},
    geometry::ROOT_INO,
    inode::FileType,
    Geometry,
};
use crate::ext2_tests::dir_block::{ByName, Inserted};
use crate::ext2_tests::volume::Volume;

pub(super) const TARGET: Target = Target {
    name: "directory",
    run,
    seeds,
};

const OPERATIONS: usize = 6;

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let mut volume = Volume::mount(image.to_vec()).unwrap();
    let mut dirs = vec![ROOT_INO];
    for (_, ino, file_type) in volume.entries(ROOT_INO).unwrap() {
        if file_type == Some(FileType::Directory) {
            dirs.push(ino);
        }
    }
    let mut seeds = Vec::new();
    for ino in dirs {
        for index in 0..2 {
            let Ok(Mapping::Mapped { start, .. }) = volume.map(ino, index, 1) else {
                continue;
            };
            let mut seed = vec![spec_of(&image[1024..])];
            seed.extend([0, 0x21, 1, 0x05, 2, 0x11, 3, 0x73, 4, 0, 0, 0xff]);
            seed.extend(&*volume.disk.block(start));
            seeds.push(seed);
        }
    }
    seeds
}

type Owned = (u32, Option<FileType>, Vec<u8>);

/// The entries in use, by the rules and nothing else, but for the bytes of their names; `None` if one breaks them.
fn model(g: &Geometry, block: &[u8]) -> Option<Vec<Owned>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < block.len() {
        let head = block.get(at..at + 8)?;
        let ino = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let rec_len = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let name_len = usize::from(head[6]);
        if rec_len < 12 || rec_len % 4 != 0 || at + rec_len > block.len() || 8 + name_len > rec_len
        {
            return None;
        }
        let name = &block[at + 8..at + 8 + name_len];
        if ino > g.inodes_count() {
            return None;
        }
        if ino != 0 {
            if name.is_empty() {
                return None;
            }
            let known = type_from_code(head[7]).filter(|_| g.has_filetype());
            all.push((ino, known, name.to_vec()));
        }
        at += rec_len;
    }
    (at == block.len()).then_some(all)
}

fn is_possible(name: &[u8]) -> bool {
    !name.contains(&0) && !name.contains(&b'/')
}

/// One of few names of all lengths, or one that is there.
fn name(all: &[Owned], which: u8) -> Vec<u8> {
    match all.get(usize::from(which)) {
        Some((_, _, name)) if is_possible(name) => name.clone(),
        _ => vec![b'a' + which % 3; usize::from(which).max(1)],
    }
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let g = input.spec().geometry();
    let operations: Vec<(u8, u8)> = (0..OPERATIONS).map(|_| (input.u8(), input.u8())).collect();
    let mut block = input.bytes(g.block_size() as usize);
    let dir = 12;
    let at = DirBlock::new(&g, dir, 3);
    assert!(at.is_empty(&block[1..]).is_err());

    for (kind, which) in operations {
        let before = block.clone();
        let all = model(&g, &block);
        let parsed: Result<Vec<_>, _> = at.entries(&block).collect();
        let parsed = parsed.ok().map(|entries| {
            let used = entries.iter().filter(|entry| entry.ino != 0);
            used.map(|entry| (entry.ino, entry.file_type, entry.name.to_vec()))
                .collect::<Vec<_>>()
        });
        // Who looks for a name does not validate the others.
        let possible = all.clone();
        let possible = possible.filter(|all| all.iter().all(|(_, _, name)| is_possible(name)));
        assert_eq!(parsed, possible);
        let name = name(all.as_deref().unwrap_or_default(), which);
        let valid = Name::new(&name).unwrap();
        let there = |all: &[Owned]| all.iter().position(|(_, _, n)| *n == name);
        let ino = 1 + u32::from(which) % g.inodes_count();
        let file_type = type_from_code(1 + which % 7).unwrap();
        let shown = g.has_filetype().then_some(file_type);
        match kind % 5 {
            0 => {
                let done = at.insert_name(&mut block, valid, ino, file_type);
                let Some(mut expected) = all else {
                    assert!(matches!(done, Err(_) | Ok(Inserted::Exists)));
                    assert_eq!(before, block);
                    continue;
                };
                match done.unwrap() {
                    Inserted::Done(range) => {
                        assert_eq!(there(&expected), None);
                        assert_only_changed(&before, &block, range);
                        expected.push((ino, shown, name.clone()));
                        expected.sort_by(|a, b| a.2.cmp(&b.2));
                        let mut now = model(&g, &block).unwrap();
                        now.sort_by(|a, b| a.2.cmp(&b.2));
                        assert_eq!(now, expected);
                    }
                    Inserted::Exists => {
                        assert!(there(&expected).is_some());
                        assert_eq!(before, block);
                    }
                    Inserted::Full => {
                        assert_eq!(there(&expected), None);
                        assert_eq!(before, block);
                    }
                }
            }
            1 => match (at.remove_name(&mut block, valid), all) {
                (Ok(Some(removed)), all) => {
                    assert_only_changed(&before, &block, removed.changed);
                    if let Some(mut expected) = all {
                        let (ino, ..) = expected.remove(there(&expected).unwrap());
                        assert_eq!(removed.ino, ino);
                        assert_eq!(model(&g, &block), Some(expected));
                    }
                }
                (Ok(None), all) => {
                    assert_eq!(before, block);
                    assert_eq!(there(&all.unwrap()), None);
                }
                (Err(error), all) => {
                    assert!(all.is_none() && error.ino() == Some(dir));
                    assert_eq!(before, block);
                }
            },
            2 => match (at.set_inode_of(&mut block, valid, ino, file_type), all) {
                (Ok(Some(range)), all) => {
                    assert_only_changed(&before, &block, range);
                    if let Some(mut expected) = all {
                        let place = there(&expected).unwrap();
                        (expected[place].0, expected[place].1) = (ino, shown);
                        assert_eq!(model(&g, &block), Some(expected));
                    }
                }
                (Ok(None), all) => assert_eq!(there(&all.unwrap()), None),
                (Err(_), all) => {
                    assert!(all.is_none());
                    assert_eq!(before, block);
                }
            },
            3 => match (at.find(&block, valid), all) {
                (Ok(Some(entry)), all) => {
                    assert_eq!(entry.name, name);
                    assert!(entry.end() <= block.len());
                    assert_eq!(&block[entry.offset + 8..][..name.len()], name);
                    if let Some(all) = all {
                        assert_eq!(all[there(&all).unwrap()].0, entry.ino);
                    }
                }
                (Ok(None), all) => assert_eq!(there(&all.unwrap()), None),
                (Err(_), all) => assert!(all.is_none()),
            },
            _ => match (at.is_empty(&block), possible) {
                (Ok(empty), Some(all)) => {
                    let dots = |e: &Owned| e.2 == b".." || (e.2 == b"." && e.0 == dir);
                    assert_eq!(empty, all.iter().all(dots));
                }
                (Ok(empty), None) => assert!(!empty),
                (Err(_), all) => assert!(all.is_none()),
            },
        }
    }
    at.init_first(&mut block, 2).unwrap();
    assert_eq!(at.is_empty(&block), Ok(true));
    assert_eq!(model(&g, &block).unwrap().len(), 2);
    at.init_empty(&mut block).unwrap();
    assert_eq!(model(&g, &block), Some(Vec::new()));
    assert_eq!(
        type_from_code(type_code(FileType::Socket)),
        Some(FileType::Socket)
    );
}
