// SPDX-License-Identifier: GPL-2.0

//! flatfs: a read-only filesystem on a flat image, as an example of what `rust/kfs` takes.
//! `Documentation/writing.rst` goes through it.
//!
//! The image is made of blocks of 1 KiB. The first one has the magic number, the number of files,
//! and an entry of 64 bytes for each file; a file is one piece anywhere behind it, and zeroes fill up
//! its last block. All numbers are little endian.

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kfs::block::bio::NoBios;
use kfs::compat::EUCLEAN;
use kfs::fs::address_space::{AddressSpaceOperations, AddressSpaceOps, Found, Mapped};
use kfs::fs::file::{DirContext, DirectoryOperations, FileOperations, FileOps, Fsync};
use kfs::fs::file_system::FileSystem;
use kfs::fs::file_system_data::FileSystemData;
use kfs::fs::generic_io::filemap_read;
use kfs::fs::inode::init::Attributes;
use kfs::fs::inode::lock::{InodeLocked, Shared};
use kfs::fs::inode::new::Iget;
use kfs::fs::inode::reference::InodeRef;
use kfs::fs::inode::Inode;
use kfs::fs::inode_operations::table::InodeOps;
use kfs::fs::inode_operations::{InodeOperations, LookupFlags};
use kfs::fs::ioctl::Ioctl;
use kfs::fs::kiocb::{CallDest, Io, Kiocb, KiocbOwner};
use kfs::fs::llseek::Seek;
use kfs::fs::shutdown::Shutdown;
use kfs::fs::super_block::data::SuperBox;
use kfs::fs::super_block::{NewSuperBlock, Statfs, SuperBlock};
use kfs::module_fs;

module_fs! {
    type: FlatFs,
    name: "flatfs",
    authors: ["The retryfs developers"],
    description: "Read-only filesystem on a flat image, an example",
    license: "GPL",
    alias: ["fs-flatfs"],
}

const BLOCK: u32 = 1024;
const MAGIC: &[u8; 8] = b"FLATFS01";
const NAME_LEN: usize = 48;
const ENTRY_LEN: usize = 64;
const HEAD_LEN: usize = 16;
const FILES_MAX: usize = (BLOCK as usize - HEAD_LEN) / ENTRY_LEN;
/// The number of the root directory. Those of files follow it, in their order.
const ROOT: u64 = 1;

/// A file on the volume.
struct File {
    name: [u8; NAME_LEN],
    /// Its first block.
    block: u64,
    size: u64,
}

impl File {
    fn parse(raw: &[u8; ENTRY_LEN], blocks: u64) -> Option<File> {
        let number = |at: usize| Some(u64::from_le_bytes(*raw.get(at..)?.first_chunk()?));
        let file = File {
            name: *raw.first_chunk()?,
            block: number(NAME_LEN)?,
            size: number(NAME_LEN + 8)?,
        };
        // What is on the device may be anything: it is checked here, and believed from here on.
        let end = file.block.checked_add(file.size.div_ceil(BLOCK.into()))?;
        let name = file.name();
        let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
        (is_name && file.block > 0 && end <= blocks).then_some(file)
    }

    fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0);
        self.name.get(..end.unwrap_or(NAME_LEN)).unwrap_or(&[])
    }
}

struct FlatFs;

impl FileSystemData for FlatFs {
    type TypeData = ();
    /// What a mount keeps: its files.
    type SuperData = KVec<File>;
    /// What an inode keeps beside what the VFS knows of it: nothing.
    type InodeData = ();
}

#[vtable]
impl FileSystem for FlatFs {
    const NAME: &'static CStr = c"flatfs";
    type Options = ();

    fn type_data() -> Result {
        Ok(())
    }

    fn inode_data() -> impl PinInit<(), Error> {
        Ok::<_, Error>(())
    }

    fn fill_super(sb: &mut NewSuperBlock<'_, Self>, (): &()) -> Result<SuperBox<Self>> {
        sb.set_blocksize(BLOCK)?;
        sb.set_rdonly();
        let blocks = sb.device_size() / u64::from(BLOCK);
        let head = sb.bread(0)?;
        let count = u32::from_le_bytes(head.read_obj(MAGIC.len())?) as usize;
        if head.read_obj::<[u8; 8]>(0)? != *MAGIC || count > FILES_MAX {
            pr_err!("{}: no volume of flatfs\n", sb.id());
            return Err(EINVAL);
        }
        let mut files = KVec::with_capacity(count, GFP_KERNEL)?;
        for i in 0..count {
            let raw = head.read_obj(HEAD_LEN + i * ENTRY_LEN)?;
            let Some(file) = File::parse(&raw, blocks) else {
                pr_err!("{}: entry {} is corrupt\n", sb.id(), i);
                return Err(EUCLEAN);
            };
            files.push(file, GFP_KERNEL)?;
        }
        SuperBox::new(sb, Ok(files))
    }

