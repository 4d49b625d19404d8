/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What kfs needs of the C API beyond the bindings of the kernel crate.
 *
 * Names that the kernel crate knows only as opaque types (struct buffer_head,
 * struct fs_context, ...) are bound again here with their fields; the list of
 * what is taken is in the file `allowlist`.
 */
#include <linux/blkdev.h>
#include <linux/bio.h>
#include <linux/buffer_head.h>
#include <linux/compat.h>
#include <linux/completion.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/fileattr.h>
#include <linux/fiemap.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fs_struct.h>
#include <linux/fserror.h>
#include <linux/iversion.h>
#include <linux/kobject.h>
#include <linux/mount.h>
#include <linux/mpage.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/sched/mm.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/sysfs.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <linux/writeback.h>
#include <linux/xattr.h>

#include "../helpers/nested.h"
#include "../helpers/retryfs_trace.h"

/* Macros that bindgen cannot evaluate become constants. */
const gfp_t KFS_CONST_GFP_NOFS = GFP_NOFS;
const gfp_t KFS_CONST_GFP_KERNEL = GFP_KERNEL;
const gfp_t KFS_CONST_GFP_NOWAIT = GFP_NOWAIT;
const unsigned int KFS_CONST_LOOKUP_CREATE = LOOKUP_CREATE;
const unsigned long KFS_CONST_SB_RDONLY = SB_RDONLY;
const unsigned long KFS_CONST_SB_POSIXACL = SB_POSIXACL;
const unsigned long KFS_CONST_SB_FORCE = SB_FORCE;
const unsigned long KFS_CONST_SB_I_CGROUPWB = SB_I_CGROUPWB;
const int KFS_CONST_SB_FREEZE_COMPLETE = SB_FREEZE_COMPLETE;
const unsigned long KFS_CONST_SB_ACTIVE = SB_ACTIVE;
const unsigned long KFS_CONST_SLAB_RECLAIM_ACCOUNT = SLAB_RECLAIM_ACCOUNT;
const unsigned long KFS_CONST_SLAB_ACCOUNT = SLAB_ACCOUNT;
const fmode_t KFS_CONST_FMODE_NOWAIT = FMODE_NOWAIT;
const fmode_t KFS_CONST_FMODE_WRITE = FMODE_WRITE;
const fmode_t KFS_CONST_FMODE_32BITHASH = FMODE_32BITHASH;
const fmode_t KFS_CONST_FMODE_64BITHASH = FMODE_64BITHASH;
const fop_flags_t KFS_CONST_FOP_DIO_PARALLEL_WRITE = FOP_DIO_PARALLEL_WRITE;
const fop_flags_t KFS_CONST_FOP_BUFFER_RASYNC = FOP_BUFFER_RASYNC;
const fop_flags_t KFS_CONST_FOP_BUFFER_WASYNC = FOP_BUFFER_WASYNC;
const int KFS_CONST_IOCB_NOWAIT = IOCB_NOWAIT;
const int KFS_CONST_IOCB_SYNC = IOCB_SYNC;
const int KFS_CONST_IOCB_WAITQ = IOCB_WAITQ;
const int KFS_CONST_IOCB_HIPRI = IOCB_HIPRI;
const int KFS_CONST_IOCB_APPEND = IOCB_APPEND;
const int KFS_CONST_FALLOC_FL_PUNCH_HOLE = FALLOC_FL_PUNCH_HOLE;
const int KFS_CONST_FALLOC_FL_KEEP_SIZE = FALLOC_FL_KEEP_SIZE;
const loff_t KFS_CONST_MAX_LFS_FILESIZE = MAX_LFS_FILESIZE;
const unsigned int KFS_CONST_FS_IOC_GETVERSION = FS_IOC_GETVERSION;
const unsigned int KFS_CONST_FS_IOC_SETVERSION = FS_IOC_SETVERSION;
const unsigned int KFS_CONST_FS_IOC32_GETVERSION = FS_IOC32_GETVERSION;
const unsigned int KFS_CONST_FS_IOC32_SETVERSION = FS_IOC32_SETVERSION;
const unsigned int KFS_CONST_FS_IOC_GETFSLABEL = FS_IOC_GETFSLABEL;
const unsigned int KFS_CONST_FS_IOC_SETFSLABEL = FS_IOC_SETFSLABEL;
const unsigned int KFS_CONST_FS_IOC_SHUTDOWN = FS_IOC_SHUTDOWN;
const unsigned int KFS_CONST_FITRIM = FITRIM;
const xa_mark_t KFS_CONST_PAGECACHE_TAG_DIRTY = PAGECACHE_TAG_DIRTY;
const unsigned int KFS_CONST_BLKDEV_ZERO_NOUNMAP = BLKDEV_ZERO_NOUNMAP;
const unsigned int KFS_CONST_BLKDEV_ZERO_KILLABLE = BLKDEV_ZERO_KILLABLE;
const int KFS_CONST_FALLOC_FL_ZERO_RANGE = FALLOC_FL_ZERO_RANGE;
