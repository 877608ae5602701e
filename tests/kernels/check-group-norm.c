/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "zie-op-shape.h"

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

/* Of pictures: in one piece, which the reference makes of the same steps; and in bands, the last one first. */
static const struct { gint64 height, width, channels; int groups; gint64 n_steps; CheckInput input; } band_cases[] = {
  { 24, 16, 64, 32, 0, CHECK_NORMAL }, { 24, 16, 64, 32, 1, CHECK_NORMAL },   { 24, 16, 64, 32, 7, CHECK_OFFSET },
  { 521, 3, 32, 8, 1, CHECK_NORMAL },  { 1040, 2, 32, 32, 8, CHECK_NORMAL },  { 1, 50, 12, 3, 1, CHECK_NORMAL },
};

typedef struct
{
  Data d;
  gint64 rows;
} Bands;

static void
call_bands (ZieOpCtx *ctx, gpointer data)
{
  Bands *b = data;
  const ZieTensor *x = b->d.x;
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieOpShape shape = zie_op_shape_group_norm (x->h, x->w, x->cols, b->d.groups);
  void *sums = zie_op_scratch (ctx, &shape);

  for (gint64 row = (x->h - 1) / b->rows * b->rows; row >= 0; row -= b->rows)
    {
      ZieTensor band = zie_tensor_rows (x, row * x->w, MIN (b->rows, x->h - row) * x->w);

      band.h = band.rows / x->w;
      band.w = x->w;
      ctx->ops->group_norm_add (ctx, sums, &band, row, x->h, b->d.groups);
    }
  ctx->ops->group_norm_finish (ctx, b->d.scale, b->d.shift, sums, x->h, x->w, b->d.gamma, b->d.beta, b->d.groups, 1e-6f);
  zie_arena_rewind (ctx->arena, mark);
}

static void
name_bands (guint index, GString *name)
{
  g_string_append_printf (name, "%dx%dx%d-by-%d", (int)band_cases[index].height, (int)band_cases[index].width,
                          (int)band_cases[index].channels, (int)band_cases[index].n_steps);
}

static void
run_bands (Check *check, guint index)
{
  gint64 height = band_cases[index].height, width = band_cases[index].width, channels = band_cases[index].channels;
  gint64 rows = band_cases[index].n_steps * zie_group_norm_step (height);
  Bands bands = { {
      .groups = band_cases[index].groups,
      .scale = check_new_output (check, 1, channels, 0),
      .shift = check_new_output (check, 1, channels, 0),
      .x = check_new_input (check, height * width, channels, 0, band_cases[index].input),
      .gamma = check_new_weight (check, ZIE_DTYPE_BF16, 1, channels, 0.3),
      .beta = check_new_weight (check, ZIE_DTYPE_BF16, 1, channels, 0.3),
    }, rows > 0 ? rows : height };

  bands.d.x->h = height;
  bands.d.x->w = width;
  check_run (check, call_bands, &bands, STATISTICS);
}

const CheckOp check_group_norm_bands = {
  .name = "group_norm_bands",
  .n_cases = G_N_ELEMENTS (band_cases),
  .takes_scratch = TRUE,
  .name_case = name_bands,
  .run_case = run_bands,
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
