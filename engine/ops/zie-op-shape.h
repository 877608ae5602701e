/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"

/* What every implementation of an op does first: assert the contract of zie-ops.h about its arguments and say its shape.
 * The counting backend runs the same lines, so a network with a wrong shape fails when it is planned.  No address is
 * looked at here: in a plan there is nothing behind them. */

static inline gboolean
zie_op_is_vector (const ZieTensor *t, gint64 cols)
{
  return t == NULL || (t->dtype == ZIE_DTYPE_F32 && t->rows == 1 && t->cols == cols);
}

static inline gboolean
zie_op_is_weight_vector (const ZieWeight *w, gint64 cols)
{
  return w == NULL || (w->rows == 1 && w->cols == cols);
}

static inline gboolean
zie_op_same_size (const ZieTensor *a, const ZieTensor *b)
{
  return a->rows == b->rows && a->cols == b->cols && a->dtype == b->dtype;
}

/* N_TENSORS: how many of this size are read or written. */
static inline ZieOpShape
zie_op_shape_elementwise (gint64 rows, gint64 cols, gint64 n_tensors)
{
  return (ZieOpShape) { .kind = ZIE_OP_ELEMENTWISE, .m = rows, .n = cols, .k = n_tensors };
}

static inline ZieOpShape
zie_op_shape_rgb8 (const ZieTensor *rows)
{
  g_assert (rows->dtype == ZIE_DTYPE_F32 && rows->cols == 3 && rows->stride == 3);
  return (ZieOpShape) { .kind = ZIE_OP_RGB8, .m = rows->rows, .n = rows->cols };
}

static inline ZieOpShape
zie_op_shape_move (const ZieTensor *rows)
{
  g_assert (rows->stride == rows->cols);
  return (ZieOpShape) { .kind = ZIE_OP_MOVE, .m = rows->rows, .n = rows->cols };
}

static inline ZieOpShape
zie_op_shape_linear (const ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  g_assert (x->rows == y->rows && x->cols == w->cols && y->cols == w->rows);
  g_assert (zie_op_is_weight_vector (b, w->rows));
  return (ZieOpShape) { .kind = ZIE_OP_LINEAR, .m = y->rows, .n = w->rows, .k = w->cols, .weight = w->dtype };
}

/* All of the product's rows; the type is that of the first weight that has blocks or 8 bits, else of the first. */
static inline ZieOpShape
zie_op_shape_linear_stacked (const ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  ZieOpShape shape = { .kind = ZIE_OP_LINEAR, .m = y->rows, .k = x->cols, .weight = w[0]->dtype };

  g_assert (x->rows == y->rows);
  for (guint i = 0; i < n; i++)
    {
      g_assert (w[i]->cols == x->cols);
      shape.n += w[i]->rows;
    }
  for (guint i = n; i > 0; i--)
    if (zie_dtype_is_quantised (w[i - 1]->dtype))
      shape.weight = w[i - 1]->dtype;
  g_assert (shape.n == y->cols);
  return shape;
}

static inline ZieOpShape
zie_op_shape_gather (const ZieTensor *y, const ZieWeight *table)
{
  g_assert (y->cols == table->cols);
  return zie_op_shape_elementwise (y->rows, y->cols, 2);
}

static inline ZieOpShape
zie_op_shape_rms_norm (const ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieTensor *scale)
{
  g_assert (zie_op_same_size (y, x) && zie_op_is_weight_vector (w, x->cols) && zie_op_is_vector (scale, x->cols));
  return zie_op_shape_elementwise (x->rows, x->cols, 2);
}

static inline ZieOpShape
zie_op_shape_gated_norm_add (const ZieTensor *x, const ZieTensor *y, const ZieWeight *w, const ZieTensor *gate)
{
  g_assert (zie_op_same_size (y, x) && zie_op_is_weight_vector (w, x->cols) && zie_op_is_vector (gate, x->cols));
  return zie_op_shape_elementwise (x->rows, x->cols, 3);
}

