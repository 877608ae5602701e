/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

/* Numbers move, nothing is computed; planes are scaled with one rounding or two. */
#define SCALED 1e-13

typedef struct
{
  int channels, h, w;
} Case;

static const Case cases[] = {
  { 16, 32, 32 }, { 16, 128, 96 }, { 16, 2, 2 }, { 1, 2, 6 }, { 3, 10, 14 }, { 5, 26, 2 }, { 17, 6, 34 },
};

static const struct { int channels; gint64 pixels; float scale, shift; } plane_cases[] = {
  { 16, 1024, 1 / 0.3611f, 0.1159f }, { 3, 65536, 0.5f, 0.5f }, { 3, 16 * 259, 1, 0 }, { 1, 1, 2, -1 },
  { 17, 31, -1, 0.25f }, { 16, 13, 1, 0 }, { 32, 1000, 0.3611f, -0.1159f },
};

typedef struct
{
  int channels, h, w;
  float scale, shift;
  ZieTensor *to, *from;
  float *host;
} Data;

static void
name_case (guint index, GString *name)
{
  g_string_append_printf (name, "%s-%dx%dx%d", index % 2 ? "back" : "to", cases[index / 2].channels, cases[index / 2].h,
                          cases[index / 2].w);
}

static void
call_patchify (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->patchify (ctx, d->to, d->from, d->channels, d->h, d->w);
}

static void
call_unpatchify (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->unpatchify (ctx, d->to, d->from, d->channels, d->h, d->w);
}

static void
run_patchify (Check *check, guint index)
{
  const Case *c = &cases[index / 2];
  gint64 tokens = (gint64)c->h / 2 * (c->w / 2), dim = 4 * (gint64)c->channels, area = (gint64)c->h * c->w;
  gint64 stride = index % 3 ? dim + 6 : 0;       /* of tokens: they lie in wider rows */
  Data data = { .channels = c->channels, .h = c->h, .w = c->w };

  if (index % 2 == 0)
    {
      data.to = check_new_output (check, tokens, dim, stride);
      data.from = check_new_input (check, c->channels, area, 0, CHECK_NORMAL);
    }
  else
    {
      data.to = check_new_output (check, c->channels, area, 0);
      data.from = check_new_input (check, tokens, dim, stride, CHECK_NORMAL);
    }
  check_run (check, index % 2 ? call_unpatchify : call_patchify, &data, 0);
}

const CheckOp check_patchify = {
  .name = "patchify",
  .n_cases = 2 * G_N_ELEMENTS (cases),
  .name_case = name_case,
  .run_case = run_patchify,
};

static void
name_planes (guint index, GString *name)
{
  g_string_append_printf (name, "%s-%dx%d", index % 2 ? "to-planes" : "to-pixels", plane_cases[index / 2].channels,
                          (int)plane_cases[index / 2].pixels);
}

static void
call_to_pixels (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->planes_to_pixels (ctx, d->to, d->from, d->scale, d->shift);
}

static void
call_to_planes (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->pixels_to_planes (ctx, d->to, d->from, d->scale, d->shift);
}

static void
run_planes (Check *check, guint index)
{
  int channels = plane_cases[index / 2].channels;
  gint64 pixels = plane_cases[index / 2].pixels, stride = index % 4 >= 2 ? channels + 3 : 0;
  Data data = { .scale = plane_cases[index / 2].scale, .shift = plane_cases[index / 2].shift };

  if (index % 2 == 0)
    {
      data.to = check_new_output (check, pixels, channels, stride);
      data.from = check_new_input (check, channels, pixels, 0, CHECK_NORMAL);
    }
  else
    {
      data.to = check_new_output (check, channels, pixels, 0);
      data.from = check_new_input (check, pixels, channels, stride, CHECK_NORMAL);
    }
  check_run (check, index % 2 ? call_to_planes : call_to_pixels, &data, SCALED);
}

const CheckOp check_planes = {
  .name = "planes",
  .n_cases = 2 * G_N_ELEMENTS (plane_cases),
  .name_case = name_planes,
  .run_case = run_planes,
};

/* Up, down to the host and up again: both ways with strided rows. */

static const struct { gint64 rows, cols, stride; } transfer_cases[] = {
  { 16, 1024, 0 }, { 288, 64, 0 }, { 288, 64, 384 }, { 1, 1, 0 }, { 7, 13, 15 }, { 3, 65536, 0 },
};

static void
name_transfer (guint index, GString *name)
{
  g_string_append_printf (name, "%dx%d-stride-%d", (int)transfer_cases[index].rows, (int)transfer_cases[index].cols,
                          (int)transfer_cases[index].stride);
}

static void
call_transfer (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->download (ctx, d->host, d->from);
  ctx->ops->upload (ctx, d->to, d->host);
}

static void
run_transfer (Check *check, guint index)
{
  gint64 rows = transfer_cases[index].rows, cols = transfer_cases[index].cols;
  g_autofree float *host = g_new0 (float, (gsize)(rows * cols));
  Data data = {
    .to = check_new_output (check, rows, cols, transfer_cases[index].stride ? 0 : cols + 4),
    .from = check_new_input (check, rows, cols, transfer_cases[index].stride, CHECK_NORMAL),
    .host = host,
  };

  check_run (check, call_transfer, &data, 0);
}

const CheckOp check_transfer = {
  .name = "transfer",
  .n_cases = G_N_ELEMENTS (transfer_cases),
  .name_case = name_transfer,
  .run_case = run_transfer,
};
