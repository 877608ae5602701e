/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

#include <math.h>

/* Mean and biased variance of channels [from, from + n) over all pixels. */
static void
measure (const ZieTensor *x, gint64 from, gint64 n, double *mean, double *var)
{
  double count = (double)x->rows * (double)n;

  *mean = *var = 0;
  for (gint64 r = 0; r < x->rows; r++)
    for (gint64 c = from; c < from + n; c++)
      *mean += ref_row (x, r)[c];
  *mean /= count;
  for (gint64 r = 0; r < x->rows; r++)
    for (gint64 c = from; c < from + n; c++)
      *var += (ref_row (x, r)[c] - *mean) * (ref_row (x, r)[c] - *mean);
  *var /= count;
}

void
ref_group_norm (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, const ZieTensor *x, const ZieWeight *gamma,
                const ZieWeight *beta, int groups, float eps)
{
  gint64 n = x->cols / groups;

  zie_op_shape_group_norm (scale, shift, x, gamma, beta, groups);
  for (gint64 from = 0; from < x->cols && !zie_op_cancelled (ctx); from += n)
    {
      double mean, var;

      measure (x, from, n, &mean, &var);
      for (gint64 c = from; c < from + n; c++)
        {
          double factor = ref_weight_at (gamma, c) / sqrt (var + eps);

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
