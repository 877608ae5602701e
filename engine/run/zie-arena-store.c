/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-arena-store.h"

gsize
zie_arena_store_get_size (const ZieArenaStore *self)
{
  return self->size;
}

guint8 *
zie_arena_store_reserve (ZieArenaStore *self, ZieBackend *backend, gsize size, gsize spare, GError **error)
{
  if (self->memory != NULL && self->backend == backend && self->size >= size && self->size - size <= spare)
    return self->memory;

  zie_arena_store_release (self);
  self->memory = self->is_host ? backend->funcs->alloc_host (backend, size, error) : backend->funcs->alloc (backend, size, error);
  if (self->memory == NULL)
    return NULL;

  self->backend = backend;
  self->size = size;
  g_debug ("arena reserved size=%" G_GSIZE_FORMAT, size);
  return self->memory;
}

void
zie_arena_store_release (ZieArenaStore *self)
{
  if (self->memory != NULL)
    {
      if (self->is_host)
        self->backend->funcs->free_host (self->backend, self->memory, self->size);
      else
        self->backend->funcs->free (self->backend, self->memory, self->size);
    }
  self->memory = NULL;
  self->backend = NULL;
  self->size = 0;
}
