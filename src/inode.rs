// SPDX-License-Identifier: GPL-2.0

//! Inodes in memory: read from the volume, written back, made and deleted.

use crate::attributes::FileAttributes;
use crate::ext2::error::{Corrupt, Place};
use crate::ext2::inode::{
    has_no_link, Content, Device, FastSymlink, FileType, Inode as DiskInode, InodeFlags, Pointers,
};
use crate::ext2::run_cache::RunCache;
use crate::ext2::{superblock, xattr};
use crate::fault::{Fault, Result};
use crate::file::{FileAddressSpace, RegularFile};
use crate::file_map;
use crate::namei::Directory;
use crate::{blocks, inodes, Inode, InodeLocked, RetryFs, SuperBlock};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, Mutex, SetOnce};
use kfs::block::buffer_head::BufferHead;
use kfs::fs::address_space::AddressSpaceOps;
use kfs::fs::file::FileOps;
use kfs::fs::inode::init::{self, Attributes, InodeInit};
use kfs::fs::inode::lock::Exclusive;
use kfs::fs::inode::new::{CreatedInode, Iget, NewInode};
use kfs::fs::inode_operations::table::InodeOps;
use kfs::mm::nofs::nofs;
use kfs::random::random_u32;
use kfs::time::real_seconds;

pub(crate) use crate::ext2::geometry::ROOT_INO;

/// What an inode has in memory beside what the VFS keeps.
#[pin_data]
pub(crate) struct InodeData {
    /// The block map. Whoever looks up, adds or frees blocks of the file holds its lock.
    #[pin]
    pub(crate) map: Mutex<Map>,
    flags: Atomic<u32>,
    /// Block of the extended attributes, 0 for none.
    file_acl: Atomic<u32>,
    /// Time of deletion, 0 while the inode is in use.
    dtime: Atomic<u32>,
    /// The place of the inode on the volume holds what an earlier inode left.
    new: Atomic<bool>,
    symlink: SetOnce<FastSymlink>,
    /// Direct writes that are under way.
    direct_writes: Atomic<u32>,
}

/// The block map of an inode.
#[derive(Default)]
pub(crate) struct Map {
    /// The pointers in the inode itself.
    pub(crate) pointers: Pointers,
    /// What was looked up before; none until there is something worth keeping.
    pub(crate) runs: Option<KBox<RunCache>>,
}

impl InodeData {
    /// Initialises the data of an inode of which nothing is known yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            map <- new_mutex!(Map::default()),
            flags: Atomic::new(0),
            file_acl: Atomic::new(0),
            dtime: Atomic::new(0),
            new: Atomic::new(false),
            symlink: SetOnce::new(),
            direct_writes: Atomic::new(0),
        })
    }

    /// The flags, as `lsattr` shows them.
    pub(crate) fn flags(&self) -> InodeFlags {
        InodeFlags(self.flags.load(ordering::Relaxed))
    }

    fn set_flags(&self, flags: InodeFlags) {
        self.flags.store(flags.0, ordering::Relaxed);
    }

    /// Takes away the mark of a directory with a hash index, which is not kept up to date here.
    pub(crate) fn drop_index(&self) {
        let flags = self.flags();
        if flags.has(InodeFlags::INDEX) {
            self.set_flags(InodeFlags(flags.0 & !InodeFlags::INDEX));
        }
    }

    /// Counts a direct write that begins. Only with the inode lock held exclusively.
    pub(crate) fn direct_write_begin(&self) {
        self.direct_writes.add(1, ordering::Relaxed);
    }

    /// Counts a direct write that has ended.
    pub(crate) fn direct_write_end(&self) {
        self.direct_writes.fetch_sub(1, ordering::Release);
    }

    /// Whether a direct write is under way. With the inode lock held exclusively none can begin.
    pub(crate) fn direct_writes(&self) -> bool {
        self.direct_writes.load(ordering::Acquire) != 0
    }

    /// Whether attributes are kept in a block of their own, which counts as one of the file's.
    fn file_acl(&self) -> u32 {
        self.file_acl.load(ordering::Relaxed)
    }
}

/// The number of `inode`. All numbers of this filesystem have 32 bits.
pub(crate) fn ino32(inode: &Inode) -> u32 {
    inode.ino() as u32
}