    fn root(sb: &SuperBlock<Self>) -> Result<InodeRef<'_, Self>> {
        iget(sb, ROOT)
    }

    fn statfs(sb: &SuperBlock<Self>, statfs: &mut Statfs<'_>) -> Result {
        statfs.set_type(
            u64::from_be_bytes(*MAGIC) >> 32,
            BLOCK.into(),
            NAME_LEN as u64,
        );
        statfs.set_blocks(sb.device_size() / u64::from(BLOCK), 0, 0);
        statfs.set_files(sb.data().len() as u64, 0);
        Ok(())
    }
}

/// The file with this inode number.
fn file(sb: &SuperBlock<FlatFs>, ino: u64) -> Result<&File> {
    let index = usize::try_from(ino.wrapping_sub(ROOT + 1)).map_err(|_| EIO)?;
    sb.data().get(index).ok_or(EIO)
}

/// The inode with this number.
fn iget(sb: &SuperBlock<FlatFs>, ino: u64) -> Result<InodeRef<'_, FlatFs>> {
    let new = match sb.iget_locked(ino)? {
        Iget::Found(inode) => return Ok(inode),
        Iget::New(new) => new,
    };
    let (mode, nlink, size) = match ino {
        ROOT => (0o04_0555, 2, BLOCK.into()),
        _ => (0o10_0444, 1, file(sb, ino)?.size),
    };
    new.set_attributes(&Attributes {
        mode,
        nlink,
        size,
        blocks: size.div_ceil(512),
        ..Attributes::default()
    })?;
    match ino {
        ROOT => new.set_directory(
            InodeOps::new::<Directory>(),
            FileOps::directory::<Directory>(),
        )?,
        _ => new.set_regular(
            InodeOps::new::<Regular>(),
            FileOps::regular::<Regular>(),
            AddressSpaceOps::new::<Regular>(),
        )?,
    }
    Ok(new.unlock_new_inode())
}

struct Directory;

#[vtable]
impl InodeOperations<FlatFs> for Directory {
    fn lookup<'a>(
        dir: &'a InodeLocked<FlatFs, Shared>,
        name: &[u8],
        _: LookupFlags,
    ) -> Result<Option<InodeRef<'a, FlatFs>>> {
        let files = dir.sb().data();
        let found = files.iter().position(|file| file.name() == name);
        found
            .map(|i| iget(dir.sb(), ROOT + 1 + i as u64))
            .transpose()
    }

    /// No name leads to a directory.
    fn lookup_loop(_: &InodeLocked<FlatFs, Shared>, _: u64) -> Error {
        EUCLEAN
    }
}

impl DirectoryOperations<FlatFs> for Directory {
    fn iterate_shared(dir: &InodeLocked<FlatFs, Shared>, context: &mut DirContext<'_>) -> Result {
        const DT_DIR: u8 = 4;
        const DT_REG: u8 = 8;
        let files = dir.sb().data();
        loop {
            let pos = context.pos();
            let file = |pos: u64| files.get(usize::try_from(pos.checked_sub(2)?).ok()?);
            let has_room = match (pos, file(pos)) {
                (0, _) => context.emit(b".", ROOT, DT_DIR),
                (1, _) => context.emit(b"..", ROOT, DT_DIR),
                (_, Some(file)) => context.emit(file.name(), ROOT - 1 + pos, DT_REG),
                (_, None) => return Ok(()),
            };
            if !has_room {
                return Ok(());
            }
            context.set_pos(pos + 1);
        }
    }

    fn end(dir: &Inode<FlatFs>, _: bool) -> u64 {
        dir.sb().data().len() as u64 + 2
    }
}

struct Regular;

#[vtable]
impl InodeOperations<FlatFs> for Regular {}

#[vtable]
impl FileOperations<FlatFs> for Regular {
    type Pages = Self;

    fn read_iter<'a>(iocb: Kiocb<'a, FlatFs>, to: CallDest<'a>) -> Result<Io<'a, FlatFs>> {
        filemap_read(iocb, to).map_err(|(_, error)| error)
    }
}

#[vtable]
impl AddressSpaceOperations<FlatFs> for Regular {
    /// In pages, as a power of two: 128 KiB.
    const FOLIO_ORDER_MAX: u32 = 5;

    /// A file is one piece; beyond that there is nothing.
    fn get_block(inode: &Inode<FlatFs>, iblock: u64, max: u32) -> Result<Found> {
        let file = file(inode.sb(), inode.ino())?;
        let left = file.size.div_ceil(BLOCK.into()).saturating_sub(iblock);
        let len = u32::try_from(left).unwrap_or(u32::MAX).min(max);
        Ok(match len {
            0 => Found::Hole { len: max },
            _ => Found::Mapped(Mapped {
                block: file.block + iblock,
                len,
                new: false,
            }),
        })
    }
}

/// All of a file is data.
#[vtable]
impl Seek<FlatFs> for Regular {}

/// Nothing is ever dirty, so there is nothing to be synced.
#[vtable]
impl Fsync<FlatFs> for Regular {
    type Mark = ();
}

#[vtable]
impl Fsync<FlatFs> for Directory {
    type Mark = ();
}

/// It issues no bios of its own, as there is no direct I/O.
impl KiocbOwner for FlatFs {
    type Private = NoBios;
}

#[vtable]
impl Shutdown for FlatFs {}

#[vtable]
impl Ioctl for FlatFs {}
