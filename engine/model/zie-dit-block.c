/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dit-private.h"

#include <math.h>

#include "zie-lora.h"

/* h [n, dim] becomes to_out (attention (h)); the result lies in *Y, in the arena. */
static void
attention (const ZieDit *self, const ZieDitBlock *block, ZieOpCtx *ctx, ZieTensor *h, const ZieTensor *cos,
           const ZieTensor *sin, ZieTensor *y)
{
  const ZieOps *ops = ctx->ops;
  const ZieDitConfig *config = &self->config;
  ZieTensor qkv = zie_tensor_new (ctx->arena, ctx->act, h->rows, 3 * config->dim);
  ZieTensor q = zie_tensor_cols (&qkv, 0, config->dim);
  ZieTensor k = zie_tensor_cols (&qkv, config->dim, config->dim);
  ZieTensor v = zie_tensor_cols (&qkv, 2 * config->dim, config->dim);

  zie_lora_linear_stacked (ctx, &qkv, h, (const ZieWeight *[]) { &block->q, &block->k, &block->v }, 3);
  ops->qk_norm_rope_pair (ctx, &q, &k, &block->norm_q, &block->norm_k, cos, sin, config->n_heads, config->n_heads,
                          ZIE_ROPE_INTERLEAVED, config->norm_eps);
  ops->attention (ctx, h, &q, &k, &v, config->n_heads, config->n_heads, 1.0f / sqrtf ((float)config->head_dim), FALSE);

  *y = q;                                        /* q has been used: its columns take the result */
  zie_lora_linear (ctx, y, h, &block->out, NULL);
}

/* w2 (silu (w1 h) * w3 h), over h itself. */
static void
feed_forward (const ZieDit *self, const ZieDitBlock *block, ZieOpCtx *ctx, ZieTensor *h)
{
  const ZieOps *ops = ctx->ops;
  int ffn = self->config.ffn_dim;
  ZieTensor both = zie_tensor_new (ctx->arena, ctx->act, h->rows, 2 * ffn);
  ZieTensor gate = zie_tensor_cols (&both, 0, ffn), up = zie_tensor_cols (&both, ffn, ffn);

  zie_lora_linear_stacked (ctx, &both, h, (const ZieWeight *[]) { &block->w1, &block->w3 }, 2);
  ops->swiglu (ctx, &gate, &gate, &up);
  zie_lora_linear (ctx, h, &gate, &block->w2, NULL);
}

/* The sandwich of spec 4.3: a norm before and after each branch, scale on the first, gate on the second. */
void
zie_dit_block_forward (const ZieDit *self, const ZieDitBlock *block, ZieOpCtx *ctx, ZieTensor *x, const ZieTensor *cos,
                       const ZieTensor *sin, const ZieDitMod *mod)
{
  const ZieOps *ops = ctx->ops;
  float eps = self->config.norm_eps;
  ZieMark mark = zie_arena_mark (ctx->arena), inner;
  ZieTensor h = zie_tensor_new (ctx->arena, ctx->act, x->rows, x->cols), y;

  zie_weights_acquire (self->weights, ctx, block->block);

  inner = zie_arena_mark (ctx->arena);
  ops->rms_norm (ctx, &h, x, &block->norm1, mod ? &mod->scale_attn : NULL, eps);
  attention (self, block, ctx, &h, cos, sin, &y);
  ops->gated_norm_add_norm (ctx, x, &y, &block->norm2, mod ? &mod->gate_attn : NULL, &h, &block->ffn_norm1,
                            mod ? &mod->scale_ffn : NULL, eps);
  zie_arena_rewind (ctx->arena, inner);

  feed_forward (self, block, ctx, &h);
  ops->gated_norm_add (ctx, x, &h, &block->ffn_norm2, mod ? &mod->gate_ffn : NULL, eps);

  zie_weights_release (self->weights, ctx, block->block);
  zie_arena_rewind (ctx->arena, mark);
}
