/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dit.h"

#include <math.h>

#include "zie-dit-private.h"
#include "zie-dump-op.h"
#include "zie-lora.h"

/* Frequencies of the sinusoidal time embedding: 128 cosines, then 128 sines. */
#define TIME_FREQUENCIES 128
#define TIME_WIDTH (2 * TIME_FREQUENCIES)
#define TIME_HIDDEN 1024
#define FINAL_NORM_EPS 1e-6f

void
zie_dit_prepare_prompt (const ZieDit *self, ZieOpCtx *ctx, const ZieTensor *embeds, int height, int width, ZieDitPrompt *prompt)
{
  const ZieOps *ops = ctx->ops;
  const ZieDitConfig *config = &self->config;
  gint64 n_image = (gint64)(height / ZIE_DIT_PATCH) * (width / ZIE_DIT_PATCH), n_text = embeds->rows;
  ZieTensor tokens, padding, normed, cos, sin;
  ZieMark mark;

  *prompt = (ZieDitPrompt) { .height = height, .width = width, .n_image = n_image, .n_image_padded = zie_dit_pad (n_image),
                             .n_text = n_text, .n_text_padded = zie_dit_pad (n_text) };
  prompt->text = zie_tensor_new (ctx->arena, ctx->act, prompt->n_text_padded, config->dim);
  zie_dit_rope_tables (config, ctx, prompt);

  /* Padding rows are the learned pad token and take part in everything. */
  zie_op_enter (ctx, ZIE_PLACE_CAPTION, 0);
  zie_weights_acquire (self->weights, ctx, self->embed_block);
  mark = zie_arena_mark (ctx->arena);
  normed = zie_tensor_new (ctx->arena, ctx->act, n_text, config->cap_dim);
  tokens = zie_tensor_rows (&prompt->text, 0, n_text);
  padding = zie_tensor_rows (&prompt->text, n_text, prompt->n_text_padded - n_text);
  ops->rms_norm (ctx, &normed, embeds, &self->cap_norm, NULL, config->norm_eps);
  zie_lora_linear (ctx, &tokens, &normed, &self->cap_embed, &self->cap_embed_bias);
  if (padding.rows > 0)
    ops->fill_rows (ctx, &padding, &self->cap_pad);
  zie_weights_release (self->weights, ctx, self->embed_block);
  zie_arena_rewind (ctx->arena, mark);

  cos = zie_tensor_rows (&prompt->cos, prompt->n_image_padded, prompt->n_text_padded);
  sin = zie_tensor_rows (&prompt->sin, prompt->n_image_padded, prompt->n_text_padded);
  for (int i = 0; i < config->n_refiner_layers && !zie_op_cancelled (ctx); i++)
    {
      zie_op_enter (ctx, ZIE_PLACE_CONTEXT_REFINER, i);
      zie_dit_block_forward (self, &self->context_refiner[i], ctx, &prompt->text, &cos, &sin, NULL);
      zie_dump_op (ctx, &prompt->text, "context_refiner.%d", i);
    }
}

/* e(t) of every step: [cos (a), sin (a)], a = t * exp (-ln 10000 * k / 128), all in fp32. */
static void
time_embedding (const ZieDitConfig *config, const float *tin, int n_steps, float *out)
{
  for (int i = 0; i < n_steps; i++)
    for (int k = 0; k < TIME_FREQUENCIES; k++)
      {
        float frequency = expf (-logf (10000.0f) * (float)k / (float)TIME_FREQUENCIES);
        float angle = tin[i] * config->t_scale * frequency;
        out[i * TIME_WIDTH + k] = cosf (angle);
        out[i * TIME_WIDTH + TIME_FREQUENCIES + k] = sinf (angle);
      }
}

/* c [n_steps, adaln]: W2 silu (W0 e + b0) + b2. */
static void
embed_time (const ZieDit *self, ZieOpCtx *ctx, const float *tin, int n_steps, ZieTensor *c)
{
  const ZieOps *ops = ctx->ops;
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  ZieTensor e = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n_steps, TIME_WIDTH);
  ZieTensor hidden = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n_steps, TIME_HIDDEN);
  float *host = zie_arena_alloc (ctx->host, (gsize)n_steps * TIME_WIDTH * sizeof (float));

  if (!ctx->host->is_counting)
    time_embedding (&self->config, tin, n_steps, host);
  ops->upload (ctx, &e, host);
  zie_lora_linear (ctx, &hidden, &e, &self->t_mlp0, &self->t_mlp0_bias);
  ops->unary (ctx, &hidden, &hidden, ZIE_UNARY_SILU);
  zie_lora_linear (ctx, c, &hidden, &self->t_mlp2, &self->t_mlp2_bias);
  zie_dump_op (ctx, c, "t_embedder");

  zie_arena_rewind (ctx->host, host_mark);
  zie_arena_rewind (ctx->arena, mark);
}

