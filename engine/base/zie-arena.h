/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* A bump allocator over one block of memory, with a high-water mark.
 *
 * The same calls run in two modes.  Counting (zie_arena_init_counting): nothing is behind it, pointers are never
 * dereferenced, the high-water mark says what is needed.  Real (zie_arena_init): the block has exactly that size, and
 * running out is a programming error (the plan was wrong), so it aborts.  One thread at a time. */
typedef struct
{
  guint8 *base;         /* borrowed; in counting mode an address that is never touched */
  gsize size;           /* G_MAXSIZE when counting */
  gsize used, peak;     /* bytes */
  gboolean is_counting;
} ZieArena;

typedef gsize ZieMark;

#define ZIE_ARENA_ALIGN 64
/* SIZE bytes as they are taken. */
static inline gsize zie_arena_align (gsize size) { return (size + ZIE_ARENA_ALIGN - 1) & ~(gsize)(ZIE_ARENA_ALIGN - 1); }

void zie_arena_init (ZieArena *self, void *base, gsize size);     /* BASE aligned to ZIE_ARENA_ALIGN */
void zie_arena_init_counting (ZieArena *self);
void *zie_arena_alloc (ZieArena *self, gsize size);               /* uninitialised, aligned to ZIE_ARENA_ALIGN */
static inline ZieMark zie_arena_mark (const ZieArena *self) { return self->used; }
static inline void zie_arena_rewind (ZieArena *self, ZieMark mark) { self->used = mark; }
