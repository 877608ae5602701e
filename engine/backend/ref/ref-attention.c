/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-ref"

#include "ref-private.h"

#include <math.h>

typedef struct
{
  ZieOpCtx *ctx;
  ZieTensor *o;
  const ZieTensor *q, *k, *v;
  int heads, kv_heads;
  double scale;
  gboolean causal;
  double *scratch;               /* for each thread: one query's scores over all keys, and its sum of values */
} Attention;

static gsize
thread_size (gint64 n_keys, gint64 head_size)
{
  return (gsize)(n_keys + head_size);
}

gsize
ref_attention_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return MAX (ctx->n_threads, 1) * thread_size (shape->n, shape->k) * sizeof (double);
}

/* scores = exp (q k^T * scale - max); returns their sum. */
static double
score (const Attention *self, const float *q, gint64 k_column, gint64 n_keys, gint64 d, double *scores)
{
  double highest = -INFINITY, total = 0;

  for (gint64 n = 0; n < n_keys; n++)
    {
      const float *k = ref_row (self->k, n) + k_column;
      double sum = 0;

      for (gint64 i = 0; i < d; i++)
        sum += (double)ref_operand (self->ctx, q[i]) * ref_operand (self->ctx, k[i]);
      scores[n] = sum * self->scale;
      highest = fmax (highest, scores[n]);
    }
  for (gint64 n = 0; n < n_keys; n++)
    total += scores[n] = exp (scores[n] - highest);
  return total;
}

/* All heads of one query. */
static void
attend (gpointer data, gint64 query, guint thread)
{
  const Attention *self = data;
  gint64 d = self->q->cols / self->heads;
  gint64 n_keys = self->causal ? query + 1 : self->k->rows;
  double *scores = self->scratch + thread * thread_size (self->k->rows, d);
  double *sums = scores + self->k->rows;

  for (int head = 0; head < self->heads; head++)
    {
      gint64 k_column = head / (self->heads / self->kv_heads) * d;
      float *o = ref_row (self->o, query) + head * d;
      double total = score (self, ref_row (self->q, query) + head * d, k_column, n_keys, d, scores);

      memset (sums, 0, (gsize)d * sizeof (double));
      for (gint64 n = 0; n < n_keys; n++)
        {
          const float *v = ref_row (self->v, n) + k_column;

          for (gint64 i = 0; i < d; i++)
            sums[i] += scores[n] * ref_operand (self->ctx, v[i]);
        }
      for (gint64 i = 0; i < d; i++)
        o[i] = (float)(sums[i] / total);
    }
}

void
ref_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
               int kv_heads, float scale, gboolean causal)
{
  ZieOpShape shape = zie_op_shape_attention (o, q, k, v, heads, kv_heads, causal);
  ZieMark mark = zie_arena_mark (ctx->arena);
  Attention self = { ctx, o, q, k, v, heads, kv_heads, scale, causal, zie_op_scratch (ctx, &shape) };

  ref_run (ctx, q->rows, attend, &self);
  zie_arena_rewind (ctx->arena, mark);
}
