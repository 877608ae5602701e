/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <math.h>
#include <string.h>

#include "cpu-onednn.h"

/* Attention as in cpu-attention.c, with both products in bf16 by oneDNN.  Keys and values are rounded once for all tasks, to
 * [kv_head][keys][d], with zeros up to whole blocks; queries too are padded, so the two products have one shape each. */

/* Blocks follow from the shape alone, not from the number of threads: which order oneDNN sums in may hang on them. */
#define TASKS_WANTED 12

#define QUERIES_MAX 256
#define QUERIES_MIN 48
#define KEYS 256
#define ROUND_ROWS 16          /* of a rounding task */

typedef struct
{
  gint64 queries, n_query_blocks;
  gint64 keys, n_key_blocks;
  gint64 d_stride, score_stride;     /* of q and o; of scores, in floats, and of probabilities */
} Split;

typedef struct
{
  guint16 *q, *p;
  float *scores, *o, *highest, *sum, *factor;
  void *scratch;
} Room;

typedef struct
{
  ZieOpCtx *ctx;
  const ZieCpuKernels *kernels;
  ZieTensor *o;
  const ZieTensor *q, *k, *v;
  int heads, kv_heads;
  gint64 d;
  float scale;
  gboolean causal;
  Split split;
  guint16 *keys, *values;            /* [kv_heads, n_key_blocks * keys, d] */
  Room *rooms;
  ZieDnn *scores, *weighted, *weighted_more;
} Attention;

static gint64
blocks (gint64 n, gint64 block)
{
  return (n + block - 1) / block;
}

static Split
split_attention (gint64 m, gint64 n, gint64 d, gint64 heads)
{
  Split s;

  s.n_query_blocks = blocks (m, QUERIES_MAX);
  while (s.n_query_blocks * heads < TASKS_WANTED && blocks (m, s.n_query_blocks + 1) >= QUERIES_MIN)
    s.n_query_blocks++;
  s.queries = blocks (m, s.n_query_blocks);
  s.n_query_blocks = blocks (m, s.queries);
  s.keys = blocks (blocks (n, blocks (n, KEYS)), 32) * 32;
  s.n_key_blocks = blocks (n, s.keys);
  s.d_stride = zie_cpu_padded_stride (d);
  s.score_stride = zie_cpu_padded_stride (s.keys);
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Attention *self, guint8 *base, gint64 m, gint64 n, gint64 d, gint64 heads, gint64 kv_heads)
{
  Split s = split_attention (m, n, d, heads);
  ZieCpuCarve c = { base, 0 };
  guint n_threads = zie_cpu_n_threads (ctx);
  gsize kv_size = (gsize)(kv_heads * s.n_key_blocks * s.keys * d) * sizeof (guint16);
  Room *rooms = zie_cpu_carve (&c, n_threads * sizeof (Room));
  guint16 *keys = zie_cpu_carve (&c, kv_size), *values = zie_cpu_carve (&c, kv_size);

  for (guint i = 0; i < n_threads; i++)
    {
      Room room;

      room.q = zie_cpu_carve (&c, (gsize)(s.queries * s.d_stride) * sizeof (guint16));
      room.p = zie_cpu_carve (&c, (gsize)(s.queries * s.score_stride) * sizeof (guint16));
      room.scores = zie_cpu_carve_f32 (&c, s.queries * s.score_stride);
      room.o = zie_cpu_carve_f32 (&c, s.queries * s.d_stride);
      room.highest = zie_cpu_carve_f32 (&c, s.queries);
      room.sum = zie_cpu_carve_f32 (&c, s.queries);
      room.factor = zie_cpu_carve_f32 (&c, s.queries);
      room.scratch = zie_cpu_carve (&c, ZIE_DNN_SCRATCH_MAX);
      if (base != NULL)
        rooms[i] = room;
    }

  if (self != NULL)
    {
      self->split = s;
      self->rooms = rooms;
      self->keys = keys;
      self->values = values;
    }
  return c.used;
}

gsize
zie_cpu_attention_bf16_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  return carve (ctx, NULL, NULL, shape->m, shape->n, shape->k, shape->heads, shape->kv_heads);
}

static void
round_task (gpointer data, gint64 item, guint thread)
{
  const Attention *self = data;
  gint64 n_rows = self->split.n_key_blocks * self->split.keys, end = MIN ((item + 1) * ROUND_ROWS, n_rows), d = self->d;

  for (gint64 row = item * ROUND_ROWS; row < end; row++)
    for (gint64 head = 0; head < self->kv_heads; head++)
      {
        guint16 *k = self->keys + (head * n_rows + row) * d, *v = self->values + (head * n_rows + row) * d;

        if (row < self->k->rows)
          {
            self->kernels->to_bf16 (k, zie_cpu_row (self->k, row) + head * d, d);
            self->kernels->to_bf16 (v, zie_cpu_row (self->v, row) + head * d, d);
          }
        else
          {
            memset (k, 0, (gsize)d * sizeof (guint16));
            memset (v, 0, (gsize)d * sizeof (guint16));
          }
      }
}

