// SPDX-License-Identifier: GPL-2.0

//! Operations on names: `inode_operations` and `file_operations` of directories.

use crate::ext2::geometry::ROOT_INO;
use crate::ext2::inode::{Content, Device, FastSymlink, FileType};
use crate::ext2::{Corrupt, Place};
use crate::inode::create;
use crate::inode::data::{file_type, ino32};
use crate::inode::directory::{self, Entry};
use crate::inode::errors;
use crate::inode::names;
use crate::inode::read::iget;
use crate::inode::unborn;
use crate::inode::write;
use crate::types::{CreatedInode, Inode, InodeLocked, InodeRef, RetryFs};
use crate::vfs::attributes::FileAttributes;
use crate::vfs::exchange::exchange;
use crate::vfs::links::{
    add_subdirectory, check_links, check_own_links, check_room, drop_own_links, drop_subdirectory,
    sync, sync_now,
};
use crate::vfs::rename::move_entry;
use crate::volume::fault::{self, Fault};
use crate::volume::unwritten::First;
use kernel::prelude::*;
use kfs::compat::{ENAMETOOLONG, ENOTEMPTY};
use kfs::fs::file::{DirContext, DirectoryOperations, Fsync};
use kfs::fs::file_attr::FileAttr;
use kfs::fs::inode::lock::{Exclusive, Shared};
use kfs::fs::inode_operations::{
    InodeOperations, Kstat, LookupFlags, Rename, SetAcl, SetAttr, Target,
};
use kfs::fs::mnt_idmap::MntIdmap;
use kfs::fs::posix_acl::{AclType, PosixAcl};
use kfs::fs::xattr::XattrBuffer;

/// The `inode_operations` and `file_operations` of directories.
pub(crate) struct Directory;

/// Runs `f`; a fault is reported as one of the volume of `inode`, and becomes an errno.
fn reported<T>(inode: &Inode, f: impl FnOnce() -> fault::Result<T>) -> Result<T> {
    errors::reported(inode, f())
}

/// The same for an operation that changes the volume: `EROFS` once an error has stopped that.
fn changing<T>(inode: &Inode, f: impl FnOnce() -> fault::Result<T>) -> Result<T> {
    inode.sb().data().check_writable(inode.sb())?;
    reported(inode, f)
}

/// Adds an entry for the new inode `made` to `dir`. On error, dropping the inode deletes it.
fn add<'a>(
    dir: &InodeLocked<Exclusive>,
    name: &[u8],
    made: CreatedInode<'a>,
) -> fault::Result<CreatedInode<'a>> {
    write::store_first(&made, First::New)?;
    let added = directory::insert(dir, name, ino32(&made), file_type(&made)?, None)?;
    names::added(&made, dir, added.sector().block);
    Ok(made)
}