/* rows [n_steps, 4 dim] = W c + b, scales as 1 + s, gates as tanh (g).  No SiLU here. */
static void
modulate_block (const ZieDit *self, ZieOpCtx *ctx, const ZieDitBlock *block, const ZieTensor *c, ZieTensor *rows)
{
  const ZieOps *ops = ctx->ops;
  int dim = self->config.dim;

  zie_lora_linear (ctx, rows, c, &block->mod_weight, &block->mod_bias);
  for (int part = 0; part < 4; part++)
    {
      ZieTensor t = zie_tensor_cols (rows, part * dim, dim);
      ops->unary (ctx, &t, &t, part % 2 == 0 ? ZIE_UNARY_ONE_PLUS : ZIE_UNARY_TANH);
    }
}

void
zie_dit_prepare_modulation (const ZieDit *self, ZieOpCtx *ctx, const float *tin, int n_steps, ZieDitModulation *modulation)
{
  const ZieOps *ops = ctx->ops;
  const ZieDitConfig *config = &self->config;
  int n_blocks = config->n_refiner_layers + config->n_layers;
  ZieTensor c;
  ZieMark mark;

  modulation->n_steps = n_steps;
  modulation->blocks = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, (gint64)n_blocks * n_steps, 4 * config->dim);
  modulation->final = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n_steps, config->dim);

  mark = zie_arena_mark (ctx->arena);
  c = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, n_steps, config->adaln_dim);
  zie_weights_acquire (self->weights, ctx, self->embed_block);
  embed_time (self, ctx, tin, n_steps, &c);
  zie_weights_release (self->weights, ctx, self->embed_block);

  zie_weights_acquire (self->weights, ctx, self->modulation_block);
  for (int b = 0; b < n_blocks && !zie_op_cancelled (ctx); b++)
    {
      const ZieDitBlock *block = b < config->n_refiner_layers ? &self->noise_refiner[b] : &self->layers[b - config->n_refiner_layers];
      ZieTensor rows = zie_tensor_rows (&modulation->blocks, (gint64)b * n_steps, n_steps);
      modulate_block (self, ctx, block, &c, &rows);
    }

  zie_weights_release (self->weights, ctx, self->modulation_block);

  zie_weights_acquire (self->weights, ctx, self->final_block);
  ops->unary (ctx, &c, &c, ZIE_UNARY_SILU);                        /* SiLU here, and only here */
  zie_lora_linear (ctx, &modulation->final, &c, &self->final_mod, &self->final_mod_bias);
  ops->unary (ctx, &modulation->final, &modulation->final, ZIE_UNARY_ONE_PLUS);
  zie_weights_release (self->weights, ctx, self->final_block);
  zie_arena_rewind (ctx->arena, mark);
}

static ZieDitMod
get_mod (const ZieDit *self, const ZieDitModulation *modulation, int block, int step)
{
  ZieTensor row = zie_tensor_rows (&modulation->blocks, (gint64)block * modulation->n_steps + step, 1);
  int dim = self->config.dim;

  return (ZieDitMod) { zie_tensor_cols (&row, 0, dim), zie_tensor_cols (&row, dim, dim), zie_tensor_cols (&row, 2 * dim, dim),
                       zie_tensor_cols (&row, 3 * dim, dim) };
}

