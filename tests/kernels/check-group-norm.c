/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

/* Sums over up to a million numbers, which a backend merges from parts in f32 or double. */
#define STATISTICS 1e-11

typedef struct
{
  gint64 pixels, channels;
  int groups;
  gint64 stride;
  CheckInput input;
  double tolerance;
} Case;

static const Case cases[] = {
  { 1024, 128, 32, 0, CHECK_NORMAL, STATISTICS },
  { 4096, 128, 32, 0, CHECK_NORMAL, STATISTICS },
  { 16384, 64, 32, 0, CHECK_OFFSET, STATISTICS },
  { 65536, 32, 32, 0, CHECK_NORMAL, STATISTICS },
  { 65536, 32, 32, 0, CHECK_OFFSET, STATISTICS },
  { 300, 512, 32, 0, CHECK_OUTLIERS, STATISTICS },
  { 1200, 256, 32, 512, CHECK_NORMAL, STATISTICS },
  { 1, 32, 32, 0, CHECK_NORMAL, STATISTICS },
  { 1, 1, 1, 0, CHECK_NORMAL, STATISTICS },
  { 13, 6, 3, 7, CHECK_NORMAL, STATISTICS },
  { 257, 34, 17, 0, CHECK_NORMAL, STATISTICS },
  { 1023, 48, 8, 0, CHECK_NORMAL, STATISTICS },
  { 1025, 80, 16, 0, CHECK_OFFSET, STATISTICS },
  { 100, 64, 32, 0, CHECK_ZEROS, 1e-12 },                /* eps decides */
  { 100, 64, 32, 0, CHECK_DENORMAL, STATISTICS },
  { 100, 64, 32, 0, CHECK_ONE_HOT, STATISTICS },

  { 65536, 512, 32, 0, CHECK_NORMAL, STATISTICS },       /* large */
  { 262144, 128, 32, 0, CHECK_NORMAL, STATISTICS },
};

typedef struct
{
  int groups;
  ZieTensor *scale, *shift, *x, *y;
  const ZieWeight *gamma, *beta;
} Data;

static void
call_group_norm (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->group_norm (ctx, d->scale, d->shift, d->x, d->gamma, d->beta, d->groups, 1e-6f);
}

static void
name_case (guint index, GString *name)
{
  const Case *c = &cases[index];

  g_string_append_printf (name, "%dx%d-groups-%d-%s", (int)c->pixels, (int)c->channels, c->groups,
                          check_input_name (c->input));
  if (c->stride)
    g_string_append_printf (name, "-stride-%d", (int)c->stride);
}

static void
run_group_norm (Check *check, guint index)
{
  const Case *c = &cases[index];
  Data data = {
    .groups = c->groups,
    .scale = check_new_output (check, 1, c->channels, 0),
    .shift = check_new_output (check, 1, c->channels, 0),
    .x = check_new_input (check, c->pixels, c->channels, c->stride, c->input),
    .gamma = check_new_weight (check, ZIE_DTYPE_BF16, 1, c->channels, 0.3),
    .beta = check_new_weight (check, ZIE_DTYPE_BF16, 1, c->channels, 0.3),
  };

  check_run (check, call_group_norm, &data, c->tolerance);
}

const CheckOp check_group_norm = {
  .name = "group_norm",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = 2,
  .takes_scratch = TRUE,
  .name_case = name_case,
  .run_case = run_group_norm,
};

static void
call_affine (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->affine (ctx, d->y, d->x, d->scale, d->shift);
}

/* The same pictures; every other case in place. */
static void
run_affine (Check *check, guint index)
{
  const Case *c = &cases[index];
  Data data = {
    .scale = check_new_input (check, 1, c->channels, 0, CHECK_NORMAL),
    .shift = check_new_input (check, 1, c->channels, 0, CHECK_NORMAL),
  };

  data.x = index % 2 ? check_new_inout (check, c->pixels, c->channels, c->stride, c->input)
                     : check_new_input (check, c->pixels, c->channels, c->stride, c->input);
  data.y = index % 2 ? data.x : check_new_output (check, c->pixels, c->channels, 0);
  check_run (check, call_affine, &data, 1e-13);
}

const CheckOp check_affine = {
  .name = "affine",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = 2,
  .name_case = name_case,
  .run_case = run_affine,
};
