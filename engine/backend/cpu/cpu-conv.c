/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <string.h>

#include "zie-op-shape.h"

#include "cpu-onednn.h"

/* A convolution as a product without its matrix: the task's part of the input is read once, normalised, activated and
 * surrounded by its zeros, and then every element of the kernel is a tap, a fixed distance from a pixel.
 *
 * An upsampled input is never built.  Output pixel (2y + p, 2x + q) sees only 2 x 2 pixels of the input, so each of the four
 * phases (p, q) is a 2 x 2 convolution with sums of the weights: 4/9 of the work.
 *
 * A task is a tile of output pixels (of input pixels when upsampling).  An element's sum runs over taps and channels in
 * one order, whatever the tile. */

#define TILE_WIDTH 64
#define TILE_HEIGHT 16
#define TILE_SIZE (384 * 1024)   /* bytes of the task's input: it and a panel of weights stay in a second cache */
#define FEW_OUT 4                /* up to here outputs are dot products: panels would be mostly empty */

typedef struct
{
  gint64 channel_stride;         /* floats of a pixel in a task's input */
  gint64 n_taps, n_phases, n_panels;
  gint64 height, width;          /* of a tile */
  gint64 in_height, in_width;    /* of its input */
  gboolean few_out;
} Split;

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieConv *conv;
  const ZieConvArgs *args;
  Split split;
  gint64 row, n_rows, n_cols;    /* of tiles: first row, rows and columns of pixels */
  gint64 n_tile_cols;
  gboolean round_bf16;
  float *weights;                /* [panel][phase][tap][in][nr]; few_out: [out][tap][in] */
  float *bias;
  float **room;                  /* [n_threads] */
} Conv;

static gint64
blocks (gint64 n, gint64 block)
{
  return (n + block - 1) / block;
}

static Split
split_conv (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  const ZieCpuKernels *kernels = zie_cpu_get_kernels ();
  gint64 zoom = shape->upsample ? 2 : 1, n_cols = shape->w / zoom, n_rows = blocks (shape->m / shape->w, zoom), n_tile_cols;
  gint64 halo = shape->ksize - 1, wanted = 4 * (gint64)zie_cpu_n_threads (ctx), fitting;
  Split s;

  s.few_out = shape->n <= FEW_OUT && !shape->upsample;
  s.channel_stride = zie_cpu_stride_collides (shape->channels) ? shape->channels + 16 : shape->channels;
  s.n_taps = shape->upsample ? 4 : shape->ksize * shape->ksize;
  s.n_phases = shape->upsample ? 4 : 1;
  s.n_panels = blocks (shape->n, kernels->nr);

  n_tile_cols = blocks (n_cols, TILE_WIDTH);
  s.width = blocks (n_cols, n_tile_cols);
  s.in_width = (s.width - 1) * shape->stride + 1 + halo;
  fitting = (TILE_SIZE / (s.in_width * s.channel_stride * (gint64)sizeof (float)) - halo - 1) / shape->stride + 1;
  s.height = CLAMP (MIN (fitting, blocks (n_rows * n_tile_cols, wanted)), 1, TILE_HEIGHT);
  s.in_height = (s.height - 1) * shape->stride + 1 + halo;
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Conv *self, guint8 *base, const ZieOpShape *shape)
{
  Split s = split_conv (ctx, shape);
  gint64 nr = zie_cpu_get_kernels ()->nr, n_threads = zie_cpu_n_threads (ctx);
  gint64 n_input = s.in_height * s.in_width * s.channel_stride;
  /* while weights are packed: a panel of the 3 x 3 kernel, to be summed up for the phases; or a row, to be reordered */
  gint64 n_room = MAX (n_input, s.few_out ? shape->k : s.n_phases > 1 ? shape->k * nr : 0);
  ZieCpuCarve c = { base, 0 };
  float *weights = zie_cpu_carve_f32 (&c, s.few_out ? shape->n * shape->k : s.n_panels * s.n_phases * s.n_taps * shape->channels * nr);
  float *bias = zie_cpu_carve_f32 (&c, s.n_panels * nr);
  float **room = zie_cpu_carve (&c, (gsize)n_threads * sizeof (float *));

  for (gint64 i = 0; i < n_threads; i++)
    {
      float *at = zie_cpu_carve_f32 (&c, n_room);
      if (base != NULL)
        room[i] = at;
    }

  if (self != NULL)
    {
      self->split = s;
      self->weights = weights;
      self->bias = bias;
      self->room = room;
    }
  return c.used;
}

/* Whether the processor's own bf16 products take it.  Few channels leave them empty; and an upsampled input has to be built
 * for them, which 4/9 of the work in f32 beats unless they are AMX. */
