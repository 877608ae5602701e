/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-memory"

#include "zie-weights.h"

/* Smaller tensors ride along with their neighbours' pages. */
#define PREFETCH_MIN (64 * 1024)

typedef struct
{
  ZieWeightBlock block; /* its weights are the array's, taken anew at each look: it grows */
  GArray *weights;      /* of ZieWeight, owned */
  guint64 size;         /* bytes as stored */
} Block;

struct _ZieWeights
{
  GArray *blocks;       /* of Block, owned */
  guint64 n_parameters;
  guint32 types;        /* bit per ZieDtype */
};

static guint n_blocks;  /* atomic: the last id */

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
    g_array_unref (g_array_index (self->blocks, Block, i).weights);
  g_array_unref (self->blocks);
  g_free (self);
}

int
zie_weights_begin_block (ZieWeights *self)
{
  Block block = { { (guint64)g_atomic_int_add (&n_blocks, 1) + 1, NULL, 0 }, g_array_new (FALSE, FALSE, sizeof (ZieWeight)), 0 };
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

static gsize
weight_size (const ZieWeight *weight)
{
  return (gsize)weight->rows * zie_dtype_row_size (weight->dtype, weight->cols);
}

static void
add (ZieWeights *self, const ZieWeight *weight)
{
  Block *block = &g_array_index (self->blocks, Block, self->blocks->len - 1);

  g_array_append_val (block->weights, *weight);
  block->block.weights = &g_array_index (block->weights, ZieWeight, 0);
  block->block.n_weights = block->weights->len;
  block->size += weight_size (weight);
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

  *out = (ZieWeight) { .data = info->data, .dtype = info->dtype, .rows = rows, .cols = cols };
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

  *out = (ZieWeight) { .data = info->data + (gsize)from * zie_dtype_row_size (info->dtype, cols), .dtype = info->dtype, .rows = rows, .cols = cols };
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
zie_weights_set_use (ZieWeights *self, ZieWeight *weight, ZieWeightUse use, int ksize)
{
  GArray *weights = g_array_index (self->blocks, Block, self->blocks->len - 1).weights;
  ZieWeight *last = &g_array_index (weights, ZieWeight, weights->len - 1);

  g_assert (last->data == weight->data);
  weight->use = last->use = use;
  weight->ksize = last->ksize = ksize;
}

guint
zie_weights_get_n_blocks (const ZieWeights *self)
{
  return self->blocks->len;
}

const ZieWeightBlock *
zie_weights_get_block (const ZieWeights *self, int block)
{
  return &g_array_index (self->blocks, Block, block).block;
}

/* The mapped file's pages of the block after BLOCK. */
static void
prefetch_next (const ZieWeights *self, int block)
{
  const ZieWeightBlock *next;

  if (block + 1 >= (int)self->blocks->len)
    return;
  next = zie_weights_get_block (self, block + 1);
  for (guint i = 0; i < next->n_weights; i++)
    {
      gsize size = weight_size (&next->weights[i]);

      if (size >= PREFETCH_MIN && next->weights[i].use != ZIE_WEIGHT_TABLE)
        zie_weight_file_prefetch (next->weights[i].data, size);
    }
}

void
zie_weights_acquire (const ZieWeights *self, ZieOpCtx *ctx, int block)
{
  if (ctx->ops->acquire != NULL)
    ctx->ops->acquire (ctx, zie_weights_get_block (self, block));
  else if (ctx->tally == NULL)
    prefetch_next (self, block);
}

void
zie_weights_release (const ZieWeights *self, ZieOpCtx *ctx, int block)
{
  /* Mapped pages belong to the page cache, which knows best what to keep. */
  if (ctx->ops->release != NULL)
    ctx->ops->release (ctx, zie_weights_get_block (self, block));
}
