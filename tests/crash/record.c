// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"
#include "generate.h"
#include "pattern.h"
#include "run.h"
#include "vol.h"

static int umount_it(const char *dir)
{
	return umount2(dir, 0) ? -errno : 0;
}

static int mount_it(struct crash *c, unsigned long flags)
{
	if (mkdir(env_dir(), 0755) && errno != EEXIST)
		return -errno;
	return mount(c->stack.node, env_dir(), env_fstype(), flags, env_options()) ? -errno : 0;
}

static int do_step(struct crash *c, const struct step *st)
{
	int err = step_do(st, object_mode(c->model.nr_objects));

	if (err)
		printf("# %s: %s\n", step_text(st), strerror(-err));
	return err;
}

static int make_volume(struct crash *c)
{
	char bs[16], blocks[16];
	const char *const argv[] = {
		"mkfs.ext2", "-q", "-F", "-b", bs, "-I", c->bs == 1024 ? "128" : "256", "-m", "0",
		"-N", "64", "-g", c->bs == 1024 ? "2048" : "4096", "-O", c->features,
		"-U", "01234567-89ab-cdef-0123-456789abcdef",
		"-E", "nodiscard,lazy_itable_init=0,hash_seed=01234567-89ab-cdef-0123-456789abcdef",
		c->stack.node, blocks, NULL
	};

	snprintf(bs, sizeof(bs), "%u", c->bs);
	snprintf(blocks, sizeof(blocks), "%u", c->stack.size / c->bs);
	return run(0, argv);
}

/* What synced workloads begin with. */
static int do_base(struct crash *c)
{
	const struct workload fresh = { .fresh = true };
	int err, i;

	umask(0);
	err = mount_it(c, 0);
	if (err)
		return err;
	base_model(&c->model, &fresh);
	for (i = 0; i < base_nr && !err; i++) {
		err = do_step(c, &base_steps()[i]);
		model_step(&c->model, &base_steps()[i], true);
	}
	model_free(&c->model);
	return vol_retry_busy(umount_it, env_dir()) ? -EBUSY : err;
}

int record_base(struct crash *c)
{
	int err;

	poison_fill(c->start[1], c->stack.size);
	err = stack_write(&c->stack, c->start[1]);
	if (!err)
		err = make_volume(c);
	if (!err)
		err = stack_read(&c->stack, c->start[1]);
	if (!err)
		err = do_base(c);
	if (!err)
		err = stack_read(&c->stack, c->start[0]);
	return vol_report("the volume to begin with", err);
}

/*
 * The log has a write that goes through the cache before older ones that were not flushed,
 * also of the same block: so the pages that are in its way are written first.
 */
static int write_pages(struct crash *c, const struct step *st)
{
	char path[128];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", env_dir(), st->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	if (err)
		err = -errno;
	close(fd);
	return err ? err : stack_order(&c->stack);
}

static bool may_write_through(const struct workload *w, const struct step *st)
{
	return st->op == OP_WRITE && (st->dsync || w->sync) &&
	       (st->by == BY_DIRECT || st->by == BY_AIO);
}

static int do_steps(struct crash *c, const struct workload *w)
{
	char mark[16];
	int err = 0, i;

	base_model(&c->model, w);
	for (i = 0; i < w->nr && !err; i++) {
		if (may_write_through(w, &w->steps[i]))
			err = write_pages(c, &w->steps[i]);
		if (!err)
			err = do_step(c, &w->steps[i]);
		model_step(&c->model, &w->steps[i], true);
		snprintf(mark, sizeof(mark), "%d", i + 1);
		if (!err)
			err = stack_tick(&c->stack, mark);
	}
	model_free(&c->model);
	return err;
}

/* The log has an end. */
static int begin_log(struct crash *c)
{
	int err;

	if (c->stack.log_at < (uint64_t)LOG_MIB * 2048 * 3 / 4)
		return 0;
	err = stack_down(&c->stack);
	return err ? err : stack_up(&c->stack, c->stack.size);
}

int record(struct crash *c, const struct workload *w)
{
	unsigned long flags = (w->dirsync ? MS_DIRSYNC : 0) | (w->sync ? MS_SYNCHRONOUS : 0);
	char last[16];
	int err;

	err = begin_log(c);
	if (!err)
		err = stack_write(&c->stack, c->start[w->fresh]);
	if (!err)
		err = stack_tick(&c->stack, "0");
	if (!err)
		err = mount_it(c, flags);
	if (err)
		return vol_report("mount", err);
	err = do_steps(c, w);
	if (vol_retry_busy(umount_it, env_dir()))
		return vol_report("umount", -EBUSY);
	snprintf(last, sizeof(last), "%d", w->nr);
	if (!err)
		err = vol_report("log", log_read(&c->log, &c->stack, last));
	return err;
}
