/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"

/* Locked memory of the host may be so much larger than a job needs, and be used again. */
#define ZIE_SPARE_LOCKED ((gsize)2 << 20)

/* The one block of device memory behind the jobs' arenas, kept from job to job so that the next one of about the same
 * size starts without page faults.  The worker's thread only, but for zie_arena_store_get_size(). */
typedef struct
{
  guint8 *memory;        /* owned, of backend */
  _Atomic gsize size;    /* bytes; atomic: the planner reads it from other threads */
  ZieBackend *backend;   /* borrowed; that of the engine, which outlives the block */
  gboolean is_host;      /* memory of the host, of a backend with memory of its own */
} ZieArenaStore;

/* At least SIZE bytes aligned to ZIE_ARENA_ALIGN with undefined content, valid until the next call; give exactly SIZE to
 * zie_arena_init().  What is held is used again when it has at most SPARE bytes more: what is held beyond the plan nobody planned.
 * NULL and OUT_OF_HOST_MEMORY or OUT_OF_DEVICE_MEMORY: nothing is held then. */
guint8 *zie_arena_store_reserve (ZieArenaStore *self, ZieBackend *backend, gsize size, gsize spare, GError **error);
void zie_arena_store_release (ZieArenaStore *self);
/* Bytes held at this moment.  Any thread. */
gsize zie_arena_store_get_size (const ZieArenaStore *self);
