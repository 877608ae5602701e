/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-memory"

#include "zie-weights.h"

#include <string.h>

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
  GPtrArray *copies;    /* owned: the few numbers that cannot be used as they are stored */
  guint64 n_parameters;
  guint32 types;        /* bit per ZieDtype */
};

static guint n_blocks;  /* atomic: the last id */

ZieWeights *
zie_weights_new (void)
{
  ZieWeights *self = g_new0 (ZieWeights, 1);
  self->blocks = g_array_new (FALSE, TRUE, sizeof (Block));
  self->copies = g_ptr_array_new_with_free_func (g_free);
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
  g_ptr_array_unref (self->copies);
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

static gint64
n_elements (const ZieTensorInfo *info)
{
  gint64 total = 1;
  for (int i = 0; i < info->n_dims; i++)
    total *= info->dims[i];
  return total;
}

/* [rows, cols] once axes of length one are dropped and the trailing ones of a convolution are joined. */
static gboolean
shape_matches (const ZieTensorInfo *info, gint64 rows, gint64 cols)
{
  gint64 first = 0;

  for (int i = 0; i < info->n_dims && first == 0; i++)
    if (info->dims[i] != 1)
      first = info->dims[i];
  return rows == 1 || first == rows;
}

/* "F32, F16 …": all that can be computed with. */
static char *
list_computable (void)
{
  GString *s = g_string_new (NULL);

  for (int t = 0; t < ZIE_N_DTYPES; t++)
    if (zie_dtype_is_weight ((ZieDtype)t))
      g_string_append_printf (s, "%s%s", s->len ? ", " : "", zie_dtype_name ((ZieDtype)t));
  return g_string_free (s, FALSE);
}

/* Some converters store a tensor as rows of whole blocks and keep its shape beside it. */
static gboolean
was_flattened (const ZieWeightFile *file, const ZieTensorInfo *info)
{
  g_autofree char *key = g_strconcat ("comfy.gguf.orig_shape.", info->name, NULL), *shape = NULL;

  return zie_dtype_block (info->dtype) > 1 && (shape = zie_weight_file_get_meta (file, key)) != NULL;
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
check (const ZieWeightFile *file, const ZieTensorInfo *info, gint64 rows, gint64 cols, GError **error)
{
  gboolean is_all = n_elements (info) == rows * cols;

  if (!zie_dtype_is_weight (info->dtype))
    {
      g_autofree char *computable = list_computable ();
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: tensor %s is of type %s, which this program cannot compute with (it can: %s)",
                   info->file, info->name, info->dtype_name, computable);
      return FALSE;
    }
  if (!is_all || !(shape_matches (info, rows, cols) || was_flattened (file, info)))
    {
      g_autofree char *shape = describe_shape (info);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: tensor %s has shape %s where the configuration asks for [%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "]",
                   info->file, info->name, shape, rows, cols);
      return FALSE;
    }
  return TRUE;
}

/* What 8-bit floats are to be multiplied by, where the file says so: STEM.weight_scale or STEM.scale_weight beside
 * STEM.weight, one number or one a row (spec 1.4). */
static gboolean
find_scales (ZieWeights *self, const ZieWeightFile *file, const ZieTensorInfo *info, ZieWeight *out, GError **error)
{
  static const char *const endings[] = { ".weight_scale", ".scale_weight" };
  const ZieTensorInfo *scales = NULL;
  g_autofree char *stem = NULL;
  float *values;

  if ((info->dtype != ZIE_DTYPE_F8_E4M3 && info->dtype != ZIE_DTYPE_F8_E5M2) || !g_str_has_suffix (info->name, ".weight"))
    return TRUE;

  stem = g_strndup (info->name, strlen (info->name) - strlen (".weight"));
  for (guint i = 0; i < G_N_ELEMENTS (endings) && scales == NULL; i++)
    {
      g_autofree char *name = g_strconcat (stem, endings[i], NULL);
      scales = zie_weight_file_lookup (file, name);
    }
  if (scales == NULL)
    return TRUE;

  if (!zie_dtype_is_weight (scales->dtype) || zie_dtype_block (scales->dtype) > 1
      || (n_elements (scales) != 1 && n_elements (scales) != out->rows))
    {
      g_autofree char *shape = describe_shape (scales);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: tensor %s is of type %s and shape %s, expected one scale of %s or one for each of its %" G_GINT64_FORMAT " rows",
                   scales->file, scales->name, scales->dtype_name, shape, info->name, out->rows);
      return FALSE;
    }
  out->n_scales = n_elements (scales);
  values = g_new (float, (gsize)out->n_scales);
  g_ptr_array_add (self->copies, values);
  zie_dtype_to_f32 (scales->dtype, values, scales->data, out->n_scales);
  out->scales = (const guint8 *)values;
  return TRUE;
}

/* OUT = the tensor INFO, [rows, cols], checked. */
static gboolean
take (ZieWeights *self, const ZieWeightFile *file, const ZieTensorInfo *info, gint64 rows, gint64 cols, ZieWeight *out, GError **error)
{
  if (!check (file, info, rows, cols, error))
    return FALSE;

  *out = (ZieWeight) { .data = info->data, .dtype = info->dtype, .rows = rows, .cols = cols };
  if (cols % zie_dtype_block (info->dtype) != 0)
    {
      /* blocks that run on over the ends of rows: no row can be read by itself */
      float *values = g_new (float, (gsize)(rows * cols));

      g_ptr_array_add (self->copies, values);
      zie_dtype_to_f32 (info->dtype, values, info->data, rows * cols);
      out->data = (const guint8 *)values;
      out->dtype = ZIE_DTYPE_F32;
    }
  return find_scales (self, file, info, out, error);
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
  if (!take (self, file, info, rows, cols, out, error))
    return FALSE;
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
  if (!take (self, file, info, total, cols, out, error))
    return FALSE;
  out->data = zie_weight_row (out, from);
  out->rows = rows;
  if (out->n_scales > 1)
    {
      out->scales += 4 * (gsize)from;
      out->n_scales = rows;
    }
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
