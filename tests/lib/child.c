// SPDX-License-Identifier: GPL-2.0
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

pid_t child_start(int (*begin)(void *arg), void *arg)
{
	bool begun;
	int to[2];
	pid_t pid;
	char c;

	if (pipe(to))
		return -1;
	pid = fork();
	if (!pid) {
		if (begin(arg) || write(to[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(to[1]);
	begun = pid > 0 && read(to[0], &c, 1) == 1;
	close(to[0]);
	if (pid > 0 && !begun)
		waitpid(pid, NULL, 0);
	return begun ? pid : -1;
}

bool child_was_killed(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}
