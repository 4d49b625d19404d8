// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "env.h"
#include "generate.h"
#include "run.h"

#define MANY		(4U << 20)
#define MOUNT_EVERY	16
#define TELL_EVERY	50
#define TOLD		3	/* of each kind */

int crash_up(struct crash *c)
{
	int err;

	c->start[0] = buf_alloc(MANY);
	c->start[1] = buf_alloc(MANY);
	generate_init(c->bs, env_is_retryfs());
	err = stack_up(&c->stack, MANY);
	if (!err)
		err = image_make(&c->image, MANY);
	return err ? err : record_base(c);
}

int crash_down(struct crash *c)
{
	image_drop(&c->image);
	return stack_down(&c->stack);
}

static void keep_image(struct crash *c, const struct workload *w, int nr)
{
	char path[256];
	int fd;

	if (!c->keep)
		return;
	snprintf(path, sizeof(path), "%s/crash-%u-%llu-%d.img", c->keep, c->bs,
		 (unsigned long long)w->number, nr);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, c->image.bytes, c->image.size) != (ssize_t)c->image.size)
		printf("# %s: %s\n", path, strerror(errno));
	close(fd);
}

static void print_workload(const struct workload *w)
{
	int i;

	printf("#   workload %llu%s%s:", (unsigned long long)w->number,
	       w->dirsync ? ", mounted with dirsync" : "", w->sync ? ", mounted with sync" : "");
	for (i = 0; i < w->nr; i++)
		printf("%s %d %s", i ? ";" : "", i + 1, step_text(&w->steps[i]));
	printf("\n");
}

static void tell(struct crash *c, const struct workload *w, const struct point *p, int nr,
		 const struct verdict *v)
{
	bool told = true;
	int i;

	c->failed++;
	for (i = 0; i < W_KINDS; i++) {
		if (!v->found[i] || c->found[i]++ >= TOLD)
			continue;
		printf("# %s: %s\n", wrong_names[i], v->text[i]);
		told = false;
	}
	if (told)
		return;
	print_workload(w);
	point_print(p, &c->log);
	fflush(stdout);
	/* as it was when the power went */
	memcpy(c->image.bytes, c->start[w->fresh], c->image.size);
	point_apply(p, &c->log, c->image.bytes);
	keep_image(c, w, nr);
}

/* What may be there: all that has returned, with what it promised, and what was under way. */
static void expect(struct crash *c, const struct workload *w, const struct point *p)
{
	int i;

	base_model(&c->model, w);
	for (i = 0; i < w->nr && i <= p->returned; i++)
		model_step(&c->model, &w->steps[i], i < p->returned);
}

static void compare_with_kernel(struct crash *c, struct verdict *v, const struct tree *t)
{
	struct tree mounted;
	const char *why;
	int err;

	if (image_recheck(&c->image))
		oracle_wrong(v, W_FSCK, "e2fsck -fn is not content with what e2fsck -fy left");
	err = image_mounted(&c->image, &mounted);
	c->mounted++;
	if (err)
		oracle_wrong(v, W_VOLUME, "it cannot be mounted: %s", strerror(-err));
	why = err ? NULL : tree_differs(t, &mounted);
	if (why)
		oracle_wrong(v, W_VOLUME, "in the image and in the mounted volume, %s", why);
	tree_free(&mounted);
}

static void crash_at(struct crash *c, const struct workload *w, const struct point *p, int nr)
{
	struct verdict v = { 0 };
	struct tree t;
	int status;

	memcpy(c->image.bytes, c->start[w->fresh], c->image.size);
	point_apply(p, &c->log, c->image.bytes);
	status = image_repair(&c->image);
	c->repaired += status == 1;
	if (status != 0 && status != 1)
		oracle_wrong(&v, W_FSCK, "e2fsck -fy exits with %d", status);
	tree_of_image(&t, c->image.bytes, c->image.size);
	expect(c, w, p);
	oracle_judge(&v, &c->model, &t, p->kept);
	if (c->done % MOUNT_EVERY == 0)
		compare_with_kernel(c, &v, &t);
	c->stale += !!v.stale;
	c->done++;
	/* that somebody who waits sees that it gets on */
	if (c->done % TELL_EVERY == 0) {
		printf("# %d crashes\n", c->done);
		fflush(stdout);
	}
	if (v.wrong)
		tell(c, w, p, nr, &v);
	tree_free(&t);
	model_free(&c->model);
}

/* Half of them behind flushes, by chance, or behind all of these; then at the end, and any. */
static void crash_each(struct crash *c, const struct workload *w)
{
	int flushes = point_flushes(&c->log, w), half = (c->each + 1) / 2, at = flushes, i;
	int first, any;
	struct rng rng;
	struct point p;

	if (!c->all && at > half)
		at = half;
	any = c->all ? half : c->each - at;
	rng_seed(&rng, c->seed, w->number, 0);
	first = flushes ? rng_below(&rng, flushes) : 0;
	for (i = 0; i < at; i++) {
		point_at_flush(&p, &c->log, w, (first + i * flushes / at) % flushes);
		crash_at(c, w, &p, i);
	}
	for (i = 0; i < any; i++) {
		rng_seed(&rng, c->seed, w->number, i + 1);
		point_any(&p, &c->log, w, &rng, c->bs, i % 2);
		crash_at(c, w, &p, at + i);
	}
}

static bool has_op(const struct workload *w, const char *op)
{
	int i;

	for (i = w->fresh ? base_nr : 0; i < w->nr; i++)
		if (!strcmp(step_name(&w->steps[i]), op))
			return true;
	return false;
}

static int run_workload(struct crash *c, uint64_t number)
{
	struct workload w;
	int err;

	if (!generate(&w, number) || (c->op && !has_op(&w, c->op)))
		return -EAGAIN;
	w.journal = strstr(c->features, "has_journal");
	err = record(c, &w);
	if (err) {
		print_workload(&w);
		return err;
	}
	crash_each(c, &w);
	log_free(&c->log);
	c->workloads++;
	return 0;
}

static int run_possible(struct crash *c, uint64_t number)
{
	int err = run_workload(c, number);

	return err == -EAGAIN ? 0 : err;
}

static int run_singles(struct crash *c)
{
	uint64_t n;
	int err = 0;

	for (n = 0; !err && n < generate_single(); n++)
		err = run_possible(c, generate_single_nth(n));
	printf("# %d workloads of one operation, %d crashes\n", c->workloads, c->done);
	c->points += c->done;
	return err;
}

/*
 * If not all of them are done before, every other one is the next of those of one operation, in an
 * order that goes over all kinds.
 */
static uint64_t next_number(struct crash *c, struct rng *rng, uint64_t *single)
{
	const uint64_t stride = 7919;

	if (c->all || c->workloads % 2)
		return generate_any(rng);
	return generate_single_nth((c->seed + (*single)++ * stride) % generate_single());
}

int crash_run(struct crash *c)
{
	uint64_t single = 0;
	struct rng rng;
	int err = 0;

	printf("# seed %#llx\n", (unsigned long long)c->seed);
	fflush(stdout);
	rng_seed(&rng, c->seed, c->bs, 0);
	if (c->only)
		return run_workload(c, c->only);
	if (c->all)
		err = run_singles(c);
	while (!err && c->done < c->points)
		err = run_possible(c, next_number(c, &rng, &single));
	return err;
}
