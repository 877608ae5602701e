/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "golden"

#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include "zie-json.h"

#define SHARD_SIZE (1 << 20)           /* larger parts are written in two shards, as the full-size model's are */

/* ---- the weights' pure function: see tests/peers/make_random_checkpoint.py -------------------------------------------- */

static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static guint64
tensor_key (guint64 seed, const char *part, const char *name)
{
  g_autofree char *text = g_strdup_printf ("%s/%s", part, name);
  guint64 h = G_GUINT64_CONSTANT (0xCBF29CE484222325);

  for (const char *c = text; *c != '\0'; c++)
    h = (h ^ (guint8)*c) * G_GUINT64_CONSTANT (0x100000001B3);
  return h ^ mix (seed);
}

/* N values from index 0, exact in bf16, appended to OUT as BF16 or F32. */
static void
append_values (GByteArray *out, guint64 key, gsize n, double mean, double std, gboolean as_f32)
{
  const float unit = (float)(std / sqrt (4.0 * (65536.0 * 65536.0 - 1.0) / 12.0)), offset = (float)mean;

  for (gsize i = 0; i < n; i++)
    {
      guint64 h = mix (key + (i + 1) * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15));
      int sum = (int)(h & 0xFFFF) + (int)((h >> 16) & 0xFFFF) + (int)((h >> 32) & 0xFFFF) + (int)(h >> 48) - 131070;
      float v = (float)sum * unit;
      guint16 bits;

      if (mean != 0)
        v += offset;
      bits = zie_f32_to_bf16 (v);
      if (as_f32)
        {
          v = zie_bf16_to_f32 (bits);
          g_byte_array_append (out, (const guint8 *)&v, sizeof v);
        }
      else
        g_byte_array_append (out, (const guint8 *)&bits, sizeof bits);
    }
}

/* ---- the checkpoint ---------------------------------------------------------------------------------------------------- */

static void
write_file (const char *folder, const char *name, const void *data, gsize size)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);
  FILE *file;

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  file = fopen (path, "wb");
  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (data, 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
}

/* One safetensors file in the making. */
typedef struct
{
  GString *header;
  GByteArray *values;
} Shard;

static void
shard_write (Shard *self, const char *folder, const char *part, const char *name)
{
  g_autofree char *path = g_build_filename (part, name, NULL);
  g_autoptr(GByteArray) all = g_byte_array_new ();
  guint8 length[8];

  g_string_append_c (self->header, '}');
  while (self->header->len % 8 != 0)
    g_string_append_c (self->header, ' ');
  for (int i = 0; i < 8; i++)
    length[i] = (guint8)((guint64)self->header->len >> (8 * i));
  g_byte_array_append (all, length, sizeof length);
  g_byte_array_append (all, (const guint8 *)self->header->str, (guint)self->header->len);
  g_byte_array_append (all, self->values->data, self->values->len);
  write_file (folder, path, all->data, all->len);
}

