/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-formats"

#include "zie-safetensors.h"

#include <string.h>

#include "zie-file.h"
#include "zie-json-reader.h"

#define MAX_HEADER_SIZE 100000000
#define MAX_TENSORS 1000000      /* the full model has 521; bounds what a hostile header can make us allocate */

typedef struct
{
  char *key, *value;             /* owned */
} Meta;

struct _ZieSafetensors
{
  ZieMap *map;              /* owned */
  char *path;                    /* owned */
  GStringChunk *strings;         /* owned: names of tensors and of unknown types */
  GArray *tensors;               /* owned: ZieTensorInfo by place in the file */
  GArray *metadata;              /* owned: Meta */
};

static const struct
{
  const char *name;
  ZieDtype dtype;
  guint size;                    /* bytes an element */
} types[] = {
  { "BF16", ZIE_DTYPE_BF16, 2 },       { "BOOL", ZIE_DTYPE_OTHER, 1 }, { "F16", ZIE_DTYPE_F16, 2 },
  { "F32", ZIE_DTYPE_F32, 4 },         { "F64", ZIE_DTYPE_OTHER, 8 },  { "F8_E4M3", ZIE_DTYPE_F8_E4M3, 1 },
  { "F8_E5M2", ZIE_DTYPE_F8_E5M2, 1 }, { "I16", ZIE_DTYPE_OTHER, 2 },  { "I32", ZIE_DTYPE_I32, 4 },
  { "I64", ZIE_DTYPE_OTHER, 8 },       { "I8", ZIE_DTYPE_OTHER, 1 },   { "U16", ZIE_DTYPE_OTHER, 2 },
  { "U32", ZIE_DTYPE_OTHER, 4 },       { "U64", ZIE_DTYPE_OTHER, 8 },  { "U8", ZIE_DTYPE_U8, 1 },
};

/* One entry of the header as read, before it is checked against the others. */
typedef struct
{
  ZieTensorInfo info;
  guint64 begin, end;            /* data_offsets */
} Entry;

static void
clear_meta (gpointer data)
{
  Meta *meta = data;

  g_free (meta->key);
  g_free (meta->value);
}

static int
compare_entries_by_place (gconstpointer a, gconstpointer b)
{
  const Entry *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return strcmp (x->info.name, y->info.name);      /* empty tensors share a place: keep the order stable */
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Names end up in messages on a terminal. */
static gboolean
is_plain_name (const GString *name)
{
  for (gsize i = 0; i < name->len; i++)
    if ((guchar)name->str[i] < 0x20 || name->str[i] == 0x7f)
      return FALSE;

  return name->len > 0;
}

static gboolean
read_shape (ZieJsonReader *reader, ZieTensorInfo *info, guint64 *n_elements, gboolean *overflows)
{
  guint64 dim;

  *n_elements = 1;
  info->n_dims = 0;
  zie_json_reader_enter (reader, '[');
  while (zie_json_reader_next (reader, ']') && zie_json_reader_u64 (reader, &dim))
    {
      if (dim > G_MAXINT64 || !g_uint64_checked_mul (n_elements, *n_elements, dim))
        *overflows = TRUE;
      if (info->n_dims < (int)G_N_ELEMENTS (info->dims))
        info->dims[info->n_dims] = (gint64)MIN (dim, G_MAXINT64);
      if (++info->n_dims > 64)
        return zie_json_reader_fail (reader, "a shape of more than 64 dimensions");
    }

  return reader->problem == NULL;
}

static gboolean
read_offsets (ZieJsonReader *reader, guint64 *begin, guint64 *end)
{
  zie_json_reader_enter (reader, '[');
  if (!zie_json_reader_next (reader, ']') || !zie_json_reader_u64 (reader, begin)
      || !zie_json_reader_next (reader, ']') || !zie_json_reader_u64 (reader, end)
      || zie_json_reader_next (reader, ']'))
    return zie_json_reader_fail (reader, "expected two numbers in \"data_offsets\"");

  return reader->problem == NULL;
}

/* {"dtype":…,"shape":[…],"data_offsets":[…]} of the tensor ENTRY->info.name. */
static gboolean
read_entry (ZieSafetensors *self, ZieJsonReader *reader, Entry *entry, GString *scratch, GError **error)
{
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
  guint seen = 0, field;
  guint64 n_elements = 0, size;
  gboolean overflows = FALSE;
  const char *name = entry->info.name;
  gint64 type = -1;

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, scratch))
    {
      field = g_str_equal (scratch->str, "dtype") ? DTYPE
              : g_str_equal (scratch->str, "shape") ? SHAPE
              : g_str_equal (scratch->str, "data_offsets") ? OFFSETS : 0;
      if (seen & field)
        zie_json_reader_fail (reader, "a duplicate key in a tensor's entry");
      seen |= field;

      if (field == DTYPE)
        {
          if (zie_json_reader_string (reader, scratch) && !is_plain_name (scratch))
            zie_json_reader_fail (reader, "control characters in a type's name");
          for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
            if (g_str_equal (scratch->str, types[i].name))
              type = (gint64)i;
          if (reader->problem == NULL)
            entry->info.dtype_name = type >= 0 ? types[type].name : g_string_chunk_insert (self->strings, scratch->str);
        }
      else if (field == SHAPE)
        read_shape (reader, &entry->info, &n_elements, &overflows);
      else if (field == OFFSETS)
        read_offsets (reader, &entry->begin, &entry->end);
      else
        zie_json_reader_skip (reader);
    }

  if (reader->problem != NULL)
    return FALSE;      /* told by the caller, with the place */

  if (seen != (DTYPE | SHAPE | OFFSETS))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: tensor \"%.200s\" has no \"%s\"", self->path, name,
                   !(seen & DTYPE) ? "dtype" : !(seen & SHAPE) ? "shape" : "data_offsets");
      return FALSE;
    }

  if (entry->end < entry->begin)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: tensor \"%.200s\" ends at offset %" G_GUINT64_FORMAT ", before it begins at %" G_GUINT64_FORMAT,
                   self->path, name, entry->end, entry->begin);
      return FALSE;
    }

  entry->info.dtype = type >= 0 && entry->info.n_dims <= (int)G_N_ELEMENTS (entry->info.dims) ? types[type].dtype
                                                                                              : ZIE_DTYPE_OTHER;
  if (type >= 0 && (overflows || !g_uint64_checked_mul (&size, n_elements, types[type].size)))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: tensor \"%.200s\" has a shape of more than 2^63 bytes",
                   self->path, name);
      return FALSE;
    }
  if (type >= 0 && size != entry->end - entry->begin)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: tensor \"%.200s\" at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                   " bytes, expected %" G_GUINT64_FORMAT " from its shape and type %s",
                   self->path, name, entry->begin, entry->end - entry->begin, size, entry->info.dtype_name);
      return FALSE;
    }

  return TRUE;
}

