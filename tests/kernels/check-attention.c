/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

/* F32: exp and two sums in f32.  BF16: the reference keeps the probabilities exact, a backend may round them to bf16
 * (2^-9 each, independent), which the mean over many keys makes smaller. */
#define F32 1e-12
#define BF16 1e-5
/* Scores of thousands: an f32 score is off by 1e-4 and more there, and so is the exp of a difference of two of them; few
 * probabilities are neither 0 nor 1, so the mean stays far below 1e-8. */
#define LARGE_SCORES 1e-8

typedef struct
{
  gint64 m, n;                   /* queries, keys */
  int heads, kv_heads, d;
  gint64 stride;                 /* of q, k and v; 0 = dense */
  gboolean is_causal;
  CheckInput input;
  double f32, bf16;
} Case;

static const Case cases[] = {
  /* The demo model: q, k, v are thirds of one tensor; caption and image alone; its text encoder; its autoencoder. */
  { 288, 288, 3, 3, 128, 1152, FALSE, CHECK_NORMAL, F32, BF16 },
  { 32, 32, 3, 3, 128, 1152, FALSE, CHECK_NORMAL, F32, BF16 },
  { 21, 21, 6, 2, 64, 640, TRUE, CHECK_NORMAL, F32, BF16 },
  { 1024, 1024, 1, 1, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },

  /* Slices of the full-size models: all heads, all keys, the encoder at 64 ids, the autoencoder's one head of 512. */
  { 5, 544, 30, 30, 128, 11520, FALSE, CHECK_NORMAL, F32, BF16 },
  { 9, 4128, 2, 2, 128, 768, FALSE, CHECK_NORMAL, F32, BF16 },
  { 64, 64, 32, 8, 128, 6144, TRUE, CHECK_NORMAL, F32, BF16 },
  { 70, 1024, 1, 1, 512, 0, FALSE, CHECK_NORMAL, F32, BF16 },

  { 1, 1, 1, 1, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 1, 1, 4, 2, 64, 0, TRUE, CHECK_NORMAL, F32, BF16 },
  { 1, 37, 2, 1, 8, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 7, 13, 3, 1, 24, 100, FALSE, CHECK_NORMAL, F32, BF16 },
  { 17, 1, 2, 2, 16, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 31, 33, 1, 1, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 63, 65, 2, 2, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 65, 65, 2, 1, 128, 0, TRUE, CHECK_NORMAL, F32, BF16 },
  { 127, 127, 4, 4, 32, 0, TRUE, CHECK_NORMAL, F32, BF16 },
  { 129, 257, 1, 1, 48, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 200, 511, 2, 2, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 300, 300, 2, 2, 64, 0, TRUE, CHECK_NORMAL, F32, BF16 },
  { 97, 101, 1, 1, 2, 0, FALSE, CHECK_NORMAL, F32, BF16 },

  { 64, 160, 2, 2, 128, 0, FALSE, CHECK_OUTLIERS, LARGE_SCORES, BF16 },
  { 96, 96, 4, 1, 128, 0, TRUE, CHECK_OUTLIERS, LARGE_SCORES, BF16 },
  { 48, 100, 2, 2, 128, 0, FALSE, CHECK_OFFSET, LARGE_SCORES, BF16 },   /* scores near 113,000: the maximum comes off */
  { 33, 70, 2, 2, 64, 0, FALSE, CHECK_ZEROS, 0, 0 },
  { 33, 70, 2, 2, 64, 0, FALSE, CHECK_DENORMAL, F32, BF16 },
  { 130, 64, 1, 1, 64, 0, FALSE, CHECK_ONE_HOT, F32, BF16 },

  /* Large: a picture of 1024 x 1024 and its caption; its autoencoder; the encoder at its longest. */
  { 4128, 4128, 30, 30, 128, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 16384, 16384, 1, 1, 512, 0, FALSE, CHECK_NORMAL, F32, BF16 },
  { 512, 512, 32, 8, 128, 0, TRUE, CHECK_NORMAL, F32, BF16 },
};

#define N_LARGE 3

typedef struct
{
  const Case *c;
  ZieTensor *o, *q, *k, *v;
} Data;

static void
call (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->attention (ctx, d->o, d->q, d->k, d->v, d->c->heads, d->c->kv_heads, 1 / sqrtf ((float)d->c->d),
                       d->c->is_causal);
}

static void
name_case (guint index, GString *name)
{
  const Case *c = &cases[index];

  g_string_append_printf (name, "%dx%d-heads-%d-%d-of-%d-%s%s", (int)c->m, (int)c->n, c->heads, c->kv_heads, c->d,
                          check_input_name (c->input), c->is_causal ? "-causal" : "");
  if (c->stride)
    g_string_append_printf (name, "-stride-%d", (int)c->stride);
}

static void
run_case (Check *check, guint index)
{
  const Case *c = &cases[index];
  Data data = {
    .c = c,
    .o = check_new_output (check, c->m, (gint64)c->heads * c->d, 0),
    .q = check_new_input (check, c->m, (gint64)c->heads * c->d, c->stride, c->input),
    .k = check_new_input (check, c->n, (gint64)c->kv_heads * c->d, c->stride, c->input),
    .v = check_new_input (check, c->n, (gint64)c->kv_heads * c->d, c->stride, c->input),
  };

  check_run (check, call, &data, check_get_compute (check) == ZIE_COMPUTE_BF16 ? c->bf16 : c->f32);
}

const CheckOp check_attention = {
  .name = "attention",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = N_LARGE,
  .uses_compute = TRUE,
  .takes_scratch = TRUE,
  .name_case = name_case,
  .run_case = run_case,
};
