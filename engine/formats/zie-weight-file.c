/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-formats"

#include "zie-weight-file.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zie-file.h"
#include "zie-gguf.h"
#include "zie-json.h"
#include "zie-safetensors.h"

#define MAX_SHARDS 1000

struct _ZieWeightFile
{
  char *path;              /* owned */
  const char *form;        /* static */
  GPtrArray *files;        /* owned: ZieSafetensors, one or the shards by name */
  ZieGguf *gguf;           /* owned; or NULL */
  GPtrArray *tensors;      /* const ZieTensorInfo, the files' own, in file order */
  GPtrArray *by_name;      /* the same, by name */
};

static int
compare_infos (gconstpointer a, gconstpointer b)
{
  const ZieTensorInfo *const *x = a, *const *y = b;

  return strcmp ((*x)->name, (*y)->name);
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
index_names (ZieWeightFile *self)
{
  for (guint i = 0; i < self->tensors->len; i++)
    g_ptr_array_add (self->by_name, self->tensors->pdata[i]);
  g_ptr_array_sort (self->by_name, compare_infos);
}

static gboolean
open_single (ZieWeightFile *self, GError **error)
{
  ZieSafetensors *file = zie_safetensors_open (self->path, error);

  if (file == NULL)
    return FALSE;

  self->form = "safetensors";
  g_ptr_array_add (self->files, file);
  for (guint i = 0; i < zie_safetensors_get_n (file); i++)
    g_ptr_array_add (self->tensors, (gpointer)zie_safetensors_get (file, i));

  return TRUE;
}

static gboolean
open_gguf (ZieWeightFile *self, GError **error)
{
  if (!(self->gguf = zie_gguf_open (self->path, error)))
    return FALSE;

  self->form = "GGUF";
  for (guint i = 0; i < zie_gguf_get_n (self->gguf); i++)
    g_ptr_array_add (self->tensors, (gpointer)zie_gguf_get (self->gguf, i));

  return TRUE;
}

/* Below the index' folder and nowhere else: a downloaded index must not make us read other files. */
static gboolean
is_safe_shard_name (const char *name)
{
  g_auto(GStrv) parts = g_strsplit (name, "/", -1);

  if (*name == '\0' || g_path_is_absolute (name))
    return FALSE;
  for (const char *p = name; *p != '\0'; p++)
    if ((guchar)*p < 0x20 || *p == 0x7f || *p == '\\')
      return FALSE;

  return !g_strv_contains ((const char *const *)parts, "..");
}

/* The shard file names of WEIGHT_MAP, each once, sorted; borrowed from it. */
static GPtrArray *
list_shards (ZieWeightFile *self, JsonObject *weight_map, GError **error)
{
  g_autoptr(GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) shards = g_ptr_array_new ();
  const char *tensor;
  JsonObjectIter iter;
  JsonNode *node;

  json_object_iter_init (&iter, weight_map);
  while (json_object_iter_next (&iter, &tensor, &node))
    {
      const char *name = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
                             ? json_node_get_string (node) : NULL;

      if (name == NULL || !is_safe_shard_name (name))
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: tensor \"%.200s\" is said to be in %s%.200s%s, expected the name of a file in the same folder",
                       self->path, tensor, name ? "\"" : "no file", name ? name : "", name ? "\"" : "");
          return NULL;
        }
      if (!g_hash_table_add (seen, (gpointer)name))
        continue;
      if (shards->len == MAX_SHARDS)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: names more than %d files", self->path, MAX_SHARDS);
          return NULL;
        }
      g_ptr_array_add (shards, (gpointer)name);
    }

  g_ptr_array_sort (shards, compare_strings);
  return g_steal_pointer (&shards);
}

/* Adds the tensors of the shard NAME that the index places there. */
static gboolean
open_shard (ZieWeightFile *self, JsonObject *weight_map, const char *name, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (self->path);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr(GError) local = NULL;
  ZieSafetensors *file = zie_safetensors_open (path, &local);

  if (file == NULL)
    {
      if (g_error_matches (local, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND))
        g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                     "%s names a file that is not there: %s; fetch the model again or put the file there", self->path,
                     local->message);
      else
        g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  g_ptr_array_add (self->files, file);
  for (guint i = 0; i < zie_safetensors_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_safetensors_get (file, i);
      const char *said = json_object_get_string_member_with_default (weight_map, info->name, NULL);

      if (said != NULL && g_str_equal (said, name))
        g_ptr_array_add (self->tensors, (gpointer)info);
    }

  return TRUE;
}

