/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <math.h>

#include "zie-op-shape.h"

/* GroupNorm's statistics: sums and sums of squares of each channel over chunks of rows, in double, then over the chunks in
 * their order.  Chunks follow from the picture's height alone, so every number of threads and every cut into bands gives the
 * same bits. */

typedef struct
{
  const ZieCpuKernels *kernels;
  const ZieTensor *x;
  gint64 chunk;                /* pixels */
  double *sums;                /* [n_chunks][2][channels] */
} GroupNorm;

typedef struct
{
  gint64 n_chunks;
  double *sums;                /* of the whole picture */
  float *gamma, *beta;
} Sums;

static gsize
carve (Sums *self, guint8 *base, gint64 height, gint64 channels)
{
  ZieCpuCarve c = { base, 0 };
  gint64 step = zie_group_norm_step (height);

  self->n_chunks = (height + step - 1) / step;
  self->sums = zie_cpu_carve (&c, (gsize)(self->n_chunks * 2 * channels) * sizeof (double));
  self->gamma = zie_cpu_carve_f32 (&c, channels);
  self->beta = zie_cpu_carve_f32 (&c, channels);
  return c.used;
}

gsize
zie_cpu_group_norm_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  Sums self;
  return carve (&self, NULL, shape->w > 0 ? shape->m / shape->w : 0, shape->n);
}

static void
sum_task (gpointer data, gint64 item, guint thread)
{
  const GroupNorm *self = data;
  gint64 from = item * self->chunk;

  self->kernels->column_sums (self->sums + item * 2 * self->x->cols, zie_cpu_row (self->x, from), self->x->stride,
                              MIN (self->chunk, self->x->rows - from), self->x->cols);
}

void
zie_cpu_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups)
{
  gint64 step = zie_group_norm_step (height);
  GroupNorm self = { .kernels = zie_cpu_get_kernels (), .x = x, .chunk = step * x->w };
  Sums all;

  zie_op_shape_group_norm_add (x, row0, height, groups);
  carve (&all, sums, height, x->cols);
  self.sums = all.sums + row0 / step * 2 * x->cols;
  zie_cpu_run (ctx, (x->h + step - 1) / step, sum_task, &self);
}

void
zie_cpu_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                           const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps)
{
  const ZieCpuKernels *kernels = zie_cpu_get_kernels ();
  gint64 channels = scale->cols, per_group = channels / groups;
  double n = (double)height * (double)width * (double)per_group;
  float *scales = zie_tensor_f32 (scale), *shifts = zie_tensor_f32 (shift);
  Sums all;

  zie_op_shape_group_norm_finish (scale, shift, gamma, beta, groups);
  carve (&all, sums, height, channels);
  zie_cpu_expand_row (kernels, gamma, 0, all.gamma);
  zie_cpu_expand_row (kernels, beta, 0, all.beta);

  for (gint64 g = 0; g < groups; g++)
    {
      double sum = 0, squares = 0, mean, rstd;

      for (gint64 i = 0; i < all.n_chunks; i++)
        for (gint64 c = g * per_group; c < (g + 1) * per_group; c++)
          {
            sum += all.sums[i * 2 * channels + c];
            squares += all.sums[(i * 2 + 1) * channels + c];
          }
      mean = sum / n;
      zie_op_check_factor (ctx, isfinite (squares) ? 1.0f : 0.0f);
      rstd = 1.0 / sqrt (MAX (squares / n - mean * mean, 0.0) + (double)eps);

      for (gint64 c = g * per_group; c < (g + 1) * per_group; c++)
        {
          scales[c] = (float)((double)all.gamma[c] * rstd);
          shifts[c] = (float)((double)all.beta[c] - mean * (double)all.gamma[c] * rstd);
        }
    }
}
