/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <math.h>

/* Plain sums as in a linear layer; outliers put numbers of 1000 among others of 1.  With the norm, silu is a backend's own
 * f32 exp; in BF16 a difference in its last bit now and then rounds to the other neighbour, 2^-8 of that one input. */
#define SUMS 1e-12
#define OUTLIERS 1e-11
#define NORM_BF16 1e-8

enum { NORM = 1, UPSAMPLE = 2, RESIDUAL = 4, RESIDUAL_IS_Y = 8, STRIDE_2 = 16 };

typedef struct
{
  int in, out, ksize;
  gint64 h, w;                   /* of the input */
  int flags;
  gint64 row0, rows;             /* the band of output rows; rows 0 = all */
  gint64 x_stride, y_stride;
  ZieDtype weight;
  CheckInput input;
} Case;

#define BF ZIE_DTYPE_BF16

static const Case cases[] = {
  /* The demo model's autoencoder, from latent to picture. */
  { 16, 128, 3, 32, 32, 0, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 32, 32, NORM, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 32, 32, NORM | RESIDUAL | RESIDUAL_IS_Y, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 32, 32, UPSAMPLE, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 64, 1, 64, 64, 0, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 64, 64, 3, 128, 128, NORM | RESIDUAL, 40, 9, 0, 0, BF, CHECK_NORMAL },
  { 64, 64, 3, 128, 128, UPSAMPLE, 101, 6, 0, 0, BF, CHECK_NORMAL },
  { 64, 32, 3, 256, 256, NORM, 0, 8, 0, 0, BF, CHECK_NORMAL },
  { 32, 32, 3, 256, 256, NORM | RESIDUAL | RESIDUAL_IS_Y, 248, 8, 0, 0, BF, CHECK_NORMAL },
  { 32, 3, 3, 256, 256, NORM, 100, 16, 0, 0, BF, CHECK_NORMAL },
  { 3, 32, 3, 256, 256, 0, 0, 16, 0, 0, BF, CHECK_NORMAL },
  { 32, 32, 3, 64, 64, STRIDE_2, 0, 0, 0, 0, BF, CHECK_NORMAL },

  /* Slices of the full-size one. */
  { 512, 512, 3, 9, 11, NORM, 2, 4, 0, 0, BF, CHECK_OUTLIERS },
  { 512, 256, 3, 5, 33, NORM | RESIDUAL, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 512, 256, 1, 5, 33, 0, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 256, 256, 3, 4, 70, UPSAMPLE, 3, 3, 0, 0, BF, CHECK_NORMAL },
  { 128, 3, 3, 5, 259, NORM, 1, 3, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 10, 18, STRIDE_2, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 512, 32, 3, 6, 6, NORM, 0, 0, 0, 0, ZIE_DTYPE_F32, CHECK_NORMAL },

  /* One, odd, prime; pictures smaller than the kernel; strided pixels; other types. */
  { 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, ZIE_DTYPE_F32, CHECK_NORMAL },
  { 1, 1, 3, 1, 1, 0, 0, 0, 0, 0, ZIE_DTYPE_F32, CHECK_NORMAL },
  { 1, 1, 3, 1, 1, UPSAMPLE | NORM, 0, 0, 0, 0, ZIE_DTYPE_F32, CHECK_NORMAL },
  { 2, 3, 3, 1, 7, NORM, 0, 0, 0, 0, ZIE_DTYPE_F16, CHECK_NORMAL },
  { 3, 5, 3, 7, 1, 0, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 5, 7, 3, 2, 2, STRIDE_2, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 4, 8, 3, 2, 2, STRIDE_2 | NORM, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 4, 8, 3, 7, 9, STRIDE_2, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 13, 17, 3, 11, 19, NORM | RESIDUAL, 3, 5, 20, 23, BF, CHECK_NORMAL },
  { 31, 33, 3, 5, 15, RESIDUAL | RESIDUAL_IS_Y, 0, 0, 0, 66, BF, CHECK_NORMAL },
  { 33, 31, 3, 4, 17, UPSAMPLE | RESIDUAL, 1, 6, 40, 0, BF, CHECK_NORMAL },
  { 15, 16, 1, 3, 31, NORM | RESIDUAL, 1, 2, 17, 0, ZIE_DTYPE_F16, CHECK_NORMAL },
  { 17, 65, 1, 6, 16, 0, 5, 1, 0, 70, BF, CHECK_NORMAL },
  { 48, 63, 3, 8, 64, NORM, 7, 1, 0, 0, ZIE_DTYPE_F32, CHECK_NORMAL },
  { 64, 65, 3, 3, 65, NORM, 0, 1, 0, 0, BF, CHECK_NORMAL },
  { 32, 16, 3, 6, 5, NORM, 0, 0, 0, 0, ZIE_DTYPE_Q8_0, CHECK_NORMAL },
  { 32, 21, 3, 6, 5, NORM, 0, 0, 0, 0, ZIE_DTYPE_Q4_0, CHECK_NORMAL },
  { 256, 19, 3, 4, 5, 0, 0, 0, 0, 0, ZIE_DTYPE_Q5_K, CHECK_NORMAL },
  { 24, 35, 3, 6, 5, NORM, 0, 0, 0, 0, ZIE_DTYPE_F8_E4M3, CHECK_NORMAL },

  { 32, 32, 3, 12, 12, NORM, 0, 0, 0, 0, BF, CHECK_ZEROS },                  /* silu (shift) inside, 0 outside */
  { 32, 32, 3, 12, 12, 0, 0, 0, 0, 0, BF, CHECK_ZEROS },
  { 32, 32, 3, 12, 12, 0, 0, 0, 0, 0, BF, CHECK_DENORMAL },
  { 40, 24, 3, 9, 13, 0, 0, 0, 0, 0, BF, CHECK_ONE_HOT },
  { 40, 24, 3, 9, 13, UPSAMPLE, 0, 0, 0, 0, BF, CHECK_ONE_HOT },
  { 40, 24, 3, 10, 12, STRIDE_2, 0, 0, 0, 0, BF, CHECK_ONE_HOT },

  /* Large: layers of a picture of 1024 x 1024, the widest only in bands. */
  { 512, 512, 3, 128, 128, NORM, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 512, 512, 3, 128, 128, UPSAMPLE, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 512, 256, 3, 64, 512, NORM, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 256, 256, 3, 64, 512, UPSAMPLE, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 256, 128, 1, 64, 1024, 0, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 64, 1024, NORM | RESIDUAL | RESIDUAL_IS_Y, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 3, 3, 64, 1024, NORM, 0, 0, 0, 0, BF, CHECK_NORMAL },
  { 128, 128, 3, 64, 1024, STRIDE_2, 0, 0, 0, 0, BF, CHECK_NORMAL },
};

