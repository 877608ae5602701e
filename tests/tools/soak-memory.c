/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "soak"

#include "soak-memory.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include <zie/zie.h>

#define WINDOW_BITS 26                   /* as large as a thread's arena in malloc */
#define MAX_GROWN 6

/* The sum that a mapping of that name belongs to. */
static guint64 *
find_sum (SoakMemory *self, const char *name)
{
  if (name[0] == '\0')
    return &self->unnamed;
  if (g_str_has_prefix (name, "[heap]"))
    return &self->heap;
  if (g_str_has_prefix (name, "[stack"))
    return &self->stacks;
  return name[0] == '/' ? &self->files : &self->others;
}

typedef void (*MappingFunc) (gpointer data, guint64 begin, const char *name, guint64 anonymous, guint64 resident);

/* Calls FUNC for each mapping of this process. */
static void
read_mappings (MappingFunc func, gpointer data)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  const char *name = NULL;
  guint64 begin = 0, resident = 0;

  if (!g_file_get_contents ("/proc/self/smaps", &text, NULL, NULL))
    return;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char range[64];
      int name_at = 0;

      if (g_ascii_isxdigit (lines[i][0]) && sscanf (lines[i], "%63[0-9a-f-] %*s %*s %*s %*s %n", range, &name_at) == 1 && name_at > 0)
        {
          begin = g_ascii_strtoull (range, NULL, 16);
          name = lines[i] + name_at;
        }
      else if (g_str_has_prefix (lines[i], "Rss:"))
        resident = g_ascii_strtoull (lines[i] + strlen ("Rss:"), NULL, 10) * 1024;
      else if (name != NULL && g_str_has_prefix (lines[i], "Anonymous:"))       /* behind Rss */
        func (data, begin, name, g_ascii_strtoull (lines[i] + strlen ("Anonymous:"), NULL, 10) * 1024, resident);
    }
}

static void
add_to_sums (gpointer data, guint64 begin, const char *name, guint64 anonymous, guint64 resident)
{
  SoakMemory *self = data;

  *find_sum (self, name) += anonymous;
  if (g_str_has_prefix (name, "/dev/"))
    self->devices += resident;
  self->n_mappings++;
}

static guint
count_algorithms (void)
{
  g_autofree char *path = g_build_filename (g_get_user_cache_dir (), "zimage-studio", "cublaslt-algorithms", NULL), *text = NULL;
  guint n = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  for (const char *end = text; (end = strchr (end, '\n')) != NULL; end++)
    n++;
  return n > 0 ? n - 1 : 0;                      /* the first line names the format */
}

void
soak_memory_look (SoakMemory *self)
{
  ZieMemoryUse use = { 0 };
#ifdef __GLIBC__
  struct mallinfo2 info;

  malloc_trim (0);
#endif
  *self = (SoakMemory) { 0 };
  zie_query_memory (&use);
  self->anonymous = use.process_anonymous;
#ifdef __GLIBC__
  info = mallinfo2 ();
  self->malloc_used = info.uordblks + info.hblkhd;
  self->malloc_free = info.fordblks;
#endif
  read_mappings (add_to_sums, self);
  self->n_algorithms = count_algorithms ();
}

static void
print_one (const char *name, guint64 now, const guint64 *before)
{
  printf (", %s %.1f", name, (double)now / 0x1p20);
  if (before != NULL)
    printf (" (%+.1f)", ((double)now - (double)*before) / 0x1p20);
}

void
soak_memory_print (const SoakMemory *self, const SoakMemory *before, const char *when)
{
  printf ("memory %s, MiB: all %.1f", when, (double)self->anonymous / 0x1p20);
  if (before != NULL)
    printf (" (%+.1f)", ((double)self->anonymous - (double)before->anonymous) / 0x1p20);
  print_one ("malloc", self->malloc_used, before ? &before->malloc_used : NULL);
  print_one ("free in malloc", self->malloc_free, before ? &before->malloc_free : NULL);
  print_one ("heap", self->heap, before ? &before->heap : NULL);
  print_one ("unnamed", self->unnamed, before ? &before->unnamed : NULL);
  print_one ("stacks", self->stacks, before ? &before->stacks : NULL);
  print_one ("libraries", self->files, before ? &before->files : NULL);
  print_one ("others", self->others, before ? &before->others : NULL);
  print_one ("devices", self->devices, before ? &before->devices : NULL);
  printf ("; %u mappings, %u algorithms\n", self->n_mappings, self->n_algorithms);
}

static void
add_to_list (gpointer data, guint64 begin, const char *name, guint64 anonymous, guint64 resident)
{
  guint64 held = g_str_has_prefix (name, "/dev/") ? resident : anonymous, *sum;
  char *key;

  if (held == 0)
    return;
  key = g_strdup_printf ("%012" G_GINT64_MODIFIER "x %s", begin >> WINDOW_BITS << WINDOW_BITS, name[0] ? name : "unnamed");
  if ((sum = g_hash_table_lookup (data, key)) == NULL)
    g_hash_table_insert (data, g_strdup (key), sum = g_new0 (guint64, 1));
  *sum += held;
  g_free (key);
}

GHashTable *
soak_memory_list (void)
{
  GHashTable *list = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  read_mappings (add_to_list, list);
  return list;
}

static gint64
get_growth (GHashTable *before, GHashTable *now, const char *key)
{
  const guint64 *was = g_hash_table_lookup (before, key), *is = g_hash_table_lookup (now, key);

  return (gint64)*is - (gint64)(was ? *was : 0);
}

void
soak_memory_print_grown (GHashTable *before, GHashTable *now)
{
  for (int line = 0; line < MAX_GROWN; line++)
    {
      const char *most = NULL;
      GHashTableIter iter;
      gpointer key;

      g_hash_table_iter_init (&iter, now);
      while (g_hash_table_iter_next (&iter, &key, NULL))
        if (most == NULL || get_growth (before, now, key) > get_growth (before, now, most))
          most = key;
      if (most == NULL || get_growth (before, now, most) < 1 << 20)
        return;
      printf ("  grew by %.1f MiB since the third job: %s\n", (double)get_growth (before, now, most) / 0x1p20, most);
      g_hash_table_remove (now, most);
    }
}
