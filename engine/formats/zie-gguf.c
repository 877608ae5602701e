/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-formats"

#include "zie-gguf-private.h"

#include <string.h>

#include "zie-file.h"

/* Bounds of what a hostile header can cost; the real ones have 450 tensors, 50 keys and, with a tokenizer inside,
 * about 10 MB. */
#define MAX_HEADER_SIZE ((gsize)256 << 20)
#define MAX_TENSORS 1000000
#define MAX_KEYS 100000
#define MAX_NESTING 8
#define MAX_NAME 65535

#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT (1u << 24)

const guint8 zie_gguf_type_sizes[ZIE_GGUF_N_TYPES] = {
  [ZIE_GGUF_U8] = 1,  [ZIE_GGUF_I8] = 1,  [ZIE_GGUF_U16] = 2, [ZIE_GGUF_I16] = 2,
  [ZIE_GGUF_U32] = 4, [ZIE_GGUF_I32] = 4, [ZIE_GGUF_F32] = 4, [ZIE_GGUF_BOOL] = 1,
  [ZIE_GGUF_U64] = 8, [ZIE_GGUF_I64] = 8, [ZIE_GGUF_F64] = 8,
};

/* ggml's tensor types; those that are absent have no known size. */
static const struct
{
  guint id;
  const char *name;
  ZieDtype dtype;
  guint block, block_size;      /* elements, bytes */
} types[] = {
  { 0, "F32", ZIE_DTYPE_F32, 1, 4 },
  { 1, "F16", ZIE_DTYPE_F16, 1, 2 },
  { 2, "Q4_0", ZIE_DTYPE_Q4_0, 32, 18 },
  { 3, "Q4_1", ZIE_DTYPE_Q4_1, 32, 20 },
  { 6, "Q5_0", ZIE_DTYPE_Q5_0, 32, 22 },
  { 7, "Q5_1", ZIE_DTYPE_Q5_1, 32, 24 },
  { 8, "Q8_0", ZIE_DTYPE_Q8_0, ZIE_Q8_0_BLOCK, ZIE_Q8_0_BLOCK_SIZE },
  { 10, "Q2_K", ZIE_DTYPE_Q2_K, 256, 84 },
  { 11, "Q3_K", ZIE_DTYPE_Q3_K, 256, 110 },
  { 12, "Q4_K", ZIE_DTYPE_Q4_K, 256, 144 },
  { 13, "Q5_K", ZIE_DTYPE_Q5_K, 256, 176 },
  { 14, "Q6_K", ZIE_DTYPE_Q6_K, 256, 210 },
  { 16, "IQ2_XXS (ggml type 16)", ZIE_DTYPE_OTHER, 256, 66 },
  { 17, "IQ2_XS (ggml type 17)", ZIE_DTYPE_OTHER, 256, 74 },
  { 18, "IQ3_XXS (ggml type 18)", ZIE_DTYPE_OTHER, 256, 98 },
  { 19, "IQ1_S (ggml type 19)", ZIE_DTYPE_OTHER, 256, 50 },
  { 20, "IQ4_NL (ggml type 20)", ZIE_DTYPE_OTHER, 32, 18 },
  { 21, "IQ3_S (ggml type 21)", ZIE_DTYPE_OTHER, 256, 110 },
  { 22, "IQ2_S (ggml type 22)", ZIE_DTYPE_OTHER, 256, 82 },
  { 23, "IQ4_XS (ggml type 23)", ZIE_DTYPE_OTHER, 256, 136 },
  { 24, "I8", ZIE_DTYPE_OTHER, 1, 1 },
  { 25, "I16", ZIE_DTYPE_OTHER, 1, 2 },
  { 26, "I32", ZIE_DTYPE_I32, 1, 4 },
  { 27, "I64", ZIE_DTYPE_OTHER, 1, 8 },
  { 28, "F64", ZIE_DTYPE_OTHER, 1, 8 },
  { 29, "IQ1_M (ggml type 29)", ZIE_DTYPE_OTHER, 256, 56 },
  { 30, "BF16", ZIE_DTYPE_BF16, 1, 2 },
  { 39, "MXFP4 (ggml type 39)", ZIE_DTYPE_OTHER, 32, 17 },
};

typedef struct
{
  ZieTensorInfo info;
  guint64 offset;                /* from the start of the data */
  guint64 size;                  /* 0 where the type's is not known */
} Entry;

static gboolean
fail (ZieGgufWalk *walk, const char *problem)
{
  if (walk->problem == NULL)
    walk->problem = problem;
  return FALSE;
}

