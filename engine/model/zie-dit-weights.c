/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dit.h"

/* Binding is a walk down the tensor names (spec 4.6); the first failure stops it. */
typedef struct
{
  ZieWeights *weights;
  const ZieWeightFile *file;
  const char *prefix;          /* before every name in this file: "" or "model.diffusion_model." … */
  GError **error;
  gboolean ok;
} Binder;

/* Binds BLOCK.NAME, or BLOCK.OTHER_NAME where a file uses the original names (NULL: the same in both). */
static void
bind (Binder *b, const char *block, const char *name, const char *other_name, gint64 rows, gint64 cols, ZieWeight *out)
{
  g_autofree char *full = g_strconcat (b->prefix, block, name, NULL);
  g_autofree char *other = other_name ? g_strconcat (b->prefix, block, other_name, NULL) : NULL;
  const char *names[] = { full, other, NULL };

  b->ok = b->ok && zie_weights_bind (b->weights, b->file, names, rows, cols, out, b->error);
}

/* q, k, v: three tensors, or thirds of one. */
static void
bind_qkv (Binder *b, const char *block, int dim, ZieDitBlock *out)
{
  g_autofree char *fused = g_strconcat (b->prefix, block, "attention.qkv.weight", NULL);
  ZieWeight *parts[] = { &out->q, &out->k, &out->v };
  const char *names[] = { "attention.to_q.weight", "attention.to_k.weight", "attention.to_v.weight" };
  gboolean is_fused = zie_weight_file_lookup (b->file, fused) != NULL;

  for (int i = 0; i < 3; i++)
    if (!is_fused)
      bind (b, block, names[i], NULL, dim, dim, parts[i]);
    else
      b->ok = b->ok && zie_weights_bind_rows (b->weights, b->file, fused, (gint64)i * dim, dim, 3 * (gint64)dim, dim, parts[i],
                                              b->error);
}

static void
bind_block (Binder *b, const ZieDitConfig *config, const char *name, int index, ZieDitBlock *out)
{
  g_autofree char *block = g_strdup_printf ("%s.%d.", name, index);
  int dim = config->dim, ffn = config->ffn_dim, head = config->head_dim;

  out->block = zie_weights_begin_block (b->weights);
  bind (b, block, "attention_norm1.weight", NULL, 1, dim, &out->norm1);
  bind_qkv (b, block, dim, out);
  bind (b, block, "attention.norm_q.weight", "attention.q_norm.weight", 1, head, &out->norm_q);
  bind (b, block, "attention.norm_k.weight", "attention.k_norm.weight", 1, head, &out->norm_k);
  bind (b, block, "attention.to_out.0.weight", "attention.out.weight", dim, dim, &out->out);
  bind (b, block, "attention_norm2.weight", NULL, 1, dim, &out->norm2);
  bind (b, block, "ffn_norm1.weight", NULL, 1, dim, &out->ffn_norm1);
  bind (b, block, "feed_forward.w1.weight", NULL, ffn, dim, &out->w1);
  bind (b, block, "feed_forward.w3.weight", NULL, ffn, dim, &out->w3);
  bind (b, block, "feed_forward.w2.weight", NULL, dim, ffn, &out->w2);
  bind (b, block, "ffn_norm2.weight", NULL, 1, dim, &out->ffn_norm2);
}

static void
bind_modulation (Binder *b, const ZieDitConfig *config, const char *name, int index, ZieDitBlock *out)
{
  g_autofree char *block = g_strdup_printf ("%s.%d.", name, index);
  gint64 rows = 4 * (gint64)config->dim;

  bind (b, block, "adaLN_modulation.0.weight", NULL, rows, config->adaln_dim, &out->mod_weight);
  bind (b, block, "adaLN_modulation.0.bias", NULL, 1, rows, &out->mod_bias);
}

