// SPDX-License-Identifier: GPL-2.0

//! Writing inodes.

use crate::ext2::inode::{Content, Device, FileType, Inode as DiskInode, KNOWN_BYTES};
use crate::ext2::pointers::{Pointers, POINTERS};
use crate::ext2::superblock;
use crate::inode::data::{disk_time, file_type, ino32};
use crate::inode::deferred;
use crate::inode::stored_attributes::{self, Stored};
use crate::inode::table::read_table;
use crate::inode::unborn;
use crate::types::Inode;
use crate::volume::copy_back::copy_back;
use crate::volume::fault::{Fault, Result};
use crate::volume::unwritten::First;
use kernel::sync::atomic::ordering;
use kfs::block::buffer_head::BufferHead;
use kfs::time::real_seconds;

/// Of a mode, without its type and the set-id bits.
const PERMISSIONS: u16 = 0o777;

/// Copies an inode to its slot in the buffer of the inode table, and marks the buffer dirty. What leads to blocks that are not on the
/// device is left to the next time.
///
/// Reads the block of the inode table; may sleep.
pub(super) fn store_now(inode: &Inode) -> Result {
    let Copied { buffer, is_in_use } = copy_to_table(inode)?;
    let volume = inode.sb().data();
    if deferred::is_unborn_until(inode, u64::MAX) {
        volume.mark_first_dirty(&buffer, First::New);
        // Another copy that has it in use may be made beside this one: then that is not marked yet.
        if is_in_use {
            unborn::end(inode);
        }
    } else {
        volume.mark_buffer_dirty(&buffer);
    }
    Ok(())
}

/// The same for an inode that is deleted or new. The buffer has to be written before others.
pub(crate) fn store_first(inode: &Inode, first: First) -> Result {
    let Copied { buffer, .. } = copy_to_table(inode)?;
    inode.sb().data().mark_first_dirty(&buffer, first);
    Ok(())
}

/// The same for one that loses blocks, from now on. Called with the right to change its block map.
pub(super) fn store_released(inode: &Inode) -> Result {
    let Copied { buffer, .. } = copy_to_table(inode)?;
    inode.sb().data().mark_first_dirty(&buffer, First::Release);
    Ok(())
}

/// An inode was copied to its slot.
struct Copied {
    /// The block with the slot, which is to be marked dirty.
    buffer: BufferHead,
    /// As it is, and not as one that is not in use ([`crate::inode::unborn`]).
    is_in_use: bool,
}

fn copy_to_table(inode: &Inode) -> Result<Copied> {
    let sb = inode.sb();
    let file_type = file_type(inode)?;
    let (buffer, offset) = read_table(sb, ino32(inode))?;
    let needs_large_file = |size| inode.is_reg() && superblock::update::needs_large_file(size);
    let mut expected = inode.i_size_read();
    loop {
        if needs_large_file(expected) {
            sb.data().require_large_file()?;
        }
        // All of it under one lock, whatever the type: who gives a block back that the inode has had, of data or of
        // attributes, stores the inode without it first. Who had looked at it before would store it again.
        let stored = deferred::with_stored_pointers(inode, |root| {
            let size = inode.i_size_read();
            if needs_large_file(size) && !needs_large_file(expected) {
                return Ok(Err(size));
            }
            let content = root.map(|root| content(inode, file_type, root));
            let is_in_use = content.is_some();
            copy_to_slot(inode, file_type, size, content, &buffer, offset)?;
            Ok::<_, Fault>(Ok(is_in_use))
        })?;
        match stored {
            Ok(is_in_use) => return Ok(Copied { buffer, is_in_use }),
            Err(grown) => expected = grown,
        }
    }
}

/// What the inode has in the place of pointers: if they are pointers, `root`.
fn content(inode: &Inode, file_type: FileType, root: Pointers) -> Content {
    match (file_type, inode.data().symlink.as_ref()) {
        (FileType::CharDevice | FileType::BlockDevice, _) => Content::Device(Device {
            major: inode.rdev() >> 20,
            minor: inode.rdev() & 0xf_ffff,
        }),
        (FileType::Fifo | FileType::Socket, _) => Content::Nothing,
        (_, Some(link)) => Content::FastSymlink(*link),
        (_, None) => Content::Blocks(root),
    }
}

/// Copies an inode to its slot, which is in `buffer` from byte `offset` on. Without `content` it is stored as one that is not in use: so
/// there is room for its attributes. Does not sleep.
fn copy_to_slot(
    inode: &Inode,
    file_type: FileType,
    size: u64,
    content: Option<Content>,
    buffer: &BufferHead,
    offset: usize,
) -> Result {
    let sb = inode.sb();
    let ino = ino32(inode);
    let data = inode.data();
    let times = inode.times();
    let dtime = match content {
        Some(_) => data.dtime.load(ordering::Relaxed),
        None => real_seconds() as u32,
    };
    let uid16 = sb.data().uid16();
    let Stored {
        block: file_acl,
        sectors,
        permissions,
    } = stored_attributes::stored(inode);
    // The format has 32 or 48 bits for sectors, and 16 for links. `s_maxbytes` and `s_max_links` keep
    // the VFS within these.
    let stored = DiskInode {
        mode: inode.mode() & (permissions | !PERMISSIONS),
        file_type,
        uid: stored_id(inode.uid(), uid16),
        gid: stored_id(inode.gid(), uid16),
        size: content.map_or(0, |_| size),
        links: content.map_or(0, |_| inode.nlink() as u16),
        // One that is deleted is not stored again after its blocks have been freed.
        sectors: match dtime {
            0 => sectors,
            _ => 0,
        },
        huge: sb.data().geometry().has_huge_files(),
        atime: disk_time(times.atime),
        ctime: disk_time(times.ctime),
        mtime: disk_time(times.mtime),
        crtime: data.crtime.as_ref().copied(),
        dtime,
        flags: data.flags(),
        generation: inode.generation(),
        file_acl: content.map_or(0, |_| file_acl),
        extra_size: data.extra_size(),
        content: content.unwrap_or(Content::Blocks([0; POINTERS])),
    };
    let inode_size = sb.data().geometry().inode_size() as usize;
    // On the stack, as an allocation could fail, and a deletion that is not written is lost.
    let mut bytes = [0; KNOWN_BYTES];
    let known = inode_size.min(bytes.len());
    let bytes = bytes.get_mut(..known).unwrap_or_default();
    buffer.read(offset, bytes)?;
    let new = data.new.load(ordering::Relaxed);
    let changed = stored.store(ino, bytes, new)?;
    copy_back(buffer, offset, bytes, changed)?;
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
    Ok(())
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
