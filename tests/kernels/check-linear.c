/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

/* Sums of up to 10240 products in f32 reach 1e-14; 1e-12 leaves room for other orders of summation and would show a single
 * wrong bf16 rounding.  Inputs rounded to bf16 are rounded alike on both sides, so BF16 is no wider. */
#define SUMS 1e-12

typedef struct
{
  gint64 m, k, n;                /* rows, in, out */
  gint64 x_stride, y_stride;
  ZieDtype weight;
  gboolean has_bias;
  CheckInput input;
  double tolerance;
} Case;

static const Case cases[] = {
  /* The demo model: projections into a third of a [., 3 * 384] tensor, feed-forward, embedders, modulation. */
  { 288, 384, 384, 0, 1152, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 288, 384, 1024, 0, 2048, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 288, 1024, 384, 2048, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 288, 384, 1024, 0, 2048, ZIE_DTYPE_Q8_0, FALSE, CHECK_NORMAL, SUMS },
  { 288, 1024, 384, 2048, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_OUTLIERS, SUMS },
  { 256, 64, 384, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 256, 384, 64, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 1, 256, 1024, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 8, 256, 1536, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 1024, 128, 128, 0, 0, ZIE_DTYPE_F32, TRUE, CHECK_NORMAL, SUMS },

  /* Slices of the full-size models. */
  { 4, 3840, 10240, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_OUTLIERS, SUMS },
  { 3, 10240, 3840, 20480, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 32, 3840, 384, 0, 11520, ZIE_DTYPE_BF16, FALSE, CHECK_OUTLIERS, SUMS },
  { 21, 2560, 1024, 0, 6144, ZIE_DTYPE_BF16, FALSE, CHECK_OUTLIERS, SUMS },
  { 5, 9728, 320, 0, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_OUTLIERS, SUMS },
  { 1, 256, 15360, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 1, 3840, 3840, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 32, 512, 512, 0, 0, ZIE_DTYPE_F16, TRUE, CHECK_NORMAL, SUMS },

  /* One, odd, prime, a block and its neighbours. */
  { 1, 1, 1, 0, 0, ZIE_DTYPE_F32, TRUE, CHECK_NORMAL, SUMS },
  { 1, 1, 1, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 2, 3, 5, 7, 11, ZIE_DTYPE_F16, TRUE, CHECK_NORMAL, SUMS },
  { 1, 32, 1, 0, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_NORMAL, 1e-10 },             /* one sum, which may cancel */
  { 7, 64, 33, 65, 0, ZIE_DTYPE_Q8_0, TRUE, CHECK_NORMAL, SUMS },
  { 37, 101, 53, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 13, 17, 257, 0, 300, ZIE_DTYPE_F32, FALSE, CHECK_NORMAL, SUMS },
  { 15, 31, 15, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 16, 32, 16, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 17, 33, 17, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 31, 255, 47, 257, 49, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 33, 257, 49, 0, 0, ZIE_DTYPE_F16, TRUE, CHECK_NORMAL, SUMS },
  { 64, 64, 64, 0, 0, ZIE_DTYPE_F32, FALSE, CHECK_NORMAL, SUMS },
  { 65, 511, 63, 0, 0, ZIE_DTYPE_F32, TRUE, CHECK_NORMAL, SUMS },
  { 129, 513, 65, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
  { 241, 96, 129, 0, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_NORMAL, SUMS },

  /* Every other quantised type: many rows over several stretches, few, and one block. */
  { 37, 1120, 67, 0, 0, ZIE_DTYPE_Q4_0, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1120, 41, 0, 0, ZIE_DTYPE_Q4_0, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 32, 33, 0, 0, ZIE_DTYPE_Q4_0, FALSE, CHECK_NORMAL, SUMS },
  { 37, 1120, 67, 0, 0, ZIE_DTYPE_Q4_1, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1120, 41, 0, 0, ZIE_DTYPE_Q4_1, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 32, 33, 0, 0, ZIE_DTYPE_Q4_1, FALSE, CHECK_NORMAL, SUMS },
  { 37, 1120, 67, 0, 0, ZIE_DTYPE_Q5_0, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1120, 41, 0, 0, ZIE_DTYPE_Q5_0, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 32, 33, 0, 0, ZIE_DTYPE_Q5_0, FALSE, CHECK_NORMAL, SUMS },
  { 37, 1120, 67, 0, 0, ZIE_DTYPE_Q5_1, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1120, 41, 0, 0, ZIE_DTYPE_Q5_1, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 32, 33, 0, 0, ZIE_DTYPE_Q5_1, FALSE, CHECK_NORMAL, SUMS },
  { 37, 3840, 67, 0, 0, ZIE_DTYPE_Q2_K, TRUE, CHECK_NORMAL, SUMS },
  { 3, 3840, 41, 0, 0, ZIE_DTYPE_Q2_K, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 256, 33, 0, 0, ZIE_DTYPE_Q2_K, FALSE, CHECK_NORMAL, SUMS },
  { 37, 3840, 67, 0, 0, ZIE_DTYPE_Q3_K, TRUE, CHECK_NORMAL, SUMS },
  { 3, 3840, 41, 0, 0, ZIE_DTYPE_Q3_K, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 256, 33, 0, 0, ZIE_DTYPE_Q3_K, FALSE, CHECK_NORMAL, SUMS },
  { 37, 3840, 67, 0, 0, ZIE_DTYPE_Q4_K, TRUE, CHECK_NORMAL, SUMS },
  { 3, 3840, 41, 0, 0, ZIE_DTYPE_Q4_K, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 256, 33, 0, 0, ZIE_DTYPE_Q4_K, FALSE, CHECK_NORMAL, SUMS },
  { 37, 3840, 67, 0, 0, ZIE_DTYPE_Q5_K, TRUE, CHECK_NORMAL, SUMS },
  { 3, 3840, 41, 0, 0, ZIE_DTYPE_Q5_K, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 256, 33, 0, 0, ZIE_DTYPE_Q5_K, FALSE, CHECK_NORMAL, SUMS },
  { 37, 3840, 67, 0, 0, ZIE_DTYPE_Q6_K, TRUE, CHECK_NORMAL, SUMS },
  { 3, 3840, 41, 0, 0, ZIE_DTYPE_Q6_K, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 256, 33, 0, 0, ZIE_DTYPE_Q6_K, FALSE, CHECK_NORMAL, SUMS },
  { 37, 1111, 67, 0, 0, ZIE_DTYPE_F8_E4M3, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1111, 41, 0, 0, ZIE_DTYPE_F8_E4M3, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 1, 33, 0, 0, ZIE_DTYPE_F8_E4M3, FALSE, CHECK_NORMAL, SUMS },
  { 37, 1111, 67, 0, 0, ZIE_DTYPE_F8_E5M2, TRUE, CHECK_NORMAL, SUMS },
  { 3, 1111, 41, 0, 0, ZIE_DTYPE_F8_E5M2, FALSE, CHECK_OUTLIERS, SUMS },
  { 9, 1, 33, 0, 0, ZIE_DTYPE_F8_E5M2, FALSE, CHECK_NORMAL, SUMS },

  { 33, 384, 129, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_ZEROS, 0 },            /* the bias, exactly */
  { 33, 384, 129, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_ZEROS, 0 },
  { 33, 384, 129, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_DENORMAL, SUMS },
  { 401, 384, 129, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_ONE_HOT, 0 },        /* a column of the weight, exactly */
  { 65, 63, 129, 0, 0, ZIE_DTYPE_F16, FALSE, CHECK_ONE_HOT, SUMS },        /* BF16 rounds these, F32 does not */
  { 97, 96, 47, 0, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_ONE_HOT, SUMS },

  /* Large: a picture of 1024 x 1024 and its caption, the encoder at its longest. */
  { 4128, 3840, 3840, 0, 11520, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 4128, 3840, 10240, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 4128, 10240, 3840, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 4128, 3840, 10240, 0, 0, ZIE_DTYPE_Q8_0, FALSE, CHECK_NORMAL, SUMS },
  { 512, 2560, 9728, 0, 0, ZIE_DTYPE_BF16, FALSE, CHECK_NORMAL, SUMS },
  { 16384, 512, 512, 0, 0, ZIE_DTYPE_BF16, TRUE, CHECK_NORMAL, SUMS },
};

#define N_LARGE 6

typedef struct
{
  ZieTensor *y, *x;
  const ZieWeight *w, *b;
} Data;

static void
call (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->linear (ctx, d->y, d->x, d->w, d->b);
}

static void
name_case (guint index, GString *name)
{
  const Case *c = &cases[index];

  g_string_append_printf (name, "%dx%d-to-%d-%s-%s", (int)c->m, (int)c->k, (int)c->n, zie_dtype_name (c->weight),
                          check_input_name (c->input));
  if (c->x_stride || c->y_stride)
    g_string_append_printf (name, "-stride-%d-%d", (int)c->x_stride, (int)c->y_stride);
  if (c->has_bias)
    g_string_append (name, "-bias");
}

static void
run_case (Check *check, guint index)
{
  const Case *c = &cases[index];
  Data data = {
    .y = check_new_output (check, c->m, c->n, c->y_stride),
    .x = check_new_input (check, c->m, c->k, c->x_stride, c->input),
    .w = check_new_weight (check, c->weight, c->n, c->k, 1 / sqrt ((double)c->k)),
    .b = c->has_bias ? check_new_weight (check, zie_dtype_block (c->weight) > 1 ? ZIE_DTYPE_F32 : c->weight, 1, c->n, 1) : NULL,
  };

  check_run (check, call, &data, c->tolerance);
}

const CheckOp check_linear = {
  .name = "linear",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = N_LARGE,
  .uses_compute = TRUE,
  .takes_scratch = TRUE,
  .name_case = name_case,
  .run_case = run_case,
};