static void
bind_embedders (Binder *b, ZieDit *self)
{
  const ZieDitConfig *config = &self->config;
  int dim = config->dim, patch = ZIE_DIT_PATCH * ZIE_DIT_PATCH * config->in_channels;

  self->embed_block = zie_weights_begin_block (b->weights);
  bind (b, "t_embedder.", "mlp.0.weight", NULL, 1024, 256, &self->t_mlp0);
  bind (b, "t_embedder.", "mlp.0.bias", NULL, 1, 1024, &self->t_mlp0_bias);
  bind (b, "t_embedder.", "mlp.2.weight", NULL, config->adaln_dim, 1024, &self->t_mlp2);
  bind (b, "t_embedder.", "mlp.2.bias", NULL, 1, config->adaln_dim, &self->t_mlp2_bias);
  bind (b, "", "all_x_embedder.2-1.weight", "x_embedder.weight", dim, patch, &self->x_embed);
  bind (b, "", "all_x_embedder.2-1.bias", "x_embedder.bias", 1, dim, &self->x_embed_bias);
  bind (b, "", "cap_embedder.0.weight", NULL, 1, config->cap_dim, &self->cap_norm);
  bind (b, "", "cap_embedder.1.weight", NULL, dim, config->cap_dim, &self->cap_embed);
  bind (b, "", "cap_embedder.1.bias", NULL, 1, dim, &self->cap_embed_bias);
  bind (b, "", "x_pad_token", NULL, 1, dim, &self->x_pad);
  bind (b, "", "cap_pad_token", NULL, 1, dim, &self->cap_pad);
}

static void
bind_final (Binder *b, ZieDit *self)
{
  const ZieDitConfig *config = &self->config;
  int dim = config->dim, patch = ZIE_DIT_PATCH * ZIE_DIT_PATCH * config->in_channels;

  self->final_block = zie_weights_begin_block (b->weights);
  bind (b, "", "all_final_layer.2-1.adaLN_modulation.1.weight", "final_layer.adaLN_modulation.1.weight", dim, config->adaln_dim,
        &self->final_mod);
  bind (b, "", "all_final_layer.2-1.adaLN_modulation.1.bias", "final_layer.adaLN_modulation.1.bias", 1, dim, &self->final_mod_bias);
  bind (b, "", "all_final_layer.2-1.linear.weight", "final_layer.linear.weight", patch, dim, &self->final_linear);
  bind (b, "", "all_final_layer.2-1.linear.bias", "final_layer.linear.bias", 1, patch, &self->final_linear_bias);
}

gboolean
zie_dit_init (ZieDit *self, const ZieDitConfig *config, const ZieWeightFile *file, GError **error)
{
  const char *prefix = zie_dit_find_prefix (file);
  Binder b = { zie_weights_new (), file, prefix ? prefix : "", error, TRUE };

  *self = (ZieDit) { .config = *config, .weights = b.weights };
  self->noise_refiner = g_new0 (ZieDitBlock, config->n_refiner_layers);
  self->context_refiner = g_new0 (ZieDitBlock, config->n_refiner_layers);
  self->layers = g_new0 (ZieDitBlock, config->n_layers);

  /* In the order of use, so that the block after is the one to fetch ahead. */
  bind_embedders (&b, self);
  for (int i = 0; i < config->n_refiner_layers && b.ok; i++)
    bind_block (&b, config, "context_refiner", i, &self->context_refiner[i]);
  self->modulation_block = zie_weights_begin_block (b.weights);
  for (int i = 0; i < config->n_refiner_layers && b.ok; i++)
    bind_modulation (&b, config, "noise_refiner", i, &self->noise_refiner[i]);
  for (int i = 0; i < config->n_layers && b.ok; i++)
    bind_modulation (&b, config, "layers", i, &self->layers[i]);
  for (int i = 0; i < config->n_refiner_layers && b.ok; i++)
    bind_block (&b, config, "noise_refiner", i, &self->noise_refiner[i]);
  for (int i = 0; i < config->n_layers && b.ok; i++)
    bind_block (&b, config, "layers", i, &self->layers[i]);
  bind_final (&b, self);

  if (!b.ok)
    zie_dit_clear (self);
  return b.ok;
}

void
zie_dit_clear (ZieDit *self)
{
  g_clear_pointer (&self->weights, zie_weights_free);
  g_clear_pointer (&self->noise_refiner, g_free);
  g_clear_pointer (&self->context_refiner, g_free);
  g_clear_pointer (&self->layers, g_free);
}
