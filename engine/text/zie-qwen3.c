/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-text"

#include "zie-qwen3.h"

#include <math.h>

#include "zie-dump-op.h"

/* cos, sin [n, head_dim / 2] of positions 0 … n - 1, angles in fp32 as the reference has them. */
static void
rope_tables (const ZieQwen3Config *config, ZieOpCtx *ctx, gint64 n, ZieTensor *cos_out, ZieTensor *sin_out)
{
  int half = config->head_dim / 2;
  ZieMark mark = zie_arena_mark (ctx->host);
  float *cos_table = zie_arena_alloc (ctx->host, (gsize)n * half * sizeof (float));
  float *sin_table = zie_arena_alloc (ctx->host, (gsize)n * half * sizeof (float));

  for (gint64 p = 0; !ctx->host->is_counting && p < n; p++)
    for (int i = 0; i < half; i++)
      {
        float frequency = 1.0f / powf ((float)config->rope_theta, (float)(2 * i) / (float)config->head_dim);
        float angle = (float)p * frequency;
        cos_table[p * half + i] = cosf (angle);
        sin_table[p * half + i] = sinf (angle);
      }

  *cos_out = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n, half);
  *sin_out = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n, half);
  ctx->ops->upload (ctx, cos_out, cos_table);
  ctx->ops->upload (ctx, sin_out, sin_table);
  zie_arena_rewind (ctx->host, mark);
}

/* x += Wo attention (norm (x)), causal, grouped key heads.  The first norm reads what the layer before left. */
static void
attention (const ZieQwen3 *self, const ZieQwen3Layer *layer, ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *cos, const ZieTensor *sin)
{
  const ZieOps *ops = ctx->ops;
  const ZieQwen3Config *config = &self->config;
  gint64 q_width = (gint64)config->n_heads * config->head_dim, kv_width = (gint64)config->n_kv_heads * config->head_dim;
  ZieTensor h = zie_tensor_new (ctx->arena, ctx->act, x->rows, config->dim);
  ZieTensor qkv = zie_tensor_new (ctx->arena, ctx->act, x->rows, q_width + 2 * kv_width);
  ZieTensor q = zie_tensor_cols (&qkv, 0, q_width);
  ZieTensor k = zie_tensor_cols (&qkv, q_width, kv_width);
  ZieTensor v = zie_tensor_cols (&qkv, q_width + kv_width, kv_width);
  ZieTensor o = zie_tensor_new (ctx->arena, ctx->act, x->rows, q_width);

  ops->rms_norm (ctx, &h, x, &layer->norm, NULL, config->norm_eps);
  zie_op_enter (ctx, ZIE_PLACE_TEXT_LAYER, (int)(layer - self->layers));
  ops->linear_stacked (ctx, &qkv, &h, (const ZieWeight *[]) { &layer->q, &layer->k, &layer->v }, 3);
  ops->qk_norm_rope_pair (ctx, &q, &k, &layer->norm_q, &layer->norm_k, cos, sin, config->n_heads, config->n_kv_heads, ZIE_ROPE_HALF,
                          config->norm_eps);
  ops->attention (ctx, &o, &q, &k, &v, config->n_heads, config->n_kv_heads, 1.0f / sqrtf ((float)config->head_dim), TRUE);
  ops->linear (ctx, &h, &o, &layer->out, NULL);
  ops->add (ctx, x, &h);
}

/* x += Wdown (silu (Wgate h) * Wup h), h = norm (x). */
static void
feed_forward (const ZieQwen3 *self, const ZieQwen3Layer *layer, ZieOpCtx *ctx, ZieTensor *x)
{
  const ZieOps *ops = ctx->ops;
  const ZieQwen3Config *config = &self->config;
  ZieTensor h = zie_tensor_new (ctx->arena, ctx->act, x->rows, config->dim);
  ZieTensor both = zie_tensor_new (ctx->arena, ctx->act, x->rows, 2 * (gint64)config->ffn_dim);
  ZieTensor gate = zie_tensor_cols (&both, 0, config->ffn_dim), up = zie_tensor_cols (&both, config->ffn_dim, config->ffn_dim);

  ops->rms_norm (ctx, &h, x, &layer->post_norm, NULL, config->norm_eps);
  ops->linear_stacked (ctx, &both, &h, (const ZieWeight *[]) { &layer->gate, &layer->up }, 2);
  ops->swiglu (ctx, &gate, &gate, &up);
  ops->linear (ctx, &h, &gate, &layer->down, NULL);
  ops->add (ctx, x, &h);
}

