/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"
#include "zie-weights.h"

/* The single-stream diffusion transformer, S3-DiT (spec section 4). */
typedef struct
{
  int dim, n_heads, head_dim, ffn_dim;
  int n_layers, n_refiner_layers;
  int adaln_dim;               /* min (dim, 256) */
  int in_channels;             /* of the latent */
  int cap_dim;                 /* width of the text embeddings */
  float norm_eps, t_scale;
  double rope_theta;
  int axes_dims[3], axes_lens[3];
} ZieDitConfig;

#define ZIE_DIT_PATCH 2
#define ZIE_DIT_TOKEN_MULTIPLE 32

typedef struct
{
  ZieWeight norm1, norm2, ffn_norm1, ffn_norm2;    /* [dim] */
  ZieWeight q, k, v, out;                          /* [dim, dim] */
  ZieWeight norm_q, norm_k;                        /* [head_dim] */
  ZieWeight w1, w2, w3;                            /* [ffn, dim], [dim, ffn], [ffn, dim] */
  ZieWeight mod_weight, mod_bias;                  /* [4 dim, adaln], [4 dim]; not in the context refiner */
  int block;                                       /* in the weights */
} ZieDitBlock;

typedef struct
{
  ZieDitConfig config;
  ZieWeights *weights;                             /* owned */
  ZieWeight x_embed, x_embed_bias, cap_norm, cap_embed, cap_embed_bias, x_pad, cap_pad;
  ZieWeight t_mlp0, t_mlp0_bias, t_mlp2, t_mlp2_bias;
  ZieWeight final_mod, final_mod_bias, final_linear, final_linear_bias;
  ZieDitBlock *noise_refiner, *context_refiner, *layers;   /* owned */
  int embed_block, modulation_block, final_block;          /* all blocks' mod_weight and mod_bias are one of their own */
} ZieDit;

/* What FILE puts before the names of a Z-Image transformer, NULL where it holds none; by names and shapes alone. */
const char *zie_dit_find_prefix (const ZieWeightFile *file);
/* The configuration that FILE's shapes tell, the rest as released.  Errors: MODEL_UNSUPPORTED, TENSOR_MISSING. */
gboolean zie_dit_config_from_file (ZieDitConfig *config, const ZieWeightFile *file, GError **error);
/* What FILE holds beyond the network that would change pictures, as a sentence; NULL: nothing.  Free with g_free(). */
char *zie_dit_describe_extras (const ZieWeightFile *file);

/* Binds every tensor of FILE under diffusers' or the original (fused) names. */
gboolean zie_dit_init (ZieDit *self, const ZieDitConfig *config, const ZieWeightFile *file, GError **error);
void zie_dit_clear (ZieDit *self);

/* What a picture's steps share: made once, lives in ctx->arena. */
typedef struct
{
  int height, width;           /* of the latent, even */
  gint64 n_image, n_image_padded, n_text, n_text_padded;
  ZieTensor text;              /* [n_text_padded, dim]: refined caption tokens */
  ZieTensor cos, sin;          /* [n_image_padded + n_text_padded, head_dim / 2] */
} ZieDitPrompt;

typedef struct
{
  int n_steps;
  ZieTensor blocks;            /* [(n_refiner + n_layers) * n_steps, 4 dim]: 1 + scale, tanh (gate), 1 + scale, tanh (gate) */
  ZieTensor final;             /* [n_steps, dim]: 1 + scale */
} ZieDitModulation;

/* Caption tokens: embeds [n_text, cap_dim] through the embedder and the context refiner; positions of all tokens. */
void zie_dit_prepare_prompt (const ZieDit *self, ZieOpCtx *ctx, const ZieTensor *embeds, int height, int width,
                             ZieDitPrompt *prompt);

/* All modulation vectors of a schedule: they depend on the time alone. */
void zie_dit_prepare_modulation (const ZieDit *self, ZieOpCtx *ctx, const float *tin, int n_steps, ZieDitModulation *modulation);

/* out = network (latent, tin[step], prompt): both [in_channels, height * width] f32.  Minus the velocity.
 * FALSE: cancelled. */
gboolean zie_dit_forward (const ZieDit *self, ZieOpCtx *ctx, const ZieDitPrompt *prompt, const ZieDitModulation *modulation,
                          int step, const ZieTensor *latent, ZieTensor *out);
