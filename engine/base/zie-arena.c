/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-arena.h"

void
zie_arena_init (ZieArena *self, void *base, gsize size)
{
  g_assert ((gsize)base % ZIE_ARENA_ALIGN == 0);
  *self = (ZieArena) { .base = base, .size = size };
}

void
zie_arena_init_counting (ZieArena *self)
{
  *self = (ZieArena) { .base = (guint8 *)(gsize)ZIE_ARENA_ALIGN, .size = G_MAXSIZE, .is_counting = TRUE };
}

void *
zie_arena_alloc (ZieArena *self, gsize size)
{
  gsize at = self->used;

  if (size > self->size - at)
    g_error ("arena: %" G_GSIZE_FORMAT " bytes asked for, %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " left: the plan is wrong",
             size, self->size - at, self->size);

  self->used = at + zie_arena_align (size);
  self->peak = MAX (self->peak, self->used);
  return self->base + at;
}