static gboolean
open_sharded (ZieWeightFile *self, GError **error)
{
  g_autoptr(JsonObject) index = NULL;
  g_autoptr(GPtrArray) shards = NULL;
  JsonObject *weight_map;
  const char *tensor;
  JsonObjectIter iter;
  JsonNode *node;

  if (!(index = zie_json_load_object (self->path, error)))
    return FALSE;

  node = json_object_get_member (index, "weight_map");
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: \"weight_map\" is %s, expected an object of tensor and file names", self->path,
                   node == NULL ? "missing" : "not an object");
      return FALSE;
    }

  self->form = "sharded safetensors";
  weight_map = json_node_get_object (node);
  if (!(shards = list_shards (self, weight_map, error)))
    return FALSE;
  for (guint i = 0; i < shards->len; i++)
    if (!open_shard (self, weight_map, shards->pdata[i], error))
      return FALSE;

  index_names (self);
  json_object_iter_init (&iter, weight_map);
  while (json_object_iter_next (&iter, &tensor, &node))
    if (zie_weight_file_lookup (self, tensor) == NULL)
      {
        g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING,
                     "%s: tensor \"%.200s\" is said to be in \"%.200s\", but is not there", self->path, tensor,
                     json_node_get_string (node));
        return FALSE;
      }

  return TRUE;
}

/* What the file is, by its first bytes: 'g'guf, 's'afetensors, 'i'ndex; 0 = cannot be told, -1 = cannot be read. */
static int
detect_form (const char *path, GError **error)
{
  g_autoptr(ZieMap) map = zie_map_new (path, error);
  const char *text;
  gsize size, at = 0;

  if (map == NULL)
    return -1;

  text = (const char *)zie_map_get_data (map);
  size = zie_map_get_size (map);
  if (size >= 4 && memcmp (text, "GGUF", 4) == 0)
    return 'g';
  if (size >= 9 && text[8] == '{' && text[5] == 0 && text[6] == 0 && text[7] == 0)
    return 's';      /* no text begins with zeros, no header has 2^40 bytes */

  while (at < size && at < 1024 && g_ascii_isspace (text[at]))
    at++;
  return at < size && text[at] == '{' ? 'i' : 0;
}

static ZieWeightFile *
open_file (const char *path, GError **error)
{
  g_autoptr(ZieWeightFile) self = g_new0 (ZieWeightFile, 1);
  gboolean is_open = FALSE;

  self->path = g_strdup (path);
  self->files = g_ptr_array_new_with_free_func ((GDestroyNotify)zie_safetensors_free);
  self->tensors = g_ptr_array_new ();
  self->by_name = g_ptr_array_new ();

  switch (detect_form (path, error))
    {
    case -1:
      return NULL;
    case 'g':
      is_open = open_gguf (self, error);
      break;
    case 's':
      is_open = open_single (self, error);
      break;
    case 'i':
      is_open = open_sharded (self, error);
      break;
    default:
      /* Not told by its content: damaged.  The name says which reader can say best what is wrong. */
      if (g_str_has_suffix (path, ".gguf"))
        is_open = open_gguf (self, error);
      else if (g_str_has_suffix (path, ".json"))
        is_open = open_sharded (self, error);
      else
        is_open = open_single (self, error);
    }
  if (!is_open)
    return NULL;

  if (self->by_name->len == 0)
    index_names (self);
  return g_steal_pointer (&self);
}

ZieWeightFile *
zie_weight_file_open (const char *path, GError **error)
{
  ZieWeightFile *self = open_file (path, error);

  if (self == NULL)
    zie_file_mend_error (error);
  return self;
}

/* The path of the only *.gguf in FOLDER, NULL without an error when there is none. */
static char *
find_only_gguf (const char *folder, const char *stem, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  g_autofree char *found = NULL;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".gguf") && *name != '.')
      {
        if (found != NULL)
          {
            g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                         "%s: holds several .gguf files (%s, %s), expected one: name the one to be used %s.gguf", folder,
                         found, name, stem);
            return NULL;
          }
        found = g_strdup (name);
      }

  return found != NULL ? g_build_filename (folder, found, NULL) : NULL;
}

ZieWeightFile *
zie_weight_file_open_component (const char *folder, const char *stem, GError **error)
{
  static const char *const suffixes[] = { ".safetensors.index.json", ".safetensors", ".gguf" };
  g_autoptr(GError) local = NULL;
  g_autofree char *only = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *name = g_strconcat (stem, suffixes[i], NULL);
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return zie_weight_file_open (path, error);
    }

  if ((only = find_only_gguf (folder, stem, &local)) != NULL)
    return zie_weight_file_open (only, error);

  if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  else
    g_set_error (
        error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
        "%s: no weights here, expected %s.safetensors.index.json, %s.safetensors or a .gguf file; fetch the model again or put "
        "them there",
        folder, stem, stem);
  return NULL;
}