static gboolean
read_metadata (ZieSafetensors *self, ZieJsonReader *reader)
{
  g_autoptr(GString) key = g_string_new (NULL);
  g_autoptr(GString) value = g_string_new (NULL);

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, key)
         && zie_json_reader_string (reader, value))
    {
      Meta meta = { g_strndup (key->str, key->len), g_strndup (value->str, value->len) };

      g_array_append_val (self->metadata, meta);
    }
  if (reader->problem != NULL)
    return FALSE;

  g_array_sort (self->metadata, compare_names);      /* a Meta begins with its key */
  for (guint i = 1; i < self->metadata->len; i++)
    if (g_str_equal (g_array_index (self->metadata, Meta, i - 1).key, g_array_index (self->metadata, Meta, i).key))
      return zie_json_reader_fail (reader, "a duplicate key in \"__metadata__\"");

  return TRUE;
}

/* Every member of the header, into ENTRIES. */
static gboolean
read_header (ZieSafetensors *self, const char *text, gsize length, GArray *entries, GError **error)
{
  g_autoptr(GString) key = g_string_new (NULL);
  g_autoptr(GError) local = NULL;
  gboolean has_metadata = FALSE;
  ZieJsonReader reader;

  zie_json_reader_init (&reader, text, length);
  zie_json_reader_enter (&reader, '{');
  while (local == NULL && zie_json_reader_next (&reader, '}') && zie_json_reader_key (&reader, key))
    if (g_str_equal (key->str, "__metadata__"))
      {
        if (has_metadata)
          zie_json_reader_fail (&reader, "a second \"__metadata__\"");
        has_metadata = TRUE;
        read_metadata (self, &reader);
      }
    else if (!is_plain_name (key))
      zie_json_reader_fail (&reader, "an empty tensor name, or one with control characters");
    else if (entries->len == MAX_TENSORS)
      zie_json_reader_fail (&reader, "more than a million tensors");
    else
      {
        Entry entry = { .info = { .name = g_string_chunk_insert_len (self->strings, key->str, (gssize)key->len),
                                  .file = self->path } };

        if (read_entry (self, &reader, &entry, key, &local))
          g_array_append_val (entries, entry);
      }

  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (!zie_json_reader_end (&reader))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: the header is not what safetensors needs, at byte %" G_GSIZE_FORMAT ": %s", self->path,
                   8 + zie_json_reader_offset (&reader), reader.problem);
      return FALSE;
    }

  return TRUE;
}

