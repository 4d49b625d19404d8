// SPDX-License-Identifier: GPL-2.0

//! A small filesystem on top of `src/ext2`, for whole volumes in memory: as much as it takes to
//! let the parts work together on images that mke2fs made and e2fsck checks.

use std::rc::Rc;

use super::dir_block::{ByName, Inserted};
use super::support::{descriptor_location, put32, target};
use crate::ext2::{
    bitmap::{self, Kind, Run},
    block_map::{store_pointers, store_root, Branch, Mapping, PointerBlocks, Slot},
    choose_group::{for_directory, for_file, groups_from, Spread, Totals},
    directory::{DirBlock, Name},
    geometry::ROOT_INO,
    group::{Group, GroupCounts, GroupLayout, GROUP_DESCRIPTOR_SIZE},
    inode::{Content, FastSymlink, FileType, Inode, InodeError, InodeFlags},
    pointers::{Path, Pointers},
    superblock::{self, MountError, Superblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE},
    time::Time,
    truncate::{free_range, FreeBlocks, Unfreed},
    uninit::{Checksums, Uninit},
    xattr, Corrupt, Geometry, Layout, Place,
};

/// Why something did not work.
#[derive(Debug)]
pub(super) enum Error {
    Mount(MountError),
    Corrupt(Corrupt),
    Deleted,
    NoSpace,
    NotFound,
    Exists,
    NotEmpty,
    TooLarge,
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Error::Corrupt(corrupt)
    }
}

impl From<MountError> for Error {
    fn from(error: MountError) -> Self {
        Error::Mount(error)
    }
}