/// The type of `inode`.
pub(crate) fn file_type(inode: &Inode) -> Result<FileType> {
    let what = "mode of no known file type";
    let found = inode.mode().into();
    FileType::from_mode(inode.mode())
        .ok_or_else(|| Corrupt::found(Place::Inode(ino32(inode)), what, found).into())
}

/// Returns the inode `ino`, from memory or from the volume. May sleep.
pub(crate) fn iget(sb: &SuperBlock, ino: u32) -> Result<ARef<Inode>> {
    if !sb.data().geometry().is_file_ino(ino) {
        let what = "a directory leads to a reserved inode";
        return Err(Corrupt::new(Place::Inode(ino), what).into());
    }
    match sb.iget_locked(ino.into())? {
        Iget::Found(inode) => Ok(inode),
        Iget::New(new) => read_new(sb, ino, new),
    }
}

/// Returns the inode `ino`, of which it is not known that there is one: from a handle. May sleep.
///
/// `ESTALE` if no file can have that number, if the number is free, or if the inode has no link.
/// What is in the inode table then is not looked at any further: it may be anything.
pub(crate) fn iget_by_handle(sb: &SuperBlock, ino: u32) -> Result<ARef<Inode>> {
    if !sb.data().geometry().is_file_ino(ino) {
        return Err(ESTALE.into());
    }
    match sb.iget_locked(ino.into())? {
        Iget::Found(inode) => Ok(inode),
        Iget::New(new) => {
            let is_free = !inodes::is_allocated(sb, ino)? && !mutant!("free-handle");
            if is_free || has_no_link(&read_raw(sb, ino)?) {
                return Err(ESTALE.into());
            }
            read_new(sb, ino, new)
        }
    }
}

/// The part of the inode table that is the inode `ino`.
fn read_raw(sb: &SuperBlock, ino: u32) -> Result<[u8; 128]> {
    let (buffer, offset) = read_table(sb, ino)?;
    let mut bytes = [0; 128];
    buffer.read(offset, &mut bytes)?;
    Ok(bytes)
}

fn read_new(sb: &SuperBlock, ino: u32, new: NewInode<RetryFs>) -> Result<ARef<Inode>> {
    let bytes = read_raw(sb, ino)?;
    let from = DiskInode::parse(&sb.data().layout(), ino, &bytes)?;
    fill(&new, &from)?;
    Ok(new.unlock_new_inode())
}

/// The buffer with the place of inode `ino` on the volume, and the byte offset in it.
fn read_table(sb: &SuperBlock, ino: u32) -> Result<(BufferHead, usize)> {
    let location = sb.data().layout().locate_inode(ino)?;
    let buffer = sb.bread(location.block.into()).inspect_err(|_| {
        pr_err!(
            "{}: cannot read block {} with inode {}\n",
            sb.id(),
            location.block,
            ino
        );
    })?;
    Ok((buffer, location.offset as usize))
}

/// Completes an inode with what was read from the volume.
fn fill(inode: &InodeInit<RetryFs>, from: &DiskInode) -> Result {
    let data = inode.data();
    data.set_flags(from.flags);
    data.file_acl.store(from.file_acl, ordering::Relaxed);
    if let Some(pointers) = from.pointers() {
        data.map.lock().pointers = *pointers;
    }
    inode.set_attributes(&Attributes {
        mode: from.mode,
        uid: from.uid,
        gid: from.gid,
        nlink: from.links.into(),
        size: from.size,
        blocks: from.sectors.into(),
        times: (from.atime.into(), from.mtime.into(), from.ctime.into()),
        generation: from.generation,
    })?;
    inode.set_flags(vfs_flags(from.flags));
    set_operations(inode, from.file_type, &from.content)
}

/// The flags that the VFS honours.
fn vfs_flags(flags: InodeFlags) -> init::InodeFlags {
    init::InodeFlags {
        sync: flags.has(InodeFlags::SYNC),
        append: flags.has(InodeFlags::APPEND),
        immutable: flags.has(InodeFlags::IMMUTABLE),
        noatime: flags.has(InodeFlags::NOATIME),
        dirsync: flags.has(InodeFlags::DIRSYNC),
    }
}