static const guint8 *
take (ZieGgufWalk *walk, guint64 size)
{
  const guint8 *at = walk->at;

  if (walk->problem == NULL && size > (guint64)(walk->end - walk->at))
    fail (walk, "the file ends inside the header: it is not complete, fetch it again");
  if (walk->problem != NULL)
    return NULL;

  walk->at += size;
  return at;
}

static guint32
take_u32 (ZieGgufWalk *walk)
{
  const guint8 *p = take (walk, 4);

  return p != NULL ? zie_gguf_peek_u32 (p) : 0;
}

static guint64
take_u64 (ZieGgufWalk *walk)
{
  const guint8 *p = take (walk, 8);

  return p != NULL ? zie_gguf_peek_u64 (p) : 0;
}

/* A key or tensor name, copied and ended by NUL; NULL at a mistake. */
static const char *
take_name (ZieGguf *self, ZieGgufWalk *walk)
{
  guint64 length = take_u64 (walk);
  const char *p;

  if (walk->problem == NULL && (length == 0 || length > MAX_NAME))
    fail (walk, "an empty name, or one of more than 65535 bytes");
  if (!(p = (const char *)take (walk, length)))
    return NULL;

  if (!g_utf8_validate_len (p, (gsize)length, NULL))
    fail (walk, "a name that is not UTF-8 text");
  for (guint64 i = 0; i < length; i++)
    if ((guchar)p[i] < 0x20 || p[i] == 0x7f)      /* names end up in messages on a terminal */
      fail (walk, "a name with control characters");

  return walk->problem == NULL ? g_string_chunk_insert_len (self->strings, p, (gssize)length) : NULL;
}

/* Steps over a value of TYPE, checking that it is all there. */
void
zie_gguf_skip_value (ZieGgufWalk *walk, guint32 type, guint nesting)
{
  guint64 count, size;
  guint32 item;

  if (type == ZIE_GGUF_STRING)
    take (walk, take_u64 (walk));
  else if (type == ZIE_GGUF_ARRAY)
    {
      item = take_u32 (walk);
      count = take_u64 (walk);
      if (nesting == MAX_NESTING)
        fail (walk, "arrays nested too deep");
      else if (item < ZIE_GGUF_N_TYPES && zie_gguf_type_sizes[item] > 0)
        {
          if (!g_uint64_checked_mul (&size, count, zie_gguf_type_sizes[item]))
            fail (walk, "an array of more than 2^64 bytes");
          take (walk, size);
        }
      else      /* each turn takes eight bytes at least, so the file's end ends it */
        while (walk->problem == NULL && count-- > 0)
          zie_gguf_skip_value (walk, item, nesting + 1);
    }
  else if (type < ZIE_GGUF_N_TYPES)
    take (walk, zie_gguf_type_sizes[type]);
  else
    fail (walk, "an unknown type of value");
}

static gboolean
set_problem (ZieGguf *self, const ZieGgufWalk *walk, const char *what, const char *name, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: %s%s%.200s%s at byte %" G_GSIZE_FORMAT ": %s", self->path,
               what, name ? " \"" : "", name ? name : "", name ? "\"" : "", (gsize)(walk->at - walk->start), walk->problem);
  return FALSE;
}

/* Both ZieGgufMeta and the pointers of check_names() begin with the string. */
static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static gboolean
read_metadata (ZieGguf *self, ZieGgufWalk *walk, guint64 n_keys, GError **error)
{
  for (guint64 i = 0; i < n_keys; i++)
    {
      ZieGgufMeta meta = { .key = take_name (self, walk) };
      guint32 type = take_u32 (walk);

      meta.type = (ZieGgufType)type;
      meta.value = walk->at;
      zie_gguf_skip_value (walk, type, 0);
      if (walk->problem != NULL)
        return set_problem (self, walk, "metadata", meta.key, error);
      g_array_append_val (self->metadata, meta);
    }

  g_array_sort (self->metadata, compare_names);
  for (guint i = 1; i < self->metadata->len; i++)
    {
      const char *key = g_array_index (self->metadata, ZieGgufMeta, i).key;

      if (g_str_equal (g_array_index (self->metadata, ZieGgufMeta, i - 1).key, key))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: metadata \"%.200s\" is there twice", self->path, key);
          return FALSE;
        }
    }

  return TRUE;
}

