/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

#include <math.h>

static double
rms_factor (const float *x, gint64 n, float eps)
{
  double sum = 0;

  for (gint64 i = 0; i < n; i++)
    sum += (double)x[i] * x[i];
  return 1 / sqrt (sum / (double)n + eps);
}

void
ref_rms_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale, float eps)
{
  zie_op_shape_rms_norm (y, x, w, scale);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    {
      const float *in = ref_row (x, r);
      float *out = ref_row (y, r);
      double factor = rms_factor (in, x->cols, eps);

      zie_op_check_factor (ctx, (float)factor);
      for (gint64 i = 0; i < x->cols; i++)
        out[i] = (float)(in[i] * factor * ref_weight_at (w, i) * (scale ? zie_tensor_f32 (scale)[i] : 1));
    }
}

void
ref_gated_norm_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate, float eps)
{
  zie_op_shape_gated_norm_add (x, y, w, gate);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    {
      const float *in = ref_row (y, r);
      float *out = ref_row (x, r);
      double factor = rms_factor (in, x->cols, eps);

      zie_op_check_factor (ctx, (float)factor);
      for (gint64 i = 0; i < x->cols; i++)
        out[i] = (float)(out[i] + in[i] * factor * ref_weight_at (w, i) * (gate ? zie_tensor_f32 (gate)[i] : 1));
    }
}

void
ref_layer_norm (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, float eps)
{
  zie_op_shape_layer_norm (y, x, scale);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    {
      const float *in = ref_row (x, r);
      float *out = ref_row (y, r);
      double mean = 0, var = 0, factor;

      for (gint64 i = 0; i < x->cols; i++)
        mean += in[i];
      mean /= (double)x->cols;
      for (gint64 i = 0; i < x->cols; i++)
        var += (in[i] - mean) * (in[i] - mean);
      factor = 1 / sqrt (var / (double)x->cols + eps);
      zie_op_check_factor (ctx, (float)factor);

      for (gint64 i = 0; i < x->cols; i++)
        out[i] = (float)((in[i] - mean) * factor * zie_tensor_f32 (scale)[i]);
    }
}

/* X, one head of D, by W and the angles of its token. */
static void
norm_and_turn (const ZieOpCtx *ctx, float *x, gint64 d, const ZieWeight *w, const float *cos, const float *sin, ZieRope rope, float eps)
{
  double factor = rms_factor (x, d, eps);
  gint64 half = d / 2;

  zie_op_check_factor (ctx, (float)factor);
  for (gint64 i = 0; i < half; i++)
    {
      gint64 at_a = rope == ZIE_ROPE_INTERLEAVED ? 2 * i : i;
      gint64 at_b = rope == ZIE_ROPE_INTERLEAVED ? 2 * i + 1 : i + half;
      double a = x[at_a] * factor * ref_weight_at (w, at_a);
      double b = x[at_b] * factor * ref_weight_at (w, at_b);

      x[at_a] = (float)(a * cos[i] - b * sin[i]);
      x[at_b] = (float)(a * sin[i] + b * cos[i]);
    }
}

void
ref_qk_norm_rope (ZieOpCtx *ctx, ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads,
                  ZieRope rope, float eps)
{
  gint64 d = x->cols / heads;

  zie_op_shape_qk_norm_rope (x, w, cos, sin, heads);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    for (int head = 0; head < heads; head++)
      norm_and_turn (ctx, ref_row (x, r) + head * d, d, w, ref_row (cos, r), ref_row (sin, r), rope, eps);
}
