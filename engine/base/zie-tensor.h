/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-arena.h"
#include "zie-dtype.h"

/* A view of numbers in device memory: rows of COLS elements, row r at data + r * stride elements.
 * A picture or activation of the VAE is H x W pixels with their C channels together (NHWC): rows = H * W, cols = C,
 * stride = C, and h, w say the shape; elsewhere h = w = 0. */
typedef struct
{
  guint8 *data;          /* borrowed */
  ZieDtype dtype;
  gint64 rows, cols;
  gint64 stride;         /* elements from one row to the next, >= cols */
  gint64 h, w;
} ZieTensor;

/* What a weight is for: a device may keep it in a form of its own. */
typedef enum
{
  ZIE_WEIGHT_MATRIX,     /* of linear; with rows = 1 a vector */
  ZIE_WEIGHT_TABLE,      /* of gather: rows are fetched from the file, the table never goes to a device */
  ZIE_WEIGHT_CONV,
  ZIE_WEIGHT_UPCONV,     /* of a convolution that reads its input enlarged */
} ZieWeightUse;

/* A weight in its file: row-major [rows, cols] (out, in); a convolution's is [out, in, k, k] with cols = in * k * k; a
 * vector has rows = 1.  DATA is borrowed from the mapping and may be unaligned; it also names the weight: backends that
 * keep copies find them by it. */
typedef struct
{
  const guint8 *data;
  ZieDtype dtype;
  gint64 rows, cols;
  ZieWeightUse use;
  int ksize;             /* of a convolution, else 0 */
  const guint8 *scales;  /* F32 factors of the stored numbers, maybe unaligned, borrowed; NULL: none (8-bit floats have them) */
  gint64 n_scales;       /* 1, or one a row */
} ZieWeight;

/* What every number of ROW is to be multiplied by. */
static inline float
zie_weight_scale (const ZieWeight *w, gint64 row)
{
  float scale = 1.0f;
  if (w->scales != NULL)
    memcpy (&scale, w->scales + (w->n_scales > 1 ? (gsize)row * 4 : 0), 4);
  return scale;
}

static inline const guint8 *
zie_weight_row (const ZieWeight *w, gint64 row)
{
  return w->data + (gsize)row * zie_dtype_row_size (w->dtype, w->cols);
}

/* The whole of ROW, scaled: the reference dequantisation. */
static inline void
zie_weight_row_to_f32 (const ZieWeight *w, gint64 row, float *dst)
{
  float scale = zie_weight_scale (w, row);

  zie_dtype_to_f32 (w->dtype, dst, zie_weight_row (w, row), w->cols);
  if (w->scales != NULL)
    for (gint64 i = 0; i < w->cols; i++)
      dst[i] *= scale;
}

/* Weights that are used together, in the order of use.  ID is never used again in this process. */
typedef struct
{
  guint64 id;
  const ZieWeight *weights;      /* borrowed */
  guint n_weights;
} ZieWeightBlock;

/* Numbers [from, from + n) of W in the order of its rows, scaled; both whole blocks. */
static inline void
zie_weight_numbers_to_f32 (const ZieWeight *w, gint64 from, gint64 n, float *dst)
{
  zie_dtype_to_f32 (w->dtype, dst, w->data + zie_dtype_row_size (w->dtype, from), n);
  if (w->scales != NULL)
    for (gint64 i = 0; i < n; i++)
      dst[i] *= zie_weight_scale (w, (from + i) / w->cols);
}

static inline ZieTensor
zie_tensor_new (ZieArena *arena, ZieDtype dtype, gint64 rows, gint64 cols)
{
  return (ZieTensor) { zie_arena_alloc (arena, (gsize)rows * zie_dtype_row_size (dtype, cols)), dtype, rows, cols, cols, 0, 0 };
}

static inline ZieTensor
zie_tensor_new_image (ZieArena *arena, ZieDtype dtype, gint64 h, gint64 w, gint64 channels)
{
  ZieTensor t = zie_tensor_new (arena, dtype, h * w, channels);
  t.h = h;
  t.w = w;
  return t;
}

/* Rows [from, from + n) of T. */
static inline ZieTensor
zie_tensor_rows (const ZieTensor *t, gint64 from, gint64 n)
{
  ZieTensor v = *t;
  g_assert (from >= 0 && n >= 0 && from + n <= t->rows);
  v.data += zie_dtype_row_size (t->dtype, t->stride) * (gsize)from;
  v.rows = n;
  v.h = v.w = 0;
  return v;
}

/* Columns [from, from + n) of T. */
static inline ZieTensor
zie_tensor_cols (const ZieTensor *t, gint64 from, gint64 n)
{
  ZieTensor v = *t;
  g_assert (from >= 0 && n >= 0 && from + n <= t->cols);
  v.data += zie_dtype_row_size (t->dtype, from);
  v.cols = n;
  return v;
}

static inline float *
zie_tensor_f32 (const ZieTensor *t)
{
  g_assert (t->dtype == ZIE_DTYPE_F32);
  return (float *)(void *)t->data;
}