impl From<InodeError> for Error {
    fn from(error: InodeError) -> Self {
        match error {
            InodeError::Deleted => Error::Deleted,
            InodeError::Corrupt(corrupt) => Error::Corrupt(corrupt),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// An entry of a directory: name, inode number, type.
pub(super) type Found = (Vec<u8>, u32, Option<FileType>);

/// The time of all changes.
const NOW: u32 = 1_700_000_000;

/// The bytes of a volume, and the bitmaps and counters in them.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) bytes: Vec<u8>,
    geometry: Geometry,
    checksums: Checksums,
    groups: Rc<Vec<GroupLayout>>,
    /// Blocks freed and not yet subtracted from an inode.
    freed: u32,
}

impl Disk {
    fn layout(&self) -> Layout<'_> {
        Layout::new(&self.geometry, &self.groups)
    }

    pub(super) fn block(&mut self, block: u32) -> &mut [u8] {
        let size = self.geometry.block_size() as usize;
        let start = block as usize * size;
        &mut self.bytes[start..start + size]
    }

    fn descriptor(&mut self, group: u32) -> &mut [u8] {
        let (block, offset) = descriptor_location(&self.geometry, group).unwrap();
        &mut self.block(block)[offset as usize..][..GROUP_DESCRIPTOR_SIZE]
    }

    pub(super) fn counts(&mut self, group: u32) -> Result<GroupCounts> {
        let geometry = self.geometry;
        Ok(Group::parse(&geometry, group, self.descriptor(group))?.counts)
    }

    fn store_counts(&mut self, group: u32, counts: &GroupCounts) -> Result<()> {
        let checksums = self.checksums;
        let raw = self.descriptor(group);
        let changed = counts.store(group, raw)?;
        checksums.store(group, raw, changed)?;
        Ok(())
    }

    /// Initialises what is not of `group`.
    fn initialise(&mut self, group: u32) -> Result<()> {
        let (checksums, geometry) = (self.checksums, self.geometry);
        let raw = self.descriptor(group);
        checksums.check(group, raw)?;
        let uninit = Uninit::read(&geometry, group, raw)?;
        uninit.check(&geometry, group)?;
        if !uninit.is_any() {
            return Ok(());
        }
        let groups = self.groups.clone();
        let layout = Layout::new(&geometry, &groups);
        let places = layout.group(group)?;
        for block in uninit.stale_table(&geometry) {
            self.block(places.inode_table() + block).fill(0);
        }
        uninit.fill_blocks(&layout, group, self.block(places.block_bitmap()))?;
        uninit.fill_inodes(&geometry, self.block(places.inode_bitmap()));
        let raw = self.descriptor(group);
        let changed = uninit.store_done(group, raw)?;
        checksums.store(group, raw, changed)?;
        Ok(())
    }

    fn all_counts(&mut self) -> Result<Vec<GroupCounts>> {
        (0..self.geometry.groups())
            .map(|g| self.counts(g))
            .collect()
    }

    pub(super) fn totals(&mut self) -> Result<Totals> {
        let mut totals = Totals::default();
        for counts in self.all_counts()? {
            totals.free_blocks += u32::from(counts.free_blocks);
            totals.free_inodes += u32::from(counts.free_inodes);
            totals.used_dirs += u32::from(counts.used_dirs);
        }
        Ok(totals)
    }

    /// Takes up to `want` blocks near `goal`.
    fn allocate(&mut self, goal: u32, want: u32) -> Result<Run> {
        let geometry = self.geometry;
        let (goal_group, goal_index) = geometry.locate_block(goal).unwrap_or((0, 0));
        for group in groups_from(goal_group, geometry.groups()) {
            let mut counts = self.counts(group)?;
            if counts.free_blocks == 0 {
                continue;
            }
            let goal = if group == goal_group {
                goal_index
            } else {
                u32::MAX
            };
            let bitmap_block = self.groups[group as usize].block_bitmap();
            let mut bits = self.block(bitmap_block).to_vec();
            bitmap::check_block_bitmap(&self.layout(), group, &bits)?;
            let end = geometry.group_blocks(group);
            let Some(run) = bitmap::find_run(&bits, 0..end, goal, want) else {
                continue;
            };
            counts.take_blocks(group, run.len)?;
            let range = bitmap::set_run(&mut bits, end, run).unwrap();
            self.block(bitmap_block)[range.clone()].copy_from_slice(&bits[range]);
            self.store_counts(group, &counts)?;
            return Ok(Run {
                start: geometry.group_first_block(group) + run.start,
                len: run.len,
            });
        }
        Err(Error::NoSpace)
    }

    fn free(&mut self, start: u32, len: u32) -> Result<()> {
        let geometry = self.geometry;
        let (mut start, mut len) = (start, len);
        while len > 0 {
            let (group, index) = geometry.locate_block(start).unwrap();
            let here = len.min(geometry.group_blocks(group) - index);
            let run = Run {
                start: index,
                len: here,
            };
            let bitmap_block = self.groups[group as usize].block_bitmap();
            let end = geometry.group_blocks(group);
            bitmap::clear_run(self.block(bitmap_block), end, run, group, Kind::Blocks)?;
            let mut counts = self.counts(group)?;
            counts.give_blocks(&geometry, group, here)?;
            self.store_counts(group, &counts)?;
            self.freed += here;
            start += here;
            len -= here;
        }
        Ok(())
    }
}

impl PointerBlocks for Disk {
    type Error = Error;

    fn read(&mut self, block: u32, offset: usize, out: &mut [u8]) -> Result<()> {
        let len = out.len();
        out.copy_from_slice(&self.block(block)[offset..offset + len]);
        Ok(())
    }
}

impl FreeBlocks for Disk {
    fn root_changed(&mut self, _: &crate::ext2::pointers::Pointers) {}

    fn clear(&mut self, block: u32, offset: usize, len: usize) -> Result<()> {
        self.block(block)[offset..offset + len].fill(0);
        Ok(())
    }

    fn clear_root(&mut self, _root: &Pointers) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, block: u32, index: u32, start: u32, len: u32) -> Result<()> {
        for i in 0..len {
            put32(self.block(block), (index + i) as usize * 4, start + i);
        }
        Ok(())
    }

    fn is_corrupt(error: &Error) -> bool {
        matches!(error, Error::Corrupt(_))
    }