/* general.alignment, and that the file is not one of several. */
static gboolean
read_layout (ZieGguf *self, guint32 *alignment, GError **error)
{
  const ZieGgufMeta *meta = zie_gguf_find_meta (self, "general.alignment");
  g_autofree char *split = zie_gguf_get_meta (self, "split.count");

  *alignment = DEFAULT_ALIGNMENT;
  if (meta != NULL)
    {
      g_autofree char *found = zie_gguf_get_meta (self, "general.alignment");

      *alignment = meta->type == ZIE_GGUF_U32 ? zie_gguf_peek_u32 (meta->value) : 0;
      if (*alignment == 0 || *alignment > MAX_ALIGNMENT || (*alignment & (*alignment - 1)) != 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: \"general.alignment\" is %.60s, expected a power of two", self->path, found);
          return FALSE;
        }
    }

  if (split != NULL && !g_str_equal (split, "1") && !g_str_equal (split, "0"))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: is one of %.20s files of a split GGUF: join them to one file first (llama-gguf-split --merge)",
                   self->path, split);
      return FALSE;
    }

  return TRUE;
}

/* Type and byte size from the shape; dims are fastest first as in the file. */
static gboolean
set_type (ZieGguf *self, Entry *entry, guint32 id, const guint64 *dims, GError **error)
{
  guint64 n = 1;

  entry->info.dtype = ZIE_DTYPE_OTHER;
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].id == id)
      {
        entry->info.dtype = types[i].dtype;
        entry->info.dtype_name = types[i].name;
        if (dims[0] % types[i].block != 0)
          {
            g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                         "%s: tensor \"%.200s\" has rows of %" G_GUINT64_FORMAT " elements, expected whole blocks of %u (%s)",
                         self->path, entry->info.name, dims[0], types[i].block, types[i].name);
            return FALSE;
          }

        gboolean fits = g_uint64_checked_mul (&n, dims[0] / types[i].block, types[i].block_size);
        for (int d = 1; d < entry->info.n_dims; d++)
          fits = fits && g_uint64_checked_mul (&n, n, dims[d]);
        if (!fits || n > G_MAXINT64)
          {
            g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                         "%s: tensor \"%.200s\" has a shape of more than 2^63 bytes", self->path, entry->info.name);
            return FALSE;
          }

        entry->size = n;
        return TRUE;
      }

  {
    g_autofree char *name = g_strdup_printf ("ggml type %u", id);
    entry->info.dtype_name = g_string_chunk_insert (self->strings, name);
  }
  return TRUE;
}

static gboolean
read_entry (ZieGguf *self, ZieGgufWalk *walk, Entry *entry, GError **error)
{
  guint64 dims[4] = { 0 };
  guint32 n_dims, type;

  *entry = (Entry) { .info = { .file = self->path } };
  entry->info.name = take_name (self, walk);
  n_dims = take_u32 (walk);
  if (walk->problem == NULL && (n_dims < 1 || n_dims > 4))
    fail (walk, "expected 1 to 4 dimensions");
  for (guint32 d = 0; d < n_dims && walk->problem == NULL; d++)
    if ((dims[d] = take_u64 (walk)) > G_MAXINT64)
      fail (walk, "a dimension of more than 2^63");
  type = take_u32 (walk);
  entry->offset = take_u64 (walk);
  if (walk->problem != NULL)
    return set_problem (self, walk, "tensor", entry->info.name, error);

  entry->info.n_dims = (int)n_dims;
  for (guint32 d = 0; d < n_dims; d++)
    entry->info.dims[d] = (gint64)dims[n_dims - 1 - d];

  return set_type (self, entry, type, dims, error);
}

static gboolean
check_names (ZieGguf *self, GArray *entries, GError **error)
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

static int
compare_entries_by_place (gconstpointer a, gconstpointer b)
{
  const Entry *x = a, *y = b;

  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  if (x->size != y->size)
    return x->size < y->size ? -1 : 1;
  return strcmp (x->info.name, y->info.name);
}

/* DATA holds AVAILABLE bytes. */
static gboolean
place_tensors (ZieGguf *self, GArray *entries, const guint8 *data, guint64 available, guint32 alignment, GError **error)
{
  guint64 at = 0, end;

  g_array_sort (entries, compare_entries_by_place);
  for (guint i = 0; i < entries->len; i++)
    {
      Entry *entry = &g_array_index (entries, Entry, i);

      if (entry->offset % alignment != 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" is at offset %" G_GUINT64_FORMAT ", expected a multiple of %u",
                       self->path, entry->info.name, entry->offset, alignment);
          return FALSE;
        }
      if (entry->offset < at)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" is at offset %" G_GUINT64_FORMAT
                       ", expected at least %" G_GUINT64_FORMAT ": it overlaps the one before",
                       self->path, entry->info.name, entry->offset, at);
          return FALSE;
        }
      if (!g_uint64_checked_add (&end, entry->offset, entry->size) || end > available)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                       " bytes, but the file holds only %" G_GUINT64_FORMAT " bytes of data: it is not complete, fetch it"
                       " again", self->path, entry->info.name, entry->offset, entry->size, available);
          return FALSE;
        }

      entry->info.data = data + entry->offset;
      entry->info.size = (gsize)entry->size;
      at = end;
      g_array_append_val (self->tensors, entry->info);
    }

  return TRUE;
}

