/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

typedef struct
{
  ZieOpCtx *ctx;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieConv *conv;
  const ZieConvArgs *args;
  float *weights;                /* scratch: [out, in * ksize * ksize] */
  float *patches;                /* scratch, for each thread: what one output pixel sees, in the order of the weights */
} Conv;

gsize
ref_conv_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return ((gsize)shape->n + MAX (ctx->n_threads, 1)) * (gsize)shape->k * sizeof (float);
}

/* Channel C of the picture that the convolution sees, at (Y, X): enlarged and activated first, zero outside. */
static float
see (const Conv *self, gint64 y, gint64 x, int c)
{
  const ZieConvArgs *args = self->args;
  gint64 enlarge = args->upsample ? 2 : 1;
  double v;

  if (y < 0 || x < 0 || y >= self->x->h * enlarge || x >= self->x->w * enlarge)
    return 0;
  v = ref_row (self->x, y / enlarge * self->x->w + x / enlarge)[c];
  if (args->gn_scale)
    v = ref_silu (v * zie_tensor_f32 (args->gn_scale)[c] + zie_tensor_f32 (args->gn_shift)[c]);
  return ref_operand (self->ctx, (float)v);
}

static void
fill_patch (const Conv *self, gint64 out_y, gint64 out_x, float *patch)
{
  int ksize = self->conv->ksize, stride = self->args->stride;
  gint64 before = stride == 2 ? 0 : ksize / 2;         /* padding above and to the left */
  gint64 y0 = out_y * stride - before, x0 = out_x * stride - before;

  for (int c = 0; c < self->conv->in; c++)
    for (int ky = 0; ky < ksize; ky++)
      for (int kx = 0; kx < ksize; kx++)
        *patch++ = see (self, y0 + ky, x0 + kx, c);
}

/* One row of output pixels. */
static void
conv_row (gpointer data, gint64 row, guint thread)
{
  const Conv *self = data;
  gint64 n = self->conv->weight.cols;
  float *patch = self->patches + thread * n;

  for (gint64 column = 0; column < self->y->w; column++)
    {
      gint64 pixel = row * self->y->w + column;
      float *y = ref_row (self->y, pixel);

      fill_patch (self, self->args->row0 + row, column, patch);
      for (int out = 0; out < self->conv->out; out++)
        {
          const float *weights = self->weights + out * n;
          double sum = ref_weight_at (&self->conv->bias, out);

          for (gint64 i = 0; i < n; i++)
            sum += (double)patch[i] * weights[i];
          if (self->args->residual)
            sum += ref_row (self->args->residual, pixel)[out];
          y[out] = (float)sum;
        }
    }
}

void
ref_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  ZieOpShape shape = zie_op_shape_conv (y, x, conv, args);
  ZieMark mark = zie_arena_mark (ctx->arena);
  const ZieWeight *w = &conv->weight;
  float *weights = zie_op_scratch (ctx, &shape);
  Conv self = { ctx, y, x, conv, args, weights, weights + w->rows * w->cols };

  for (gint64 out = 0; out < w->rows; out++)
    zie_weight_row_to_f32 (w, out, weights + out * w->cols);
  for (gint64 i = 0; i < w->rows * w->cols; i++)
    weights[i] = ref_operand (ctx, weights[i]);

  ref_run (ctx, y->h, conv_row, &self);
  zie_arena_rewind (ctx->arena, mark);
}
