/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <string.h>

#include "cpu-onednn.h"

/* A linear layer by oneDNN's bf16 products.  Rows of x are rounded once, a block of them at a time; a task multiplies the
 * block with some rows of the weight, which in bf16 are used as they lie in the file. */

/* Blocks follow from the shape alone, not from the number of threads: which order oneDNN sums in may hang on them. */
#define TASKS_WANTED 6

#define ROWS_MAX 1024
#define COLUMNS_MAX 128
#define COLUMNS_MIN 32
#define TASK_FLOPS 0.6e9       /* a few ms at the slowest level that has bf16 products: cancelling waits for a task */
#define ROUND_ROWS 16          /* of a rounding task */

typedef struct
{
  gint64 rows, columns, n_row_blocks, n_column_blocks;
  gint64 x_stride;
} Split;

typedef struct
{
  guint16 *weights;            /* [columns, k]: for types other than bf16 */
  float *row;                  /* [k] */
  void *scratch;
} Room;

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieWeight *w;
  gsize w_row_size;
  Split split;
  gint64 row, n_rows;          /* the block at hand */
  guint16 *x16;
  const float *bias;
  Room *rooms;
  ZieDnn *products[2][2];      /* [last rows][last columns] */
} Linear;

static gint64
blocks (gint64 n, gint64 block)
{
  return (n + block - 1) / block;
}

static Split
split_linear (gint64 m, gint64 n, gint64 k)
{
  Split s;

  s.n_row_blocks = blocks (m, ROWS_MAX);
  s.rows = blocks (m, s.n_row_blocks);
  s.columns = COLUMNS_MAX;
  while (s.columns > COLUMNS_MIN
         && (blocks (n, s.columns) < TASKS_WANTED || 2.0 * (double)s.rows * (double)s.columns * (double)k > TASK_FLOPS))
    s.columns /= 2;
  s.n_column_blocks = blocks (n, s.columns);
  s.x_stride = 2 * zie_cpu_padded_stride (blocks (k, 2));
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Linear *self, guint8 *base, gint64 m, gint64 n, gint64 k)
{
  Split s = split_linear (m, n, k);
  ZieCpuCarve c = { base, 0 };
  guint n_threads = zie_cpu_n_threads (ctx);
  Room *rooms = zie_cpu_carve (&c, n_threads * sizeof (Room));
  guint16 *x16 = zie_cpu_carve (&c, (gsize)(s.rows * s.x_stride) * sizeof (guint16));
  float *bias = zie_cpu_carve_f32 (&c, n);

  for (guint i = 0; i < n_threads; i++)
    {
      Room room;

      room.weights = zie_cpu_carve (&c, (gsize)(s.columns * k) * sizeof (guint16));
      room.row = zie_cpu_carve_f32 (&c, k);
      room.scratch = zie_cpu_carve (&c, ZIE_DNN_SCRATCH_MAX);
      if (base != NULL)
        rooms[i] = room;
    }

  if (self != NULL)
    {
      self->split = s;
      self->rooms = rooms;
      self->x16 = x16;
      self->bias = bias;
    }
  return c.used;
}

gsize
zie_cpu_linear_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return carve (ctx, NULL, NULL, shape->m, shape->n, shape->k);
}

static void
round_task (gpointer data, gint64 item, guint thread)
{
  const Linear *self = data;
  gint64 end = MIN ((item + 1) * ROUND_ROWS, self->n_rows);

  for (gint64 i = item * ROUND_ROWS; i < end; i++)
    self->kernels->to_bf16 (self->x16 + i * self->split.x_stride, zie_cpu_row (self->x, self->row + i), self->x->cols);
}

/* Rows [column, column + n) of the weight in bf16. */
static const guint16 *
get_weights (const Linear *self, const Room *room, gint64 column, gint64 n)
{
  const guint8 *rows = zie_weight_row (self->w, column);
  gint64 k = self->w->cols;

  if (self->w->dtype == ZIE_DTYPE_BF16 && self->w->scales == NULL)
    {
      if ((gsize)rows % sizeof (guint16) == 0)
        return (const void *)rows;
      memcpy (room->weights, rows, self->w_row_size * (gsize)n);
    }
  else
    for (gint64 i = 0; i < n; i++)
      {
        zie_cpu_expand_row (self->kernels, self->w, column + i, room->row);
        self->kernels->to_bf16 (room->weights + i * k, room->row, k);
      }
  return room->weights;
}

static void
product_task (gpointer data, gint64 item, guint thread)
{
  const Linear *self = data;
  const Split *s = &self->split;
  const Room *room = &self->rooms[thread];
  gint64 column = item * s->columns, n = MIN (s->columns, self->y->cols - column);
  const ZieDnn *product = self->products[self->n_rows < s->rows][n < s->columns];

  zie_dnn_run (product, zie_cpu_row (self->y, self->row) + column, self->x16, get_weights (self, room, column, n),
               self->bias != NULL ? self->bias + column : NULL, room->scratch);
}

/* The products for whole blocks and for the last rows and columns. */
static gboolean
acquire (Linear *self)
{
  const Split *s = &self->split;
  gint64 m[2] = { s->rows, self->x->rows - (s->n_row_blocks - 1) * s->rows };
  gint64 n[2] = { s->columns, self->y->cols - (s->n_column_blocks - 1) * s->columns };

  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      {
        ZieDnnMatmul shape = { .m = m[i], .n = n[j], .k = self->x->cols, .lda = s->x_stride, .ldb = self->x->cols,
                               .ldc = self->y->stride, .b_is_transposed = TRUE, .has_bias = self->bias != NULL };

        /* a lone block is the last one too */
        if ((i == 0 && m[1] == self->x->rows && m[1] < m[0]) || (j == 0 && n[1] == self->y->cols && n[1] < n[0]))
          continue;
        if ((self->products[i][j] = zie_dnn_acquire_matmul (&shape)) == NULL)
          return FALSE;
      }
  return TRUE;
}

static void
release (Linear *self)
{
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      zie_dnn_release (self->products[i][j]);
}

gboolean
zie_cpu_linear_bf16 (ZieOpCtx *ctx, void *scratch, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  Linear self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .y = y, .x = x, .w = w };
  gboolean ok;

  self.w_row_size = zie_dtype_row_size (w->dtype, w->cols);
  carve (ctx, &self, scratch, x->rows, w->rows, x->cols);
  if (b != NULL)
    zie_cpu_expand_row (self.kernels, b, 0, (float *)self.bias);
  else
    self.bias = NULL;

  ok = acquire (&self);
  for (self.row = 0; ok && self.row < x->rows; self.row += self.split.rows)
    {
      self.n_rows = MIN (self.split.rows, x->rows - self.row);
      zie_cpu_run (ctx, blocks (self.n_rows, ROUND_ROWS), round_task, &self);
      zie_cpu_run (ctx, self.split.n_column_blocks, product_task, &self);
    }
  release (&self);
  return ok;
}
