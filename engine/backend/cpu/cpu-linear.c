/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include "zie-op-shape.h"

#include "cpu-onednn.h"

/* A task is a block of rows times a block of columns.  For each stretch of k it packs the weights panel by panel to f32
 * and runs the product's inner block over it.  Every element of y sums its k in the same order
 * whatever the blocks of rows and columns are, so these may follow the number of threads. */

#define ROWS_MAX 512           /* rows of a task: enough to pay for the packing */
#define COLUMNS_MAX 128
#define STRETCH_MAX 512        /* k of a packed block */
#define FEW_ROWS 4             /* up to here weights are read once, row by row, and not packed */
#define FEW_COLUMNS 32         /* of a task then */
#define FEW_EXPANDED 8         /* weight rows expanded at a time then */

typedef struct
{
  gint64 rows, columns, stretch;      /* of a task */
  gint64 n_row_blocks, n_column_blocks;
  gint64 strip_stride;                /* of rounded x */
} Split;

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieWeight *w;
  Split split;
  gboolean round_bf16;
  float *bias;                        /* [n], padded to whole panels; or NULL */
  float **packed, **strip;            /* [n_threads] */
} Linear;

static gint64
blocks (gint64 n, gint64 block)
{
  return (n + block - 1) / block;
}

static Split
split_linear (const ZieOpCtx *ctx, gint64 m, gint64 n, gint64 k)
{
  const ZieCpuKernels *kernels = zie_cpu_get_kernels ();
  gint64 wanted = 4 * (gint64)zie_cpu_n_threads (ctx);
  /* whole blocks of every type that such rows can be of, so that sums do not hang on the type */
  gint64 unit = k % ZIE_DTYPE_MAX_BLOCK == 0 ? ZIE_DTYPE_MAX_BLOCK : 32;
  Split s;

  s.n_row_blocks = blocks (m, ROWS_MAX);
  s.columns = MAX (COLUMNS_MAX / kernels->nr, 1) * kernels->nr;
  while (s.columns > kernels->nr && s.n_row_blocks * blocks (n, s.columns) < wanted)
    s.columns = MAX (s.columns / 2 / kernels->nr, 1) * kernels->nr;
  s.n_column_blocks = blocks (n, s.columns);
  while (s.n_row_blocks * s.n_column_blocks < wanted && blocks (m, s.n_row_blocks + 1) >= 96)
    s.n_row_blocks++;
  s.rows = blocks (m, s.n_row_blocks);
  s.n_row_blocks = blocks (m, s.rows);
  s.stretch = blocks (blocks (k, blocks (k, STRETCH_MAX)), unit) * unit;
  s.strip_stride = zie_cpu_padded_stride (s.stretch);
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Linear *self, guint8 *base, gint64 m, gint64 n, gint64 k)
{
  Split s = split_linear (ctx, m, n, k);
  ZieCpuCarve c = { base, 0 };
  guint n_threads = zie_cpu_n_threads (ctx);
  float **packed = zie_cpu_carve (&c, n_threads * sizeof (float *)), **strip = zie_cpu_carve (&c, n_threads * sizeof (float *));
  float *bias = zie_cpu_carve_f32 (&c, s.n_column_blocks * s.columns);

  for (guint i = 0; i < n_threads; i++)
    {
      gint64 n_packed = m <= FEW_ROWS ? k * (FEW_EXPANDED + 1) : s.stretch * zie_cpu_get_kernels ()->nr;
      gint64 n_strip = m <= FEW_ROWS ? FEW_EXPANDED : ctx->compute == ZIE_COMPUTE_BF16 ? s.rows * s.strip_stride : 0;
      float *p = zie_cpu_carve_f32 (&c, n_packed), *t = zie_cpu_carve_f32 (&c, n_strip);

      if (base != NULL)
        {
          packed[i] = p;
          strip[i] = t;
        }
    }

  if (self != NULL)
    {
      self->split = s;
      self->packed = packed;
      self->strip = strip;
      self->bias = bias;
    }
  return c.used;
}

/* Whether the processor's own bf16 products take it; a few rows are limited by reading the weights. */
static gboolean
use_bf16 (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return ctx->compute == ZIE_COMPUTE_BF16 && shape->m > FEW_ROWS && zie_dnn_has_bf16 ();
}

gsize
zie_cpu_linear_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  gsize size = carve (ctx, NULL, NULL, shape->m, shape->n, shape->k);

  return use_bf16 (ctx, shape) ? MAX (size, zie_cpu_linear_bf16_scratch (ctx, shape)) : size;
}