static gboolean
read_start (ZieGguf *self, ZieGgufWalk *walk, guint64 *n_tensors, guint64 *n_keys, GError **error)
{
  const guint8 *magic = take (walk, 4);
  guint32 version = take_u32 (walk);

  *n_tensors = take_u64 (walk);
  *n_keys = take_u64 (walk);
  if (walk->problem != NULL || memcmp (magic, "GGUF", 4) != 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: does not begin with \"GGUF\": not a GGUF file, or cut short",
                   self->path);
      return FALSE;
    }
  if (version != 2 && version != 3)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: is GGUF version %u%s, expected 2 or 3", self->path,
                   version, GUINT32_SWAP_LE_BE (version) <= 3 ? " (a big-endian file)" : "");
      return FALSE;
    }
  if (*n_tensors > MAX_TENSORS || *n_keys > MAX_KEYS)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: states %" G_GUINT64_FORMAT " tensors and %" G_GUINT64_FORMAT " metadata keys, expected at most %d and %d",
                   self->path, *n_tensors, *n_keys, MAX_TENSORS, MAX_KEYS);
      return FALSE;
    }

  return TRUE;
}

static ZieGguf *
open_file (const char *path, GError **error)
{
  g_autoptr(ZieGguf) self = g_new0 (ZieGguf, 1);
  g_autoptr(GArray) entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  ZieGgufWalk walk = { 0 };
  guint64 n_tensors, n_keys, data_start;
  guint32 alignment;
  gsize size;

  self->path = g_strdup (path);
  self->strings = g_string_chunk_new (4096);
  self->metadata = g_array_new (FALSE, FALSE, sizeof (ZieGgufMeta));
  self->tensors = g_array_new (FALSE, FALSE, sizeof (ZieTensorInfo));

  if (!(self->map = zie_map_new (path, error)))
    return NULL;

  size = zie_map_get_size (self->map);
  walk.start = walk.at = zie_map_get_data (self->map);
  walk.end = size > 0 ? walk.start + MIN (size, MAX_HEADER_SIZE) : walk.start;

  if (!read_start (self, &walk, &n_tensors, &n_keys, error) || !read_metadata (self, &walk, n_keys, error)
      || !read_layout (self, &alignment, error))
    return NULL;

  for (guint64 i = 0; i < n_tensors; i++)
    {
      Entry entry;

      if (!read_entry (self, &walk, &entry, error))
        return NULL;
      g_array_append_val (entries, entry);
    }

  data_start = (guint64)(walk.at - walk.start);
  data_start = (data_start + alignment - 1) / alignment * alignment;
  if (data_start > size)
    data_start = size;      /* right for a file of metadata alone; otherwise the first tensor does not fit */

  if (!check_names (self, entries, error)
      || !place_tensors (self, entries, walk.start + data_start, size - data_start, alignment, error))
    return NULL;

  return g_steal_pointer (&self);
}

ZieGguf *
zie_gguf_open (const char *path, GError **error)
{
  ZieGguf *self = open_file (path, error);

  if (self == NULL)
    zie_file_mend_error (error);
  return self;
}

void
zie_gguf_free (ZieGguf *self)
{
  if (self == NULL)
    return;

  g_clear_pointer (&self->map, zie_map_free);
  g_array_unref (self->metadata);
  g_array_unref (self->tensors);
  g_string_chunk_free (self->strings);
  g_free (self->path);
  g_free (self);
}

ZieMap *
zie_gguf_get_map (ZieGguf *self)
{
  return self->map;
}

guint
zie_gguf_get_n (const ZieGguf *self)
{
  return self->tensors->len;
}

const ZieTensorInfo *
zie_gguf_get (const ZieGguf *self, guint index)
{
  g_return_val_if_fail (index < self->tensors->len, NULL);
  return &g_array_index (self->tensors, ZieTensorInfo, index);
}
