/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"

#include "cpu-kernels.h"

/* The kernels of the best level that this machine has and ZIE_CPU_MASK leaves.  Decided at the first call. */
const ZieCpuKernels *zie_cpu_get_kernels (void);

/* Hands items 0 … n_items - 1 to the context's threads, or does them here where it has none. */
void zie_cpu_run (ZieOpCtx *ctx, gint64 n_items, ZieThreadsFunc func, gpointer data);

static inline guint
zie_cpu_n_threads (const ZieOpCtx *ctx)
{
  return MAX (ctx->n_threads, 1);
}

/* Pieces of one block of scratch, each aligned; with base NULL the same calls add up the size. */
typedef struct
{
  guint8 *base;
  gsize used;
} ZieCpuCarve;

static inline void *
zie_cpu_carve (ZieCpuCarve *self, gsize size)
{
  guint8 *at = self->base == NULL ? NULL : self->base + self->used;
  self->used += zie_arena_align (size);
  return at;
}

static inline float *
zie_cpu_carve_f32 (ZieCpuCarve *self, gint64 n)
{
  return zie_cpu_carve (self, (gsize)n * sizeof (float));
}

static inline float *
zie_cpu_row (const ZieTensor *t, gint64 row)
{
  return (float *)(void *)t->data + row * t->stride;
}

/* Rows [ROW, ROW + N_ROWS) of W as the kernels take them. */
static inline ZieCpuRows
zie_cpu_weight_rows (const ZieWeight *w, gint64 row, gint64 n_rows)
{
  gsize step = w->n_scales > 1 ? 4 : 0;

  return (ZieCpuRows) { .data = zie_weight_row (w, row), .dtype = w->dtype, .row_size = zie_dtype_row_size (w->dtype, w->cols),
                        .n_rows = n_rows, .scales = w->scales == NULL ? NULL : w->scales + step * (gsize)row, .scale_step = step };
}

/* The whole of ROW of W, to DST. */
static inline void
zie_cpu_expand_row (const ZieCpuKernels *kernels, const ZieWeight *w, gint64 row, float *dst)
{
  kernels->expand (w->dtype, dst, zie_weight_row (w, row), w->cols);
  if (w->scales != NULL)
    kernels->scale (dst, dst, zie_weight_scale (w, row), w->cols);
}

/* Rows whose distance is a multiple of 2 KiB fall into the same few sets of the first cache and throw each other out. */
static inline gboolean
zie_cpu_stride_collides (gint64 stride)
{
  return stride % 512 == 0;
}

static inline gint64
zie_cpu_padded_stride (gint64 n)
{
  n = (n + 15) / 16 * 16;
  return zie_cpu_stride_collides (n) ? n + 16 : n;
}

gsize zie_cpu_linear_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
void zie_cpu_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b);

/* The …_bf16 functions work by oneDNN; FALSE: it does not do this shape, and nothing was written.  SCRATCH has as many bytes
 * as the …_bf16_scratch() beside them says. */
gsize zie_cpu_linear_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gboolean zie_cpu_linear_bf16 (ZieOpCtx *ctx, void *scratch, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b);

gsize zie_cpu_attention_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
void zie_cpu_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
                        int kv_heads, float scale, gboolean causal);

gsize zie_cpu_attention_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gboolean zie_cpu_attention_bf16 (ZieOpCtx *ctx, void *scratch, ZieTensor *o, const ZieTensor *q, const ZieTensor *k,
                                 const ZieTensor *v, int heads, int kv_heads, float scale, gboolean causal);

gsize zie_cpu_conv2d_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
void zie_cpu_conv2d (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieConv *conv, const ZieConvArgs *args);

gsize zie_cpu_conv2d_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
gboolean zie_cpu_conv2d_bf16 (ZieOpCtx *ctx, void *scratch, const ZieOpShape *shape, ZieTensor *y, const ZieTensor *x,
                              const ZieConv *conv, const ZieConvArgs *args);

gsize zie_cpu_group_norm_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
void zie_cpu_group_norm_add (ZieOpCtx *ctx, void *sums, const ZieTensor *x, gint64 row0, gint64 height, int groups);
void zie_cpu_group_norm_finish (ZieOpCtx *ctx, ZieTensor *scale, ZieTensor *shift, void *sums, gint64 height, gint64 width,
                                const ZieWeight *gamma, const ZieWeight *beta, int groups, float eps);

gsize zie_cpu_rows_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape);
void zie_cpu_init_rows (ZieOps *ops);