static inline ZieOpShape
zie_op_shape_layer_norm (const ZieTensor *y, const ZieTensor *x, const ZieTensor *scale)
{
  g_assert (zie_op_same_size (y, x) && zie_op_is_vector (scale, x->cols));
  return zie_op_shape_elementwise (x->rows, x->cols, 2);
}

static inline ZieOpShape
zie_op_shape_qk_norm_rope (const ZieTensor *x, const ZieWeight *w, const ZieTensor *cos, const ZieTensor *sin, int heads)
{
  gint64 d = x->cols / heads;

  g_assert (d * heads == x->cols && d % 2 == 0 && zie_op_is_weight_vector (w, d));
  g_assert (cos->rows == x->rows && cos->cols == d / 2 && cos->dtype == ZIE_DTYPE_F32);
  g_assert (sin->rows == x->rows && sin->cols == d / 2 && sin->dtype == ZIE_DTYPE_F32);
  return zie_op_shape_elementwise (x->rows, x->cols, 2);
}

static inline ZieOpShape
zie_op_shape_attention (const ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
                        int kv_heads, gboolean causal)
{
  gint64 d = q->cols / heads;

  g_assert (heads % kv_heads == 0 && d * heads == q->cols && zie_op_same_size (o, q));
  g_assert (k->cols == d * kv_heads && zie_op_same_size (k, v) && (!causal || q->rows == k->rows));
  return (ZieOpShape) { .kind = ZIE_OP_ATTENTION, .m = q->rows, .n = k->rows, .k = d, .heads = heads, .kv_heads = kv_heads,
                        .causal = causal };
}

/* The pixels of a convolution's whole output from an input of H x W; y may be a band of its rows. */
static inline void
zie_op_conv_output (const ZieConvArgs *args, gint64 h, gint64 w, gint64 *out_h, gint64 *out_w)
{
  gint64 scale = args->upsample ? 2 : 1;

  *out_h = h * scale / args->stride;
  *out_w = w * scale / args->stride;
}

static inline ZieOpShape
zie_op_shape_conv (const ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  gint64 h, w;

  g_assert (conv->ksize == 1 || conv->ksize == 3);
  g_assert (args->stride == 1 || (args->stride == 2 && conv->ksize == 3 && !args->upsample));
  g_assert (!args->upsample || conv->ksize == 3);
  g_assert (x->cols == conv->in && x->rows == x->h * x->w && y->cols == conv->out && y->rows == y->h * y->w);
  g_assert (conv->weight.rows == conv->out && conv->weight.cols == (gint64)conv->in * conv->ksize * conv->ksize);
  g_assert (zie_op_is_weight_vector (&conv->bias, conv->out));
  g_assert ((args->gn_scale == NULL) == (args->gn_shift == NULL));
  g_assert (zie_op_is_vector (args->gn_scale, conv->in) && zie_op_is_vector (args->gn_shift, conv->in));
  g_assert (args->residual == NULL || zie_op_same_size (args->residual, y));
  zie_op_conv_output (args, x->h, x->w, &h, &w);
  g_assert (y->w == w && args->row0 >= 0 && args->row0 + y->h <= h);

  return (ZieOpShape) { .kind = ZIE_OP_CONV, .m = y->rows, .n = conv->out, .k = conv->weight.cols, .w = y->w,
                        .ksize = conv->ksize, .channels = conv->in, .stride = args->stride, .upsample = args->upsample,
                        .has_norm = args->gn_scale != NULL, .has_residual = args->residual != NULL,
                        .weight = conv->weight.dtype };
}

static inline ZieOpShape
zie_op_shape_swiglu (const ZieTensor *y, const ZieTensor *gate, const ZieTensor *up)
{
  g_assert (zie_op_same_size (y, gate) && zie_op_same_size (y, up));
  return zie_op_shape_elementwise (y->rows, y->cols, 3);
}

