/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

#include <math.h>

double
ref_silu (double x)
{
  return x / (1 + exp (-x));
}

void
ref_swiglu (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *gate, const ZieTensor *up)
{
  zie_op_shape_swiglu (y, gate, up);
  for (gint64 r = 0; r < y->rows && !zie_op_cancelled (ctx); r++)
    for (gint64 i = 0; i < y->cols; i++)
      ref_row (y, r)[i] = (float)(ref_silu (ref_row (gate, r)[i]) * ref_row (up, r)[i]);
}

void
ref_add (ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *y)
{
  zie_op_shape_add (x, y);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    for (gint64 i = 0; i < x->cols; i++)
      ref_row (x, r)[i] += ref_row (y, r)[i];
}

static double
unary (ZieUnary kind, double x)
{
  switch (kind)
    {
    case ZIE_UNARY_SILU: return ref_silu (x);
    case ZIE_UNARY_TANH: return tanh (x);
    case ZIE_UNARY_ONE_PLUS: return 1 + x;
    }
  g_assert_not_reached ();
}

void
ref_unary (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, ZieUnary kind)
{
  zie_op_shape_map (y, x);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    for (gint64 i = 0; i < x->cols; i++)
      ref_row (y, r)[i] = (float)unary (kind, ref_row (x, r)[i]);
}

void
ref_copy (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x)
{
  zie_op_shape_map (y, x);
  for (gint64 r = 0; r < x->rows && !zie_op_cancelled (ctx); r++)
    memcpy (ref_row (y, r), ref_row (x, r), (gsize)x->cols * sizeof (float));
}

void
ref_fill_rows (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *row)
{
  zie_op_shape_fill_rows (y, row);
  for (gint64 r = 0; r < y->rows && !zie_op_cancelled (ctx); r++)
    zie_weight_row_to_f32 (row, 0, ref_row (y, r));
}

void
ref_gather (ZieOpCtx *ctx, ZieTensor *y, const ZieWeight *table, const gint32 *ids)
{
  zie_op_shape_gather (y, table);
  for (gint64 r = 0; r < y->rows && !zie_op_cancelled (ctx); r++)
    {
      g_assert (ids[r] >= 0 && ids[r] < table->rows);
      zie_weight_row_to_f32 (table, ids[r], ref_row (y, r));
    }
}
