/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Where this process' own memory lies, in bytes, so that what grows has a name. */
typedef struct
{
  guint64 anonymous;             /* all of it: what the figure of a probe is */
  guint64 malloc_used;           /* given out by malloc, small and large, of all arenas: ours, GLib's, a driver's and libraries' */
  guint64 malloc_free;           /* malloc's, given back to it, not to the system */
  guint64 heap, unnamed;         /* mappings: the heap; without a name (malloc's large blocks and threads' arenas, a driver's own) */
  guint64 stacks, files;         /* threads' where they are named; of libraries, what was written to */
  guint64 others;                /* with other names in brackets */
  guint64 devices;               /* not in `anonymous`: what of /dev is mapped and there, locked memory of a card among it */
  guint n_mappings;
  guint n_algorithms;            /* lines in the file where products' algorithms are kept */
} SoakMemory;

/* Gives back what malloc can, then looks.  All 0 where the system does not say. */
void soak_memory_look (SoakMemory *self);

/* One line, what changed since BEFORE in brackets; BEFORE NULL: nothing in brackets. */
void soak_memory_print (const SoakMemory *self, const SoakMemory *before, const char *when);

/* What is held in each 64 MiB of addresses, by name: text to guint64 (transfer full). */
GHashTable *soak_memory_list (void);

/* The places that grew most from BEFORE to NOW, a line each, which leave NOW; those that grew by less than a MiB are left out. */
void soak_memory_print_grown (GHashTable *before, GHashTable *now);