static inline ZieOpShape
zie_op_shape_add (const ZieTensor *x, const ZieTensor *y)
{
  g_assert (zie_op_same_size (x, y));
  return zie_op_shape_elementwise (x->rows, x->cols, 3);
}

/* unary and copy: one in, one out. */
static inline ZieOpShape
zie_op_shape_map (const ZieTensor *y, const ZieTensor *x)
{
  g_assert (zie_op_same_size (y, x));
  return zie_op_shape_elementwise (x->rows, x->cols, 2);
}

static inline ZieOpShape
zie_op_shape_fill_rows (const ZieTensor *y, const ZieWeight *row)
{
  g_assert (zie_op_is_weight_vector (row, y->cols));
  return zie_op_shape_elementwise (y->rows, y->cols, 1);
}

/* TOKENS [(h/2) * (w/2), 4 * channels], LATENT [channels, h * w] f32. */
static inline ZieOpShape
zie_op_shape_patchify (const ZieTensor *tokens, const ZieTensor *latent, int channels, int h, int w)
{
  g_assert (h % 2 == 0 && w % 2 == 0 && tokens->rows == (gint64)h / 2 * (w / 2) && tokens->cols == 4 * (gint64)channels);
  g_assert (latent->dtype == ZIE_DTYPE_F32 && latent->rows == channels && latent->cols == (gint64)h * w);
  return zie_op_shape_elementwise (tokens->rows, tokens->cols, 2);
}

/* PIXELS [h * w, channels], PLANES [channels, h * w] f32. */
static inline ZieOpShape
zie_op_shape_planes (const ZieTensor *pixels, const ZieTensor *planes)
{
  g_assert (planes->dtype == ZIE_DTYPE_F32 && planes->rows == pixels->cols && planes->cols == pixels->rows);
  return zie_op_shape_elementwise (pixels->rows, pixels->cols, 2);
}

/* Of a whole picture, and of the memory for its sums. */
static inline ZieOpShape
zie_op_shape_group_norm (gint64 height, gint64 width, gint64 channels, int groups)
{
  g_assert (groups > 0 && channels % groups == 0);
  return (ZieOpShape) { .kind = ZIE_OP_GROUP_NORM, .m = height * width, .n = channels, .k = groups, .w = width };
}

static inline ZieOpShape
zie_op_shape_group_norm_add (const ZieTensor *x, gint64 row0, gint64 height, int groups)
{
  g_assert (groups > 0 && x->cols % groups == 0 && x->rows == x->h * x->w);
  g_assert (row0 >= 0 && row0 + x->h <= height && row0 % zie_group_norm_step (height) == 0);
  g_assert (row0 + x->h == height || x->h % zie_group_norm_step (height) == 0);
  return (ZieOpShape) { .kind = ZIE_OP_GROUP_PART, .m = x->rows, .n = x->cols, .k = groups, .w = x->w };
}

static inline ZieOpShape
zie_op_shape_group_norm_finish (const ZieTensor *scale, const ZieTensor *shift, const ZieWeight *gamma, const ZieWeight *beta,
                                int groups)
{
  gint64 channels = scale->cols;

  g_assert (groups > 0 && channels % groups == 0 && zie_op_is_vector (scale, channels) && zie_op_is_vector (shift, channels));
  g_assert (zie_op_is_weight_vector (gamma, channels) && zie_op_is_weight_vector (beta, channels));
  return (ZieOpShape) { .kind = ZIE_OP_GROUP_PART, .m = 1, .n = channels, .k = groups, .w = 1 };
}

static inline ZieOpShape
zie_op_shape_affine (const ZieTensor *y, const ZieTensor *x, const ZieTensor *scale, const ZieTensor *shift)
{
  g_assert (zie_op_same_size (y, x) && zie_op_is_vector (scale, x->cols) && zie_op_is_vector (shift, x->cols));
  return zie_op_shape_elementwise (x->rows, x->cols, 2);
}
