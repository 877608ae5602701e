/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>

/* What the backends that compute on this machine's processors share. */

/* The processor's name as people know it ("AMD EPYC 9654 96-Core Processor"), at most SIZE bytes with the end. */
void zie_host_cpu_name (char *name, gsize size);

/* Exposed for tests: the name in the text of /proc/cpuinfo, NULL when it says none.  Free with g_free(). */
char *zie_host_parse_cpu_name (const char *cpuinfo);

/* Fresh pages that cost nothing until touched, in large pages where the system has them.  OUT_OF_HOST_MEMORY. */
void *zie_host_alloc (gsize size, GError **error);
void zie_host_free (void *memory, gsize size);
