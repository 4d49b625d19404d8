// SPDX-License-Identifier: GPL-2.0

//! A directory with a hash index in memory, changed as `src/inode/directory/grow.rs` does it.

use super::dir_block::{ByName, Inserted};
use crate::ext2::{
    directory::{
        blocks::DirBlocks,
        hash::Hashing,
        index::{Pointer, Root},
        order::{Key, Least, Order, Width},
        path::{Directory, Path},
        split::Named,
        DirBlock, Name,
    },
    inode::FileType,
    Corrupt, Geometry,
};

/// The blocks.
pub(super) struct Blocks(pub(super) Vec<Vec<u8>>);

impl DirBlocks for Blocks {
    type Error = Corrupt;

    fn count(&self) -> u32 {
        self.0.len() as u32
    }

    fn read(&mut self, index: u32, offset: usize, out: &mut [u8]) -> Result<(), Corrupt> {
        out.copy_from_slice(&self.0[index as usize][offset..offset + out.len()]);
        Ok(())
    }
}

/// Why a name was not added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAdded {
    Exists,
    Full,
    Corrupt(Corrupt),
}

impl From<Corrupt> for NotAdded {
    fn from(corrupt: Corrupt) -> Self {
        NotAdded::Corrupt(corrupt)
    }
}

/// A directory.
pub(super) struct Indexed {
    pub(super) geometry: Geometry,
    pub(super) ino: u32,
    pub(super) hashing: Hashing,
    pub(super) blocks: Blocks,
}

impl Indexed {
    /// With `.` and `..` and no index.
    pub(super) fn new(geometry: Geometry, ino: u32, hashing: Hashing) -> Self {
        let mut dir = Indexed {
            geometry,
            ino,
            hashing,
            blocks: Blocks(Vec::new()),
        };
        let mut first = dir.room();
        dir.at(0).init_first(&mut first, 2).unwrap();
        dir.blocks.0.push(first);
        dir
    }

    fn room(&self) -> Vec<u8> {
        vec![0xaa; self.geometry.block_size() as usize]
    }

    pub(super) fn at(&self, index: u32) -> DirBlock {
        DirBlock::new(&self.geometry, self.ino, index)
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.blocks.0.len() > 1
    }

