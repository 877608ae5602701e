/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <string.h>

#include "zie-op-shape.h"

#include "cpu-onednn.h"

/* A convolution by oneDNN's bf16 products.  A task is a tile of output pixels: its input, normalised, activated, upsampled
 * and surrounded by zeros, is written in bf16, oneDNN convolves it without padding, and the sums go to y with bias and
 * residual.  All tiles have one shape: those at the end move back into the picture, and only write what is theirs. */

/* Blocks follow from the shape alone, not from the number of threads: which order oneDNN sums in may hang on them. */
#define TASKS_WANTED 16

#define PACK_OUTPUTS 64            /* of a packing task: the width of oneDNN's blocks where there are as many outputs */
#define TILE_WIDTH 64
#define TILE_HEIGHT 16
#define TILE_SIZE (512 * 1024)     /* bytes of a task's input and sums */

typedef struct
{
  gint64 height, width, in_height, in_width;
  gint64 n_cols, n_tile_cols;
} Split;

typedef struct
{
  guint16 *input;                  /* [in_height, in_width, in] */
  float *sums;                     /* [height, width, out] */
  float *row;                      /* [in * ksize * ksize]: of weights */
  void *scratch;
} Room;

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieConv *conv;
  const ZieConvArgs *args;
  Split split;
  guint16 *weights;                /* [out, in, ksize, ksize] */
  void *packed;
  float *bias;
  Room *rooms;
  ZieDnn *product;
  gint packing_failed;             /* atomic */
} Conv;

static gint64
blocks (gint64 n, gint64 block)
{
  return (n + block - 1) / block;
}

static Split
split_conv (const ZieOpShape *shape)
{
  gint64 halo = shape->ksize - 1, n_rows = shape->m / shape->w, row_size, fitting;
  Split s;

  s.n_cols = shape->w;
  s.n_tile_cols = blocks (s.n_cols, TILE_WIDTH);
  s.width = blocks (s.n_cols, s.n_tile_cols);
  s.in_width = (s.width - 1) * shape->stride + 1 + halo;
  row_size = s.in_width * shape->channels * shape->stride * (gint64)sizeof (guint16) + s.width * shape->n * (gint64)sizeof (float);
  fitting = TILE_SIZE / row_size;
  s.height = CLAMP (MIN (fitting, blocks (n_rows * s.n_tile_cols, TASKS_WANTED)), 1, MIN (TILE_HEIGHT, n_rows));
  s.in_height = (s.height - 1) * shape->stride + 1 + halo;
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Conv *self, guint8 *base, const ZieOpShape *shape)
{
  Split s = split_conv (shape);
  guint n_threads = zie_cpu_n_threads (ctx);
  ZieCpuCarve c = { base, 0 };
  Room *rooms = zie_cpu_carve (&c, n_threads * sizeof (Room));
  guint16 *weights = zie_cpu_carve (&c, (gsize)(shape->n * shape->k) * sizeof (guint16));
  void *packed = zie_cpu_carve (&c, zie_dnn_conv_weights_bound (shape->channels, shape->n, shape->ksize));
  float *bias = zie_cpu_carve_f32 (&c, shape->n);

  for (guint i = 0; i < n_threads; i++)
    {
      Room room;

      room.input = zie_cpu_carve (&c, (gsize)(s.in_height * s.in_width * shape->channels) * sizeof (guint16));
      room.sums = zie_cpu_carve_f32 (&c, s.height * s.width * shape->n);
      room.row = zie_cpu_carve_f32 (&c, shape->k);
      room.scratch = zie_cpu_carve (&c, ZIE_DNN_SCRATCH_MAX);
      if (base != NULL)
        rooms[i] = room;
    }

  if (self != NULL)
    {
      self->split = s;
      self->rooms = rooms;
      self->weights = weights;
      self->packed = packed;
      self->bias = bias;
    }
  return c.used;
}

gsize
zie_cpu_conv2d_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return carve (ctx, NULL, NULL, shape);
}

/* One output channel's weights. */
static void
weights_task (gpointer data, gint64 item, guint thread)
{
  const Conv *self = data;
  const ZieWeight *w = &self->conv->weight;
  float *row = self->rooms[thread].row;

  zie_cpu_expand_row (self->kernels, w, item, row);
  self->kernels->to_bf16 (self->weights + item * w->cols, row, w->cols);
}

static void
pack_task (gpointer data, gint64 item, guint thread)
{
  Conv *self = data;
  gint64 first = item * PACK_OUTPUTS, n = MIN (PACK_OUTPUTS, self->conv->out - first);

  if (!zie_dnn_pack_weights (self->product, self->packed, self->weights, first, n))
    g_atomic_int_set (&self->packing_failed, 1);
}