    fn free_data(&mut self, start: u32, len: u32) -> Result<()> {
        self.free(start, len)
    }

    fn free_pointers(&mut self, block: u32) -> Result<()> {
        self.free(block, 1)
    }
}

/// A mounted volume.
#[derive(Clone)]
pub(super) struct Volume {
    pub(super) superblock: Superblock,
    pub(super) disk: Disk,
}

const SUPERBLOCK: std::ops::Range<usize> =
    SUPERBLOCK_OFFSET as usize..SUPERBLOCK_OFFSET as usize + SUPERBLOCK_SIZE;

impl Volume {
    /// Mounts the volume in `bytes`.
    pub(super) fn mount(mut bytes: Vec<u8>) -> Result<Self> {
        let device_bytes = bytes.len() as u64;
        let raw = bytes.get_mut(SUPERBLOCK).unwrap_or_default();
        let superblock = Superblock::parse(raw, device_bytes)?;
        superblock::update::mark_mounted(raw, NOW)?;
        let geometry = superblock.geometry;
        let mut disk = Disk {
            bytes,
            geometry,
            checksums: superblock.checksums,
            groups: Rc::new(Vec::new()),
            freed: 0,
        };
        let groups = (0..geometry.groups())
            .map(|g| Ok(Group::parse(&geometry, g, disk.descriptor(g))?.layout))
            .collect::<Result<Vec<_>>>()?;
        disk.groups = Rc::new(groups);
        for group in 0..geometry.groups() {
            disk.initialise(group)?;
        }
        Ok(Volume { superblock, disk })
    }

    /// Unmounts it, and returns the bytes.
    pub(super) fn unmount(mut self) -> Result<Vec<u8>> {
        let totals = self.disk.totals()?;
        let raw = &mut self.disk.bytes[SUPERBLOCK];
        let free = (totals.free_blocks, totals.free_inodes);
        superblock::update::mark_unmounted(raw, self.superblock.state, free, NOW)?;
        Ok(self.disk.bytes)
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.superblock.geometry
    }

    pub(super) fn inode_bytes(&mut self, ino: u32) -> Result<&mut [u8]> {
        let place = self.disk.layout().locate_inode(ino)?;
        let size = self.geometry().inode_size() as usize;
        let offset = place.offset as usize;
        Ok(&mut self.disk.block(place.block)[offset..offset + size])
    }

    pub(super) fn inode(&mut self, ino: u32) -> Result<Inode> {
        let bytes = self.inode_bytes(ino)?.to_vec();
        Ok(Inode::parse(&self.disk.layout(), ino, &bytes)?)
    }

    pub(super) fn store(&mut self, ino: u32, inode: &Inode, new: bool) -> Result<()> {
        inode.store(ino, self.inode_bytes(ino)?, new)?;
        let size = inode.size;
        if inode.file_type == FileType::Regular
            && superblock::update::needs_large_file(size)
            && !self.superblock.features.has_large_file()
        {
            superblock::update::set_large_file(&mut self.disk.bytes[SUPERBLOCK])?;
        }
        Ok(())
    }

    fn path(&self, file_block: u64) -> Result<Path> {
        Path::new(self.geometry().block_bits(), file_block).ok_or(Error::TooLarge)
    }

    /// What the inode has from `file_block` on.
    pub(super) fn map(&mut self, ino: u32, file_block: u64, max: u32) -> Result<Mapping> {
        let inode = self.inode(ino)?;
        let Some(root) = inode.pointers() else {
            return Err(Error::NotFound);
        };
        let path = self.path(file_block)?;
        let groups = self.disk.groups.clone();
        let geometry = self.geometry();
        let layout = Layout::new(&geometry, &groups);
        let branch = Branch::walk(&layout, ino, root, path, &mut self.disk)?;
        branch.lookup(&layout, root, max, &mut self.disk)
    }

