// SPDX-License-Identifier: GPL-2.0

//! Writing inodes.

use crate::ext2::inode::{Content, Device, FileType, Inode as DiskInode, KNOWN_BYTES};
use crate::ext2::pointers::Pointers;
use crate::ext2::superblock;
use crate::inode::data::{disk_time, file_type, ino32};
use crate::inode::deferred;
use crate::inode::table::read_table;
use crate::types::{Inode, SuperBlock};
use crate::volume::copy_back::copy_back;
use crate::volume::fault::Result;
use crate::volume::unwritten::First;
use kernel::sync::atomic::ordering;
use kfs::block::buffer_head::BufferHead;
use kfs::mm::nofs::nofs;

/// Copies an inode to its slot in the buffer of the inode table, and marks the buffer dirty. Its new
/// blocks of pointers are on the device then.
///
/// Takes the lock of the block map and reads the block of the inode table; may sleep.
pub(crate) fn store(inode: &Inode) -> Result {
    let settled = deferred::settle(inode);
    let buffer = copy_to_table(inode, None)?;
    inode.sb().data().mark_buffer_dirty(&buffer);
    settled
}

/// [`store`] without waiting: pointers to blocks that are not on the device are left to the next one.
pub(super) fn store_now(inode: &Inode) -> Result {
    let buffer = copy_to_table(inode, None)?;
    inode.sb().data().mark_buffer_dirty(&buffer);
    Ok(())
}

/// [`store`] for an inode that is deleted or new. The buffer has to be written before others.
pub(crate) fn store_first(inode: &Inode, first: First) -> Result {
    let buffer = copy_to_table(inode, None)?;
    inode.sb().data().mark_first_dirty(&buffer, first);
    Ok(())
}

/// The same for one that loses blocks, with the lock of its block map held: `pointers` is in it.
pub(super) fn store_released(inode: &Inode, pointers: &Pointers) -> Result {
    let buffer = copy_to_table(inode, Some(pointers))?;
    inode.sb().data().mark_first_dirty(&buffer, First::Release);
    Ok(())
}

/// `pointers` are those of the block map, if its lock is held.
fn copy_to_table(inode: &Inode, pointers: Option<&Pointers>) -> Result<BufferHead> {
    let sb = inode.sb();
    let ino = ino32(inode);
    let data = inode.data();
    let size = inode.i_size_read();
    if inode.is_reg() && superblock::update::needs_large_file(size) {
        require_large_file(sb)?;
    }
    let times = inode.times();
    let file_type = file_type(inode)?;
    let content = match file_type {
        FileType::CharDevice | FileType::BlockDevice => Content::Device(Device {
            major: inode.rdev() >> 20,
            minor: inode.rdev() & 0xf_ffff,
        }),
        FileType::Fifo | FileType::Socket => Content::Nothing,
        _ => match data.symlink.as_ref() {
            Some(link) => Content::FastSymlink(*link),
            None => {
                let root = match pointers {
                    Some(pointers) => *pointers,
                    None => nofs(|| data.map.lock().pointers),
                };
                Content::Blocks(deferred::stored_pointers(inode, root))
            }
        },
    };
    let uid16 = sb.data().options().uid16;
    // The format has 32 bits for sectors, and 16 for links. `s_maxbytes` and `s_max_links` keep the
    // VFS within these.
    let stored = DiskInode {
        mode: inode.mode(),
        file_type,
        uid: stored_id(inode.uid(), uid16),
        gid: stored_id(inode.gid(), uid16),
        size,
        links: inode.nlink() as u16,
        sectors: inode.blocks() as u32,
        atime: disk_time(times.atime),
        ctime: disk_time(times.ctime),
        mtime: disk_time(times.mtime),
        crtime: data.crtime.as_ref().copied(),
        dtime: data.dtime.load(ordering::Relaxed),
        flags: data.flags(),
        generation: inode.generation(),
        file_acl: data.file_acl(),
        extra_size: data.extra_size(),
        content,
    };
    let (buffer, offset) = read_table(sb, ino)?;
    let inode_size = sb.data().geometry().inode_size() as usize;
    // On the stack, as an allocation could fail, and a deletion that is not written is lost.
    let mut bytes = [0; KNOWN_BYTES];
    let known = inode_size.min(bytes.len());
    let bytes = bytes.get_mut(..known).unwrap_or_default();
    buffer.read(offset, bytes)?;
    let new = data.new.load(ordering::Relaxed);
    let changed = stored.store(ino, bytes, new)?;
    copy_back(&buffer, offset, bytes, changed)?;
    if new && !mutant!("inode-rest-kept") {
        let mut done = known;
        while done < inode_size {
            const ZEROES: [u8; 256] = [0; 256];
            let zeroes = ZEROES.get(..inode_size - done).unwrap_or(&ZEROES);
            buffer.write(offset + done, zeroes)?;
            done += zeroes.len();
        }
    }
    data.new.store(false, ordering::Relaxed);
    Ok(buffer)
}

/// What is stored of a user or group: with 16 bits, one that does not fit becomes nobody.
fn stored_id(id: u32, uid16: bool) -> u32 {
    const OVERFLOW: u32 = 65534;
    if uid16 && id > 0xffff {
        OVERFLOW
    } else {
        id
    }
}

/// Sets the feature `large_file` in the superblock, once, and waits until it is on the device.
fn require_large_file(sb: &SuperBlock) -> Result {
    let volume = sb.data();
    if volume.superblock.features.has_large_file() || volume.large_file_is_set() {
        return Ok(());
    }
    volume.update_superblock(true, |bytes, _| superblock::update::set_large_file(bytes))?;
    volume.set_large_file();
    Ok(())
}