#[vtable]
impl InodeOperations<RetryFs> for Directory {
    fn lookup<'a>(
        dir: &'a InodeLocked<Shared>,
        name: &[u8],
        flags: LookupFlags,
    ) -> Result<Option<InodeRef<'a>>> {
        dir.sb().data().check_up()?;
        reported(dir, || {
            let found = match flags.is_create() {
                true => directory::find_to_create(dir, name)?,
                false => directory::find(dir, name)?,
            };
            let Some(found) = found else {
                return Ok(None);
            };
            let above = found.ino == ROOT_INO || found.ino == ino32(dir);
            if above && !mutant!("entry-unchecked") {
                return Err(found.corrupt(ABOVE));
            }
            iget(dir.sb(), &found).map(Some)
        })
    }

    fn lookup_loop(dir: &InodeLocked<Shared>, inode: u64) -> Error {
        Fault::from(Corrupt::found(Place::Inode(ino32(dir)), ABOVE, inode)).report(dir.sb())
    }

    fn create<'a>(
        idmap: &MntIdmap,
        dir: &'a InodeLocked<Exclusive>,
        name: &[u8],
        mode: u16,
    ) -> Result<CreatedInode<'a>> {
        changing(dir, || {
            add(
                dir,
                name,
                create::create(idmap, dir, Some(name), mode, NO_BLOCKS)?,
            )
        })
    }

    fn mknod<'a>(
        idmap: &MntIdmap,
        dir: &'a InodeLocked<Exclusive>,
        name: &[u8],
        mode: u16,
        rdev: u32,
    ) -> Result<CreatedInode<'a>> {
        changing(dir, || {
            let content = match FileType::from_mode(mode) {
                Some(FileType::CharDevice | FileType::BlockDevice) => Content::Device(Device {
                    major: rdev >> 20,
                    minor: rdev & 0xf_ffff,
                }),
                Some(FileType::Regular) => NO_BLOCKS,
                _ => Content::Nothing,
            };
            add(
                dir,
                name,
                create::create(idmap, dir, Some(name), mode, content)?,
            )
        })
    }

    fn symlink<'a>(
        idmap: &MntIdmap,
        dir: &'a InodeLocked<Exclusive>,
        name: &[u8],
        target: &CStr,
    ) -> Result<CreatedInode<'a>> {
        const SYMLINK: u16 = 0o12_0777;
        changing(dir, || {
            if target.to_bytes_with_nul().len() > dir.sb().blocksize() {
                return Err(ENAMETOOLONG.into());
            }
            let made = match FastSymlink::new(target.to_bytes()) {
                Some(link) => {
                    let made = create::create(
                        idmap,
                        dir,
                        Some(name),
                        SYMLINK,
                        Content::FastSymlink(link),
                    )?;
                    made.as_locked()
                        .dio_wait()
                        .i_size_write(target.to_bytes().len() as u64);
                    made
                }
                None => {
                    let made = create::create(idmap, dir, Some(name), SYMLINK, NO_BLOCKS)?;
                    made.page_symlink(target)?;
                    // Before its name is there: e2fsck looks at it, and nobody syncs it.
                    if !mutant!("symlink-unwritten") {
                        let len = target.to_bytes().len() as u64;
                        made.as_locked().write_and_wait_range(0..len)?;
                        // That was to the cache of the device.
                        unborn::begin(&made)?;
                    }
                    made
                }
            };
            made.mark_inode_dirty();
            add(dir, name, made)
        })
    }

    fn mkdir<'a>(
        idmap: &MntIdmap,
        dir: &'a InodeLocked<Exclusive>,
        name: &[u8],
        mode: u16,
    ) -> Result<CreatedInode<'a>> {
        changing(dir, || {
            check_room(dir)?;
            let made = create::create(idmap, dir, Some(name), mode, NO_BLOCKS)?;
            directory::make_empty(made.as_locked(), dir)?;
            // For its own `.`.
            made.inc_link_count();
            let made = add(dir, name, made)?;
            // For its `..`.
            add_subdirectory(dir);
            Ok(made)
        })
    }

    fn tmpfile<'a>(idmap: &MntIdmap, dir: &'a Inode, mode: u16) -> Result<CreatedInode<'a>> {
        changing(dir, || create::create(idmap, dir, None, mode, NO_BLOCKS))
    }

    fn link(inode: &InodeLocked<Exclusive>, dir: &InodeLocked<Exclusive>, name: &[u8]) -> Result {
        changing(dir, || {
            check_room(inode)?;
            names::make_room(inode)?;
            let nameless = inode.nlink() == 0;
            inode.touch_ctime();
            inode.inc_link_count();
            let added = match nameless && !mutant!("tmpfile-link-late") {
                // On the device it is deleted, or not there: new to who syncs the directory.
                true => write::store_first(inode, First::New),
                false => Ok(()),
            }
            .and_then(|()| directory::insert(dir, name, ino32(inode), file_type(inode)?, None))
            .inspect_err(|_| inode.dec_link_count())?;
            names::added(inode, dir, added.sector().block);
            Ok(())
        })
    }

    fn unlink(dir: &InodeLocked<Exclusive>, name: &[u8], inode: &InodeLocked<Exclusive>) -> Result {
        changing(dir, || {
            check_own_links(inode)?;
            if inode.nlink() > 1 && names::has_new(inode) && !mutant!("unlink-first") {
                // The name that stays comes to the device before this one goes.
                sync_now(inode)?;
            }
            let block = Entry::find(dir, name)?.remove(ino32(inode))?;
            names::removed(inode, dir, block);
            inode.touch_ctime();
            inode.dec_link_count();
            Ok(())
        })
    }

    fn rmdir(dir: &InodeLocked<Exclusive>, name: &[u8], inode: &InodeLocked<Exclusive>) -> Result {
        changing(dir, || {
            if !directory::is_empty(inode)? {
                return Err(ENOTEMPTY.into());
            }
            check_own_links(inode)?;
            check_links(dir)?;
            Entry::find(dir, name)?.remove(ino32(inode))?;
            inode.touch_ctime();
            inode.dio_wait().i_size_write(0);
            drop_own_links(inode);
            // For its `..`.
            drop_subdirectory(dir);
            Ok(())
        })
    }

    fn rename<'a>(rename: &Rename<'a, RetryFs>) -> Result<Option<CreatedInode<'a>>> {
        changing(rename.old_dir, || match rename.target {
            Target::Free => move_entry(rename, None),
            Target::Replaced(replaced) => move_entry(rename, Some(replaced)),
            Target::Exchanged(other) => exchange(rename, other).map(|()| None),
        })
    }

    fn sync(inode: &Inode) -> Result<u64> {
        reported(inode, || sync(inode)).map(|names::Mark(mark)| mark)
    }

    fn flushed(inode: &Inode, mark: u64) {
        if !mutant!("dirsync-unmarked") {
            names::flushed(inode, names::Mark(mark));
        }
    }

    fn setattr(attr: &mut SetAttr<'_, RetryFs>) -> Result {
        FileAttributes::setattr(attr)
    }

    fn getattr(inode: &Inode, stat: &mut Kstat<'_>) {
        FileAttributes::getattr(inode, stat);
    }

    fn listxattr(inode: &Inode, names: &mut XattrBuffer<'_>) -> Result {
        FileAttributes::listxattr(inode, names)
    }

    fn get_inode_acl(inode: &Inode, acl_type: AclType) -> Result<Option<PosixAcl>> {
        FileAttributes::get_inode_acl(inode, acl_type)
    }

    fn set_acl(acl: &SetAcl<'_, RetryFs>) -> Result {
        FileAttributes::set_acl(acl)
    }

    fn fileattr_get(inode: &Inode, attr: &mut FileAttr<'_>) -> Result {
        FileAttributes::fileattr_get(inode, attr)
    }

    fn fileattr_set(inode: &InodeLocked<Exclusive>, attr: &FileAttr<'_>) -> Result {
        FileAttributes::fileattr_set(inode, attr)
    }
}

const ABOVE: &str = "entry of a directory that is above it";
const NO_BLOCKS: Content = Content::Blocks([0; 15]);

#[vtable]
impl Fsync<RetryFs> for Directory {
    type Mark = ();

    fn fsync_begin(_: &Inode) {}

    fn fsync_end(_: &Inode, (): ()) {}

    fn fsync_names(inode: &Inode) -> Result {
        reported(inode, || names::sync(inode))
    }
}

impl DirectoryOperations<RetryFs> for Directory {
    fn iterate_shared(dir: &InodeLocked<Shared>, context: &mut DirContext<'_>) -> Result {
        dir.sb().data().check_up()?;
        reported(dir, || directory::emit(dir, context))
    }

    fn end(dir: &Inode, narrow: bool) -> u64 {
        directory::end(dir, narrow)
    }
}