    fn directory<'a>(&self, geometry: &'a Geometry) -> Directory<'a> {
        Directory {
            geometry,
            ino: self.ino,
        }
    }

    pub(super) fn walk(&mut self, name: &[u8]) -> Result<Path<'_>, Corrupt> {
        let directory = self.directory(&self.geometry);
        Self::walk_in(directory, self.hashing, &mut self.blocks, name)
    }

    /// The same, for who goes on to change the blocks.
    fn walk_in<'a>(
        directory: Directory<'a>,
        hashing: Hashing,
        blocks: &mut Blocks,
        name: &[u8],
    ) -> Result<Path<'a>, Corrupt> {
        let name = Name::new(name).unwrap();
        directory.walk(blocks, |function| {
            hashing.hash(function, name.bytes()).major
        })
    }

    /// Runs `visit` on the blocks that may have `name`.
    fn each<T>(
        &mut self,
        name: &[u8],
        mut visit: impl FnMut(&DirBlock, &mut [u8]) -> Result<Option<T>, Corrupt>,
    ) -> Result<Option<T>, Corrupt> {
        if !self.is_indexed() {
            let at = self.at(0);
            return visit(&at, &mut self.blocks.0[0]);
        }
        let geometry = self.geometry;
        let mut path = Self::walk_in(
            self.directory(&geometry),
            self.hashing,
            &mut self.blocks,
            name,
        )?;
        loop {
            let at = self.at(path.leaf);
            let found = visit(&at, &mut self.blocks.0[path.leaf as usize])?;
            if found.is_some() || !path.next_of(path.hash, &mut self.blocks)? {
                return Ok(found);
            }
        }
    }

    pub(super) fn find(&mut self, name: &[u8]) -> Result<Option<u32>, Corrupt> {
        let valid = Name::new(name).unwrap();
        self.each(name, |at, block| {
            Ok(at.find(block, valid)?.map(|entry| entry.ino))
        })
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Result<bool, Corrupt> {
        let valid = Name::new(name).unwrap();
        let removed = self.each(name, |at, block| at.remove_name(block, valid))?;
        Ok(removed.is_some())
    }

    pub(super) fn insert(&mut self, name: &[u8], ino: u32) -> Result<(), NotAdded> {
        let valid = Name::new(name).unwrap();
        if self.find(name)?.is_some() {
            return Err(NotAdded::Exists);
        }
        let geometry = self.geometry;
        let directory = self.directory(&geometry);
        for _ in 0..16 {
            let mut leaf = 0;
            let mut path = None;
            if self.is_indexed() {
                let found = Self::walk_in(directory, self.hashing, &mut self.blocks, name)?;
                leaf = found.leaf;
                path = Some(found);
            }
            let at = self.at(leaf);
            let block = &mut self.blocks.0[leaf as usize];
            match at.insert_name(block, valid, ino, FileType::Regular)? {
                Inserted::Done(_) => return Ok(()),
                Inserted::Exists => return Err(NotAdded::Exists),
                Inserted::Full => {}
            }
            match path {
                None => self.make_index()?,
                Some(path) if self.has_room(&path)? => self.split(&path)?,
                Some(_) => {}
            }
        }
        Err(NotAdded::Full)
    }

    fn names(&self) -> Vec<Named> {
        vec![Named::default(); self.at(0).names_max()]
    }

    fn make_index(&mut self) -> Result<(), NotAdded> {
        let at = self.at(0);
        let (hashing, mut names) = (self.hashing, self.names());
        let hash = |name: &[u8]| hashing.hash(hashing.default, name).major;
        let first = &self.blocks.0[0];
        let halves = at.halves(first, hash, &mut names)?;
        let halves = halves.ok_or(NotAdded::Full)?;
        let (mut one, mut two) = (self.room(), self.room());
        at.copy_staying(&mut one, first, &halves)?;
        at.copy_moving(&mut two, first, &halves)?;
        let hash = halves.hash;
        let pointers = [Pointer { hash: 0, block: 1 }, Pointer { hash, block: 2 }];
        Root::init(&at, &mut self.blocks.0[0], hashing.default, &pointers)?;
        self.blocks.0.extend([one, two]);
        Ok(())
    }

    fn split(&mut self, path: &Path) -> Result<(), NotAdded> {
        let at = self.at(path.leaf);
        let (hashing, mut names) = (self.hashing, self.names());
        let hash = |name: &[u8]| hashing.hash(path.root.function, name).major;
        let new = self.blocks.count();
        let (mut moved, mut spare) = (self.room(), self.room());
        let leaf = &mut self.blocks.0[path.leaf as usize];
        let halves = at.halves(leaf, hash, &mut names)?;
        let halves = halves.ok_or(NotAdded::Full)?;
        at.copy_moving(&mut moved, leaf, &halves)?;
        at.remove_moving(leaf, &halves, &mut spare)?;
        let frame = path.frames().last().unwrap();
        let above = self.at(frame.block);
        let (hash, block) = (halves.bound(&path.range(&mut self.blocks)?), new);
        let bytes = &mut self.blocks.0[frame.block as usize];
        let pointer = |block| Pointer { hash, block };
        frame.node.insert(&above, bytes, frame.at, pointer(0))?;
        frame.node.set(bytes, frame.at + 1, pointer(block));
        self.blocks.0.push(moved);
        Ok(())
    }

    fn has_room(&mut self, path: &Path) -> Result<bool, NotAdded> {
        let new = self.blocks.count();
        let mut node = self.room();
        match path.frames() {
            [.., last] if !last.node.is_full() => return Ok(true),
            [root] => {
                let at = self.at(0);
                let bytes = &mut self.blocks.0[0];
                root.node.copy_from(&at, &mut node, bytes, 0)?;
                path.root.raise(&at, bytes, new)?;
            }
            [root, full] if !root.node.is_full() => {
                let at = self.at(full.block);
                let bytes = &mut self.blocks.0[full.block as usize];
                let stay = full.node.count / 2;
                let hash = full.node.pointer(bytes, stay).hash;
                full.node.copy_from(&at, &mut node, bytes, stay)?;
                full.node.truncate(bytes, stay);
                let above = self.at(0);
                let pointer = Pointer { hash, block: new };
                root.node
                    .insert(&above, &mut self.blocks.0[0], root.at, pointer)?;
            }
            _ => return Err(NotAdded::Full),
        }
        self.blocks.0.push(node);
        Ok(false)
    }

    /// The names in the order of a reader, who takes `step` of them at once.
    pub(super) fn list(&mut self, width: Width, step: usize) -> Result<Vec<Vec<u8>>, Corrupt> {
        let mut names = Vec::new();
        let mut from = Some(Key::default());
        while let Some(key) = from {
            from = self.list_from(width, step, key, &mut names)?;
        }
        Ok(names)
    }

    /// Adds at most `step` names that come after `from`. Returns where to go on.
    pub(super) fn list_from(
        &mut self,
        width: Width,
        step: usize,
        from: Key,
        names: &mut Vec<Vec<u8>>,
    ) -> Result<Option<Key>, Corrupt> {
        let hashing = self.hashing;
        let order = Order {
            hashing,
            function: hashing.default,
            width,
        };
        let mut least = Least::new(vec![Key::default(); 2 * step + 2]);
        let mut next = None;
        let mut blocks = vec![(0, None)];
        if self.is_indexed() {
            let directory = self.directory(&self.geometry);
            let start = width.major(from.pos);
            let mut path = directory.walk(&mut self.blocks, |_| start)?;
            loop {
                let range = path.range(&mut self.blocks)?;
                blocks.push((path.leaf, Some(range)));
                let Some(end) = range.end else { break };
                if !path.next_if(|bound| width.joins(bound), &mut self.blocks)? {
                    next = Some(Key {
                        pos: width.first(end),
                        place: 0,
                    });
                    break;
                }
            }
        }
        if next.is_some_and(|next| next.pos <= from.pos) {
            return Err(Corrupt::new(
                self.at(0).place(0),
                "index that is not sorted",
            ));
        }
        least.clear();
        for (index, range) in blocks {
            let at = self.at(index);
            let block = &self.blocks.0[index as usize];
            order.keys(&at, index, block, |key, hash| {
                if range.is_some_and(|range| !range.has(hash)) {
                    return Err(Corrupt::new(at.place(0), "name in another leaf"));
                }
                if key > from {
                    least.add(key);
                }
                Ok(())
            })?;
        }
        least.sort();
        assert!(!least.is_cut() || least.keys().len() > step);
        for key in least.keys().iter().take(step) {
            let (index, offset) = key.entry();
            let block = &self.blocks.0[index as usize];
            let entry = self.at(index).parse_entry(block, offset)?;
            names.push(entry.name.to_vec());
        }
        // The next one is where to go on; if it has the position of the last one, behind that.
        let last = least.keys().get(step - 1).copied();
        match (last, least.keys().get(step)) {
            (Some(last), Some(next)) if last.pos == next.pos => Ok(Some(last)),
            (_, Some(next)) => Ok(Some(Key { place: 0, ..*next })),
            _ => Ok(next),
        }
    }
}
