// SPDX-License-Identifier: GPL-2.0
/* Files, directories and requests. */
#include <linux/fileattr.h>
#include <linux/fs.h>

bool kfs_helper_fileattr_has_fsx(const struct file_kattr *fa)
{
	return fileattr_has_fsx(fa);
}

struct mnt_idmap *kfs_helper_file_mnt_idmap(const struct file *file)
{
	return file_mnt_idmap(file);
}

ssize_t kfs_helper_generic_write_sync(struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

void kfs_helper_file_accessed(struct file *file)
{
	file_accessed(file);
}

int kfs_helper_finish_open_simple(struct file *file, int error)
{
	return finish_open_simple(file, error);
}

bool kfs_helper_dir_emit(struct dir_context *ctx, const char *name, int namelen,
			 u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, namelen, ino, type);
}

bool kfs_helper_iocb_is_dsync(const struct kiocb *iocb)
{
	return iocb_is_dsync(iocb);
}