/* The tile's input from (ROW, COL) of the picture that the convolution sees on, zeros outside. */
static void
read_input (const Conv *self, guint16 *dst, gint64 row, gint64 col)
{
  const ZieConvArgs *args = self->args;
  const Split *s = &self->split;
  gint64 n_in = self->conv->in, from = MAX (-col, 0), to = MIN (s->in_width, self->x->w - col);
  gsize pixel_size = (gsize)n_in * sizeof (guint16);
  ZieCpuPixels pixels = { .src_stride = self->x->stride, .dst_stride = n_in, .channels = n_in, .n = to - from,
                          .scale = args->gn_scale != NULL ? zie_tensor_f32 (args->gn_scale) : NULL,
                          .shift = args->gn_shift != NULL ? zie_tensor_f32 (args->gn_shift) : NULL };

  for (gint64 i = 0; i < s->in_height; i++, dst += s->in_width * n_in)
    if (row + i < 0 || row + i >= self->x->h)
      memset (dst, 0, (gsize)s->in_width * pixel_size);
    else
      {
        memset (dst, 0, (gsize)from * pixel_size);
        pixels.src = zie_cpu_row (self->x, (row + i) * self->x->w + col + from);
        self->kernels->read_pixels_bf16 (&pixels, dst + from * n_in);
        memset (dst + to * n_in, 0, (gsize)(s->in_width - to) * pixel_size);
      }
}

/* … when each pixel is seen as 2 x 2: read where a block begins in the tile, copied within it. */
static void
read_input_enlarged (const Conv *self, guint16 *input, gint64 row, gint64 col)
{
  const Split *s = &self->split;
  gint64 n_in = self->conv->in;
  gsize pixel_size = (gsize)n_in * sizeof (guint16);
  ZieCpuPixels pixel = { .channels = n_in, .n = 1,
                         .scale = self->args->gn_scale != NULL ? zie_tensor_f32 (self->args->gn_scale) : NULL,
                         .shift = self->args->gn_shift != NULL ? zie_tensor_f32 (self->args->gn_shift) : NULL };

  for (gint64 i = 0; i < s->in_height; i++)
    for (gint64 j = 0; j < s->in_width; j++)
      {
        guint16 *dst = input + (i * s->in_width + j) * n_in;
        gint64 y = row + i, x = col + j;

        if (y < 0 || x < 0 || y >= self->x->h * 2 || x >= self->x->w * 2)
          memset (dst, 0, pixel_size);
        else if (j > 0 && x % 2 == 1)
          memcpy (dst, dst - n_in, pixel_size);
        else if (i > 0 && y % 2 == 1)
          memcpy (dst, dst - s->in_width * n_in, pixel_size);
        else
          {
            pixel.src = zie_cpu_row (self->x, y / 2 * self->x->w + x / 2);
            self->kernels->read_pixels_bf16 (&pixel, dst);
          }
      }
}

static void
tile_task (gpointer data, gint64 item, guint thread)
{
  const Conv *self = data;
  const Split *s = &self->split;
  const Room *room = &self->rooms[thread];
  gint64 before = self->conv->ksize == 3 && self->args->stride == 1 ? 1 : 0, n_out = self->conv->out, stride = self->args->stride;
  gint64 own_row = item / s->n_tile_cols * s->height, own_col = item % s->n_tile_cols * s->width;
  gint64 row = MIN (own_row, self->y->h - s->height), col = MIN (own_col, s->n_cols - s->width);

  if (self->args->upsample)
    read_input_enlarged (self, room->input, self->args->row0 + row - before, col - before);
  else
    read_input (self, room->input, (self->args->row0 + row) * stride - before, col * stride - before);
  zie_dnn_run (self->product, room->sums, room->input, self->packed, NULL, room->scratch);

  for (gint64 i = own_row; i < row + s->height; i++)
    {
      gint64 pixel = i * self->y->w + own_col;
      const ZieTensor *residual = self->args->residual;

      self->kernels->write_pixels (zie_cpu_row (self->y, pixel), self->y->stride,
                                   room->sums + ((i - row) * s->width + own_col - col) * n_out, self->bias,
                                   residual != NULL ? zie_cpu_row (residual, pixel) : NULL,
                                   residual != NULL ? residual->stride : 0, n_out, col + s->width - own_col);
    }
}

gboolean
zie_cpu_conv2d_bf16 (ZieOpCtx *ctx, void *scratch, const ZieOpShape *shape, ZieTensor *y, const ZieTensor *x, const ZieConv *conv,
                     const ZieConvArgs *args)
{
  Conv self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .y = y, .x = x, .conv = conv, .args = args };
  ZieDnnConv product = { .n_in = conv->in, .n_out = conv->out, .ksize = conv->ksize, .stride = args->stride };
  gboolean ok;

  carve (ctx, &self, scratch, shape);
  product.in_h = self.split.in_height;
  product.in_w = self.split.in_width;
  product.out_h = self.split.height;
  product.out_w = self.split.width;
  self.product = zie_dnn_acquire_conv (&product);

  ok = self.product != NULL
       && zie_dnn_get_weights_size (self.product) <= zie_dnn_conv_weights_bound (conv->in, conv->out, conv->ksize);
  if (ok)
    {
      zie_cpu_expand_row (self.kernels, &conv->bias, 0, self.bias);
      zie_cpu_run (ctx, conv->out, weights_task, &self);
      zie_cpu_run (ctx, blocks (conv->out, PACK_OUTPUTS), pack_task, &self);
      if (g_atomic_int_get (&self.packing_failed) && !zie_op_cancelled (ctx)
          && !zie_dnn_pack_weights (self.product, self.packed, self.weights, 0, conv->out))
        g_error ("oneDNN: weights of %d x %d cannot be packed", conv->out, conv->in);
      zie_cpu_run (ctx, blocks (y->h, self.split.height) * self.split.n_tile_cols, tile_task, &self);
    }
  zie_dnn_release (self.product);
  return ok;
}
