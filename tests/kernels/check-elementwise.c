/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

/* exp in f32 and a division; the small ops round once, where the reference rounds. */
#define EXP 1e-12
#define ONCE 1e-14

typedef struct
{
  gint64 rows, cols, stride;
  CheckInput input;
} Case;

static const Case cases[] = {
  { 288, 384, 0, CHECK_NORMAL },
  { 288, 1024, 2048, CHECK_NORMAL },
  { 1024, 128, 0, CHECK_NORMAL },
  { 3, 10240, 20480, CHECK_OUTLIERS },
  { 5, 3840, 0, CHECK_OUTLIERS },
  { 1, 1536, 0, CHECK_NORMAL },
  { 1, 1, 0, CHECK_NORMAL },
  { 2, 3, 5, CHECK_NORMAL },
  { 1, 7, 0, CHECK_NORMAL },
  { 3, 15, 0, CHECK_NORMAL },
  { 3, 16, 0, CHECK_NORMAL },
  { 3, 17, 18, CHECK_NORMAL },
  { 13, 101, 103, CHECK_NORMAL },
  { 65, 33, 0, CHECK_OFFSET },
  { 7, 65, 0, CHECK_ZEROS },
  { 7, 65, 0, CHECK_DENORMAL },
  { 70, 65, 0, CHECK_ONE_HOT },

  { 4128, 10240, 0, CHECK_NORMAL },                      /* large */
};

typedef struct
{
  ZieTensor *y, *a, *b;
  ZieUnary kind;
  const ZieWeight *table;
  const gint32 *ids;
} Data;

static void
append_name (guint index, GString *name)
{
  const Case *c = &cases[index];

  g_string_append_printf (name, "%dx%d-%s", (int)c->rows, (int)c->cols, check_input_name (c->input));
  if (c->stride)
    g_string_append_printf (name, "-stride-%d", (int)c->stride);
}

static ZieTensor *
new_in (Check *check, guint index)
{
  const Case *c = &cases[index];

  return check_new_input (check, c->rows, c->cols, c->stride, c->input);
}

static ZieTensor *
new_inout (Check *check, guint index)
{
  const Case *c = &cases[index];

  return check_new_inout (check, c->rows, c->cols, c->stride, c->input);
}

static ZieTensor *
new_out (Check *check, guint index)
{
  return check_new_output (check, cases[index].rows, cases[index].cols, index % 3 == 1 ? cases[index].cols + 3 : 0);
}

/* swiglu: over gate itself in every other case, as the feed-forward does */

static void
call_swiglu (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->swiglu (ctx, d->y, d->a, d->b);
}

static void
run_swiglu (Check *check, guint index)
{
  Data data = { .b = new_in (check, index) };

  data.a = index % 2 ? new_inout (check, index) : new_in (check, index);
  data.y = index % 2 ? data.a : new_out (check, index);
  check_run (check, call_swiglu, &data, EXP);
}

const CheckOp check_swiglu = {
  .name = "swiglu",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = 1,
  .name_case = append_name,
  .run_case = run_swiglu,
};

static void
call_add (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->add (ctx, d->y, d->a);
}

static void
run_add (Check *check, guint index)
{
  Data data = { .y = new_inout (check, index), .a = new_in (check, index) };

  check_run (check, call_add, &data, 0);
}

const CheckOp check_add = {
  .name = "add",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = 1,
  .name_case = append_name,
  .run_case = run_add,
};

/* unary: each kind with each case, in place for odd ones */

static const struct { const char *name; double tolerance; } unaries[] = {
  [ZIE_UNARY_SILU] = { "silu-", EXP },
  [ZIE_UNARY_TANH] = { "tanh-", EXP },
  [ZIE_UNARY_ONE_PLUS] = { "one-plus-", ONCE },
};

static void
call_unary (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->unary (ctx, d->y, d->a, d->kind);
}

static void
name_unary (guint index, GString *name)
{
  g_string_append (name, unaries[index % G_N_ELEMENTS (unaries)].name);
  append_name (index / G_N_ELEMENTS (unaries), name);
}

