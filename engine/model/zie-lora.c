/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-lora-private.h"

/* Rows of x at a time: what a layer adds is never there for the whole picture. */
#define CHUNK_ROWS 512

typedef struct
{
  const ZieLora *lora;         /* borrowed */
  float strength;
} Use;

/* A factor as the vector that affine takes. */
typedef struct
{
  float factor;
  ZieTensor vector;            /* [1, max_rank] f32, in the job's arena */
} Factor;

/* One entry of one LoRA. */
typedef struct
{
  const ZieLora *lora;
  const ZieLoraEntry *entry;
  float factor;                /* strength * alpha / rank */
} Link;

struct _ZieLoraSet
{
  GArray *uses, *factors;      /* owned */
  GHashTable *by_target;       /* weight data to GArray of Link; owned */
  ZieTensor zeros;             /* as a factor's vector */
  gint64 max_rank;
};

ZieLoraSet *
zie_lora_set_new (void)
{
  ZieLoraSet *self = g_new0 (ZieLoraSet, 1);

  self->uses = g_array_new (FALSE, FALSE, sizeof (Use));
  self->factors = g_array_new (FALSE, TRUE, sizeof (Factor));
  self->by_target = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
  return self;
}

void
zie_lora_set_free (ZieLoraSet *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->uses);
  g_array_unref (self->factors);
  g_hash_table_unref (self->by_target);
  g_free (self);
}

void
zie_lora_set_add (ZieLoraSet *self, const ZieLora *lora, float strength)
{
  Use use = { lora, strength };

  if (strength == 0)
    return;
  g_array_append_val (self->uses, use);
  self->max_rank = MAX (self->max_rank, lora->max_rank);
  for (guint i = 0; i < lora->entries->len; i++)
    {
      const ZieLoraEntry *entry = &g_array_index (lora->entries, ZieLoraEntry, i);
      Link link = { lora, entry, strength * entry->scale };
      Factor factor = { .factor = link.factor };
      GArray *links = g_hash_table_lookup (self->by_target, entry->target);
      gboolean is_known = FALSE;

      if (links == NULL)
        {
          links = g_array_new (FALSE, FALSE, sizeof (Link));
          g_hash_table_insert (self->by_target, (gpointer)entry->target, links);
        }
      g_array_append_val (links, link);
      for (guint f = 0; f < self->factors->len; f++)
        is_known = is_known || g_array_index (self->factors, Factor, f).factor == link.factor;
      if (!is_known)
        g_array_append_val (self->factors, factor);
    }
}

static ZieTensor
new_vector (ZieOpCtx *ctx, gint64 n, float value)
{
  ZieTensor vector = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, 1, n);
  ZieMark mark = zie_arena_mark (ctx->host);
  float *host = zie_arena_alloc (ctx->host, (gsize)n * sizeof (float));

  for (gint64 i = 0; !ctx->host->is_counting && i < n; i++)
    host[i] = value;
  ctx->ops->upload (ctx, &vector, host);
  zie_arena_rewind (ctx->host, mark);
  return vector;
}

void
zie_lora_set_begin (ZieLoraSet *self, ZieOpCtx *ctx)
{
  if (self->uses->len == 0)
    return;
  self->zeros = new_vector (ctx, self->max_rank, 0);
  for (guint i = 0; i < self->factors->len; i++)
    {
      Factor *factor = &g_array_index (self->factors, Factor, i);
      factor->vector = new_vector (ctx, self->max_rank, factor->factor);
    }
  ctx->loras = self;
}

static ZieTensor
find_factor (const ZieLoraSet *self, float value, gint64 rank)
{
  guint i = 0;

  while (g_array_index (self->factors, Factor, i).factor != value)
    i++;
  return zie_tensor_cols (&g_array_index (self->factors, Factor, i).vector, 0, rank);
}

static void
apply_link (const ZieLoraSet *self, const Link *link, ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x)
{
  const ZieOps *ops = ctx->ops;
  const ZieLoraEntry *entry = link->entry;
  gint64 rank = entry->a.rows;
  ZieTensor factor = find_factor (self, link->factor, rank), zeros = zie_tensor_cols (&self->zeros, 0, rank);
  ZieMark mark = zie_arena_mark (ctx->arena);

  zie_weights_acquire (link->lora->weights, ctx, entry->block);
  for (gint64 row = 0; row < x->rows && !zie_op_cancelled (ctx); row += CHUNK_ROWS)
    {
      gint64 n = MIN (CHUNK_ROWS, x->rows - row);
      ZieTensor from = zie_tensor_rows (x, row, n), to = zie_tensor_rows (y, row, n);
      ZieTensor low = zie_tensor_new (ctx->arena, x->dtype, n, rank), added = zie_tensor_new (ctx->arena, y->dtype, n, y->cols);

      ops->linear (ctx, &low, &from, &entry->a, NULL);
      ops->affine (ctx, &low, &low, &factor, &zeros);
      ops->linear (ctx, &added, &low, &entry->b, NULL);
      ops->add (ctx, &to, &added);
      zie_arena_rewind (ctx->arena, mark);
    }
  zie_weights_release (link->lora->weights, ctx, entry->block);
}

void
zie_lora_apply (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w)
{
  const GArray *links = ctx->loras != NULL ? g_hash_table_lookup (ctx->loras->by_target, w->data) : NULL;

  for (guint i = 0; links != NULL && i < links->len; i++)
    apply_link (ctx->loras, &g_array_index (links, Link, i), ctx, y, x);
}

void
zie_lora_linear (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *w, const ZieWeight *b)
{
  ctx->ops->linear (ctx, y, x, w, b);
  zie_lora_apply (ctx, y, x, w);
}

void
zie_lora_linear_stacked (ZieOpCtx *ctx, ZieTensor *y, const ZieTensor *x, const ZieWeight *const *w, guint n)
{
  gint64 at = 0;

  ctx->ops->linear_stacked (ctx, y, x, w, n);
  for (guint i = 0; i < n; at += w[i++]->rows)
    {
      ZieTensor part = zie_tensor_cols (y, at, w[i]->rows);
      zie_lora_apply (ctx, &part, x, w[i]);
    }
}
