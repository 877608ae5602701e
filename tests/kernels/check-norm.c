/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

/* A row's statistics in f32 or better, then a few products of each element. */
#define ROWS 1e-12

/* The four norms of the transformers share their cases: rows of DIM, or of HEADS heads of DIM. */
typedef struct
{
  gint64 rows, dim;
  int heads;                     /* of qk_norm_rope only */
  gint64 stride;
  gboolean has_vector;           /* scale or gate */
  gboolean is_in_place;          /* y is x, where the op allows it */
  ZieDtype weight;
  CheckInput input;
  double tolerance;
} Case;

static const Case row_cases[] = {
  { 288, 384, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 288, 384, 0, 0, TRUE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 32, 384, 0, 0, FALSE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 288, 384, 0, 1152, FALSE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },      /* the branch lies in q's columns */
  { 33, 3840, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_OUTLIERS, ROWS },
  { 7, 3840, 0, 11520, TRUE, FALSE, ZIE_DTYPE_F32, CHECK_OUTLIERS, ROWS },
  { 21, 2560, 0, 0, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_OUTLIERS, ROWS },
  { 1, 1, 0, 0, TRUE, FALSE, ZIE_DTYPE_F32, CHECK_NORMAL, ROWS },
  { 3, 2, 0, 5, FALSE, FALSE, ZIE_DTYPE_F16, CHECK_NORMAL, ROWS },
  { 5, 7, 0, 0, TRUE, TRUE, ZIE_DTYPE_F16, CHECK_NORMAL, ROWS },
  { 2, 15, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 2, 17, 0, 19, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 11, 127, 0, 0, TRUE, FALSE, ZIE_DTYPE_F32, CHECK_NORMAL, ROWS },
  { 1, 2561, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 4, 96, 0, 0, FALSE, FALSE, ZIE_DTYPE_Q8_0, CHECK_NORMAL, ROWS },
  { 4, 2561, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_ZEROS, 0 },               /* eps decides */
  { 4, 385, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_DENORMAL, ROWS },
  { 40, 33, 0, 0, FALSE, FALSE, ZIE_DTYPE_BF16, CHECK_ONE_HOT, ROWS },
  { 9, 3840, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_OFFSET, 1e-9 },   /* an f32 mean of 100 is off by 1e-5 */

  { 4128, 3840, 0, 0, TRUE, FALSE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },        /* large */
};

static const Case head_cases[] = {
  { 288, 128, 3, 1152, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 32, 128, 3, 0, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 5, 128, 30, 11520, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_OUTLIERS, ROWS },
  { 21, 128, 8, 6144, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_OUTLIERS, ROWS },
  { 1, 2, 1, 0, FALSE, TRUE, ZIE_DTYPE_F32, CHECK_NORMAL, ROWS },
  { 3, 6, 5, 0, FALSE, TRUE, ZIE_DTYPE_F16, CHECK_NORMAL, ROWS },
  { 7, 24, 2, 53, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 4, 62, 2, 0, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 4, 66, 2, 0, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },
  { 9, 64, 2, 0, FALSE, TRUE, ZIE_DTYPE_F32, CHECK_ZEROS, 0 },
  { 9, 64, 2, 0, FALSE, TRUE, ZIE_DTYPE_F32, CHECK_DENORMAL, ROWS },
  { 130, 64, 2, 0, FALSE, TRUE, ZIE_DTYPE_F32, CHECK_ONE_HOT, ROWS },

  { 4128, 128, 30, 11520, FALSE, TRUE, ZIE_DTYPE_BF16, CHECK_NORMAL, ROWS },    /* large */
};

typedef struct
{
  const Case *c;
  ZieTensor *y, *x, *vector, *cos, *sin;
  const ZieWeight *w;
  ZieRope rope;
} Data;

static void
append_name (const Case *c, gboolean says_in_place, GString *name)
{
  g_string_append_printf (name, "%dx%d-%s-%s", (int)c->rows, (int)c->dim, zie_dtype_name (c->weight),
                          check_input_name (c->input));
  if (c->heads)
    g_string_append_printf (name, "-heads-%d", c->heads);
  if (c->stride)
    g_string_append_printf (name, "-stride-%d", (int)c->stride);
  if (c->has_vector)
    g_string_append (name, "-scaled");
  if (c->is_in_place && says_in_place)
    g_string_append (name, "-in-place");
}

static void
name_row_case (guint index, GString *name)
{
  append_name (&row_cases[index], TRUE, name);
}

