// SPDX-License-Identifier: GPL-2.0
/* A mapping ends where the file ends, and that moves: SIGBUS is an answer. */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "soak.h"

static __thread sigjmp_buf back;
static __thread char *volatile fault_at;
static __thread volatile sig_atomic_t copying;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!copying) {
		signal(sig, SIG_DFL);
		return;
	}
	fault_at = info->si_addr;
	siglongjmp(back, 1);
}

void mapping_init(void)
{
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &sa, NULL);
}

ssize_t mapping_copy(void *to, const void *from, size_t len, char **fault)
{
	/* The handler left the signal mask alone (SA_NODEFER): none to restore. */
	if (sigsetjmp(back, 0)) {
		copying = 0;
		*fault = fault_at;
		return -1;
	}
	copying = 1;
	memcpy(to, from, len);
	copying = 0;
	return len;
}