static void
linear_task (gpointer data, gint64 item, guint thread)
{
  const Linear *self = data;
  const ZieCpuKernels *kernels = self->kernels;
  const Split *s = &self->split;
  gint64 nr = kernels->nr, n = self->y->cols, k = self->x->cols, no_tap = 0;
  /* all columns for one block of rows: x, which is f32, is then read from memory once */
  gint64 row = item / s->n_column_blocks * s->rows, column = item % s->n_column_blocks * s->columns;
  gint64 n_rows = MIN (s->rows, self->x->rows - row), n_columns = MIN (s->columns, n - column);
  float *packed = self->packed[thread], *strip = self->strip[thread];

  for (gint64 k0 = 0; k0 < k && !zie_op_cancelled (self->ctx); k0 += s->stretch)
    {
      gint64 n_k = MIN (s->stretch, k - k0);
      ZieCpuTile tile = { .a = zie_cpu_row (self->x, row) + k0, .lda = self->x->stride, .taps = &no_tap, .n_taps = 1, .n_k = n_k,
                          .ldc = self->y->stride, .m = n_rows, .accumulate = k0 > 0 };

      if (self->round_bf16)
        {
          for (gint64 i = 0; i < n_rows; i++)
            kernels->round_bf16 (strip + i * s->strip_stride, tile.a + i * tile.lda, n_k);
          tile.a = strip;
          tile.lda = s->strip_stride;
        }

      for (gint64 j = 0; j < n_columns; j += nr)
        {
          ZieCpuRows rows;

          tile.n = MIN (nr, n_columns - j);
          tile.b = packed;
          tile.c = zie_cpu_row (self->y, row) + column + j;
          tile.bias = self->bias != NULL && k0 == 0 ? self->bias + column + j : NULL;
          rows = zie_cpu_weight_rows (self->w, column + j, tile.n);
          kernels->pack (packed, &rows, k0, n_k, 1, self->round_bf16);
          kernels->tile (&tile);
        }
    }
}

/* A few rows: each weight row is expanded and multiplied with all of them. */
static void
few_rows_task (gpointer data, gint64 item, guint thread)
{
  const Linear *self = data;
  const ZieCpuKernels *kernels = self->kernels;
  gint64 k = self->x->cols, m = self->x->rows, no_tap = 0;
  gint64 end = MIN ((item + 1) * FEW_COLUMNS, self->y->cols);
  float *rows = self->packed[thread], *products = self->strip[thread];

  for (gint64 column = item * FEW_COLUMNS; column < end && !zie_op_cancelled (self->ctx); column += FEW_EXPANDED)
    {
      gint64 n = MIN (FEW_EXPANDED, end - column);
      ZieCpuTile tile = { .a = rows, .lda = k, .taps = &no_tap, .n_taps = 1, .n_k = k, .c = products, .ldc = 1, .m = n, .n = 1 };

      for (gint64 j = 0; j < n; j++)
        {
          zie_cpu_expand_row (kernels, self->w, column + j, rows + j * k);
          if (self->round_bf16)
            kernels->round_bf16 (rows + j * k, rows + j * k, k);
        }
      for (gint64 i = 0; i < m; i++)
        {
          tile.b = zie_cpu_row (self->x, i);
          if (self->round_bf16)
            {
              float *x = self->packed[thread] + FEW_EXPANDED * k;
              kernels->round_bf16 (x, tile.b, k);
              tile.b = x;
            }
          kernels->dots (&tile);
          for (gint64 j = 0; j < n; j++)
            zie_cpu_row (self->y, i)[column + j] = products[j] + (self->bias != NULL ? self->bias[column + j] : 0.0f);
        }
    }
}

/* … or in bf16 numbers and f32 arithmetic, where the processor has no other. */
static void
linear_f32 (Linear *self, void *scratch, const ZieWeight *b)
{
  ZieOpCtx *ctx = self->ctx;

  carve (ctx, self, scratch, self->x->rows, self->w->rows, self->x->cols);
  if (b != NULL)
    zie_cpu_expand_row (self->kernels, b, 0, self->bias);
  else
    self->bias = NULL;

  if (self->x->rows <= FEW_ROWS)
    zie_cpu_run (ctx, blocks (self->y->cols, FEW_COLUMNS), few_rows_task, self);
  else
    zie_cpu_run (ctx, self->split.n_row_blocks * self->split.n_column_blocks, linear_task, self);
}

void
zie_cpu_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  ZieOpShape shape = zie_op_shape_linear (y, x, w, b);
  ZieMark mark = zie_arena_mark (ctx->arena);
  void *scratch = zie_op_scratch (ctx, &shape);
  Linear self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .y = y, .x = x, .w = w };

  self.round_bf16 = ctx->compute == ZIE_COMPUTE_BF16;
  if (!use_bf16 (ctx, &shape) || !zie_cpu_linear_bf16 (ctx, scratch, y, x, w, b))
    linear_f32 (&self, scratch, b);
  zie_arena_rewind (ctx->arena, mark);
}
