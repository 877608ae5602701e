/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include "cuda-algorithms.h"

#include <string.h>

#include <glib/gstdio.h>

#define FIRST_LINE "zimage-studio cublaslt-algorithms 1"
#define MAX_FILE_SIZE (4 << 20)
#define MAX_ENTRIES 4096                 /* the oldest leave */

typedef struct
{
  char *key;                             /* owned */
  guint8 value[CUDA_ALGORITHM_SIZE];
} Entry;

struct _CudaAlgorithms
{
  char *path;                            /* owned */
  GPtrArray *entries;                    /* of Entry, the newest last; owned */
  GHashTable *by_key;                    /* the same, borrowed, with their keys */
  GStatBuf seen;                         /* the file as it was read or written last; all 0: not yet */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->key);
  g_free (entry);
}

static char *
clean_key (const char *key)
{
  return g_strdelimit (g_strdup (key), "\t\r\n", ' ');
}

static void
remove_entry (CudaAlgorithms *self, Entry *entry)
{
  g_hash_table_remove (self->by_key, entry->key);
  g_ptr_array_remove (self->entries, entry);
}

/* The newest entry of that key; takes KEY. */
static void
set_entry (CudaAlgorithms *self, char *key, const guint8 *value)
{
  Entry *entry = g_hash_table_lookup (self->by_key, key);

  if (entry != NULL)
    remove_entry (self, entry);
  else if (self->entries->len >= MAX_ENTRIES)
    remove_entry (self, g_ptr_array_index (self->entries, 0));
  entry = g_new0 (Entry, 1);
  entry->key = key;
  memcpy (entry->value, value, CUDA_ALGORITHM_SIZE);
  g_ptr_array_add (self->entries, entry);
  g_hash_table_insert (self->by_key, entry->key, entry);
}

static gboolean
parse_value (const char *hex, guint8 *value)
{
  if (strlen (hex) != 2 * CUDA_ALGORITHM_SIZE)
    return FALSE;
  for (guint i = 0; i < CUDA_ALGORITHM_SIZE; i++)
    {
      int high = g_ascii_xdigit_value (hex[2 * i]), low = g_ascii_xdigit_value (hex[2 * i + 1]);

      if (high < 0 || low < 0)
        return FALSE;
      value[i] = (guint8)(high << 4 | low);
    }
  return TRUE;
}

/* Nobody has written the file since it was last read or written here. */
static gboolean
is_known (const CudaAlgorithms *self, const GStatBuf *now)
{
  return now->st_ino == self->seen.st_ino && now->st_dev == self->seen.st_dev && now->st_size == self->seen.st_size
         && now->st_mtim.tv_sec == self->seen.st_mtim.tv_sec && now->st_mtim.tv_nsec == self->seen.st_mtim.tv_nsec;
}

/* Joins the file's lines in; those that cannot be read are left out, and will be gone when it is next written. */
static void
read_file (CudaAlgorithms *self)
{
  g_autoptr(GMappedFile) file = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  GStatBuf now;
  guint n_bad = 0;

  if (g_stat (self->path, &now) != 0 || !S_ISREG (now.st_mode) || is_known (self, &now))
    return;
  if (!(file = g_mapped_file_new (self->path, FALSE, &error)))
    {
      g_debug ("algorithms: %s", error->message);
      return;
    }
  self->seen = now;
  if (g_mapped_file_get_length (file) > MAX_FILE_SIZE)
    {
      g_debug ("algorithms: %s has %" G_GSIZE_FORMAT " bytes, at most %d were expected; it is not read", self->path,
               g_mapped_file_get_length (file), MAX_FILE_SIZE);
      return;
    }
  if (g_mapped_file_get_length (file) > 0)
    text = g_strndup (g_mapped_file_get_contents (file), g_mapped_file_get_length (file));
  else
    text = g_strdup ("");
  lines = g_strsplit (text, "\n", -1);
  if (lines[0] == NULL || strcmp (lines[0], FIRST_LINE) != 0)
    {
      g_debug ("algorithms: %s does not begin with \"" FIRST_LINE "\"; it is not read", self->path);
      return;
    }
  for (guint i = 1; lines[i] != NULL; i++)
    {
      char *tab = strchr (lines[i], '\t');
      guint8 value[CUDA_ALGORITHM_SIZE];

      if (lines[i][0] == '\0')
        continue;
      if (tab == NULL || tab == lines[i] || !parse_value (tab + 1, value))
        n_bad++;
      else
        set_entry (self, g_strndup (lines[i], tab - lines[i]), value);
    }
  if (n_bad > 0)
    g_debug ("algorithms: %s: %u lines are damaged and left out", self->path, n_bad);
}

static void
write_file (CudaAlgorithms *self)
{
  static const char digits[] = "0123456789abcdef";
  g_autoptr(GString) text = g_string_new (FIRST_LINE "\n");
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_path_get_dirname (self->path);

  for (guint i = 0; i < self->entries->len; i++)
    {
      const Entry *entry = g_ptr_array_index (self->entries, i);

      g_string_append (text, entry->key);
      g_string_append_c (text, '\t');
      for (guint b = 0; b < CUDA_ALGORITHM_SIZE; b++)
        {
          g_string_append_c (text, digits[entry->value[b] >> 4]);
          g_string_append_c (text, digits[entry->value[b] & 15]);
        }
      g_string_append_c (text, '\n');
    }
  g_mkdir_with_parents (folder, 0700);
  if (!g_file_set_contents_full (self->path, text->str, (gssize)text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
    g_debug ("algorithms: %s; they are timed again in the next run", error->message);
  /* Another process may have put its own there meanwhile. */
  if (error != NULL || g_stat (self->path, &self->seen) != 0 || (gsize)self->seen.st_size != text->len)
    self->seen = (GStatBuf) { 0 };
}

CudaAlgorithms *
cuda_algorithms_new (const char *path)
{
  CudaAlgorithms *self = g_new0 (CudaAlgorithms, 1);

  self->path = path ? g_strdup (path)
                    : g_build_filename (g_get_user_cache_dir (), "zimage-studio", "cublaslt-algorithms", NULL);
  self->entries = g_ptr_array_new_with_free_func (entry_free);
  self->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  read_file (self);
  return self;
}

void
cuda_algorithms_free (CudaAlgorithms *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->by_key);
  g_ptr_array_unref (self->entries);
  g_free (self->path);
  g_free (self);
}

gboolean
cuda_algorithms_find (const CudaAlgorithms *self, const char *key, guint8 *value)
{
  g_autofree char *clean = clean_key (key);
  const Entry *entry = g_hash_table_lookup (self->by_key, clean);

  if (entry == NULL)
    return FALSE;
  memcpy (value, entry->value, CUDA_ALGORITHM_SIZE);
  return TRUE;
}

void
cuda_algorithms_put (CudaAlgorithms *self, const char *key, const guint8 *value)
{
  read_file (self);                      /* what other processes found in the meantime */
  set_entry (self, clean_key (key), value);
  write_file (self);
}