static gboolean
use_bf16 (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return ctx->compute == ZIE_COMPUTE_BF16 && shape->channels >= 16 && shape->n >= 16
         && (shape->upsample ? zie_dnn_has_amx () : zie_dnn_has_bf16 ());
}

gsize
zie_cpu_conv2d_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  gsize size = carve (ctx, NULL, NULL, shape);

  return use_bf16 (ctx, shape) ? MAX (size, zie_cpu_conv2d_bf16_scratch (ctx, shape)) : size;
}

/* ---- weights ---- */

/* The kernel rows (or columns) that fall on input row y - 1 + p + TAP of output rows 2y + p: p = 0: {0}, {1, 2};
 * p = 1: {0, 1}, {2}. */
static void
phase_range (gint64 phase, gint64 tap, gint64 *from, gint64 *to)
{
  *from = tap == 0 ? 0 : 1 + phase;
  *to = tap == 0 ? 1 + phase : 3;
}

/* dst[phase][tap][in][nr] from packed[9][in][nr] */
static void
sum_phases (const Conv *self, float *dst, const float *packed)
{
  gint64 n = self->conv->in * (gint64)self->kernels->nr, y0, y1, x0, x1;

  for (gint64 phase = 0; phase < 4; phase++)
    for (gint64 tap = 0; tap < 4; tap++, dst += n)
      {
        phase_range (phase / 2, tap / 2, &y0, &y1);
        phase_range (phase % 2, tap % 2, &x0, &x1);
        memcpy (dst, packed + (y0 * 3 + x0) * n, (gsize)n * sizeof (float));
        for (gint64 y = y0; y < y1; y++)
          for (gint64 x = x0; x < x1; x++)
            if (y != y0 || x != x0)
              self->kernels->add (dst, packed + (y * 3 + x) * n, n);
      }
}

static void
pack_task (gpointer data, gint64 item, guint thread)
{
  const Conv *self = data;
  const ZieWeight *w = &self->conv->weight;
  gint64 nr = self->kernels->nr, size = self->split.n_phases * self->split.n_taps * self->conv->in * nr;
  ZieCpuRows rows = zie_cpu_weight_rows (w, item * nr, MIN (nr, w->rows - item * nr));
  gint64 n_taps = (gint64)self->conv->ksize * self->conv->ksize;
  float *dst = self->weights + item * size;

  if (self->split.n_phases == 1)
    self->kernels->pack (dst, &rows, 0, w->cols, n_taps, self->round_bf16);
  else
    {
      self->kernels->pack (self->room[thread], &rows, 0, w->cols, n_taps, self->round_bf16);
      sum_phases (self, dst, self->room[thread]);
    }
}

static void
pack_few (const Conv *self)
{
  const ZieWeight *w = &self->conv->weight;
  gint64 n_in = self->conv->in, n_taps = self->split.n_taps;

  for (gint64 o = 0; o < w->rows; o++)
    {
      float *row = self->room[0], *dst = self->weights + o * w->cols;

      zie_cpu_expand_row (self->kernels, w, o, row);
      if (self->round_bf16)
        self->kernels->round_bf16 (row, row, w->cols);
      for (gint64 i = 0; i < n_in; i++)
        for (gint64 t = 0; t < n_taps; t++)
          dst[t * n_in + i] = row[i * n_taps + t];
    }
}

/* ---- input ---- */

/* Input rows [row, row + n_rows) and columns [col, col + n_cols), zeros outside the picture. */
static void
read_input (const Conv *self, float *dst, gint64 row, gint64 col, gint64 n_rows, gint64 n_cols)
{
  gint64 stride = self->split.channel_stride, from = MAX (-col, 0), to = MIN (n_cols, self->x->w - col);
  const ZieConvArgs *args = self->args;
  gsize pixel_size = (gsize)stride * sizeof (float);
  ZieCpuPixels pixels = { .src_stride = self->x->stride, .dst_stride = stride, .channels = self->conv->in, .n = to - from,
                          .scale = args->gn_scale != NULL ? zie_tensor_f32 (args->gn_scale) : NULL,
                          .shift = args->gn_shift != NULL ? zie_tensor_f32 (args->gn_shift) : NULL };

  for (gint64 i = 0; i < n_rows; i++, dst += n_cols * stride)
    if (row + i < 0 || row + i >= self->x->h)
      memset (dst, 0, (gsize)n_cols * pixel_size);
    else
      {
        memset (dst, 0, (gsize)from * pixel_size);
        pixels.src = zie_cpu_row (self->x, (row + i) * self->x->w + col + from);
        self->kernels->read_pixels (&pixels, dst + from * stride, self->round_bf16);
        memset (dst + to * stride, 0, (gsize)(n_cols - to) * pixel_size);
      }
}

