// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "env.h"
#include "net.h"
#include "nvmet.h"
#include "put.h"

#define CONFIG		"/sys/kernel/config"
#define TARGET		CONFIG "/nvmet"
#define NQN		"nqn.2026-11.org.example:rfs"
#define SUBSYSTEM	TARGET "/subsystems/" NQN
#define NAMESPACE	SUBSYSTEM "/namespaces/1"
#define PORT		TARGET "/ports/1"
#define LINK		PORT "/subsystems/" NQN
#define SECONDS		30

static int controller = -1;

static int make_dir(const char *path)
{
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

static int target_up(const char *file)
{
	int err = make_dir(SUBSYSTEM) ?: put(SUBSYSTEM "/attr_allow_any_host", "1");

	err = err ?: make_dir(NAMESPACE);
	err = err ?: put(NAMESPACE "/device_path", file);
	err = err ?: put(NAMESPACE "/enable", "1");
	err = err ?: make_dir(PORT);
	err = err ?: put(PORT "/addr_trtype", "tcp");
	err = err ?: put(PORT "/addr_adrfam", "ipv4");
	err = err ?: put(PORT "/addr_traddr", "127.0.0.1");
	err = err ?: put(PORT "/addr_trsvcid", "4420");
	return err ?: symlink(SUBSYSTEM, LINK) ? -errno : 0;
}

static int connect_host(void)
{
	static const char options[] = "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nr_io_queues=1,nqn=" NQN;
	char answer[128] = "";
	int fd = open("/dev/nvme-fabrics", O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, options, strlen(options)) < 0 || read(fd, answer, sizeof(answer) - 1) < 0)
		err = -errno;
	close(fd);
	if (!err && sscanf(answer, "instance=%d", &controller) != 1)
		err = -EPROTO;
	return err;
}

/* The host looks for namespaces in a work of its own. */
static int wait_for_node(const char *node)
{
	const struct timespec ms10 = { .tv_nsec = 10000000 };
	int i;

	for (i = 0; access(node, F_OK); i++) {
		if (i == 100 * SECONDS)
			return -ETIME;
		nanosleep(&ms10, NULL);
	}
	return 0;
}

int nvmet_up(const char *file, char *node, size_t len)
{
	const char *const modprobe[] = { "modprobe", "-qa", "nvmet-tcp", "nvme-tcp", NULL };
	int err;

	if (access("/sys/module/nvmet_tcp", F_OK) && run(1, modprobe))
		return -ENOENT;
	if (access(TARGET, F_OK))
		mount("configfs", CONFIG, "configfs", 0, NULL);
	if (access(TARGET, F_OK))
		return -ENOENT;
	err = loopback_up();
	err = err ?: target_up(file);
	err = err ?: connect_host();
	if (!err) {
		snprintf(node, len, "/dev/nvme%dn1", controller);
		err = wait_for_node(node);
	}
	if (err)
		nvmet_down();
	return err;
}

void nvmet_down(void)
{
	char path[64];

	if (controller >= 0) {
		snprintf(path, sizeof(path), "/sys/class/nvme/nvme%d/delete_controller", controller);
		put(path, "1");
		controller = -1;
	}
	unlink(LINK);
	rmdir(PORT);
	put(NAMESPACE "/enable", "0");
	rmdir(NAMESPACE);
	rmdir(SUBSYSTEM);
}