static gboolean
check_names (ZieSafetensors *self, GArray *entries, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_sized_new (entries->len);

  for (guint i = 0; i < entries->len; i++)
    g_ptr_array_add (names, (gpointer)g_array_index (entries, Entry, i).info.name);

  g_ptr_array_sort (names, compare_names);
  for (guint i = 1; i < names->len; i++)
    if (g_str_equal (names->pdata[i - 1], names->pdata[i]))
      {
        g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: tensor \"%.200s\" is listed twice", self->path,
                     (const char *)names->pdata[i]);
        return FALSE;
      }

  return TRUE;
}

/* The tensors lie one after the other, from the header to the end of the file. */
static gboolean
place_tensors (ZieSafetensors *self, GArray *entries, const guint8 *data, guint64 size, GError **error)
{
  guint64 at = 0;

  g_array_sort (entries, compare_entries_by_place);
  for (guint i = 0; i < entries->len; i++)
    {
      Entry *entry = &g_array_index (entries, Entry, i);

      if (entry->begin != at)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" begins at offset %" G_GUINT64_FORMAT ", expected %" G_GUINT64_FORMAT
                       " (%s)", self->path, entry->info.name, entry->begin, at,
                       entry->begin > at ? "a gap after the one before" : "it overlaps the one before");
          return FALSE;
        }
      if (entry->end > size)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" ends at offset %" G_GUINT64_FORMAT ", but the file holds only %"
                       G_GUINT64_FORMAT " bytes of data: it is not complete, fetch it again",
                       self->path, entry->info.name, entry->end, size);
          return FALSE;
        }

      entry->info.data = data + entry->begin;
      entry->info.size = (gsize)(entry->end - entry->begin);
      at = entry->end;
      g_array_append_val (self->tensors, entry->info);
    }

  if (at != size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: %" G_GUINT64_FORMAT " bytes follow the last tensor, expected none", self->path, size - at);
      return FALSE;
    }

  return TRUE;
}

static ZieSafetensors *
open_file (const char *path, GError **error)
{
  g_autoptr(ZieSafetensors) self = g_new0 (ZieSafetensors, 1);
  g_autoptr(GArray) entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  const char *contents;
  guint64 header_size;
  gsize size;

  self->path = g_strdup (path);
  self->strings = g_string_chunk_new (4096);
  self->tensors = g_array_new (FALSE, FALSE, sizeof (ZieTensorInfo));
  self->metadata = g_array_new (FALSE, FALSE, sizeof (Meta));
  g_array_set_clear_func (self->metadata, clear_meta);

  if (!(self->map = zie_map_new (path, error)))
    return NULL;

  contents = (const char *)zie_map_get_data (self->map);
  size = zie_map_get_size (self->map);
  if (size < 10)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: has %" G_GSIZE_FORMAT " bytes, too few for a safetensors file", path, size);
      return NULL;
    }

  memcpy (&header_size, contents, 8);
  header_size = GUINT64_FROM_LE (header_size);
  if (header_size < 2 || header_size > MAX_HEADER_SIZE || header_size > size - 8)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: states a header of %" G_GUINT64_FORMAT " bytes, expected 2 to %" G_GUINT64_FORMAT
                   ": not a safetensors file, or cut short", path, header_size, MIN ((guint64)size - 8, MAX_HEADER_SIZE));
      return NULL;
    }
  if (contents[8] != '{')
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: the header begins with byte 0x%02x, expected '{': not a safetensors file", path, (guchar)contents[8]);
      return NULL;
    }

  if (!read_header (self, contents + 8, (gsize)header_size, entries, error)
      || !check_names (self, entries, error)
      || !place_tensors (self, entries, (const guint8 *)contents + 8 + header_size, size - 8 - header_size, error))
    return NULL;

  return g_steal_pointer (&self);
}

ZieSafetensors *
zie_safetensors_open (const char *path, GError **error)
{
  ZieSafetensors *self = open_file (path, error);

  if (self == NULL)
    zie_file_mend_error (error);
  return self;
}

void
zie_safetensors_free (ZieSafetensors *self)
{
  if (self == NULL)
    return;

  g_clear_pointer (&self->map, zie_map_free);
  g_array_unref (self->tensors);
  g_array_unref (self->metadata);
  g_string_chunk_free (self->strings);
  g_free (self->path);
  g_free (self);
}

ZieMap *
zie_safetensors_get_map (ZieSafetensors *self)
{
  return self->map;
}

guint
zie_safetensors_get_n (const ZieSafetensors *self)
{
  return self->tensors->len;
}

const ZieTensorInfo *
zie_safetensors_get (const ZieSafetensors *self, guint index)
{
  g_return_val_if_fail (index < self->tensors->len, NULL);
  return &g_array_index (self->tensors, ZieTensorInfo, index);
}

const char *
zie_safetensors_get_meta (const ZieSafetensors *self, const char *key)
{
  for (guint i = 0; i < self->metadata->len; i++)
    if (g_str_equal (g_array_index (self->metadata, Meta, i).key, key))
      return g_array_index (self->metadata, Meta, i).value;

  return NULL;
}