#define N_LARGE 8

typedef struct
{
  ZieTensor *y, *x;
  ZieConv conv;
  ZieConvArgs args;
} Data;

static void
call (ZieOpCtx *ctx, gpointer data)
{
  Data *d = data;

  ctx->ops->conv2d (ctx, d->y, d->x, &d->conv, &d->args);
}

static void
name_case (guint index, GString *name)
{
  static const char *const flags[] = { "-norm", "-up", "-residual", "-in-place", "-down" };
  const Case *c = &cases[index];

  g_string_append_printf (name, "%d-to-%d-k%d-%dx%d-%s-%s", c->in, c->out, c->ksize, (int)c->h, (int)c->w,
                          zie_dtype_name (c->weight), check_input_name (c->input));
  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    if (c->flags & 1 << i)
      g_string_append (name, flags[i]);
  if (c->rows)
    g_string_append_printf (name, "-rows-%d+%d", (int)c->row0, (int)c->rows);
  if (c->x_stride || c->y_stride)
    g_string_append_printf (name, "-stride-%d-%d", (int)c->x_stride, (int)c->y_stride);
}

static void
run_case (Check *check, guint index)
{
  const Case *c = &cases[index];
  gint64 scale = c->flags & UPSAMPLE ? 2 : 1, stride = c->flags & STRIDE_2 ? 2 : 1;
  gint64 w = c->w * scale / stride, h = c->rows ? c->rows : c->h * scale / stride;
  gint64 taps = (gint64)c->in * c->ksize * c->ksize;
  gboolean in_place = (c->flags & RESIDUAL_IS_Y) != 0;
  double tolerance = c->flags & NORM && check_get_compute (check) == ZIE_COMPUTE_BF16 ? NORM_BF16
                     : c->input == CHECK_OUTLIERS ? OUTLIERS : SUMS;
  Data data = {
    .y = in_place ? check_new_inout (check, h * w, c->out, c->y_stride, CHECK_NORMAL)
                  : check_new_output (check, h * w, c->out, c->y_stride),
    .x = check_new_input (check, c->h * c->w, c->in, c->x_stride, c->input),
    .conv = { *check_new_weight (check, c->weight, c->out, taps, 1 / sqrt ((double)taps)),
              *check_new_weight (check, zie_dtype_block (c->weight) > 1 ? ZIE_DTYPE_F32 : c->weight, 1, c->out, 1),
              c->in, c->out, c->ksize },
    .args = { .stride = (int)stride, .upsample = scale == 2, .row0 = c->row0 },
  };

  data.x->h = c->h;
  data.x->w = c->w;
  data.y->h = h;
  data.y->w = w;
  if (c->flags & NORM)
    {
      data.args.gn_scale = check_new_input (check, 1, c->in, 0, CHECK_NORMAL);
      data.args.gn_shift = check_new_input (check, 1, c->in, 0, CHECK_NORMAL);
    }
  if (c->flags & RESIDUAL)
    data.args.residual = in_place ? data.y : check_new_input (check, h * w, c->out, 0, CHECK_NORMAL);

  check_run (check, call, &data, tolerance);
}

const CheckOp check_conv = {
  .name = "conv2d",
  .n_cases = G_N_ELEMENTS (cases),
  .n_large = N_LARGE,
  .uses_compute = TRUE,
  .takes_scratch = TRUE,
  .name_case = name_case,
  .run_case = run_case,
};
