// SPDX-License-Identifier: GPL-2.0
#include "harness.h"
TEST_HARNESS_MAIN
