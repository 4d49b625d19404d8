// SPDX-License-Identifier: GPL-2.0
/*
 * The trace points. kfs::trace has the static branch before each call.
 */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "retryfs_trace.h"
