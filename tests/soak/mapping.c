// SPDX-License-Identifier: GPL-2.0
/* A mapping ends where the file ends, and that moves: SIGBUS is an answer. */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "soak.h"

static __thread sigjmp_buf back;
static __thread char *fault_at;
static __thread bool copying;

/* The handler runs in the middle of the copying: before and after stay so. */
static void set_copying(bool on)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&copying, on, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!__atomic_load_n(&copying, __ATOMIC_RELAXED)) {
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
		set_copying(false);
		*fault = fault_at;
		return -1;
	}
	set_copying(true);
	memcpy(to, from, len);
	set_copying(false);
	return len;
}
