/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>

/* zie_query_memory() with ROOT in front of /proc and /sys, "" for the real ones: tests bring their own. */
void zie_query_memory_at (const char *root, ZieMemoryUse *use);
