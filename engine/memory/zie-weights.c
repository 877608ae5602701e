/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-memory"

#include "zie-weights.h"

/* Smaller tensors ride along with their neighbours' pages. */
#define PREFETCH_MIN (64 * 1024)

typedef struct
{
  const void *data;
  gsize size;
} Range;

typedef struct
{
  GArray *ranges;       /* of Range, owned */
  guint64 size;
} Block;

struct _ZieWeights
{
  GArray *blocks;       /* of Block, owned */
  guint64 n_parameters;
  guint32 types;        /* bit per ZieDtype */
};

ZieWeights *
zie_weights_new (void)
{
  ZieWeights *self = g_new0 (ZieWeights, 1);
  self->blocks = g_array_new (FALSE, TRUE, sizeof (Block));
  return self;
}

void
zie_weights_free (ZieWeights *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->blocks->len; i++)
    g_array_unref (g_array_index (self->blocks, Block, i).ranges);
  g_array_unref (self->blocks);
  g_free (self);
}

int
zie_weights_begin_block (ZieWeights *self)
{
  Block block = { g_array_new (FALSE, FALSE, sizeof (Range)), 0 };
  g_array_append_val (self->blocks, block);
  return (int)self->blocks->len - 1;
}

static char *
describe_shape (const ZieTensorInfo *info)
{
  GString *s = g_string_new ("[");
  for (int i = 0; i < info->n_dims; i++)
    g_string_append_printf (s, "%s%" G_GINT64_FORMAT, i ? ", " : "", info->dims[i]);
  g_string_append_c (s, ']');
  return g_string_free (s, FALSE);
}

/* [rows, cols] once axes of length one are dropped and the trailing ones of a convolution are joined. */
static gboolean
shape_matches (const ZieTensorInfo *info, gint64 rows, gint64 cols)
{
  gint64 total = 1, first = 0;

  for (int i = 0; i < info->n_dims; i++)
    {
      total *= info->dims[i];
      if (first == 0 && info->dims[i] != 1)
        first = info->dims[i];
    }
  return total == rows * cols && (rows == 1 || first == rows);
}

static gboolean
is_computable (ZieDtype dtype)
{
  return dtype == ZIE_DTYPE_F32 || dtype == ZIE_DTYPE_F16 || dtype == ZIE_DTYPE_BF16 || dtype == ZIE_DTYPE_Q8_0;
}

static void
add (ZieWeights *self, const ZieWeight *weight)
{
  Block *block = &g_array_index (self->blocks, Block, self->blocks->len - 1);
  Range range = { weight->data, (gsize)weight->rows * zie_dtype_row_size (weight->dtype, weight->cols) };

  g_array_append_val (block->ranges, range);
  block->size += range.size;
  self->n_parameters += (guint64)(weight->rows * weight->cols);
  self->types |= 1u << weight->dtype;
}

static gboolean
check (const ZieTensorInfo *info, gint64 rows, gint64 cols, GError **error)
{
  if (!is_computable (info->dtype))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: tensor %s is of type %s, which this program cannot compute with (it can: F32, F16, BF16, Q8_0)",
                   info->file, info->name, info->dtype_name);
      return FALSE;
    }
  if (!shape_matches (info, rows, cols) || (info->dtype == ZIE_DTYPE_Q8_0 && cols % ZIE_Q8_0_BLOCK != 0))
    {
      g_autofree char *shape = describe_shape (info);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: tensor %s has shape %s where the configuration asks for [%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "]",
                   info->file, info->name, shape, rows, cols);
      return FALSE;
    }
  return TRUE;
}

gboolean
zie_weights_bind (ZieWeights *self, const ZieWeightFile *file, const char *const *names, gint64 rows, gint64 cols,
                  ZieWeight *out, GError **error)
{
  const ZieTensorInfo *info = NULL;

  for (int i = 0; names[i] != NULL && info == NULL; i++)
    info = zie_weight_file_lookup (file, names[i]);
  if (info == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "%s: tensor %s is missing; the file is incomplete or of another model",
                   zie_weight_file_get_path (file), names[0]);
      return FALSE;
    }
  if (!check (info, rows, cols, error))
    return FALSE;

  *out = (ZieWeight) { info->data, info->dtype, rows, cols };
  add (self, out);
  return TRUE;
}

gboolean
zie_weights_bind_rows (ZieWeights *self, const ZieWeightFile *file, const char *name, gint64 from, gint64 rows, gint64 total,
                       gint64 cols, ZieWeight *out, GError **error)
{
  const ZieTensorInfo *info = zie_weight_file_lookup (file, name);

  if (info == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "%s: tensor %s is missing; the file is incomplete or of another model",
                   zie_weight_file_get_path (file), name);
      return FALSE;
    }
  if (!check (info, total, cols, error))
    return FALSE;

  *out = (ZieWeight) { info->data + (gsize)from * zie_dtype_row_size (info->dtype, cols), info->dtype, rows, cols };
  add (self, out);
  return TRUE;
}

guint64
zie_weights_get_block_size (const ZieWeights *self, int block)
{
  return g_array_index (self->blocks, Block, block).size;
}

guint64
zie_weights_get_size (const ZieWeights *self)
{
  guint64 size = 0;
  for (guint i = 0; i < self->blocks->len; i++)
    size += g_array_index (self->blocks, Block, i).size;
  return size;
}

guint64
zie_weights_get_n_parameters (const ZieWeights *self)
{
  return self->n_parameters;
}

char *
zie_weights_describe_types (const ZieWeights *self)
{
  GString *s = g_string_new (NULL);
  for (int t = 0; t < ZIE_N_DTYPES; t++)
    if (self->types & (1u << t))
      g_string_append_printf (s, "%s%s", s->len ? ", " : "", zie_dtype_name ((ZieDtype)t));
  return g_string_free (s, FALSE);
}

void
zie_weights_acquire (const ZieWeights *self, int block)
{
  const Block *next;

  if (block + 1 >= (int)self->blocks->len)
    return;
  next = &g_array_index (self->blocks, Block, block + 1);
  for (guint i = 0; i < next->ranges->len; i++)
    {
      const Range *range = &g_array_index (next->ranges, Range, i);
      if (range->size >= PREFETCH_MIN)
        zie_weight_file_prefetch (range->data, range->size);
    }
}

void
zie_weights_release (const ZieWeights *self, int block)
{
  /* Mapped pages belong to the page cache, which knows best what to keep. */
  g_assert (block >= 0 && block < (int)self->blocks->len);
}