    /// Gives the inode blocks from `file_block` on, up to `want` if they are missing; returns how
    /// many there are, and the first one. New blocks are full of zeros.
    fn block_for(&mut self, ino: u32, file_block: u64, want: u32) -> Result<Run> {
        if let Mapping::Mapped { start, len } = self.map(ino, file_block, want)? {
            return Ok(Run { start, len });
        }
        let mut inode = self.inode(ino)?;
        let Some(&(mut root)) = inode.pointers() else {
            return Err(Error::NotFound);
        };
        let path = self.path(file_block)?;
        let groups = self.disk.groups.clone();
        let geometry = self.geometry();
        let layout = Layout::new(&geometry, &groups);
        let branch = Branch::walk(&layout, ino, &root, path, &mut self.disk)?;
        let growth = branch.growth(&root, want, &mut self.disk)?.unwrap();
        let slot = geometry.inode_slot(ino)?;
        let goal = branch
            .goal(&root, &mut self.disk)?
            .unwrap_or(geometry.group_first_block(slot.group));

        let mut taken = Vec::new();
        for _ in growth.indexes() {
            match self.disk.allocate(goal, 1) {
                Ok(run) => taken.push(run.start),
                Err(error) => {
                    for block in taken {
                        self.disk.free(block, 1)?;
                    }
                    self.disk.freed = 0;
                    return Err(error);
                }
            }
        }
        let goal = taken.last().map_or(goal, |block| block + 1);
        let data = match self.disk.allocate(goal, growth.data_blocks) {
            Ok(run) => run,
            Err(error) => {
                for block in taken {
                    self.disk.free(block, 1)?;
                }
                self.disk.freed = 0;
                return Err(error);
            }
        };
        for block in data.start..data.start + data.len {
            self.disk.block(block).fill(0);
        }
        let mut below = data;
        for (&block, &index) in taken.iter().zip(growth.indexes()).rev() {
            let bytes = self.disk.block(block);
            bytes.fill(0);
            store_pointers(bytes, index, below.start, below.len).unwrap();
            below = Run {
                start: block,
                len: 1,
            };
        }
        match growth.slot {
            Slot::Inode(index) => store_root(&mut root, index, below.start, below.len).unwrap(),
            Slot::Block { block, index } => {
                store_pointers(self.disk.block(block), index, below.start, below.len).unwrap();
            }
        }
        inode.content = Content::Blocks(root);
        let added = (data.len + taken.len() as u32) * geometry.sectors_per_block();
        inode.sectors = inode.sectors.saturating_add(added.into());
        self.store(ino, &inode, false)?;
        Ok(data)
    }

    /// The content of a file, up to `max` bytes.
    pub(super) fn read(&mut self, ino: u32, max: u64) -> Result<Vec<u8>> {
        let inode = self.inode(ino)?;
        if let Content::FastSymlink(link) = inode.content {
            return Ok(target(&link).to_vec());
        }
        let size = inode.size.min(max) as usize;
        let bits = self.geometry().block_bits();
        let mut content = vec![0; size];
        let mut file_block = 0;
        while (file_block << bits) < size as u64 {
            let left = (size as u64).div_ceil(1 << bits) - file_block;
            match self.map(ino, file_block, left as u32)? {
                Mapping::Hole { len } => file_block += u64::from(len),
                Mapping::Mapped { start, len } => {
                    for block in start..start + len {
                        let at = (file_block << bits) as usize;
                        let count = (size - at).min(1 << bits);
                        content[at..at + count].copy_from_slice(&self.disk.block(block)[..count]);
                        file_block += 1;
                    }
                }
            }
        }
        Ok(content)
    }