/// Sets the operations tables of an inode by its type.
fn set_operations(inode: &InodeInit<RetryFs>, file_type: FileType, content: &Content) -> Result {
    const PLAIN: InodeOps<RetryFs> = InodeOps::new::<FileAttributes>();
    const PAGES: AddressSpaceOps<RetryFs> = AddressSpaceOps::new::<FileAddressSpace>();
    match file_type {
        FileType::Regular => {
            inode.set_regular(PLAIN, FileOps::regular::<RegularFile>(), PAGES)?;
        }
        FileType::Directory => {
            inode.set_directory(
                InodeOps::new::<Directory>(),
                FileOps::directory::<Directory>(),
            )?;
        }
        FileType::Symlink => match content {
            Content::FastSymlink(link) => {
                inode.data().symlink.populate(*link);
                inode.set_fast_symlink(InodeOps::fast_symlink::<FileAttributes>(), |data| {
                    let target = data.symlink.as_ref()?.zero_terminated();
                    CStr::from_bytes_until_nul(target).ok()
                })?;
            }
            _ => inode.set_page_symlink(InodeOps::page_symlink::<FileAttributes>(), PAGES)?,
        },
        FileType::Fifo | FileType::Socket | FileType::CharDevice | FileType::BlockDevice => {
            let rdev = match content {
                Content::Device(device) => (device.major << 20) | device.minor,
                _ => 0,
            };
            inode.init_special(PLAIN, rdev)?;
        }
    }
    Ok(())
}

/// Makes an inode in the directory `dir`, with one link; `content` is what it is to hold.
///
/// `mode` has the type too. `ENOSPC` when there is no free inode. May sleep.
pub(crate) fn create(dir: &Inode, mode: u16, content: Content) -> Result<CreatedInode<RetryFs>> {
    let sb = dir.sb();
    let file_type = FileType::from_mode(mode).ok_or(EINVAL)?;
    let unhashed = sb.new_inode()?;
    let ino = inodes::allocate(sb, dir, file_type)?;
    // Should the number be in memory already, it was not really free: it stays allocated.
    let inode = unhashed.insert_inode_locked(ino.into()).map_err(|_| {
        let what = "the bitmap has an inode as free that is in use";
        Fault::from(Corrupt::new(Place::Inode(ino), what))
    })?;
    let data = inode.data();
    data.set_flags(dir.data().flags().inherit(file_type));
    data.new.store(true, ordering::Relaxed);
    inode.init_owner(dir, mode, sb.data().options().inherit_group)?;
    inode.set_generation(random_u32());
    inode.set_flags(vfs_flags(data.flags()));
    set_operations(&inode, file_type, &content)?;
    inode.mark_inode_dirty();
    Ok(inode)
}

/// Copies an inode to its place in the buffer of the inode table, and marks that dirty.
pub(crate) fn store(inode: &Inode) -> Result {
    let sb = inode.sb();
    let ino = ino32(inode);
    let data = inode.data();
    let size = inode.i_size_read();
    if inode.is_reg() && superblock::needs_large_file(size) {
        require_large_file(sb)?;
    }
    let (atime, mtime, ctime) = inode.times();
    let file_type = file_type(inode)?;
    let content = match file_type {
        FileType::CharDevice | FileType::BlockDevice => Content::Device(Device {
            major: inode.rdev() >> 20,
            minor: inode.rdev() & 0xf_ffff,
        }),
        FileType::Fifo | FileType::Socket => Content::Nothing,
        _ => match data.symlink.as_ref() {
            Some(link) => Content::FastSymlink(*link),
            None => Content::Blocks(nofs(|| data.map.lock().pointers)),
        },
    };
    // The format has 32 bits for times and sectors, and 16 for links; the VFS keeps to that.
    let stored = DiskInode {
        mode: inode.mode(),
        file_type,
        uid: inode.uid(),
        gid: inode.gid(),
        size,
        links: inode.nlink() as u16,
        sectors: inode.blocks() as u32,
        atime: atime as i32,
        ctime: ctime as i32,
        mtime: mtime as i32,
        dtime: data.dtime.load(ordering::Relaxed),
        flags: data.flags(),
        generation: inode.generation(),
        file_acl: data.file_acl(),
        content,
    };
    let (buffer, offset) = read_table(sb, ino)?;
    let inode_size = sb.data().geometry().inode_size() as usize;
    // No memory is asked for here: an inode has to be written, or its deletion is lost. All fields
    // are in the first bytes of even the largest inode.
    let mut bytes = [0; 256];
    let known = inode_size.min(bytes.len());
    let bytes = bytes.get_mut(..known).unwrap_or_default();
    buffer.read(offset, bytes)?;
    let new = data.new.load(ordering::Relaxed);
    let changed = stored.store(ino, bytes, new)?;
    let start = changed.start;
    buffer.write(offset + start, bytes.get(changed).unwrap_or_default())?;
    if new && !mutant!("inode-rest-kept") {
        let mut done = known;
        while done < inode_size {
            const ZEROES: [u8; 256] = [0; 256];
            let zeroes = ZEROES.get(..inode_size - done).unwrap_or(&ZEROES);
            buffer.write(offset + done, zeroes)?;
            done += zeroes.len();
        }
    }
    sb.data().mark_buffer_dirty(&buffer);
    data.new.store(false, ordering::Relaxed);
    Ok(())
}

