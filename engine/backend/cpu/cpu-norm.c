/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <math.h>

#include "zie-op-shape.h"

/* GroupNorm's statistics: sums and sums of squares of each channel over chunks of pixels, in double, then over the chunks
 * in their order.  Chunks follow from the shape alone, so every number of threads gives the same bits. */

#define CHUNK_MIN 256
#define N_CHUNKS_MAX 128

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  const ZieTensor *x;
  gint64 chunk, n_chunks;
  double *sums;                /* [n_chunks][2][channels] */
  float *gamma, *beta;
} GroupNorm;

static gsize
carve (GroupNorm *self, guint8 *base, gint64 pixels, gint64 channels)
{
  ZieCpuCarve c = { base, 0 };

  self->chunk = MAX ((pixels + N_CHUNKS_MAX - 1) / N_CHUNKS_MAX, CHUNK_MIN);
  self->n_chunks = (pixels + self->chunk - 1) / self->chunk;
  self->sums = zie_cpu_carve (&c, (gsize)(self->n_chunks * 2 * channels) * sizeof (double));
  self->gamma = zie_cpu_carve_f32 (&c, channels);
  self->beta = zie_cpu_carve_f32 (&c, channels);
  return c.used;
}

gsize
zie_cpu_group_norm_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  GroupNorm self;
  return carve (&self, NULL, shape->m, shape->n);
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
zie_cpu_group_norm (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, const ZieTensor *x, const ZieWeight *gamma,
                    const ZieWeight *beta, int groups, float eps)
{
  ZieOpShape shape = zie_op_shape_group_norm (scale, shift, x, gamma, beta, groups);
  ZieMark mark = zie_arena_mark (ctx->arena);
  GroupNorm self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .x = x };
  gint64 channels = x->cols, width = channels / groups;
  double n = (double)x->rows * (double)width;
  float *scales = zie_tensor_f32 (scale), *shifts = zie_tensor_f32 (shift);

  carve (&self, zie_op_scratch (ctx, &shape), x->rows, channels);
  zie_cpu_expand_row (self.kernels, gamma, 0, self.gamma);
  zie_cpu_expand_row (self.kernels, beta, 0, self.beta);
  zie_cpu_run (ctx, self.n_chunks, sum_task, &self);

  for (gint64 g = 0; g < groups; g++)
    {
      double sum = 0, squares = 0, mean, rstd;

      for (gint64 i = 0; i < self.n_chunks; i++)
        for (gint64 c = g * width; c < (g + 1) * width; c++)
          {
            sum += self.sums[i * 2 * channels + c];
            squares += self.sums[(i * 2 + 1) * channels + c];
          }
      mean = sum / n;
      rstd = 1.0 / sqrt (MAX (squares / n - mean * mean, 0.0) + (double)eps);

      for (gint64 c = g * width; c < (g + 1) * width; c++)
        {
          scales[c] = (float)((double)self.gamma[c] * rstd);
          shifts[c] = (float)((double)self.beta[c] - mean * (double)self.gamma[c] * rstd);
        }
    }

  zie_arena_rewind (ctx->arena, mark);
}