    /// Writes `data` into a file at `offset`.
    pub(super) fn write(&mut self, ino: u32, offset: u64, data: &[u8]) -> Result<()> {
        let bits = self.geometry().block_bits();
        let size = 1u64 << bits;
        let mut done = 0u64;
        while done < data.len() as u64 {
            let at = offset + done;
            let want = (offset + data.len() as u64).div_ceil(size) - (at >> bits);
            let run = self.block_for(ino, at >> bits, want as u32)?;
            let within = at % size;
            let count = (u64::from(run.len) * size - within).min(data.len() as u64 - done);
            let start = u64::from(run.start) * size + within;
            self.disk.bytes[start as usize..(start + count) as usize]
                .copy_from_slice(&data[done as usize..(done + count) as usize]);
            done += count;
            let mut inode = self.inode(ino)?;
            inode.size = inode.size.max(offset + done);
            self.store(ino, &inode, false)?;
        }
        Ok(())
    }

    /// Sets the size of a file.
    pub(super) fn set_size(&mut self, ino: u32, size: u64) -> Result<()> {
        let mut inode = self.inode(ino)?;
        let bits = self.geometry().block_bits();
        let within = (size % (1 << bits)) as usize;
        if size < inode.size && within != 0 {
            if let Mapping::Mapped { start, .. } = self.map(ino, size >> bits, 1)? {
                self.disk.block(start)[within..].fill(0);
            }
        }
        inode.size = size;
        let freed = self.free_from(ino, &mut inode, size.div_ceil(1 << bits));
        self.store(ino, &inode, false)?;
        freed
    }

    /// Frees `len` blocks of a file from block `file_block` on.
    pub(super) fn punch(&mut self, ino: u32, file_block: u64, len: u32) -> Result<()> {
        let mut inode = self.inode(ino)?;
        let groups = self.disk.groups.clone();
        let geometry = self.geometry();
        let layout = Layout::new(&geometry, &groups);
        let range = file_block..file_block + u64::from(len);
        self.disk.freed = 0;
        if let Content::Blocks(root) = &mut inode.content {
            free_range(&layout, ino, root, range, Unfreed::Keep, &mut self.disk)?;
        }
        // A damaged inode may count fewer.
        let freed = self.disk.freed * geometry.sectors_per_block();
        inode.sectors = inode.sectors.saturating_sub(freed.into());
        self.store(ino, &inode, false)
    }

    fn free_from(&mut self, ino: u32, inode: &mut Inode, keep: u64) -> Result<()> {
        let groups = self.disk.groups.clone();
        let geometry = self.geometry();
        let layout = Layout::new(&geometry, &groups);
        let mut result = Ok(());
        if let Content::Blocks(root) = &mut inode.content {
            self.disk.freed = 0;
            let range = keep..u64::MAX;
            result = free_range(&layout, ino, root, range, Unfreed::Lose, &mut self.disk);
            // The number may be wrong on a damaged volume.
            let freed = self.disk.freed * geometry.sectors_per_block();
            inode.sectors = inode.sectors.saturating_sub(freed.into());
        }
        result
    }

