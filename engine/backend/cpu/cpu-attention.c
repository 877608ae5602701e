/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cpu"

#include "cpu-private.h"

#include <math.h>
#include <string.h>

#include "zie-op-shape.h"

#include "cpu-onednn.h"

/* A task is a block of queries of one head.  It walks over the keys block by block and keeps each query's highest score,
 * the sum of exponentials and the weighted sum of values up to date (streaming softmax), so only one block of scores
 * exists.  Blocks of keys lie on a fixed grid: the result does not depend on the blocks of queries. */

#define QUERIES_MAX 256
#define QUERIES_MIN 48
#define KEYS 256
#define KEYS_WIDE 128          /* for heads of more than 256 */

typedef struct
{
  gint64 queries, n_query_blocks, keys;
  gint64 q_stride, score_stride, o_stride;
} Split;

typedef struct
{
  float *q, *scores, *keys, *values, *o, *highest, *sum, *factor;
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
  gboolean causal, round_bf16;
  Split split;
  Room *rooms;                 /* [n_threads] */
} Attention;

static gint64
round_up (gint64 n, gint64 unit)
{
  return (n + unit - 1) / unit * unit;
}

static Split
split_attention (const ZieOpCtx *ctx, gint64 m, gint64 d, gint64 heads)
{
  const ZieCpuKernels *kernels = zie_cpu_get_kernels ();
  gint64 n_threads = zie_cpu_n_threads (ctx), wanted = 4 * n_threads;
  Split s;

  /* enough tasks for every thread, and where they are few, as many for each */
  s.n_query_blocks = (m + QUERIES_MAX - 1) / QUERIES_MAX;
  while ((s.n_query_blocks * heads < wanted || (s.n_query_blocks * heads < 2 * wanted && s.n_query_blocks * heads % n_threads != 0))
         && (m + s.n_query_blocks) / (s.n_query_blocks + 1) >= QUERIES_MIN)
    s.n_query_blocks++;
  s.queries = (m + s.n_query_blocks - 1) / s.n_query_blocks;
  s.n_query_blocks = (m + s.queries - 1) / s.queries;
  s.keys = d > 256 ? KEYS_WIDE : KEYS;
  s.q_stride = zie_cpu_padded_stride (d);
  s.score_stride = zie_cpu_padded_stride (s.keys);
  s.o_stride = zie_cpu_padded_stride (round_up (d, kernels->nr));
  return s;
}

static gsize
carve (const ZieOpCtx *ctx, Attention *self, guint8 *base, gint64 m, gint64 d, gint64 heads)
{
  gint64 nr = zie_cpu_get_kernels ()->nr;
  Split s = split_attention (ctx, m, d, heads);
  ZieCpuCarve c = { base, 0 };
  guint n_threads = zie_cpu_n_threads (ctx);
  Room *rooms = zie_cpu_carve (&c, n_threads * sizeof (Room));

  for (guint i = 0; i < n_threads; i++)
    {
      Room room;

      room.q = zie_cpu_carve_f32 (&c, s.queries * s.q_stride);
      room.scores = zie_cpu_carve_f32 (&c, s.queries * s.score_stride);
      room.keys = zie_cpu_carve_f32 (&c, round_up (s.keys, nr) * d);
      room.values = zie_cpu_carve_f32 (&c, round_up (d, nr) * s.keys);
      room.o = zie_cpu_carve_f32 (&c, s.queries * s.o_stride);
      room.highest = zie_cpu_carve_f32 (&c, s.queries);
      room.sum = zie_cpu_carve_f32 (&c, s.queries);
      room.factor = zie_cpu_carve_f32 (&c, s.queries);
      if (base != NULL)
        rooms[i] = room;
    }

  if (self != NULL)
    {
      self->split = s;
      self->rooms = rooms;
    }
  return c.used;
}

static gboolean
use_bf16 (const ZieOpCtx *ctx)
{
  return ctx->compute == ZIE_COMPUTE_BF16 && zie_dnn_has_bf16 ();
}

gsize
zie_cpu_attention_scratch (const ZieOpCtx *ctx, const ZieOpShape *shape)
{
  gsize size = carve (ctx, NULL, NULL, shape->m, shape->k, shape->heads);

  return use_bf16 (ctx) ? MAX (size, zie_cpu_attention_bf16_scratch (ctx, shape)) : size;
}

