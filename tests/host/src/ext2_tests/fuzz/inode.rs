// SPDX-License-Identifier: GPL-2.0

//! Inodes. Input: the kind of the volume, the inode number, the slot of the inode, and another one
//! to write it to.

use super::{
    assert_only_changed,
    input::{spec_of, Input},
    Images, Target,
};
use crate::ext2::{
    inode::{has_no_link, Content, FileType, Inode, InodeError, KNOWN_BYTES, LINKS_MAX},
    pointers::tree_blocks,
    time::Time,
    Layout, Place,
};
use crate::ext2_tests::{
    support::{get32, packed_groups},
    volume::Volume,
};

pub(super) const TARGET: Target = Target {
    name: "inode",
    run,
    seeds,
};

fn seeds(image: &[u8]) -> Vec<Vec<u8>> {
    let mut volume = Volume::mount(image.to_vec()).unwrap();
    let size = volume.geometry().inode_size() as usize;
    (1..64.min(volume.geometry().inodes_count()))
        .filter_map(|ino| {
            let bytes = volume.inode_bytes(ino).ok()?.to_vec();
            if has_no_link(&bytes) {
                return None;
            }
            let mut seed = vec![spec_of(&image[1024..])];
            seed.extend(ino.to_le_bytes());
            seed.extend(&bytes[..size.min(KNOWN_BYTES)]);
            Some(seed)
        })
        .collect()
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let geometry = input.spec().geometry();
    let groups = packed_groups(&geometry);
    let layout = Layout::new(&geometry, &groups);
    let ino = input.u32();
    let _ = layout.locate_inode(ino).map_err(|error| error.to_string());
    let size = geometry.inode_size() as usize;
    let mut bytes = input.bytes(size);
    let inode = match Inode::parse(&layout, ino, &bytes) {
        Ok(inode) => inode,
        Err(InodeError::Deleted) => {
            assert!(has_no_link(&bytes));
            return;
        }
        Err(InodeError::Corrupt(corrupt)) => {
            assert_eq!(corrupt.ino(), Some(ino));
            return;
        }
    };
    assert!(!has_no_link(&bytes) && inode.links > 0 && inode.dtime == 0);
    assert_eq!(FileType::from_mode(inode.mode), Some(inode.file_type));
    if inode.file_acl != 0 {
        layout
            .check_data(Place::Inode(ino), inode.file_acl, 1)
            .unwrap();
    }
    let block_size = u64::from(geometry.block_size());
    let has_blocks = inode.pointers().is_some();
    match inode.file_type {
        FileType::Regular => {
            assert!(has_blocks && inode.size <= tree_blocks(geometry.block_bits()) * block_size);
        }
        FileType::Directory => {
            assert!(has_blocks && inode.size % block_size == 0 && inode.size > 0);
            assert!(inode.size <= u64::from(geometry.blocks_count()) * block_size);
        }
        FileType::Symlink => match &inode.content {
            Content::FastSymlink(link) => {
                let target = link.zero_terminated();
                let len = inode.size as usize;
                assert!(len > 0 && target[len] == 0 && !target[..len].contains(&0));
            }
            content => {
                assert!(matches!(content, Content::Blocks(_)));
                assert!(inode.size > 0 && inode.size < block_size);
            }
        },
        FileType::CharDevice | FileType::BlockDevice => {
            let Content::Device(device) = inode.content else {
                panic!("{inode:?}");
            };
            assert!(device.major < 1 << 12 && device.minor < 1 << 20);
        }
        FileType::Fifo | FileType::Socket => assert_eq!(inode.content, Content::Nothing),
    }

    // Stored in its own slot, nothing changes that has no name here.
    let before = bytes.clone();
    let range = inode.store(ino, &mut bytes, false).unwrap();
    assert_only_changed(&before, &bytes, range);
    assert_eq!(Inode::parse(&layout, ino, &bytes), Ok(inode));
    assert_eq!(get32(&before, 36), get32(&bytes, 36), "os1");
    assert_eq!(before[112..120], bytes[112..120], "fragment and padding");
    assert_eq!(before[124..128], bytes[124..128], "os2");
    let fields = 128 + usize::from(inode.extra_size);
    assert_eq!(before[128..], bytes[128..], "fields and attributes");
    if inode.file_type != FileType::Regular {
        assert_eq!(get32(&before, 108), get32(&bytes, 108), "size_high");
    }
    // A new time changes nothing else; where there is no room, it is of whole seconds.
    let mtime = Time {
        seconds: i64::from(ino >> 2),
        nanoseconds: 5,
    };
    let later = Inode { mtime, ..inode };
    later.store(ino, &mut bytes, false).unwrap();
    let room = inode.extra_size >= 12;
    let mtime = if room {
        mtime
    } else {
        Time::seconds(mtime.seconds)
    };
    assert_eq!(
        Inode::parse(&layout, ino, &bytes),
        Ok(Inode { mtime, ..inode })
    );
    if size > 128 {
        assert_eq!(before[128..136], bytes[128..136]);
        assert_eq!(before[140..], bytes[140..]);
        if !room {
            assert_eq!(before[128..], bytes[128..]);
        }
    }
    // In the slot of another one, that is forgotten.
    let mut other = input.bytes(size);
    inode.store(ino, &mut other, true).unwrap();
    assert_eq!(Inode::parse(&layout, ino, &other), Ok(inode));
    let fields = fields.min(160).max(128).min(size);
    assert!(other[fields..].iter().all(|&b| b == 0));
    assert!(u32::from(LINKS_MAX) < u32::from(u16::MAX));
}
