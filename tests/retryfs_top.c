// SPDX-License-Identifier: GPL-2.0
/*
 * retryfs-top, against what was done: all numbers, exactly.
 *
 * It prints a line of JSON for each interval. How many intervals there are is not told;
 * their sums are.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"
#include "trace.h"

#define LINE	(64 * 1024)

struct top {
	pid_t pid;
	FILE *out;
	char line[LINE];
};

FIXTURE(retryfs_top) {
	struct vol v;
	struct top top;
	const char *program;
};

FIXTURE_SETUP(retryfs_top)
{
	int fd;

	self->program = getenv("RETRYFS_TOP");
	if (!self->program)
		SKIP(return, "RETRYFS_TOP does not say where it is");
	if (!env_is_retryfs())
		SKIP(return, "this is about retryfs");
	fd = trace_file("instances", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		SKIP(return, "no tracing");
	close(fd);
	ASSERT_EQ(0, vol_up(&self->v, &SMALL_1K));
}

static int top_end(struct top *top, int sig)
{
	int status;

	if (!top->pid)
		return 0;
	if (sig)
		kill(top->pid, sig);
	while (fgets(top->line, sizeof(top->line), top->out))
		;
	fclose(top->out);
	if (waitpid(top->pid, &status, 0) != top->pid)
		return -errno;
	top->pid = 0;
	return status;
}

FIXTURE_TEARDOWN(retryfs_top)
{
	top_end(&self->top, SIGKILL);
	EXPECT_EQ(0, vol_down(&self->v));
}

/* Start it, with these arguments. */
static int top_start(struct top *top, const char *program, const char *const argv[])
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	top->pid = fork();
	if (!top->pid) {
		dup2(fds[1], 1);
		execv(program, (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
	top->out = fdopen(fds[0], "r");
	return top->pid > 0 && top->out ? 0 : -errno;
}

/* The next line; NULL if there is none. */
static const char *top_line(struct top *top)
{
	return fgets(top->line, sizeof(top->line), top->out);
}

/* What is behind these keys, one after the other; NULL if one of them is not there. */
static const char *json(const char *line, const char *const keys[])
{
	char key[64];

	for (; line && *keys; keys++) {
		snprintf(key, sizeof(key), "\"%s\":", *keys);
		line = strstr(line, key);
		if (line)
			line += strlen(key);
	}
	return line;
}

#define JSON(line, ...)		json(line, (const char *const[]){ __VA_ARGS__, NULL })

static long long number(const char *text)
{
	return text ? atoll(text) : -1000000;
}

#define NUMBER(line, ...)	number(JSON(line, __VA_ARGS__))

/* What can be added up. */
static const char *const sums[][5] = {
	{ "interval", "async" },
	{ "interval", "buffered_fallback" },
	{ "interval", "nowait_blocks" },
	{ "interval", "requests_read" },
	{ "interval", "requests_write" },
	{ "interval", "retries" },
	{ "interval", "sync_error" },
	{ "interval", "sync_extend" },
	{ "interval", "sync_hole" },
	{ "trace", "bios" },
	{ "trace", "done", "read", "bytes" },
	{ "trace", "done", "read", "errors" },
	{ "trace", "done", "read", "requests" },
	{ "trace", "done", "write", "bytes" },
	{ "trace", "done", "write", "errors" },
	{ "trace", "done", "write", "requests" },
	{ "trace", "fallbacks" },
	{ "trace", "ways", "at_once" },
	{ "trace", "ways", "retried" },
	{ "trace", "ways", "sync" },
	{ "trace", "ways", "waited_error" },
	{ "trace", "ways", "waited_extend" },
	{ "trace", "ways", "waited_hole" },
};

#define SUMS	ARRAY_SIZE(sums)

/* All that the histogram of this kind has counted. */
static long long counted(const char *line, const char *kind)
{
	const char *at = JSON(line, "trace", "done", kind, "histogram");
	long long sum = 0, n;
	int len;

	while (at && sscanf(at + (*at == '[' && at[1] == '['), "[%*[^,],%lld]%n", &n, &len) == 1) {
		sum += n;
		at = strchr(at, ']') + 1;
		at += *at == ',';
	}
	return sum;
}

/* Asynchronous requests on one file, whose bios end when all are submitted. */
static int held(struct vol *v, struct iocb *cb, int n)
{
	struct io_event ev[8];
	aio_context_t ctx;
	int i, err;

	err = aio_setup(n, &ctx);
	if (!err)
		err = vol_hold(v);
	for (i = 0; !err && i < n; i++)
		err = aio_submit_one(ctx, &cb[i]);
	vol_release(v);
	if (!err && aio_events(ctx, n, n, ev, JOIN_SECONDS * 1000) != n)
		err = -ETIME;
	for (i = 0; !err && i < n; i++)
		if (ev[i].res < 0)
			err = ev[i].res;
	aio_destroy(ctx);
	return err;
}

/* A line of JSON each tenth of a second, of the volume of the test. */
static int top_lines(struct top *top, const char *program)
{
	const char *const argv[] = {
		program, "--json", "-n", "0", "-d", "0.1", env_dir(), NULL
	};

	return top_start(top, program, argv);
}

/* Each kind of request, by each way. */
TEST_F(retryfs_top, counts)
{
	const size_t bs = self->v.bs, size = 16 * bs;
	long long sum[SUMS] = {}, kinds[2] = {};
	struct counters c0, c1;
	struct iocb cb[4];
	bool done = false;
	char *buf, *back;
	unsigned int i;
	int fd;

	buf = buf_alloc(4 * bs);
	back = buf_alloc(size);
	ASSERT_EQ(0, vol_prefill("f", 0, 8 * bs, 1));
	ASSERT_EQ(0, truncate(vol_path("f"), size));
	vol_sync();
	fd = vol_open("f", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(size, pread(fd, back, size, 0));

	ASSERT_EQ(0, top_lines(&self->top, self->program));
	ASSERT_NE(NULL, top_line(&self->top));
	EXPECT_EQ(0, strncmp(JSON(self->top.line, "no_trace"), "null", 4)) {
		TH_LOG("%s", self->top.line);
	}
	ASSERT_EQ(0, vol_counters(&self->v, &c0));

	/* synchronous */
	for (i = 0; i < 5; i++)
		ASSERT_EQ(bs, pread(fd, back, bs, i * bs));
	/* retried */
	for (i = 0; i < 4; i++)
		aio_prep_write(&cb[i], fd, buf, bs, i * bs);
	ASSERT_EQ(0, held(&self->v, cb, 4));
	/* waited for: two blocks at the end, in a hole, and what is no memory */
	for (i = 0; i < 2; i++) {
		aio_prep_write(&cb[0], fd, buf, bs, size + i * bs);
		ASSERT_EQ(bs, aio_do(&cb[0]));
	}
	aio_prep_write(&cb[0], fd, buf, bs, 10 * bs);
	ASSERT_EQ(bs, aio_do(&cb[0]));
	aio_prep_write(&cb[0], fd, mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		       bs, 0);
	ASSERT_EQ(-EFAULT, aio_do(&cb[0]));
	/* what would have to allocate a block, and must not wait */
	ASSERT_EQ(-EAGAIN, way_rw(SYNC, true, fd, &(struct iovec){ buf, bs }, 1, 12 * bs,
				  RWF_NOWAIT));
	ASSERT_EQ(0, vol_counters(&self->v, &c1));

	/* until there is an interval with nothing in it: what it has been told of is told on then */
	while (!done) {
		done = true;
		ASSERT_NE(NULL, top_line(&self->top));
		for (i = 0; i < SUMS; i++) {
			long long n = number(json(self->top.line, sums[i]));

			ASSERT_LE(0, n) {
				TH_LOG("%s: %s", sums[i][1], self->top.line);
			}
			sum[i] += n;
			done = done && !n;
		}
		kinds[0] += counted(self->top.line, "read");
		kinds[1] += counted(self->top.line, "write");
		ASSERT_EQ(0, NUMBER(self->top.line, "lost"));
		/* the requests may not have come yet */
		done = done && sum[2];
	}
	const long long want[SUMS] = {
		c1.async - c0.async, 1, 1, 5, 8, 4, 1, 2, 1,
		/* bios; bytes, errors and requests that were read, and written; fallbacks */
		5 + 4 + 2, 5 * bs, 0, 5, 6 * bs, 1, 8, 1,
		/* the page cache is no request of its own */
		0, 4, 5, 1, 2, 1,
	};
	for (i = 0; i < SUMS; i++) {
		EXPECT_EQ(want[i], sum[i]) {
			TH_LOG("%s %s %s %s", sums[i][0], sums[i][1],
			       sums[i][2] ?: "", sums[i][3] ?: "");
		}
	}
	EXPECT_EQ(5, kinds[0]);
	EXPECT_EQ(8, kinds[1]);
	EXPECT_EQ(c1.requests_write, NUMBER(self->top.line, "total", "requests_write"));
	EXPECT_EQ(c1.requests_read, NUMBER(self->top.line, "total", "requests_read"));
	EXPECT_EQ(0, NUMBER(self->top.line, "trace", "in_flight", "requests"));
}

/* What is in flight, with its name; it is not done before it is done. */
TEST_F(retryfs_top, in_flight)
{
	const size_t bs = self->v.bs;
	char name[128], *buf = buf_alloc(8 * bs);
	struct io_event ev[2];
	const char *slow;
	aio_context_t ctx;
	struct iocb cb[2];
	int fd, i;

	ASSERT_EQ(0, vol_mkdir("d"));
	ASSERT_EQ(0, vol_prefill("d/a \"file\"", 0, 8 * bs, 1));
	vol_sync();
	fd = vol_open("d/a \"file\"", O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	ASSERT_EQ(bs, pread(fd, buf, bs, 0));

	ASSERT_EQ(0, top_lines(&self->top, self->program));
	ASSERT_NE(NULL, top_line(&self->top));
	ASSERT_EQ(0, aio_setup(2, &ctx));
	ASSERT_EQ(0, vol_hold(&self->v));
	for (i = 0; i < 2; i++) {
		aio_prep_read(&cb[i], fd, buf + i * 4 * bs, 4 * bs, i * 4 * bs);
		ASSERT_EQ(0, aio_submit_one(ctx, &cb[i]));
	}
	do {
		ASSERT_NE(NULL, top_line(&self->top));
	} while (NUMBER(self->top.line, "trace", "in_flight", "requests") != 2);
	EXPECT_EQ(2, NUMBER(self->top.line, "trace", "in_flight", "bios"));
	EXPECT_EQ(0, NUMBER(self->top.line, "trace", "done", "read", "requests"));
	/* the one that has waited longest comes first */
	slow = JSON(self->top.line, "slowest");
	ASSERT_NE(NULL, slow);
	EXPECT_EQ(0, NUMBER(slow, "pos"));
	EXPECT_EQ(4 * bs, NUMBER(slow, "len"));
	EXPECT_EQ(vol_inode("d/a \"file\""), NUMBER(slow, "ino"));
	EXPECT_EQ(0, strncmp(JSON(slow, "result"), "null", 4));
	EXPECT_EQ(4 * bs, NUMBER(JSON(slow, "way"), "pos"));
	snprintf(name, sizeof(name), "\"%s/d/a \\\"file\\\"\",", env_dir());
	EXPECT_EQ(0, strncmp(JSON(slow, "path"), name, strlen(name))) {
		TH_LOG("%s", slow);
	}

	ASSERT_EQ(0, vol_release(&self->v));
	ASSERT_EQ(2, aio_events(ctx, 2, 2, ev, JOIN_SECONDS * 1000));
	do {
		ASSERT_NE(NULL, top_line(&self->top));
	} while (NUMBER(self->top.line, "trace", "in_flight", "requests") != 0);
	EXPECT_EQ(0, NUMBER(self->top.line, "trace", "in_flight", "bios"));
	slow = JSON(self->top.line, "slowest");
	EXPECT_EQ(4 * bs, NUMBER(slow, "result"));
	EXPECT_EQ(0, strncmp(JSON(slow, "way"), "\"retried\"", 9)) {
		TH_LOG("%s", self->top.line);
	}
	aio_destroy(ctx);
	close(fd);
}

/* The trace is its own, and goes with it, or with the next one; nothing keeps the volume mounted. */
TEST_F(retryfs_top, leaves_nothing)
{
	char name[64];
	pid_t killed;
	int fd;

	ASSERT_EQ(0, top_lines(&self->top, self->program));
	ASSERT_NE(NULL, top_line(&self->top));
	killed = self->top.pid;
	snprintf(name, sizeof(name), "instances/retryfs-top-%d", killed);
	fd = trace_file(name, O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(SIGKILL, top_end(&self->top, SIGKILL));

	ASSERT_EQ(0, top_lines(&self->top, self->program));
	ASSERT_NE(NULL, top_line(&self->top));
	EXPECT_EQ(-ENOENT, trace_file(name, O_RDONLY | O_DIRECTORY));
	/* unmounted and mounted: all begins at zero */
	ASSERT_EQ(0, vol_remount(&self->v));
	ASSERT_EQ(0, vol_prefill("f", 0, self->v.bs, 1));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_EQ(self->v.bs, pread(fd, buf_alloc(self->v.bs), self->v.bs, 0));
	close(fd);
	do {
		ASSERT_NE(NULL, top_line(&self->top));
	} while (NUMBER(self->top.line, "trace", "done", "read", "requests") != 1);

	snprintf(name, sizeof(name), "instances/retryfs-top-%d", self->top.pid);
	ASSERT_EQ(0, top_end(&self->top, SIGTERM));
	EXPECT_EQ(-ENOENT, trace_file(name, O_RDONLY | O_DIRECTORY));
}

/* The metrics of counters are there at once. */
TEST_F(retryfs_top, metrics)
{
	const char *const argv[] = { self->program, "--prometheus", env_dir(), NULL };
	char want[160];
	bool found = false;
	int fd;

	ASSERT_EQ(0, vol_prefill("f", 0, self->v.bs, 1));
	fd = vol_open("f", O_RDONLY | O_DIRECT);
	ASSERT_EQ(self->v.bs, pread(fd, buf_alloc(self->v.bs), self->v.bs, 0));
	close(fd);
	ASSERT_EQ(0, top_start(&self->top, self->program, argv));
	snprintf(want, sizeof(want), ",mountpoint=\"%s\",kind=\"read\"} 1\n", env_dir());
	while (top_line(&self->top)) {
		if (!strncmp(self->top.line, "retryfs_requests_total{device=\"dm-", 34) &&
		    strstr(self->top.line, want))
			found = true;
	}
	EXPECT_TRUE(found);
	ASSERT_EQ(0, top_end(&self->top, 0));
}

TEST_HARNESS_MAIN
