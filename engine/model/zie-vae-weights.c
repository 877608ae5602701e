/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae.h"

typedef struct
{
  ZieWeights *weights;
  const ZieWeightFile *file;
  ZieVaeNames names;
  GError **error;
  gboolean ok;
} Binder;

static void
bind (Binder *b, const char *module, const char *leaf, gint64 rows, gint64 cols, ZieWeight *out)
{
  g_autofree char *name = zie_vae_name (&b->names, module, leaf);
  const char *names[] = { name, NULL };

  b->ok = b->ok && zie_weights_bind (b->weights, b->file, names, rows, cols, out, b->error);
}

static void
bind_conv_for (Binder *b, const char *module, int in, int out, int ksize, ZieWeightUse use, ZieConv *conv)
{
  *conv = (ZieConv) { .in = in, .out = out, .ksize = ksize };
  bind (b, module, ".weight", out, (gint64)in * ksize * ksize, &conv->weight);
  if (b->ok)
    zie_weights_set_use (b->weights, &conv->weight, use, ksize);
  bind (b, module, ".bias", 1, out, &conv->bias);
}

static void
bind_conv (Binder *b, const char *module, int in, int out, int ksize, ZieConv *conv)
{
  bind_conv_for (b, module, in, out, ksize, ZIE_WEIGHT_CONV, conv);
}

static void
bind_norm (Binder *b, const char *module, int channels, ZieVaeNorm *norm)
{
  bind (b, module, ".weight", 1, channels, &norm->gamma);
  bind (b, module, ".bias", 1, channels, &norm->beta);
}

static void
bind_res (Binder *b, const char *module, int in, int out, ZieVaeRes *res)
{
  g_autofree char *norm1 = g_strconcat (module, ".norm1", NULL), *norm2 = g_strconcat (module, ".norm2", NULL);
  g_autofree char *conv1 = g_strconcat (module, ".conv1", NULL), *conv2 = g_strconcat (module, ".conv2", NULL);
  g_autofree char *shortcut = g_strconcat (module, ".conv_shortcut", NULL);

  bind_norm (b, norm1, in, &res->norm1);
  bind_conv (b, conv1, in, out, 3, &res->conv1);
  bind_norm (b, norm2, out, &res->norm2);
  bind_conv (b, conv2, out, out, 3, &res->conv2);
  res->has_shortcut = in != out;
  if (res->has_shortcut)
    bind_conv (b, shortcut, in, out, 1, &res->shortcut);
}

static void
bind_attention (Binder *b, const char *module, int channels, ZieVaeAttention *attention)
{
  struct { const char *name, *old_name; ZieWeight *weight, *bias; } parts[] = {
    { ".to_q", ".query", &attention->q, &attention->q_bias },
    { ".to_k", ".key", &attention->k, &attention->k_bias },
    { ".to_v", ".value", &attention->v, &attention->v_bias },
    { ".to_out.0", ".proj_attn", &attention->out, &attention->out_bias },
  };
  g_autofree char *norm = g_strconcat (module, ".group_norm", NULL), *old = g_strconcat (module, ".query", NULL);
  g_autofree char *old_weight = zie_vae_name (&b->names, old, ".weight");
  gboolean is_old = zie_weight_file_lookup (b->file, old_weight) != NULL;      /* as diffusers wrote it in its first year */

  bind_norm (b, norm, channels, &attention->norm);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autofree char *name = g_strconcat (module, is_old ? parts[i].old_name : parts[i].name, NULL);
      bind (b, name, ".weight", channels, channels, parts[i].weight);
      bind (b, name, ".bias", 1, channels, parts[i].bias);
    }
}

static void
bind_mid (Binder *b, const ZieVaeConfig *config, const char *half, ZieVaeHalf *net)
{
  int channels = config->channels[ZIE_VAE_LEVELS - 1];
  g_autofree char *attention = g_strconcat (half, ".mid_block.attentions.0", NULL);

  for (int i = 0; i < 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s.mid_block.resnets.%d", half, i);
      bind_res (b, name, channels, channels, &net->mid[i]);
    }
  if (config->mid_attention)
    bind_attention (b, attention, channels, &net->attention);
}

/* Level I goes from IN to OUT channels; the decoder's end with an Up, the encoder's with a Down, the last with neither. */
static void
bind_level (Binder *b, const char *half, gboolean is_decoder, int i, int n_res, int in, int out, ZieVaeLevel *level)
{
  level->n_res = n_res;
  for (int j = 0; j < n_res; j++)
    {
      g_autofree char *name = g_strdup_printf ("%s.%s_blocks.%d.resnets.%d", half, is_decoder ? "up" : "down", i, j);
      bind_res (b, name, j == 0 ? in : out, out, &level->res[j]);
    }
  level->has_resample = i < ZIE_VAE_LEVELS - 1;
  if (level->has_resample)
    {
      g_autofree char *name = g_strdup_printf (is_decoder ? "%s.up_blocks.%d.upsamplers.0.conv" : "%s.down_blocks.%d.downsamplers.0.conv",
                                               half, i);
      bind_conv_for (b, name, out, out, 3, is_decoder ? ZIE_WEIGHT_UPCONV : ZIE_WEIGHT_CONV, &level->resample);
    }
}

static void
bind_decoder (Binder *b, const ZieVaeConfig *config, ZieVaeHalf *net)
{
  int last = ZIE_VAE_LEVELS - 1;

  net->block = zie_weights_begin_block (b->weights);
  bind_conv (b, "decoder.conv_in", config->latent_channels, config->channels[last], 3, &net->conv_in);
  bind_mid (b, config, "decoder", net);
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    bind_level (b, "decoder", TRUE, i, config->layers_per_block + 1, config->channels[i == 0 ? last : last - i + 1],
                config->channels[last - i], &net->levels[i]);
  bind_norm (b, "decoder.conv_norm_out", config->channels[0], &net->norm_out);
  bind_conv (b, "decoder.conv_out", config->channels[0], 3, 3, &net->conv_out);
}

static void
bind_encoder (Binder *b, const ZieVaeConfig *config, ZieVaeHalf *net)
{
  int last = ZIE_VAE_LEVELS - 1;

  net->block = zie_weights_begin_block (b->weights);
  bind_conv (b, "encoder.conv_in", 3, config->channels[0], 3, &net->conv_in);
  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    bind_level (b, "encoder", FALSE, i, config->layers_per_block, config->channels[MAX (i - 1, 0)], config->channels[i], &net->levels[i]);
  bind_mid (b, config, "encoder", net);
  bind_norm (b, "encoder.conv_norm_out", config->channels[last], &net->norm_out);
  bind_conv (b, "encoder.conv_out", config->channels[last], 2 * config->latent_channels, 3, &net->conv_out);
}

gboolean
zie_vae_init (ZieVae *self, const ZieVaeConfig *config, const ZieWeightFile *file, GError **error)
{
  Binder b = { zie_weights_new (), file, { "", FALSE }, error, TRUE };
  g_autofree char *encoder = NULL;

  zie_vae_find_names (file, &b.names);
  *self = (ZieVae) { .config = *config, .weights = b.weights };
  bind_decoder (&b, config, &self->decoder);
  encoder = zie_vae_name (&b.names, "encoder.conv_in", ".weight");
  self->has_encoder = zie_weight_file_lookup (file, encoder) != NULL;
  if (self->has_encoder)
    bind_encoder (&b, config, &self->encoder);
  if (!b.ok)
    zie_vae_clear (self);
  return b.ok;
}

void
zie_vae_clear (ZieVae *self)
{
  g_clear_pointer (&self->weights, zie_weights_free);
}
