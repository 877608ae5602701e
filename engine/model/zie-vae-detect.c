/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae.h"

#include <string.h>

/* Flux's latents, which Z-Image shares; no tensor tells them. */
#define FLUX_CHANNELS 16
#define FLUX_SCALING 0.3611f
#define FLUX_SHIFT 0.1159f

gboolean
zie_vae_find_names (const ZieWeightFile *file, ZieVaeNames *names)
{
  static const char *const prefixes[] = { "", "vae.", "first_stage_model." };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    for (int original = 0; original < 2; original++)
      {
        ZieVaeNames try = { prefixes[i], original };
        g_autofree char *first = zie_vae_name (&try, "decoder.conv_in", ".weight");
        g_autofree char *block = zie_vae_name (&try, "decoder.up_blocks.0.resnets.0.conv1", ".weight");

        if (zie_weight_file_lookup (file, first) != NULL && zie_weight_file_lookup (file, block) != NULL)
          {
            *names = try;
            return TRUE;
          }
      }
  return FALSE;
}

static void
replace (GString *s, const char *from, const char *to)
{
  g_string_replace (s, from, to, 1);
}

/* diffusers' name of a module to that of the original autoencoder, which counts the decoder's levels from the other end. */
static void
make_original (GString *s)
{
  static const struct { const char *from, *to; } words[] = {
    { ".conv_norm_out", ".norm_out" },
    { ".conv_shortcut", ".nin_shortcut" },
    { ".mid_block.resnets.0", ".mid.block_1" },
    { ".mid_block.resnets.1", ".mid.block_2" },
    { ".mid_block.attentions.0.group_norm", ".mid.attn_1.norm" },
    { ".mid_block.attentions.0.to_out.0", ".mid.attn_1.proj_out" },
    { ".mid_block.attentions.0.to_", ".mid.attn_1." },
    { ".resnets.", ".block." },
    { ".upsamplers.0.conv", ".upsample.conv" },
    { ".downsamplers.0.conv", ".downsample.conv" },
    { ".down_blocks.", ".down." },
  };
  char *level;

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    replace (s, words[i].from, words[i].to);
  if ((level = strstr (s->str, ".up_blocks.")) != NULL)
    {
      level += strlen (".up_blocks.");
      *level = (char)('0' + ZIE_VAE_LEVELS - 1 - (*level - '0'));
      replace (s, ".up_blocks.", ".up.");
    }
}

char *
zie_vae_name (const ZieVaeNames *names, const char *module, const char *leaf)
{
  GString *s = g_string_new (module);

  if (names->is_original)
    make_original (s);
  g_string_prepend (s, names->prefix);
  g_string_append (s, leaf);
  return g_string_free (s, FALSE);
}

static gboolean
get_conv (const ZieWeightFile *file, const ZieVaeNames *names, const char *module, gint64 *out, gint64 *in, GError **error)
{
  g_autofree char *name = zie_vae_name (names, module, ".weight");
  gint64 cols;

  if (!zie_weight_file_get_matrix (file, name, out, &cols))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "%s: tensor %s is missing; the file is incomplete or of another model",
                   zie_weight_file_get_path (file), name);
      return FALSE;
    }
  *in = cols / 9;
  return TRUE;
}

gboolean
zie_vae_config_from_file (ZieVaeConfig *config, const ZieWeightFile *file, GError **error)
{
  g_autofree char *attention = NULL;
  ZieVaeNames names;
  gint64 out, in;

  *config = (ZieVaeConfig) { .groups = 32, .scaling_factor = FLUX_SCALING, .shift_factor = FLUX_SHIFT };
  if (!zie_vae_find_names (file, &names))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: holds no VAE of the Flux kind", zie_weight_file_get_path (file));
      return FALSE;
    }
  if (!get_conv (file, &names, "decoder.conv_in", &out, &in, error))
    return FALSE;
  config->latent_channels = (int)in;

  for (int i = 0; i < ZIE_VAE_LEVELS; i++)
    {
      g_autofree char *module = g_strdup_printf ("decoder.up_blocks.%d.resnets.0.conv1", i);

      if (!get_conv (file, &names, module, &out, &in, error))
        return FALSE;
      config->channels[ZIE_VAE_LEVELS - 1 - i] = (int)MIN (out, 1 << 14);
      if (out % config->groups != 0 || out > 1 << 14)
        break;
    }
  for (int i = 0; i <= ZIE_VAE_MAX_LAYERS; i++)
    {
      g_autofree char *module = g_strdup_printf ("decoder.up_blocks.0.resnets.%d.conv1", i);
      g_autofree char *name = zie_vae_name (&names, module, ".weight");

      if (zie_weight_file_lookup (file, name) != NULL)
        config->layers_per_block = i;
    }
  attention = zie_vae_name (&names, "decoder.mid_block.attentions.0.group_norm", ".weight");
  config->mid_attention = zie_weight_file_lookup (file, attention) != NULL;

  if (config->latent_channels != FLUX_CHANNELS || out % config->groups != 0 || config->layers_per_block < 1)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                   "%s: is a VAE of %d latent channels with blocks of %d channels, expected Flux's: 16, and multiples of 32",
                   zie_weight_file_get_path (file), config->latent_channels, (int)out);
      return FALSE;
    }
  return TRUE;
}