static Data
new_row_data (Check *check, const Case *c)
{
  Data data = { .c = c };

  data.x = c->is_in_place ? check_new_inout (check, c->rows, c->dim, c->stride, c->input)
                          : check_new_input (check, c->rows, c->dim, c->stride, c->input);
  data.y = c->is_in_place ? data.x : check_new_output (check, c->rows, c->dim, 0);
  data.w = check_new_weight (check, c->weight, 1, c->dim, 0.3);
  data.vector = check_new_input (check, 1, c->dim, 0, CHECK_NORMAL);
  return data;
}

static void
call_rms_norm (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->rms_norm (ctx, d->y, d->x, d->w, d->c->has_vector ? d->vector : NULL, 1e-5f);
}

static void
run_rms_norm (Check *check, guint index)
{
  Data data = new_row_data (check, &row_cases[index]);

  check_run (check, call_rms_norm, &data, data.c->tolerance);
}

const CheckOp check_rms_norm = {
  .name = "rms_norm",
  .n_cases = G_N_ELEMENTS (row_cases),
  .n_large = 1,
  .name_case = name_row_case,
  .run_case = run_rms_norm,
};

static void
call_layer_norm (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->layer_norm (ctx, d->y, d->x, d->vector, 1e-6f);
}

static void
run_layer_norm (Check *check, guint index)
{
  Data data = new_row_data (check, &row_cases[index]);

  check_run (check, call_layer_norm, &data, data.c->tolerance);
}

const CheckOp check_layer_norm = {
  .name = "layer_norm",
  .n_cases = G_N_ELEMENTS (row_cases),
  .n_large = 1,
  .name_case = name_row_case,
  .run_case = run_layer_norm,
};

static void
call_gated_norm_add (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->gated_norm_add (ctx, d->y, d->x, d->w, d->c->has_vector ? d->vector : NULL, 1e-5f);
}

static void
name_gated_case (guint index, GString *name)
{
  append_name (&row_cases[index], FALSE, name);
  if (row_cases[index].is_in_place)
    g_string_append (name, "-strided-sum");
}

/* The sum is always in place and never the branch itself, so cases in place stand for strided sums. */
static void
run_gated_norm_add (Check *check, guint index)
{
  const Case *c = &row_cases[index];
  Data data = { .c = c };

  data.y = check_new_inout (check, c->rows, c->dim, c->is_in_place ? c->dim + 9 : 0, CHECK_NORMAL);
  data.x = check_new_input (check, c->rows, c->dim, c->stride, c->input);
  data.w = check_new_weight (check, c->weight, 1, c->dim, 0.3);
  data.vector = check_new_input (check, 1, c->dim, 0, CHECK_NORMAL);
  check_run (check, call_gated_norm_add, &data, c->tolerance);
}

const CheckOp check_gated_norm_add = {
  .name = "gated_norm_add",
  .n_cases = G_N_ELEMENTS (row_cases),
  .n_large = 1,
  .name_case = name_gated_case,
  .run_case = run_gated_norm_add,
};

static void
call_qk_norm_rope (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->qk_norm_rope (ctx, d->x, d->w, d->cos, d->sin, d->c->heads, d->rope, 1e-6f);
}

static void
name_head_case (guint index, GString *name)
{
  append_name (&head_cases[index / 2], FALSE, name);
  g_string_append (name, index % 2 ? "-half" : "-interleaved");
}

static void
run_qk_norm_rope (Check *check, guint index)
{
  const Case *c = &head_cases[index / 2];
  Data data = { .c = c, .rope = index % 2 ? ZIE_ROPE_HALF : ZIE_ROPE_INTERLEAVED };

  data.x = check_new_inout (check, c->rows, c->dim * c->heads, c->stride, c->input);
  data.w = check_new_weight (check, c->weight, 1, c->dim, 0.3);
  data.cos = check_new_input (check, c->rows, c->dim / 2, 0, CHECK_NORMAL);      /* any numbers: the op only multiplies */
  data.sin = check_new_input (check, c->rows, c->dim / 2, 0, CHECK_NORMAL);
  check_run (check, call_qk_norm_rope, &data, c->tolerance);
}

const CheckOp check_qk_norm_rope = {
  .name = "qk_norm_rope",
  .n_cases = 2 * G_N_ELEMENTS (head_cases),
  .n_large = 2,
  .name_case = name_head_case,
  .run_case = run_qk_norm_rope,
};