static void
attend_block (const Attention *self, const Room *room, gint64 kv, gint64 query, gint64 m, gint64 from)
{
  const Split *s = &self->split;
  gint64 at = (kv * s->n_key_blocks * s->keys + from) * self->d;
  gint64 n = MIN (s->keys, self->k->rows - from);
  ZieCpuSoftmax softmax = { .scores = room->scores, .m = m, .n = n, .stride = s->score_stride, .scale = self->scale,
                            .n_seen = self->causal ? query + 1 - from : n, .highest = room->highest, .sum = room->sum,
                            .factor = room->factor };

  zie_dnn_run (self->scores, room->scores, room->q, self->keys + at, NULL, room->scratch);
  self->kernels->softmax (&softmax);

  for (gint64 i = 0; i < m; i++)
    {
      guint16 *p = room->p + i * s->score_stride;

      self->kernels->to_bf16 (p, room->scores + i * s->score_stride, n);
      memset (p + n, 0, (gsize)(s->keys - n) * sizeof (guint16));
      if (from > 0 && room->factor[i] != 1.0f)
        self->kernels->scale (room->o + i * s->d_stride, room->o + i * s->d_stride, room->factor[i], self->d);
    }

  zie_dnn_run (from > 0 ? self->weighted_more : self->weighted, room->o, room->p, self->values + at, NULL, room->scratch);
}

static void
attention_task (gpointer data, gint64 item, guint thread)
{
  const Attention *self = data;
  const Split *s = &self->split;
  const Room *room = &self->rooms[thread];
  gint64 head = item / s->n_query_blocks, query = item % s->n_query_blocks * s->queries;
  gint64 m = MIN (s->queries, self->q->rows - query), d = self->d;
  gint64 n_keys = self->causal ? MIN (self->k->rows, query + m) : self->k->rows;

  for (gint64 i = 0; i < s->queries; i++)
    {
      if (i < m)
        self->kernels->to_bf16 (room->q + i * s->d_stride, zie_cpu_row (self->q, query + i) + head * d, d);
      else
        {
          memset (room->q + i * s->d_stride, 0, (gsize)d * sizeof (guint16));
          memset (room->p + i * s->score_stride, 0, (gsize)s->keys * sizeof (guint16));
        }
      room->highest[i] = -INFINITY;
      room->sum[i] = 0.0f;
    }

  for (gint64 from = 0; from < n_keys && !zie_op_cancelled (self->ctx); from += s->keys)
    attend_block (self, room, head / (self->heads / self->kv_heads), query, m, from);

  for (gint64 i = 0; i < m; i++)
    self->kernels->scale (zie_cpu_row (self->o, query + i) + head * d, room->o + i * s->d_stride, 1.0f / room->sum[i], d);
}

gboolean
zie_cpu_attention_bf16 (ZieOpCtx *ctx, void *scratch, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v,
                        int heads, int kv_heads, float scale, gboolean causal)
{
  Attention self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .o = o, .q = q, .k = k, .v = v, .heads = heads,
                     .kv_heads = kv_heads, .d = q->cols / heads, .scale = scale, .causal = causal };
  const Split *s = &self.split;
  ZieDnnMatmul scores, weighted;
  gboolean ok;

  carve (ctx, &self, scratch, q->rows, k->rows, self.d, heads, kv_heads);
  scores = (ZieDnnMatmul) { .m = s->queries, .n = s->keys, .k = self.d, .lda = s->d_stride, .ldb = self.d, .ldc = s->score_stride,
                            .b_is_transposed = TRUE };
  weighted = (ZieDnnMatmul) { .m = s->queries, .n = self.d, .k = s->keys, .lda = s->score_stride, .ldb = self.d,
                              .ldc = s->d_stride };
  self.scores = zie_dnn_acquire_matmul (&scores);
  self.weighted = zie_dnn_acquire_matmul (&weighted);
  weighted.accumulate = TRUE;
  self.weighted_more = zie_dnn_acquire_matmul (&weighted);

  ok = self.scores != NULL && self.weighted != NULL && self.weighted_more != NULL;
  if (ok)
    {
      zie_cpu_run (ctx, blocks (s->n_key_blocks * s->keys, ROUND_ROWS), round_task, &self);
      zie_cpu_run (ctx, heads * s->n_query_blocks, attention_task, &self);
    }
  zie_dnn_release (self.scores);
  zie_dnn_release (self.weighted);
  zie_dnn_release (self.weighted_more);
  return ok;
}