/* u[0 … n_image_padded): the latent's patches, then pad tokens. */
static void
embed_image (const ZieDit *self, ZieOpCtx *ctx, const ZieDitPrompt *prompt, const ZieTensor *latent, ZieTensor *image)
{
  const ZieOps *ops = ctx->ops;
  ZieMark mark = zie_arena_mark (ctx->arena);
  int patch = ZIE_DIT_PATCH * ZIE_DIT_PATCH * self->config.in_channels;
  ZieTensor patches = zie_tensor_new (ctx->arena, ctx->act, prompt->n_image, patch);
  ZieTensor tokens = zie_tensor_rows (image, 0, prompt->n_image);
  ZieTensor padding = zie_tensor_rows (image, prompt->n_image, prompt->n_image_padded - prompt->n_image);

  zie_weights_acquire (self->weights, ctx, self->embed_block);
  ops->patchify (ctx, &patches, latent, self->config.in_channels, prompt->height, prompt->width);
  zie_lora_linear (ctx, &tokens, &patches, &self->x_embed, &self->x_embed_bias);
  if (padding.rows > 0)
    ops->fill_rows (ctx, &padding, &self->x_pad);
  zie_weights_release (self->weights, ctx, self->embed_block);
  zie_arena_rewind (ctx->arena, mark);
}

/* out = linear (layer_norm (u) * (1 + scale)), patches back to the latent's planes. */
static void
final_layer (const ZieDit *self, ZieOpCtx *ctx, const ZieDitPrompt *prompt, const ZieDitModulation *modulation, int step,
             const ZieTensor *u, ZieTensor *out)
{
  const ZieOps *ops = ctx->ops;
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor tokens = zie_tensor_rows (u, 0, prompt->n_image);
  ZieTensor scale = zie_tensor_rows (&modulation->final, step, 1);
  ZieTensor patches = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, prompt->n_image, ZIE_DIT_PATCH * ZIE_DIT_PATCH * self->config.in_channels);

  zie_op_enter (ctx, ZIE_PLACE_FINAL_LAYER, 0);
  zie_weights_acquire (self->weights, ctx, self->final_block);
  ops->layer_norm (ctx, &tokens, &tokens, &scale, FINAL_NORM_EPS);
  zie_lora_linear (ctx, &patches, &tokens, &self->final_linear, &self->final_linear_bias);
  ops->unpatchify (ctx, out, &patches, self->config.in_channels, prompt->height, prompt->width);
  zie_weights_release (self->weights, ctx, self->final_block);
  zie_arena_rewind (ctx->arena, mark);
}

gboolean
zie_dit_forward (const ZieDit *self, ZieOpCtx *ctx, const ZieDitPrompt *prompt, const ZieDitModulation *modulation, int step,
                 const ZieTensor *latent, ZieTensor *out)
{
  const ZieDitConfig *config = &self->config;
  ZieMark mark = zie_arena_mark (ctx->arena);
  ZieTensor u = zie_tensor_new (ctx->arena, ctx->act, prompt->n_image_padded + prompt->n_text_padded, config->dim);
  ZieTensor image = zie_tensor_rows (&u, 0, prompt->n_image_padded);
  ZieTensor text = zie_tensor_rows (&u, prompt->n_image_padded, prompt->n_text_padded);
  ZieTensor image_cos = zie_tensor_rows (&prompt->cos, 0, prompt->n_image_padded);
  ZieTensor image_sin = zie_tensor_rows (&prompt->sin, 0, prompt->n_image_padded);
  gboolean done;

  embed_image (self, ctx, prompt, latent, &image);
  for (int i = 0; i < config->n_refiner_layers && !zie_op_cancelled (ctx); i++)
    {
      ZieDitMod mod = get_mod (self, modulation, i, step);
      zie_op_enter (ctx, ZIE_PLACE_NOISE_REFINER, i);
      zie_dit_block_forward (self, &self->noise_refiner[i], ctx, &image, &image_cos, &image_sin, &mod);
      zie_dump_op (ctx, &image, "noise_refiner.%d", i);
    }

  ctx->ops->copy (ctx, &text, &prompt->text);
  for (int i = 0; i < config->n_layers && !zie_op_cancelled (ctx); i++)
    {
      ZieDitMod mod = get_mod (self, modulation, config->n_refiner_layers + i, step);
      zie_op_enter (ctx, ZIE_PLACE_LAYER, i);
      zie_dit_block_forward (self, &self->layers[i], ctx, &u, &prompt->cos, &prompt->sin, &mod);
      zie_dump_op (ctx, &u, "layers.%d", i);
    }

  done = !zie_op_cancelled (ctx);
  if (done)
    final_layer (self, ctx, prompt, modulation, step, &u, out);
  zie_arena_rewind (ctx->arena, mark);
  return done;
}
