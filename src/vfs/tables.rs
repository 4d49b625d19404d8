// SPDX-License-Identifier: GPL-2.0

//! Which operations tables an inode gets, by its file type.

use crate::ext2::inode::{Content, FileType};
use crate::inode::operations::SetOperations;
use crate::types::RetryFs;
use crate::vfs::address_space::FileAddressSpace;
use crate::vfs::attributes::FileAttributes;
use crate::vfs::directory::Directory;
use crate::vfs::file::RegularFile;
use kernel::prelude::*;
use kfs::fs::address_space::AddressSpaceOps;
use kfs::fs::file::FileOps;
use kfs::fs::inode::init::InodeInit;
use kfs::fs::inode_operations::table::InodeOps;

impl SetOperations for RetryFs {
    fn set_operations(
        inode: &InodeInit<RetryFs>,
        file_type: FileType,
        content: &Content,
    ) -> Result {
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
}
