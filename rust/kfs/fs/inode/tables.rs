// SPDX-License-Identifier: GPL-2.0

//! The operations tables of an inode, by its type.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use crate::fs::address_space::AddressSpaceOps;
use crate::fs::file::{Directory, FileOps, Regular};
use crate::fs::file_system_data::FileSystemData;
use crate::fs::inode::file_type;
use crate::fs::inode::init::InodeInit;
use crate::fs::inode_operations::table::{FastSymlink, InodeOps, PageSymlink};
use kernel::page::PAGE_SHIFT;
use kernel::prelude::*;

impl<F: FileSystemData> InodeInit<F> {
    /// Sets the operations of a regular file. `EINVAL` when it is none.
    pub fn set_regular(
        &self,
        iop: InodeOps<F>,
        fop: FileOps<F, Regular>,
        aops: AddressSpaceOps<F>,
    ) -> Result {
        self.has_type(bindings::S_IFREG)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_raw();
            (*inode).__bindgen_anon_3.i_fop = fop.as_raw();
            (*(*inode).i_mapping).a_ops = aops.as_raw();
        }
        self.set_folio_orders(aops.folio_order_max());
        Ok(())
    }

    /// Has the folios of the page cache be of `max`, in powers of two of pages, at most, and no smaller than a
    /// block: what reads, writes and zeroes a block takes it to be in one.
    fn set_folio_orders(&self, max: u32) {
        let min = match cfg!(mutant = "kfs-folio-below-block") {
            true => 0,
            false => u32::from(self.blkbits()).saturating_sub(PAGE_SHIFT as u32),
        };
        // SAFETY: By the type invariant nobody else uses the inode, nor its mapping.
        unsafe {
            bindings::mapping_set_folio_order_range((*self.raw()).i_mapping, min, max.max(min));
        }
    }

    /// Sets the operations of a directory whose blocks are in the buffer cache. `EINVAL` when it is
    /// none.
    pub fn set_directory(&self, iop: InodeOps<F>, fop: FileOps<F, Directory>) -> Result {
        self.has_type(bindings::S_IFDIR)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_raw();
            (*inode).__bindgen_anon_3.i_fop = fop.as_raw();
        }
        Ok(())
    }

    /// Sets the operations of a symbolic link whose target is in the page cache. `EINVAL` when it
    /// is none.
    pub fn set_page_symlink(
        &self,
        iop: InodeOps<F, PageSymlink>,
        aops: AddressSpaceOps<F>,
    ) -> Result {
        self.has_type(bindings::S_IFLNK)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the tables are static.
        unsafe {
            (*inode).i_op = iop.as_raw();
            bindings::inode_nohighmem(inode);
            (*(*inode).i_mapping).a_ops = aops.as_raw();
        }
        // A target is shorter than a block.
        self.set_folio_orders(0);
        Ok(())
    }

    /// Sets the operations of a symbolic link with its target in the inode.
    ///
    /// `target` finds the target in the filesystem's data of the inode. `EINVAL` when there is
    /// none, or the inode is no symbolic link.
    pub fn set_fast_symlink(
        &self,
        iop: InodeOps<F, FastSymlink>,
        target: for<'a> fn(&'a F::InodeData) -> Option<&'a CStr>,
    ) -> Result {
        self.has_type(bindings::S_IFLNK)?;
        let target = target(self.data().get_ref()).ok_or(EINVAL)?;
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode, whose type is and stays that
        // for which this field of the union is meant. A reference that lives as long as any that
        // the data is borrowed for, which ends when the data is dropped in `free_inode`, an RCU
        // grace period after the last user of `i_link`, is to memory that does not change until
        // then.
        unsafe {
            (*inode).i_op = iop.as_raw();
            (*inode).__bindgen_anon_5.i_link = target.as_char_ptr().cast_mut();
        }
        Ok(())
    }

    /// Sets the operations of a device, FIFO or socket with the device number `rdev`. `EINVAL` when
    /// it is none of these.
    pub fn init_special(&self, iop: InodeOps<F>, rdev: u32) -> Result {
        match file_type(self.mode()) {
            bindings::S_IFCHR | bindings::S_IFBLK | bindings::S_IFIFO | bindings::S_IFSOCK => {}
            _ => return Err(EINVAL),
        }
        let inode = self.raw();
        // SAFETY: By the type invariant nobody else uses the inode; the table is static.
        unsafe {
            bindings::init_special_inode(inode, (*inode).i_mode, rdev);
            (*inode).i_op = iop.as_raw();
        }
        Ok(())
    }
}