/* Keys [from, from + n) and their values of key head KV, packed for the two products. */
static void
pack_block (const Attention *self, const Room *room, gint64 kv, gint64 from, gint64 n)
{
  gint64 nr = self->kernels->nr, d = self->d;

  for (gint64 j = 0; j < n; j += nr)
    self->kernels->pack_f32 (room->keys + j * d, zie_cpu_row (self->k, from + j) + kv * d, self->k->stride, MIN (nr, n - j), d);
  for (gint64 j = 0; j < d; j += nr)
    self->kernels->copy_f32 (room->values + j * n, zie_cpu_row (self->v, from) + kv * d + j, self->v->stride, MIN (nr, d - j), n);

  if (self->round_bf16)
    {
      self->kernels->round_bf16 (room->keys, room->keys, round_up (n, nr) * d);
      self->kernels->round_bf16 (room->values, room->values, round_up (d, nr) * n);
    }
}

static void
attend_block (const Attention *self, const Room *room, gint64 query, gint64 m, gint64 from, gint64 n)
{
  const Split *s = &self->split;
  gint64 nr = self->kernels->nr, d = self->d, no_tap = 0;
  ZieCpuTile tile = { .a = room->q, .lda = s->q_stride, .taps = &no_tap, .n_taps = 1, .n_k = d, .ldc = s->score_stride, .m = m };
  ZieCpuSoftmax softmax = { .scores = room->scores, .m = m, .n = n, .stride = s->score_stride, .scale = self->scale,
                            .n_seen = self->causal ? query + 1 - from : n, .highest = room->highest, .sum = room->sum,
                            .factor = room->factor };

  for (gint64 j = 0; j < n; j += nr)
    {
      tile.b = room->keys + j * d;
      tile.c = room->scores + j;
      tile.n = MIN (nr, n - j);
      self->kernels->tile (&tile);
    }

  self->kernels->softmax (&softmax);

  if (from > 0)
    for (gint64 i = 0; i < m; i++)
      if (room->factor[i] != 1.0f)
        self->kernels->scale (room->o + i * s->o_stride, room->o + i * s->o_stride, room->factor[i], d);

  tile = (ZieCpuTile) { .a = room->scores, .lda = s->score_stride, .taps = &no_tap, .n_taps = 1, .n_k = n, .ldc = s->o_stride,
                        .m = m, .accumulate = from > 0 };
  for (gint64 j = 0; j < d; j += nr)
    {
      tile.b = room->values + j * n;
      tile.c = room->o + j;
      tile.n = MIN (nr, d - j);
      self->kernels->tile (&tile);
    }
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

  for (gint64 i = 0; i < m; i++)
    {
      const float *q = zie_cpu_row (self->q, query + i) + head * d;

      if (self->round_bf16)
        self->kernels->round_bf16 (room->q + i * s->q_stride, q, d);
      else
        memcpy (room->q + i * s->q_stride, q, (gsize)d * sizeof (float));
      room->highest[i] = -INFINITY;
      room->sum[i] = 0.0f;
    }

  for (gint64 from = 0; from < n_keys && !zie_op_cancelled (self->ctx); from += s->keys)
    {
      gint64 n = MIN (s->keys, n_keys - from);

      pack_block (self, room, head / (self->heads / self->kv_heads), from, n);
      attend_block (self, room, query, m, from, n);
    }

  for (gint64 i = 0; i < m; i++)
    self->kernels->scale (zie_cpu_row (self->o, query + i) + head * d, room->o + i * s->o_stride, 1.0f / room->sum[i], d);
}

void
zie_cpu_attention (ZieOpCtx *ctx, ZieTensor *o, const ZieTensor *q, const ZieTensor *k, const ZieTensor *v, int heads,
                   int kv_heads, float scale, gboolean causal)
{
  ZieOpShape shape = zie_op_shape_attention (o, q, k, v, heads, kv_heads, causal);
  ZieMark mark = zie_arena_mark (ctx->arena);
  Attention self = { .ctx = ctx, .kernels = zie_cpu_get_kernels (), .o = o, .q = q, .k = k, .v = v, .heads = heads,
                     .kv_heads = kv_heads, .d = q->cols / heads, .scale = scale, .causal = causal,
                     .round_bf16 = ctx->compute == ZIE_COMPUTE_BF16 };
  void *scratch = zie_op_scratch (ctx, &shape);

  if (!use_bf16 (ctx) || !zie_cpu_attention_bf16 (ctx, scratch, o, q, k, v, heads, kv_heads, scale, causal))
    {
      carve (ctx, &self, scratch, q->rows, self.d, heads);
      zie_cpu_run (ctx, heads * self.split.n_query_blocks, attention_task, &self);
    }
  zie_arena_rewind (ctx->arena, mark);
}