/* ---- tiles ---- */

/* Input row (column) of the first tap of output row (cell row, when upsampling) 0. */
static gint64
origin (const Conv *self)
{
  return self->conv->ksize == 3 && self->args->stride == 1 ? -1 : 0;
}

/* Output row ROW (counted from the picture's top), from column COL on in steps of STEP. */
static void
conv_line (const Conv *self, ZieCpuTile *tile, gint64 row, gint64 col, gint64 step, gint64 panel)
{
  gint64 pixel = (row - self->args->row0) * self->y->w + col, at = panel * self->kernels->nr;

  tile->c = zie_cpu_row (self->y, pixel) + at;
  tile->ldc = step * self->y->stride;
  if (self->args->residual != NULL)
    {
      tile->residual = zie_cpu_row (self->args->residual, pixel) + at;
      tile->ldr = step * self->args->residual->stride;
    }
  if (self->split.few_out)
    self->kernels->dots (tile);
  else
    self->kernels->tile (tile);
}

static void
tile_task (gpointer data, gint64 item, guint thread)
{
  const Conv *self = data;
  const Split *s = &self->split;
  gint64 nr = self->kernels->nr, n_in = self->conv->in, cs = s->channel_stride, stride = self->args->stride;
  gint64 row = self->row + item / self->n_tile_cols * s->height, col = item % self->n_tile_cols * s->width;
  gint64 n_rows = MIN (s->height, self->row + self->n_rows - row), n_cols = MIN (s->width, self->n_cols - col);
  gint64 in_cols = (n_cols - 1) * stride + self->conv->ksize, in_rows = (n_rows - 1) * stride + self->conv->ksize;
  gint64 zoom = self->args->upsample ? 2 : 1, taps[9];
  float *input = self->room[thread];

  read_input (self, input, row * stride + origin (self), col * stride + origin (self), in_rows, in_cols);

  for (gint64 panel = 0; panel < s->n_panels && !zie_op_cancelled (self->ctx); panel++)
    for (gint64 phase = 0; phase < s->n_phases; phase++)
      {
        ZieCpuTile tile = { .lda = stride * cs, .taps = taps, .n_taps = s->n_taps, .n_k = n_in, .m = n_cols };
        gint64 side = s->n_phases > 1 ? 2 : self->conv->ksize, p = phase / 2, q = phase % 2;

        for (gint64 t = 0; t < s->n_taps; t++)
          taps[t] = ((t / side + p) * in_cols + t % side + q) * cs;
        tile.b = s->few_out ? self->weights : self->weights + (panel * s->n_phases + phase) * s->n_taps * n_in * nr;
        tile.bias = self->bias + panel * nr;
        tile.n = MIN (nr, self->conv->out - panel * nr);

        for (gint64 i = 0; i < n_rows; i++)
          {
            gint64 out_row = (row + i) * zoom + p;

            tile.a = input + i * stride * in_cols * cs;
            if (out_row >= self->args->row0 && out_row < self->args->row0 + self->y->h)
              conv_line (self, &tile, out_row, col * zoom + q, zoom, panel);
          }
      }
}

static void
conv_f32 (Conv *self, void *scratch, const ZieOpShape *shape)
{
  ZieOpCtx *ctx = self->ctx;
  gint64 zoom = self->args->upsample ? 2 : 1;

  carve (ctx, self, scratch, shape);
  memset (self->bias, 0, (gsize)(self->split.n_panels * self->kernels->nr) * sizeof (float));
  zie_cpu_expand_row (self->kernels, &self->conv->bias, 0, self->bias);

  if (self->split.few_out)
    pack_few (self);
  else
    zie_cpu_run (ctx, self->split.n_panels, pack_task, self);

  self->row = self->args->row0 / zoom;
  self->n_rows = blocks (self->args->row0 + self->y->h, zoom) - self->row;
  self->n_cols = self->y->w / zoom;
  self->n_tile_cols = blocks (self->n_cols, self->split.width);
  zie_cpu_run (ctx, blocks (self->n_rows, self->split.height) * self->n_tile_cols, tile_task, self);
}

void
zie_cpu_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args)
{
  ZieOpShape shape = zie_op_shape_conv (y, x, conv, args);
  ZieMark mark = zie_arena_mark (ctx->arena);
  void *scratch = zie_op_scratch (ctx, &shape);
  Conv self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .y = y, .x = x, .conv = conv, .args = args,
                .round_bf16 = ctx->compute == ZIE_COMPUTE_BF16 };

  if (!use_bf16 (ctx, &shape) || !zie_cpu_conv2d_bf16 (ctx, scratch, &shape, y, x, conv, args))
    conv_f32 (&self, scratch, &shape);
  zie_arena_rewind (ctx->arena, mark);
}