/// Marks a buffer dirty that belongs to the block map of an inode or to a directory: an fsync of
/// the inode will write it. May sleep.
pub(crate) fn mark_buffer_dirty(inode: &Inode, buffer: &BufferHead) {
    inode.mark_buffer_dirty(buffer);
    inode.sb().data().unwritten.hold(buffer);
}

/// Writes the buffer with the inode to the device and waits.
pub(crate) fn sync(inode: &Inode) -> Result {
    let (buffer, _) = read_table(inode.sb(), ino32(inode))?;
    buffer.sync_dirty().inspect_err(|_| {
        pr_err!("{}: cannot write inode {}\n", inode.sb().id(), inode.ino());
    })?;
    Ok(())
}

/// Marks the volume as one with large files, once.
fn require_large_file(sb: &SuperBlock) -> Result {
    let volume = sb.data();
    if volume.superblock.features.has_large_file() || volume.large_file_is_set() {
        return Ok(());
    }
    volume.update_superblock(true, |bytes, _| superblock::set_large_file(bytes))?;
    volume.set_large_file();
    Ok(())
}

/// Frees the blocks of an inode without links, and writes it as deleted.
pub(crate) fn delete(inode: &InodeLocked<Exclusive>) -> Result {
    if inode.sb().data().is_stopped() {
        // An error has made the volume read-only: e2fsck will free the inode.
        return Err(EROFS.into());
    }
    let data = inode.data();
    // The format has room for 32 bits.
    data.dtime.store(real_seconds() as u32, ordering::Relaxed);
    let mut result = Ok(());
    if data.symlink.as_ref().is_none() && (inode.is_reg() || inode.is_dir() || inode.is_lnk()) {
        inode.i_size_write(0);
        result = file_map::truncate(inode, 0);
    }
    result.and(release_attributes(inode)).and(store(inode))
}

/// Lets go of the block with the extended attributes of an inode.
fn release_attributes(inode: &Inode) -> Result {
    let sb = inode.sb();
    let data = inode.data();
    let block = data.file_acl();
    if block == 0 {
        return Ok(());
    }
    data.file_acl.store(0, ordering::Relaxed);
    inode.sub_bytes(sb.blocksize() as u64);
    nofs(|| {
        // Inodes share such blocks: what is read is written before anybody else reads it.
        let _locked = sb.data().attribute_blocks.lock();
        let buffer = sb.bread(block.into())?;
        let mut header = [0; 32];
        buffer.read(0, &mut header)?;
        match xattr::release(ino32(inode), block, &mut header)? {
            xattr::Release::Free => {
                buffer.forget();
                blocks::free(
                    sb,
                    blocks::Blocks {
                        start: block,
                        len: 1,
                    },
                )
            }
            xattr::Release::Keep(changed) => {
                let start = changed.start;
                buffer.write(start, header.get(changed).unwrap_or_default())?;
                sb.data().mark_buffer_dirty(&buffer);
                Ok(())
            }
        }
    })
}

/// Frees the number of a deleted inode.
pub(crate) fn free_number(inode: &Inode) -> Result {
    if inode.sb().data().is_stopped() {
        return Err(EROFS.into());
    }
    inodes::free(inode.sb(), ino32(inode), inode.is_dir())
}