gboolean
zie_qwen3_forward (const ZieQwen3 *self, ZieOpCtx *ctx, const gint32 *ids, guint n_ids, ZieTensor *embeds)
{
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor cos, sin;

  zie_op_enter (ctx, ZIE_PLACE_TEXT_EMBEDS, 0);
  rope_tables (&self->config, ctx, n_ids, &cos, &sin);
  ctx->ops->gather (ctx, embeds, &self->embed, ids);

  for (int i = 0; i < self->config.n_layers && !zie_op_cancelled (ctx); i++)
    {
      const ZieQwen3Layer *layer = &self->layers[i];
      ZieMark inner = zie_arena_mark (ctx->arena);

      zie_weights_acquire (self->weights, ctx, layer->block);
      attention (self, layer, ctx, embeds, &cos, &sin);
      zie_arena_rewind (ctx->arena, inner);
      feed_forward (self, layer, ctx, embeds);
      zie_arena_rewind (ctx->arena, inner);
      zie_weights_release (self->weights, ctx, layer->block);
      zie_dump_op (ctx, embeds, "text_layer.%d", i);
    }

  zie_arena_rewind (ctx->arena, mark);
  return !zie_op_cancelled (ctx);
}

/* What binding needs all along. */
typedef struct
{
  ZieQwen3 *self;
  const ZieWeightFile *file;
  ZieQwen3Names names;
} Binder;

static gboolean
bind (const Binder *b, int layer, const char *name, const char *gguf, gint64 rows, gint64 cols, ZieWeight *out, GError **error)
{
  g_autofree char *full = zie_qwen3_name (&b->names, layer, name, gguf);
  const char *names[] = { full, NULL };

  return zie_weights_bind (b->self->weights, b->file, names, rows, cols, out, error);
}

static gboolean
bind_layer (const Binder *b, int i, GError **error)
{
  ZieQwen3 *self = b->self;
  const ZieQwen3Config *c = &self->config;
  ZieQwen3Layer *l = &self->layers[i];
  gint64 q = (gint64)c->n_heads * c->head_dim, kv = (gint64)c->n_kv_heads * c->head_dim;

  l->block = zie_weights_begin_block (self->weights);
  return bind (b, i, "input_layernorm.weight", "attn_norm.weight", 1, c->dim, &l->norm, error)
         && bind (b, i, "self_attn.q_proj.weight", "attn_q.weight", q, c->dim, &l->q, error)
         && bind (b, i, "self_attn.k_proj.weight", "attn_k.weight", kv, c->dim, &l->k, error)
         && bind (b, i, "self_attn.v_proj.weight", "attn_v.weight", kv, c->dim, &l->v, error)
         && bind (b, i, "self_attn.q_norm.weight", "attn_q_norm.weight", 1, c->head_dim, &l->norm_q, error)
         && bind (b, i, "self_attn.k_norm.weight", "attn_k_norm.weight", 1, c->head_dim, &l->norm_k, error)
         && bind (b, i, "self_attn.o_proj.weight", "attn_output.weight", c->dim, q, &l->out, error)
         && bind (b, i, "post_attention_layernorm.weight", "ffn_norm.weight", 1, c->dim, &l->post_norm, error)
         && bind (b, i, "mlp.gate_proj.weight", "ffn_gate.weight", c->ffn_dim, c->dim, &l->gate, error)
         && bind (b, i, "mlp.up_proj.weight", "ffn_up.weight", c->ffn_dim, c->dim, &l->up, error)
         && bind (b, i, "mlp.down_proj.weight", "ffn_down.weight", c->dim, c->ffn_dim, &l->down, error);
}

gboolean
zie_qwen3_init (ZieQwen3 *self, const ZieQwen3Config *config, const ZieWeightFile *file, GError **error)
{
  Binder b = { self, file, { "model.", FALSE } };
  gboolean ok;

  zie_qwen3_find_names (file, &b.names);
  *self = (ZieQwen3) { .config = *config, .weights = zie_weights_new (), .layers = g_new0 (ZieQwen3Layer, config->n_layers) };
  zie_weights_begin_block (self->weights);
  ok = bind (&b, -1, "embed_tokens.weight", "token_embd.weight", config->vocab_size, config->dim, &self->embed, error);
  if (ok)
    zie_weights_set_use (self->weights, &self->embed, ZIE_WEIGHT_TABLE, 0);
  for (int i = 0; i < config->n_layers && ok; i++)
    ok = bind_layer (&b, i, error);
  if (!ok)
    zie_qwen3_clear (self);
  return ok;
}

void
zie_qwen3_clear (ZieQwen3 *self)
{
  g_clear_pointer (&self->weights, zie_weights_free);
  g_clear_pointer (&self->layers, g_free);
}
