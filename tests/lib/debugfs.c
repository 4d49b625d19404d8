// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debugfs.h"
#include "env.h"
#include "vol.h"

int debugfs(struct vol *v, const char *command, ...)
{
	char cmd[256];
	const char *const argv[] = { "debugfs", "-w", "-R", cmd, v->dev, NULL };
	va_list ap;

	va_start(ap, command);
	vsnprintf(cmd, sizeof(cmd), command, ap);
	va_end(ap);
	return run(0, argv);
}

long debugfs_number(struct vol *v, const char *command, const char *label)
{
	char cmd[256], line[256];
	long number = -ENODATA;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "debugfs -R '%s' %s 2>/dev/null", command, v->dev);
	f = popen(cmd, "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, label);

		if (at && number < 0)
			number = strtol(at + strlen(label), NULL, 10);
	}
	pclose(f);
	return vol_report(command, number < 0 ? number : 0) ?: number;
}

long debugfs_block(struct vol *v, const char *name, unsigned int n)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "bmap %s %u", name, n);
	return debugfs_number(v, cmd, "");
}
