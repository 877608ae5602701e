/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

#include <math.h>

/* What is kept of a group in a chunk of rows: the mean, and the sum of squared deviations from it. */
typedef struct { double mean, squares; } Part;

static gint64
get_n_chunks (gint64 height)
{
  gint64 step = zie_group_norm_step (height);

  return (height + step - 1) / step;
}

gsize
ref_group_norm_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return (gsize)(get_n_chunks (shape->w > 0 ? shape->m / shape->w : 0) * shape->k) * sizeof (Part);
}

/* Channels [from, from + n) over pixels [row, row + n_rows). */
static Part
measure (const ZieTensor *x, gint64 row, gint64 n_rows, gint64 from, gint64 n)
{
  double count = (double)n_rows * (double)n;
  Part part = { 0, 0 };

  for (gint64 r = row; r < row + n_rows; r++)
    for (gint64 c = from; c < from + n; c++)
      part.mean += ref_row (x, r)[c];
  part.mean /= count;
  for (gint64 r = row; r < row + n_rows; r++)
    for (gint64 c = from; c < from + n; c++)
      part.squares += (ref_row (x, r)[c] - part.mean) * (ref_row (x, r)[c] - part.mean);
  return part;
}

void
ref_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups)
{
  gint64 step = zie_group_norm_step (height), n = x->cols / groups;
  Part *part = (Part *)sums + row0 / step * groups;

  zie_op_shape_group_norm_add (x, row0, height, groups);
  for (gint64 y = 0; y < x->h; y += step)
    for (int g = 0; g < groups && !zie_op_cancelled (ctx); g++)
      *part++ = measure (x, y * x->w, MIN (step, x->h - y) * x->w, g * n, n);
}

void
ref_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                       const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps)
{
  gint64 step = zie_group_norm_step (height), n_chunks = get_n_chunks (height), n = scale->cols / groups;
  const Part *parts = sums;

  zie_op_shape_group_norm_finish (scale, shift, gamma, beta, groups);
  for (int g = 0; g < groups; g++)
    {
      double mean = 0, squares = 0;

      for (gint64 i = 0; i < n_chunks; i++)
        mean += parts[i * groups + g].mean * (double)MIN (step, height - i * step) / (double)height;
      for (gint64 i = 0; i < n_chunks; i++)
        {
          double away = parts[i * groups + g].mean - mean;
          squares += parts[i * groups + g].squares + away * away * (double)(MIN (step, height - i * step) * width * n);
        }
      zie_op_check_factor (ctx, isfinite (squares) ? 1.0f : 0.0f);
      for (gint64 c = g * n; c < (g + 1) * n; c++)
        {
          double factor = ref_weight_at (gamma, c) / sqrt (squares / (double)(height * width * n) + eps);

          zie_tensor_f32 (scale)[c] = (float)factor;
          zie_tensor_f32 (shift)[c] = (float)(ref_weight_at (beta, c) - mean * factor);
        }
    }
}

void
ref_affine (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift)
{
  zie_op_shape_affine (y, x, scale, shift);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    for (gint64 c = 0; c < x->cols; c++)
      ref_row (y, r)[c] = (float)((double)ref_row (x, r)[c] * zie_tensor_f32 (scale)[c] + zie_tensor_f32 (shift)[c]);
}
