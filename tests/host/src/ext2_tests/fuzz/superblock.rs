// SPDX-License-Identifier: GPL-2.0

//! The superblock. Input: its 1024 bytes, and the size of the device.

use super::{assert_only_changed, input::Input, Images, Target};
use crate::ext2::{
    superblock::{
        update::{
            mark_error, mark_in_use, mark_mounted, mark_unmounted, set_ext_attr, set_free_counts,
            set_large_file,
        },
        Superblock, SUPERBLOCK_SIZE,
    },
    tuned::Tuned,
    Corrupt, Geometry,
};
use crate::ext2_tests::support::descriptor_location;
use std::ops::Range;

pub(super) const TARGET: Target = Target {
    name: "superblock",
    run,
    seeds: |image| vec![seed(image)],
};

/// The superblock of a real volume, and its size.
pub(super) fn seed(image: &[u8]) -> Vec<u8> {
    let mut seed = image[1024..2048].to_vec();
    seed.extend((image.len() as u64).to_le_bytes());
    seed
}

/// What [`Geometry`] promises.
pub(super) fn check(g: &Geometry, device_bytes: u64) {
    assert!((10..=12).contains(&g.block_bits()));
    assert_eq!(g.block_size(), 1 << g.block_bits());
    assert!(u64::from(g.blocks_count()) << g.block_bits() <= device_bytes);
    assert!(g.inode_size().is_power_of_two());
    assert!((128..=g.block_size()).contains(&g.inode_size()));
    assert!(g.groups() > 0);
    assert!(g.blocks_per_group() <= 8 * g.block_size());
    assert!(g.inodes_per_group() <= 8 * g.block_size());
    assert_eq!(
        u64::from(g.inodes_count()),
        u64::from(g.groups()) * u64::from(g.inodes_per_group())
    );
    assert_eq!(
        g.inode_table_blocks() * g.block_size(),
        g.inodes_per_group() * g.inode_size()
    );

    let last = g.groups() - 1;
    let first_block = g.group_first_block(0);
    assert!(g.group_first_block(last) < g.blocks_count());
    assert_eq!(
        g.group_first_block(last) + g.group_blocks(last),
        g.blocks_count()
    );
    assert_eq!(g.group_blocks(g.groups()), 0);
    assert!(g.base_metadata(0) + 2 + g.inode_table_blocks() <= g.group_blocks(0));
    let (block, offset) = descriptor_location(&g, last).unwrap();
    assert!((first_block..g.blocks_count()).contains(&block) && offset + 32 <= g.block_size());
    assert_eq!(descriptor_location(&g, g.groups()), None);
    assert!(g.overhead() <= g.blocks_count());
    // statfs(2) has no more free blocks than blocks.
    if g.groups() < 1000 {
        let free: u32 = (0..g.groups()).map(|n| g.group_data_blocks(n)).sum();
        assert!(free <= g.blocks_count() - g.overhead());
    }

    assert_eq!(g.locate_block(first_block), Some((0, 0)));
    assert_eq!(
        g.locate_block(g.blocks_count() - 1),
        Some((last, g.group_blocks(last) - 1))
    );
    assert_eq!(g.locate_block(g.blocks_count()), None);
    for ino in [1, g.inodes_per_group(), g.inodes_count()] {
        let slot = g.inode_slot(ino).unwrap();
        assert_eq!(g.ino_at(slot.group, slot.index), Some(ino));
        assert!(slot.table_block < g.inode_table_blocks());
        assert!(slot.offset + g.inode_size() <= g.block_size());
    }
    assert!(g.inode_slot(0).is_err());
    assert!(g
        .inodes_count()
        .checked_add(1)
        .is_none_or(|ino| g.inode_slot(ino).is_err()));
    assert!(g.is_file_ino(2) && !g.is_file_ino(1) && !g.is_file_ino(0));
}

/// The superblock after a change, which stays within what it says and leaves the geometry alone.
fn changed(
    old: &Superblock,
    bytes: &mut Vec<u8>,
    device_bytes: u64,
    change: impl FnOnce(&mut [u8]) -> Result<Range<usize>, Corrupt>,
) -> Superblock {
    let before = bytes.clone();
    let range = change(bytes).unwrap();
    assert_only_changed(&before, bytes, range);
    let new = Superblock::parse(bytes, device_bytes).unwrap();
    assert_eq!(new.geometry, old.geometry);
    assert_eq!(new.uuid, old.uuid);
    new
}

fn run(_: &Images, data: &[u8]) {
    let mut input = Input::new(data);
    let mut bytes = input.bytes(SUPERBLOCK_SIZE);
    let size = input.u64();
    let short = &data[..data.len().min(SUPERBLOCK_SIZE - 1)];
    assert!(Superblock::parse(short, size).is_err());
    let old = match Superblock::parse(&bytes, size) {
        Ok(superblock) => superblock,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    check(&old.geometry, size);
    assert!(old.features.forbid_mount().is_empty());
    assert_eq!(
        old.features.forbid_write().is_empty(),
        old.features.forbid_write().to_string().is_empty()
    );
    let tuned = Tuned::read(&old.geometry, &bytes);
    assert!(tuned.reserved_blocks <= old.geometry.blocks_count());

    let new = changed(&old, &mut bytes, size, |b| mark_mounted(b, 7));
    assert!(!new.state.is_clean());
    assert_eq!(new.state.has_errors(), old.state.has_errors());
    assert_eq!(new.mount_count, old.mount_count.saturating_add(1));
    let new = changed(&old, &mut bytes, size, |b| {
        mark_unmounted(b, old.state, (1, 2), 8)
    });
    assert_eq!(new.state, old.state);
    let new = changed(&old, &mut bytes, size, |b| mark_in_use(b, 9));
    assert!(!new.state.is_clean());
    let new = changed(&old, &mut bytes, size, mark_error);
    assert!(new.state.has_errors());
    let new = changed(&old, &mut bytes, size, |b| {
        mark_unmounted(b, old.state, (1, 2), 8)
    });
    assert!(new.state.has_errors());
    assert_eq!(new.state.is_clean(), old.state.is_clean());
    changed(&old, &mut bytes, size, |b| set_free_counts(b, 3, 4, 10));
    let new = changed(&old, &mut bytes, size, set_large_file);
    assert!(new.features.has_large_file());
    let new = changed(&old, &mut bytes, size, set_ext_attr);
    assert!(new.features.has_ext_attr());
}