    /// All entries in use of a directory.
    pub(super) fn entries(&mut self, dir: u32) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        self.for_each_block(dir, |at, block| {
            for entry in at.entries(block) {
                let entry = entry?;
                if entry.ino != 0 {
                    all.push((entry.name.to_vec(), entry.ino, entry.file_type));
                }
            }
            Ok(None::<()>)
        })?;
        Ok(all)
    }

    /// Runs `visit` on the blocks of a directory, until it returns something.
    fn for_each_block<T>(
        &mut self,
        dir: u32,
        mut visit: impl FnMut(&DirBlock, &mut [u8]) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let inode = self.inode(dir)?;
        if inode.file_type != FileType::Directory {
            return Err(Error::NotFound);
        }
        let geometry = self.geometry();
        let bits = geometry.block_bits();
        for index in 0..(inode.size >> bits) as u32 {
            let Mapping::Mapped { start, .. } = self.map(dir, u64::from(index), 1)? else {
                return Err(Corrupt::new(Place::Inode(dir), "hole in a directory").into());
            };
            let at = DirBlock::new(&geometry, dir, index);
            if let Some(found) = visit(&at, self.disk.block(start))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(super) fn lookup(&mut self, dir: u32, name: &[u8]) -> Result<u32> {
        let name = Name::new(name).unwrap();
        self.for_each_block(dir, |at, block| Ok(at.find(block, name)?.map(|e| e.ino)))?
            .ok_or(Error::NotFound)
    }

    /// The inode at a path from the root, with `/` between the names.
    pub(super) fn resolve(&mut self, path: &str) -> Result<u32> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(ROOT_INO, |dir, name| self.lookup(dir, name.as_bytes()))
    }

    /// Clears the flag of an index that is out of date.
    fn changed(&mut self, dir: u32) -> Result<()> {
        let mut inode = self.inode(dir)?;
        inode.flags.0 &= !InodeFlags::INDEX;
        self.store(dir, &inode, false)
    }

    fn insert(&mut self, dir: u32, name: &[u8], ino: u32, file_type: FileType) -> Result<()> {
        let name = Name::new(name).unwrap();
        let done = self.for_each_block(dir, |at, block| {
            match at.insert_name(block, name, ino, file_type)? {
                Inserted::Done(_) => Ok(Some(())),
                Inserted::Exists => Err(Error::Exists),
                Inserted::Full => Ok(None),
            }
        })?;
        if done.is_none() {
            let geometry = self.geometry();
            let size = self.inode(dir)?.size;
            let index = size >> geometry.block_bits();
            let block = self.block_for(dir, index, 1)?.start;
            let at = DirBlock::new(&geometry, dir, index as u32);
            at.init_empty(self.disk.block(block))?;
            at.insert_name(self.disk.block(block), name, ino, file_type)?;
            let mut inode = self.inode(dir)?;
            inode.size += u64::from(geometry.block_size());
            self.store(dir, &inode, false)?;
        }
        self.changed(dir)
    }

    fn remove(&mut self, dir: u32, name: &[u8]) -> Result<u32> {
        let name = Name::new(name).unwrap();
        let removed = self
            .for_each_block(dir, |at, block| Ok(at.remove_name(block, name)?))?
            .ok_or(Error::NotFound)?;
        self.changed(dir)?;
        Ok(removed.ino)
    }

    /// Makes a new inode, without a name.
    fn new_inode(&mut self, dir: u32, mode: u16, content: Content) -> Result<u32> {
        let geometry = self.geometry();
        let file_type = FileType::from_mode(mode).unwrap();
        let parent = self.inode(dir)?;
        let parent_group = geometry.inode_slot(dir)?.group;
        let is_dir = file_type == FileType::Directory;
        let all = self.disk.all_counts()?;
        let counts = |group: u32| all[group as usize];
        let group = if is_dir {
            let spread = Spread {
                groups: geometry.groups(),
                inodes_per_group: geometry.inodes_per_group(),
                blocks_per_group: geometry.blocks_per_group(),
                totals: self.disk.totals()?,
            };
            let top = dir == ROOT_INO || parent.flags.has(InodeFlags::TOPDIR);
            for_directory(&spread, counts, top, parent_group, 1)
        } else {
            for_file(geometry.groups(), counts, parent_group, dir)
        };
        let group = group.ok_or(Error::NoSpace)?;
        let mut group_counts = all[group as usize];
        let bitmap_block = self.disk.groups[group as usize].inode_bitmap();
        let bits = self.disk.block(bitmap_block);
        let end = geometry.inodes_per_group();
        let index = bitmap::next_free(bits, 0, end).ok_or(Error::NoSpace)?;
        let ino = geometry.ino_at(group, index).unwrap();
        if !geometry.is_file_ino(ino) {
            return Err(Corrupt::new(Place::Inode(ino), "reserved, but free").into());
        }
        bitmap::set_run(
            bits,
            end,
            Run {
                start: index,
                len: 1,
            },
        )
        .unwrap();
        group_counts.take_inode(group, is_dir)?;
        self.disk.store_counts(group, &group_counts)?;
        let size = match &content {
            Content::FastSymlink(link) => target(link).len() as u64,
            _ => 0,
        };
        let inode = Inode {
            mode,
            file_type,
            uid: 0x12345,
            gid: 0x23456,
            size,
            links: 1,
            sectors: 0,
            huge: self.geometry().has_huge_files(),
            atime: Time::seconds(NOW.into()),
            ctime: Time::seconds(NOW.into()),
            mtime: Time::seconds(NOW.into()),
            crtime: None,
            dtime: 0,
            flags: parent.flags.inherit(file_type),
            generation: 1,
            file_acl: 0,
            extra_size: 0,
            content,
        };
        self.store(ino, &inode, true)?;
        Ok(ino)
    }

    fn create_with(&mut self, dir: u32, name: &[u8], mode: u16, content: Content) -> Result<u32> {
        if self.lookup(dir, name).is_ok() {
            return Err(Error::Exists);
        }
        let ino = self.new_inode(dir, mode, content)?;
        let file_type = self.inode(ino)?.file_type;
        if let Err(error) = self.insert(dir, name, ino, file_type) {
            self.unlink_inode(ino)?;
            return Err(error);
        }
        Ok(ino)
    }

    pub(super) fn create(&mut self, dir: u32, name: &[u8]) -> Result<u32> {
        self.create_with(dir, name, 0o100644, Content::Blocks([0; 15]))
    }

    /// Makes a node: a device, a pipe or a socket.
    pub(super) fn mknod(&mut self, dir: u32, name: &[u8], mode: u16, what: Content) -> Result<u32> {
        self.create_with(dir, name, mode, what)
    }

    pub(super) fn symlink(&mut self, dir: u32, name: &[u8], target: &[u8]) -> Result<u32> {
        if let Some(link) = FastSymlink::new(target) {
            return self.create_with(dir, name, 0o120777, Content::FastSymlink(link));
        }
        // A symbolic link with no blocks and no target is not an inode that can be read, so it
        // is made as a file first.
        let ino = self.create_with(dir, name, 0o100777, Content::Blocks([0; 15]))?;
        if let Err(error) = self.write(ino, 0, target) {
            self.unlink(dir, name)?;
            return Err(error);
        }
        let mut inode = self.inode(ino)?;
        (inode.mode, inode.file_type) = (0o120777, FileType::Symlink);
        self.store(ino, &inode, false)?;
        let name = Name::new(name).unwrap();
        self.for_each_block(dir, |at, block| {
            Ok(at.set_inode_of(block, name, ino, FileType::Symlink)?)
        })?;
        Ok(ino)
    }

    pub(super) fn link(&mut self, dir: u32, name: &[u8], ino: u32) -> Result<()> {
        let mut inode = self.inode(ino)?;
        self.insert(dir, name, ino, inode.file_type)?;
        inode = self.inode(ino)?;
        inode.links = inode.links.saturating_add(1);
        self.store(ino, &inode, false)
    }

    /// Frees all that an inode has, and the inode.
    fn delete(&mut self, ino: u32) -> Result<()> {
        let geometry = self.geometry();
        let mut inode = self.inode(ino)?;
        if inode.file_acl != 0 {
            let block = inode.file_acl;
            let bytes = self.disk.block(block);
            match xattr::references(ino, block, bytes)? {
                1 => self.disk.free(block, 1)?,
                count => put32(bytes, xattr::REFERENCES_AT, count - 1),
            }
            inode.file_acl = 0;
            let freed = geometry.sectors_per_block();
            inode.sectors = inode.sectors.saturating_sub(freed.into());
        }
        let freed = self.free_from(ino, &mut inode, 0);
        inode.size = 0;
        inode.links = 0;
        inode.dtime = NOW;
        self.store(ino, &inode, false)?;
        freed?;
        let slot = geometry.inode_slot(ino)?;
        let run = Run {
            start: slot.index,
            len: 1,
        };
        let bitmap_block = self.disk.groups[slot.group as usize].inode_bitmap();
        let bits = self.disk.block(bitmap_block);
        bitmap::clear_run(
            bits,
            geometry.inodes_per_group(),
            run,
            slot.group,
            Kind::Inodes,
        )?;
        let mut counts = self.disk.counts(slot.group)?;
        let is_dir = inode.file_type == FileType::Directory;
        counts.give_inode(&geometry, slot.group, is_dir)?;
        self.disk.store_counts(slot.group, &counts)?;
        Ok(())
    }

    fn unlink_inode(&mut self, ino: u32) -> Result<()> {
        let mut inode = self.inode(ino)?;
        if inode.links <= 1 {
            return self.delete(ino);
        }
        inode.links -= 1;
        self.store(ino, &inode, false)
    }

    pub(super) fn unlink(&mut self, dir: u32, name: &[u8]) -> Result<()> {
        let ino = self.remove(dir, name)?;
        self.unlink_inode(ino)
    }

    fn add_links(&mut self, ino: u32, count: i16) -> Result<()> {
        let mut inode = self.inode(ino)?;
        inode.links = inode.links.saturating_add_signed(count);
        self.store(ino, &inode, false)
    }

    pub(super) fn mkdir(&mut self, dir: u32, name: &[u8]) -> Result<u32> {
        if self.lookup(dir, name).is_ok() {
            return Err(Error::Exists);
        }
        let geometry = self.geometry();
        // As with a symbolic link: a directory without a block cannot be read.
        let ino = self.new_inode(dir, 0o40755, Content::Blocks([0; 15]))?;
        let mode_at = 0;
        self.inode_bytes(ino)?[mode_at..mode_at + 2].copy_from_slice(&0o100755u16.to_le_bytes());
        let block = match self.block_for(ino, 0, 1) {
            Ok(run) => run.start,
            Err(error) => {
                self.delete(ino)?;
                let mut counts = self.disk.counts(geometry.inode_slot(ino)?.group)?;
                counts.used_dirs = counts.used_dirs.saturating_sub(1);
                let group = geometry.inode_slot(ino)?.group;
                self.disk.store_counts(group, &counts)?;
                return Err(error);
            }
        };
        let at = DirBlock::new(&geometry, ino, 0);
        at.init_first(self.disk.block(block), dir)?;
        let mut inode = self.inode(ino)?;
        (inode.mode, inode.file_type) = (0o40755, FileType::Directory);
        inode.size = u64::from(geometry.block_size());
        inode.links = 2;
        self.store(ino, &inode, false)?;
        if let Err(error) = self.insert(dir, name, ino, FileType::Directory) {
            self.delete(ino)?;
            return Err(error);
        }
        self.add_links(dir, 1)?;
        Ok(ino)
    }

    pub(super) fn rmdir(&mut self, dir: u32, name: &[u8]) -> Result<()> {
        let ino = self.lookup(dir, name)?;
        let full = self.for_each_block(ino, |at, block| {
            Ok(if at.is_empty(block)? { None } else { Some(()) })
        })?;
        if full.is_some() {
            return Err(Error::NotEmpty);
        }
        self.remove(dir, name)?;
        self.delete(ino)?;
        self.add_links(dir, -1)
    }

    /// Moves `name` in `dir` to `new_name` in `new_dir`, where there must be nothing.
    pub(super) fn rename(
        &mut self,
        dir: u32,
        name: &[u8],
        new_dir: u32,
        new_name: &[u8],
    ) -> Result<()> {
        let ino = self.lookup(dir, name)?;
        let file_type = self.inode(ino)?.file_type;
        self.insert(new_dir, new_name, ino, file_type)?;
        self.remove(dir, name)?;
        if file_type == FileType::Directory && dir != new_dir {
            let dots = Name::new(b"..").unwrap();
            self.for_each_block(ino, |at, block| {
                Ok(at.set_inode_of(block, dots, new_dir, FileType::Directory)?)
            })?
            .ok_or(Error::NotFound)?;
            self.add_links(dir, -1)?;
            self.add_links(new_dir, 1)?;
        }
        Ok(())
    }
}