static void
run_unary (Check *check, guint index)
{
  Data data = { .kind = (ZieUnary)(index % G_N_ELEMENTS (unaries)) };

  index /= G_N_ELEMENTS (unaries);
  data.a = index % 2 ? new_inout (check, index) : new_in (check, index);
  data.y = index % 2 ? data.a : new_out (check, index);
  check_run (check, call_unary, &data, unaries[data.kind].tolerance);
}

const CheckOp check_unary = {
  .name = "unary",
  .n_cases = G_N_ELEMENTS (unaries) * G_N_ELEMENTS (cases),
  .n_large = G_N_ELEMENTS (unaries),
  .name_case = name_unary,
  .run_case = run_unary,
};

static void
call_copy (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->copy (ctx, d->y, d->a);
}

static void
run_copy (Check *check, guint index)
{
  Data data = { .y = new_out (check, index), .a = new_in (check, index) };

  check_run (check, call_copy, &data, 0);
}

const CheckOp check_copy = {
  .name = "copy",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = 1,
  .name_case = append_name,
  .run_case = run_copy,
};

/* Rows from stored weights, exactly. */

static const struct { gint64 rows, cols, table_rows; ZieDtype dtype; } table_cases[] = {
  { 21, 256, 4096, ZIE_DTYPE_BF16 },
  { 64, 2560, 500, ZIE_DTYPE_BF16 },
  { 9, 384, 77, ZIE_DTYPE_Q8_0 },
  { 9, 512, 77, ZIE_DTYPE_Q6_K },
  { 9, 512, 77, ZIE_DTYPE_Q4_K },
  { 7, 100, 33, ZIE_DTYPE_F8_E4M3 },
  { 1, 1, 1, ZIE_DTYPE_F32 },
  { 5, 31, 3, ZIE_DTYPE_F16 },
  { 7, 33, 1000, ZIE_DTYPE_F32 },
  { 3, 32, 2, ZIE_DTYPE_Q8_0 },
};

static void
name_table (guint index, GString *name)
{
  g_string_append_printf (name, "%dx%d-of-%d-%s", (int)table_cases[index].rows, (int)table_cases[index].cols,
                          (int)table_cases[index].table_rows, zie_dtype_name (table_cases[index].dtype));
}

static void
call_gather (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->gather (ctx, d->y, d->table, d->ids);
}

static void
run_gather (Check *check, guint index)
{
  gint64 rows = table_cases[index].rows, cols = table_cases[index].cols, table_rows = table_cases[index].table_rows;
  g_autofree gint32 *ids = g_new (gint32, (gsize)rows);
  Data data = {
    .y = check_new_output (check, rows, cols, index % 2 ? 0 : cols + 5),
    .table = check_new_weight (check, table_cases[index].dtype, table_rows, cols, 1),
    .ids = ids,
  };

  for (gint64 i = 0; i < rows; i++)
    ids[i] = (gint32)(check_random (check) % (guint64)table_rows);
  ids[rows - 1] = (gint32)table_rows - 1;
  check_run (check, call_gather, &data, 0);
}

const CheckOp check_gather = {
  .name = "gather",
  .n_cases = G_N_ELEMENTS (table_cases),
  .name_case = name_table,
  .run_case = run_gather,
};

static void
call_fill_rows (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->fill_rows (ctx, d->y, d->table);
}

static void
run_fill_rows (Check *check, guint index)
{
  gint64 rows = table_cases[index].rows, cols = table_cases[index].cols;
  Data data = {
    .y = check_new_output (check, rows, cols, index % 2 ? 0 : cols + 5),
    .table = check_new_weight (check, table_cases[index].dtype, 1, cols, 1),
  };

  check_run (check, call_fill_rows, &data, 0);
}

const CheckOp check_fill_rows = {
  .name = "fill_rows",
  .n_cases = G_N_ELEMENTS (table_cases),
  .name_case = name_table,
  .run_case = run_fill_rows,
};
