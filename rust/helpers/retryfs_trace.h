/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points of the direct I/O worker: the way of one request can be followed
 * by its device, inode and position. With the generation of the inode, a path can
 * be found by open_by_handle_at(2).
 *
 *   retryfs_dio_submit    the worker was entered with a new request
 *   retryfs_dio_bio       a bio was issued
 *   retryfs_dio_switch    an asynchronous request is waited for, and why
 *   retryfs_dio_retry     the retry of an asynchronous request begins
 *   retryfs_dio_fallback  the rest of a write is left to the page cache
 *   retryfs_dio_complete  all bios are reaped; the result of the request
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM retryfs

#if !defined(_RETRYFS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RETRYFS_TRACE_H

#include <linux/fs.h>
#include <linux/tracepoint.h>

#define RETRYFS_DIO_ASSIGN(inode, where)			\
	do {							\
		__entry->dev = (inode)->i_sb->s_dev;		\
		__entry->ino = (inode)->i_ino;			\
		__entry->pos = (where);				\
	} while (0)

#define RETRYFS_DIO_FORMAT "dev %d:%d ino %llu pos %llu"

TRACE_EVENT(retryfs_dio_submit,
	TP_PROTO(const struct inode *inode, u64 pos, u64 len, bool write, bool async),
	TP_ARGS(inode, pos, len, write, async),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, pos)
		__field(u64, len)
		__field(u64, i_size)
		__field(u32, generation)
		__field(bool, write)
		__field(bool, async)
	),
	TP_fast_assign(
		RETRYFS_DIO_ASSIGN(inode, pos);
		__entry->len = len;
		__entry->i_size = i_size_read(inode);
		__entry->generation = inode->i_generation;
		__entry->write = write;
		__entry->async = async;
	),
	TP_printk(RETRYFS_DIO_FORMAT " len %llu i_size %llu %s %s gen %u",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->len, __entry->i_size,
		  __entry->write ? "write" : "read",
		  __entry->async ? "async" : "sync", __entry->generation)
);

TRACE_EVENT(retryfs_dio_bio,
	TP_PROTO(const struct inode *inode, u64 pos, u64 len, u64 sector),
	TP_ARGS(inode, pos, len, sector),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, pos)
		__field(u64, len)
		__field(u64, sector)
	),
	TP_fast_assign(
		RETRYFS_DIO_ASSIGN(inode, pos);
		__entry->len = len;
		__entry->sector = sector;
	),
	TP_printk(RETRYFS_DIO_FORMAT " len %llu sector %llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->len, __entry->sector)
);

/* Why a request is waited for. */
TRACE_EVENT(retryfs_dio_switch,
	TP_PROTO(const struct inode *inode, u64 pos, u32 reason),
	TP_ARGS(inode, pos, reason),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, pos)
		__field(u32, reason)
	),
	TP_fast_assign(
		RETRYFS_DIO_ASSIGN(inode, pos);
		__entry->reason = reason;
	),
	TP_printk(RETRYFS_DIO_FORMAT " reason %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos,
		  __print_symbolic(__entry->reason,
				   { 0, "extend" }, { 1, "hole" }, { 2, "error" },
				   { 3, "memory" }))
);

DECLARE_EVENT_CLASS(retryfs_dio,
	TP_PROTO(const struct inode *inode, u64 pos, s64 value),
	TP_ARGS(inode, pos, value),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, pos)
		__field(s64, value)
	),
	TP_fast_assign(
		RETRYFS_DIO_ASSIGN(inode, pos);
		__entry->value = value;
	),
	TP_printk(RETRYFS_DIO_FORMAT " len %lld",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->value)
);

DEFINE_EVENT(retryfs_dio, retryfs_dio_retry,
	TP_PROTO(const struct inode *inode, u64 pos, s64 len),
	TP_ARGS(inode, pos, len)
);

DEFINE_EVENT(retryfs_dio, retryfs_dio_fallback,
	TP_PROTO(const struct inode *inode, u64 pos, s64 left),
	TP_ARGS(inode, pos, left)
);

DEFINE_EVENT_PRINT(retryfs_dio, retryfs_dio_complete,
	TP_PROTO(const struct inode *inode, u64 pos, s64 result),
	TP_ARGS(inode, pos, result),
	TP_printk(RETRYFS_DIO_FORMAT " result %lld",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pos, __entry->value)
);

#endif /* _RETRYFS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE retryfs_trace
#include <trace/define_trace.h>
