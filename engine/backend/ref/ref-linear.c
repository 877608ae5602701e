/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

typedef struct
{
  ZieOpCtx *ctx;
  ZieTensor *y;
  const ZieTensor *x;
  const ZieWeight *w, *b;
  float *rows;                   /* scratch: a row of the weight for each thread */
} Linear;

gsize
ref_linear_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return MAX (ctx->n_threads, 1) * (gsize)shape->k * sizeof (float);
}

/* Column OUT of y. */
static void
linear_column (gpointer data, gint64 out, guint thread)
{
  const Linear *self = data;
  gint64 n_in = self->w->cols;
  float *row = self->rows + thread * n_in;
  double bias = self->b ? ref_weight_at (self->b, out) : 0;

  zie_weight_row_to_f32 (self->w, out, row);
  for (gint64 i = 0; i < n_in; i++)
    row[i] = ref_operand (self->ctx, row[i]);

  for (gint64 m = 0; m < self->x->rows; m++)
    {
      const float *x = ref_row (self->x, m);
      double sum = bias;

      for (gint64 i = 0; i < n_in; i++)
        sum += (double)ref_operand (self->ctx, x[i]) * row[i];
      ref_row (self->y, m)[out] = (float)sum;
    }
}

void
ref_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  ZieOpShape shape = zie_op_shape_linear (y, x, w, b);
  ZieMark mark = zie_arena_mark (ctx->arena);
  Linear self = { ctx, y, x, w, b, zie_op_scratch (ctx, &shape) };

  ref_run (ctx, w->rows, linear_column, &self);
  zie_arena_rewind (ctx->arena, mark);
}