static void
shard_add (Shard *self, guint64 seed, JsonArray *weight)
{
  const char *part = json_array_get_string_element (weight, 0), *name = json_array_get_string_element (weight, 1);
  const char *type = json_array_get_string_element (weight, 2);
  JsonArray *shape = json_array_get_array_element (weight, 3);
  guint begin = self->values->len;
  gsize n = 1;

  g_string_append_printf (self->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", begin > 0 ? "," : "{", name, type);
  for (guint i = 0; i < json_array_get_length (shape); i++)
    {
      gint64 d = json_array_get_int_element (shape, i);
      g_string_append_printf (self->header, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", d);
      n *= (gsize)d;
    }
  append_values (self->values, tensor_key (seed, part, name), n, json_array_get_double_element (weight, 4),
                 json_array_get_double_element (weight, 5), strcmp (type, "F32") == 0);
  g_string_append_printf (self->header, "],\"data_offsets\":[%u,%u]}", begin, self->values->len);
}

static void
write_part (const Golden *self, const char *part, const char *stem)
{
  JsonArray *weights = json_object_get_array_member (self->about, "weights");
  guint64 seed = (guint64)json_object_get_int_member (self->about, "seed");
  Shard shards[2] = { { g_string_new (NULL), g_byte_array_new () }, { g_string_new (NULL), g_byte_array_new () } };
  g_autoptr(GString) index = g_string_new ("{\"metadata\":{\"total_size\":0},\"weight_map\":{");
  g_autofree char *single = g_strdup_printf ("%s.safetensors", stem);

  for (guint i = 0; i < json_array_get_length (weights); i++)
    {
      JsonArray *weight = json_array_get_array_element (weights, i);
      int at = shards[0].values->len > SHARD_SIZE;

      if (strcmp (json_array_get_string_element (weight, 0), part) != 0)
        continue;
      shard_add (&shards[at], seed, weight);
      g_string_append_printf (index, "%s\"%s\":\"%s-%05d-of-00002.safetensors\"", g_str_has_suffix (index->str, "{") ? "" : ",",
                              json_array_get_string_element (weight, 1), stem, at + 1);
    }
  g_string_append (index, "}}");

  if (shards[1].values->len == 0)
    shard_write (&shards[0], self->folder, part, single);
  else
    {
      g_autofree char *path = g_strdup_printf ("%s/%s.safetensors.index.json", part, stem);

      write_file (self->folder, path, index->str, index->len);
      for (int i = 0; i < 2; i++)
        {
          g_autofree char *name = g_strdup_printf ("%s-%05d-of-00002.safetensors", stem, i + 1);
          shard_write (&shards[i], self->folder, part, name);
        }
    }
  for (int i = 0; i < 2; i++)
    {
      g_string_free (shards[i].header, TRUE);
      g_byte_array_unref (shards[i].values);
    }
}

static void
write_checkpoint (const Golden *self)
{
  JsonObject *files = json_object_get_object_member (self->about, "files");
  g_autoptr(GList) names = json_object_get_members (files);

  for (GList *l = names; l != NULL; l = l->next)
    {
      const char *text = json_object_get_string_member (files, l->data);
      write_file (self->folder, l->data, text, strlen (text));
    }
  write_part (self, "transformer", "diffusion_pytorch_model");
  write_part (self, "text_encoder", "model");
  write_part (self, "vae", "diffusion_pytorch_model");
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      remove_tree (child);
    }
  g_remove (path);
}

/* ---- the record -------------------------------------------------------------------------------------------------------- */

Golden *
golden_open (const char *folder, const char *name)
{
  Golden *self = g_new0 (Golden, 1);
  g_autofree char *json = g_strdup_printf ("%s/%s.json", folder, name);
  g_autofree char *record = g_strdup_printf ("%s/%s.safetensors", folder, name);
  g_autoptr(GError) error = NULL;

  self->name = g_strdup (name);
  self->about = zie_json_load_object (json, &error);
  g_assert_no_error (error);
  self->record = zie_weight_file_open (record, &error);
  g_assert_no_error (error);
  self->folder = g_dir_make_tmp ("zimage-golden-XXXXXX", &error);
  g_assert_no_error (error);
  write_checkpoint (self);
  self->model = zie_model_open (self->folder, &error);
  g_assert_no_error (error);
  return self;
}

void
golden_free (Golden *self)
{
  g_clear_pointer (&self->model, zie_model_unref);
  zie_weight_file_free (self->record);
  json_object_unref (self->about);
  remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->name);
  g_free (self);
}

guint
golden_get_n_runs (const Golden *self)
{
  return json_array_get_length (json_object_get_array_member (self->about, "runs"));
}

JsonObject *
golden_get_run (const Golden *self, guint i)
{
  return json_array_get_object_element (json_object_get_array_member (self->about, "runs"), i);
}

static double
get_error (JsonObject *about, const char *key)
{
  return json_object_has_member (about, key) ? json_object_get_double_member (about, key) : 0;
}

static gboolean
find (const Golden *self, const char *name, GoldenTensor *out)
{
  const ZieTensorInfo *info = zie_weight_file_lookup (self->record, name);
  JsonObject *about;
  JsonArray *shape;

  if (info == NULL)
    return FALSE;
  about = json_object_get_object_member (json_object_get_object_member (self->about, "tensors"), name);
  shape = json_object_get_array_member (about, "shape");
  *out = (GoldenTensor) {
    .values = (const float *)(gconstpointer)info->data, .n_values = info->size / sizeof (float),
    .n_dims = (int)json_array_get_length (shape), .n = 1, .stride = (gsize)json_object_get_int_member (about, "stride"),
    .error_f32 = get_error (about, "error_f32"), .error_bf16 = get_error (about, "error_bf16"),
  };
  g_assert_cmpint (out->n_dims, <=, 4);
  for (int i = 0; i < out->n_dims; i++)
    {
      out->dims[i] = json_array_get_int_element (shape, (guint)i);
      out->n *= (gsize)out->dims[i];
    }
  g_assert_cmpuint (out->n_values, ==, (out->n + out->stride - 1) / out->stride);
  return TRUE;
}

gboolean
golden_find (const Golden *self, GoldenTensor *out, const char *format, ...)
{
  g_autofree char *name = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  return find (self, name, out);
}

void
golden_get (const Golden *self, GoldenTensor *out, const char *format, ...)
{
  g_autofree char *name = NULL;
  va_list args;

  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  if (!find (self, name, out))
    g_error ("%s: the golden file has no %s", self->name, name);
}

double
golden_error (const GoldenTensor *tensor, const float *data)
{
  double sum = 0, norm = 0;

  for (gsize i = 0; i < tensor->n_values; i++)
    {
      double want = tensor->values[i], d = (double)data[i * tensor->stride] - want;
      sum += d * d;
      norm += want * want;
    }
  return sqrt (sum / norm);
}

GPtrArray *
golden_list (const Golden *self, const char *prefix)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < zie_weight_file_get_n (self->record); i++)
    {
      const char *name = zie_weight_file_get (self->record, i)->name;
      if (g_str_has_prefix (name, prefix))
        g_ptr_array_add (names, g_strdup (name + strlen (prefix)));
    }
  return names;
}