void
zie_weight_file_free (ZieWeightFile *self)
{
  if (self == NULL)
    return;

  g_ptr_array_unref (self->by_name);
  g_ptr_array_unref (self->tensors);
  g_ptr_array_unref (self->files);
  g_clear_pointer (&self->gguf, zie_gguf_free);
  g_free (self->path);
  g_free (self);
}

gboolean
zie_weight_file_check (const ZieWeightFile *self, GError **error)
{
  for (guint i = 0; i < self->files->len; i++)
    if (!zie_map_check (zie_safetensors_get_map (self->files->pdata[i]), error))
      return FALSE;
  return self->gguf == NULL || zie_map_check (zie_gguf_get_map (self->gguf), error);
}

void
zie_weight_file_set_flag (ZieWeightFile *self, gint *flag)
{
  for (guint i = 0; i < self->files->len; i++)
    zie_map_set_flag (zie_safetensors_get_map (self->files->pdata[i]), flag);
  if (self->gguf != NULL)
    zie_map_set_flag (zie_gguf_get_map (self->gguf), flag);
}

const ZieTensorInfo *
zie_weight_file_lookup (const ZieWeightFile *self, const char *name)
{
  guint low = 0, high = self->by_name->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;
      const ZieTensorInfo *info = self->by_name->pdata[middle];
      int order = strcmp (name, info->name);

      if (order == 0)
        return info;
      if (order < 0)
        high = middle;
      else
        low = middle + 1;
    }

  return NULL;
}

gboolean
zie_weight_file_get_matrix (const ZieWeightFile *self, const char *name, gint64 *rows, gint64 *cols)
{
  const ZieTensorInfo *info = zie_weight_file_lookup (self, name);
  g_autofree char *key = g_strconcat ("comfy.gguf.orig_shape.", name, NULL), *shape = NULL;
  gint64 dims[4], first = 1, rest = 1;
  int n_dims = 0, n_real = 0;

  if (info == NULL)
    return FALSE;

  if (self->gguf != NULL && (shape = zie_weight_file_get_meta (self, key)) != NULL)      /* "[3840, 64]" */
    for (char *p = shape + (*shape == '['); n_dims < 4 && g_ascii_isdigit (*p); p += strspn (p, ", "))
      dims[n_dims++] = (gint64)MIN (g_ascii_strtoull (p, &p, 10), (guint64)1 << 31);
  if (n_dims == 0)
    for (; n_dims < MIN (info->n_dims, 4); n_dims++)
      dims[n_dims] = info->dims[n_dims];

  for (int i = 0; i < n_dims; i++)
    if (dims[i] != 1 && n_real++ == 0)
      first = dims[i];
    else
      rest = dims[i] > 0 && rest <= G_MAXINT64 / dims[i] ? rest * dims[i] : 0;
  *rows = n_real > 1 ? first : 1;
  *cols = n_real > 1 ? rest : first;
  return TRUE;
}

guint
zie_weight_file_get_n (const ZieWeightFile *self)
{
  return self->tensors->len;
}

const ZieTensorInfo *
zie_weight_file_get (const ZieWeightFile *self, guint index)
{
  g_return_val_if_fail (index < self->tensors->len, NULL);
  return self->tensors->pdata[index];
}

const char *
zie_weight_file_get_path (const ZieWeightFile *self)
{
  return self->path;
}

const char *
zie_weight_file_get_form (const ZieWeightFile *self)
{
  return self->form;
}

char *
zie_weight_file_get_meta (const ZieWeightFile *self, const char *key)
{
  if (self->gguf != NULL)
    return zie_gguf_get_meta (self->gguf, key);

  for (guint i = 0; i < self->files->len; i++)
    {
      const char *value = zie_safetensors_get_meta (self->files->pdata[i], key);

      if (value != NULL)
        return g_strdup (value);
    }

  return NULL;
}

void
zie_weight_file_prefetch (const void *data, gsize size)
{
  uintptr_t page = (uintptr_t)sysconf (_SC_PAGESIZE);
  uintptr_t from = (uintptr_t)data / page * page;

  if (size > 0)
    madvise ((void *)from, (uintptr_t)data + size - from, MADV_WILLNEED);      /* advice: failing is no error */
}
