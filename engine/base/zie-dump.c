/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "config.h"
#include "zie-file.h"

#define COPY_CHUNK (1 << 20)

/* A dump being made.  All under the lock below. */
typedef struct
{
  char *path;                 /* owned */
  FILE *values;               /* unnamed temporary file: all tensors' bytes in order */
  guint64 size;               /* of them */
  GHashTable *names;          /* owned set of owned strings */
  JsonObject *header;         /* owned: the safetensors header so far, tensors in the order they came */
  JsonObject *metadata;       /* owned */
  GError *error;              /* owned: the first that happened */
} Dump;

gint zie_dump_active = 0;

static GMutex lock;
static Dump *current = NULL;

static void
dump_free (Dump *self)
{
  g_free (self->path);
  if (self->values != NULL)
    fclose (self->values);
  g_hash_table_unref (self->names);
  json_object_unref (self->header);
  json_object_unref (self->metadata);
  g_clear_error (&self->error);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Dump, dump_free)

gboolean
zie_dump_begin (const char *path, GError **error)
{
  G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_autoptr(Dump) self = g_new0 (Dump, 1);

  self->path = g_strdup (path);
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->header = json_object_new ();
  self->metadata = json_object_new ();
  json_object_set_string_member (self->metadata, "producer", "zimage");
  json_object_set_string_member (self->metadata, "version", ZIE_VERSION);

  if (current != NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: a dump to %s is being made already", path, current->path);
      return FALSE;
    }
  if (!(self->values = tmpfile ()))
    {
      int saved = errno;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: no temporary file for the dump: %s", path, g_strerror (saved));
      return FALSE;
    }

  current = g_steal_pointer (&self);
  g_atomic_int_set (&zie_dump_active, 1);
  return TRUE;
}

gboolean
zie_dump_begin_job (guint64 job_id, GError **error)
{
  const char *folder = g_getenv ("ZIE_DUMP");
  g_autofree char *name = NULL, *path = NULL;

  if (folder == NULL || *folder == '\0' || zie_dump_is_on ())
    return FALSE;
  if (g_mkdir_with_parents (folder, 0777) < 0)
    {
      int saved = errno;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: the folder that ZIE_DUMP names cannot be made: %s", folder,
                   g_strerror (saved));
      return FALSE;
    }

  name = g_strdup_printf ("job-%06" G_GUINT64_FORMAT ".safetensors", job_id);
  path = g_build_filename (folder, name, NULL);
  return zie_dump_begin (path, error);
}

/* Length and header: JSON padded with spaces so that the values begin at a multiple of 8. */
static gboolean
write_header (Dump *self, ZieNewFile *file, GError **error)
{
  g_autoptr(JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *json = NULL;
  gsize length, padded;
  guint8 prefix[8];

  json_object_set_object_member (self->header, "__metadata__", json_object_ref (self->metadata));
  json_node_set_object (root, self->header);
  json = json_to_string (root, FALSE);
  length = strlen (json);
  padded = (length + 7) / 8 * 8;
  for (int i = 0; i < 8; i++)
    prefix[i] = (guint8)((guint64)padded >> (8 * i));

  return zie_new_file_write (file, prefix, sizeof prefix, error)
         && zie_new_file_write (file, json, length, error)
         && zie_new_file_write (file, "       ", padded - length, error);
}

static gboolean
write_values (Dump *self, ZieNewFile *file, GError **error)
{
  g_autofree guint8 *chunk = g_malloc (COPY_CHUNK);
  guint64 left = self->size;

  rewind (self->values);
  while (left > 0)
    {
      gsize n = fread (chunk, 1, (gsize)MIN (left, COPY_CHUNK), self->values);
      if (n == 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: the dump's temporary file cannot be read back", self->path);
          return FALSE;
        }
      if (!zie_new_file_write (file, chunk, n, error))
        return FALSE;
      left -= n;
    }
  return TRUE;
}

/* Transfer full; NULL when there was none. */
static Dump *
take_current (void)
{
  G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);

  g_atomic_int_set (&zie_dump_active, 0);
  return g_steal_pointer (&current);
}

void
zie_dump_discard (void)
{
  G_GNUC_UNUSED g_autoptr(Dump) dropped = take_current ();
}

gboolean
zie_dump_end (GError **error)
{
  g_autoptr(Dump) self = take_current ();
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;

  g_return_val_if_fail (self != NULL, FALSE);

  if (self->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->error));
      return FALSE;
    }
  return zie_new_file_open (&file, self->path, error)
         && write_header (self, &file, error)
         && write_values (self, &file, error)
         && zie_new_file_commit (&file, error);
}

void
zie_dump_note (const char *key, const char *value)
{
  G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);

  if (current != NULL)
    json_object_set_string_member (current->metadata, key, value);
}

/* The header's entry of a tensor of SIZE bytes that begins where the values end now. */
static JsonObject *
describe (const Dump *self, const char *dtype, const gint64 *dims, int n_dims, guint64 size)
{
  JsonObject *entry = json_object_new ();
  JsonArray *shape = json_array_new (), *offsets = json_array_new ();

  for (int i = 0; i < n_dims; i++)
    json_array_add_int_element (shape, dims[i]);
  json_array_add_int_element (offsets, (gint64)self->size);
  json_array_add_int_element (offsets, (gint64)(self->size + size));
  json_object_set_string_member (entry, "dtype", dtype);
  json_object_set_array_member (entry, "shape", shape);
  json_object_set_array_member (entry, "data_offsets", offsets);
  return entry;
}

/* Elements have four bytes, little-endian as everything we run on. */
static void
add (const char *name, const char *dtype, const void *data, const gint64 *dims, int n_dims)
{
  G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);
  gsize n = 1;

  if (current == NULL || current->error != NULL || !g_hash_table_add (current->names, g_strdup (name)))
    return;

  for (int i = 0; i < n_dims; i++)
    n *= (gsize)dims[i];
  if (fwrite (data, 4, n, current->values) != n)
    {
      int saved = errno;
      g_set_error (&current->error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: the dump's temporary file cannot be written: %s",
                   current->path, g_strerror (saved));
      return;
    }
  json_object_set_object_member (current->header, name, describe (current, dtype, dims, n_dims, 4 * (guint64)n));
  current->size += 4 * (guint64)n;
}

void
zie_dump_tensor (const char *name, const float *data, const gint64 *dims, int n_dims)
{
  if (zie_dump_is_on ())
    add (name, "F32", data, dims, n_dims);
}

void
zie_dump_ints (const char *name, const gint32 *data, const gint64 *dims, int n_dims)
{
  if (zie_dump_is_on ())
    add (name, "I32", data, dims, n_dims);
}

gboolean
zie_dump_wants (const char *name)
{
  G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&lock);

  return current != NULL && !g_hash_table_contains (current->names, name);
}
