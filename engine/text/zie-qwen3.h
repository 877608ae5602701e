/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"
#include "zie-weights.h"

/* The text encoder, Qwen3 (spec section 3): the raw residual stream after the last layer but one. */
typedef struct
{
  int dim, ffn_dim, n_layers;          /* n_layers: those that are run, one less than the file's */
  int n_heads, n_kv_heads, head_dim;
  int vocab_size;
  float norm_eps;
  double rope_theta;
} ZieQwen3Config;

typedef struct
{
  ZieWeight norm, post_norm;                       /* [dim] */
  ZieWeight q, k, v, out, norm_q, norm_k;          /* [heads * head_dim, dim] …, [head_dim] */
  ZieWeight gate, up, down;
  int block;
} ZieQwen3Layer;

typedef struct
{
  ZieQwen3Config config;
  ZieWeights *weights;                             /* owned */
  ZieWeight embed;                                 /* [vocab, dim]: rows are gathered, never read whole */
  ZieQwen3Layer *layers;                           /* owned */
} ZieQwen3;

/* How a file calls the encoder's tensors. */
typedef struct
{
  const char *prefix;                              /* before Hugging Face's names; static */
  gboolean is_gguf;                                /* llama.cpp's names instead */
} ZieQwen3Names;

/* FALSE: FILE holds no such encoder; by names alone. */
gboolean zie_qwen3_find_names (const ZieWeightFile *file, ZieQwen3Names *names);
/* The full name of layer LAYER's (-1: the model's) NAME, GGUF in a GGUF.  Free with g_free(). */
char *zie_qwen3_name (const ZieQwen3Names *names, int layer, const char *name, const char *gguf);
/* The configuration that FILE's shapes and metadata tell, the rest as released.  Errors: MODEL_UNSUPPORTED, TENSOR_MISSING. */
gboolean zie_qwen3_config_from_file (ZieQwen3Config *config, const ZieWeightFile *file, GError **error);

gboolean zie_qwen3_init (ZieQwen3 *self, const ZieQwen3Config *config, const ZieWeightFile *file, GError **error);
void zie_qwen3_clear (ZieQwen3 *self);

/* embeds [n_ids, dim], made by the caller.  IDS in host memory, each below vocab_size.  FALSE: cancelled. */
gboolean zie_qwen3_forward (const ZieQwen3 *self, ZieOpCtx *ctx, const gint32 *ids, guint n_ids, ZieTensor *embeds);
