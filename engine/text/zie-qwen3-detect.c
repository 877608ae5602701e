/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-text"

#include "zie-qwen3.h"

#include <string.h>

#define MAX_WIDTH (1 << 17)
#define MAX_LAYERS 1024

/* Qwen3-4B, of which Z-Image takes the state before the last layer.  A file without that layer will do; one of another size
 * that has no final norm either is taken to be without it. */
#define RELEASED_DIM 2560
#define RELEASED_LAYERS 36

gboolean
zie_qwen3_find_names (const ZieWeightFile *file, ZieQwen3Names *names)
{
  static const char *const prefixes[] = { "model.", "", "text_encoders.qwen3_4b.transformer.model.", "text_encoder.model.",
                                          "language_model.model.", "model.language_model." };

  *names = (ZieQwen3Names) { "", TRUE };
  if (zie_weight_file_lookup (file, "blk.0.attn_q_norm.weight") != NULL && zie_weight_file_lookup (file, "token_embd.weight") != NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    {
      g_autofree char *norm = g_strconcat (prefixes[i], "layers.0.self_attn.q_norm.weight", NULL);
      g_autofree char *embed = g_strconcat (prefixes[i], "embed_tokens.weight", NULL);

      if (zie_weight_file_lookup (file, norm) != NULL && zie_weight_file_lookup (file, embed) != NULL)
        {
          *names = (ZieQwen3Names) { prefixes[i], FALSE };
          return TRUE;
        }
    }
  return FALSE;
}

char *
zie_qwen3_name (const ZieQwen3Names *names, int layer, const char *name, const char *gguf)
{
  if (names->is_gguf)
    return layer < 0 ? g_strdup (gguf) : g_strdup_printf ("blk.%d.%s", layer, gguf);
  return layer < 0 ? g_strconcat (names->prefix, name, NULL) : g_strdup_printf ("%slayers.%d.%s", names->prefix, layer, name);
}

/* A number that a GGUF says of itself, FALLBACK where it says none. */
static double
get_number (const ZieWeightFile *file, const char *key, double fallback)
{
  g_autofree char *full = g_strconcat ("qwen3.", key, NULL), *text = zie_weight_file_get_meta (file, full);
  double value = text != NULL ? g_ascii_strtod (text, NULL) : 0;

  return value > 0 && value < 1e12 ? value : fallback;
}

static gboolean
get_matrix (const ZieWeightFile *file, const ZieQwen3Names *names, int layer, const char *name, const char *gguf, gint64 *rows, gint64 *cols,
            GError **error)
{
  g_autofree char *full = zie_qwen3_name (names, layer, name, gguf);

  if (zie_weight_file_get_matrix (file, full, rows, cols))
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING, "%s: tensor %s is missing; the file is incomplete or a piece of several",
               zie_weight_file_get_path (file), full);
  return FALSE;
}

static int
count_layers (const ZieWeightFile *file, const ZieQwen3Names *names)
{
  for (int i = 0; i < MAX_LAYERS; i++)
    {
      g_autofree char *name = zie_qwen3_name (names, i, "input_layernorm.weight", "attn_norm.weight");
      if (zie_weight_file_lookup (file, name) == NULL)
        return i;
    }
  return MAX_LAYERS;
}

gboolean
zie_qwen3_config_from_file (ZieQwen3Config *config, const ZieWeightFile *file, GError **error)
{
  ZieQwen3Names names;
  gint64 vocab, dim, q, kv, head, ffn, one;
  g_autofree char *norm = NULL;
  int n_layers, n_run;

  if (!zie_qwen3_find_names (file, &names))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: holds no text encoder of the Qwen3 kind", zie_weight_file_get_path (file));
      return FALSE;
    }
  if (!get_matrix (file, &names, -1, "embed_tokens.weight", "token_embd.weight", &vocab, &dim, error)
      || !get_matrix (file, &names, 0, "self_attn.q_norm.weight", "attn_q_norm.weight", &one, &head, error)
      || !get_matrix (file, &names, 0, "self_attn.q_proj.weight", "attn_q.weight", &q, &one, error)
      || !get_matrix (file, &names, 0, "self_attn.k_proj.weight", "attn_k.weight", &kv, &one, error)
      || !get_matrix (file, &names, 0, "mlp.gate_proj.weight", "ffn_gate.weight", &ffn, &one, error))
    return FALSE;

  norm = zie_qwen3_name (&names, -1, "norm.weight", "output_norm.weight");
  n_layers = count_layers (file, &names);
  n_run = dim == RELEASED_DIM ? MIN (n_layers, RELEASED_LAYERS - 1) : n_layers - (zie_weight_file_lookup (file, norm) != NULL);
  if (vocab > 1 << 24 || dim > MAX_WIDTH || ffn > MAX_WIDTH || q > MAX_WIDTH || head < 2 || head % 2 != 0 || q % head != 0 || kv < head
      || kv % head != 0 || q % kv != 0 || n_run < 1)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: has tensors of sizes that no Qwen3 model has",
                   zie_weight_file_get_path (file));
      return FALSE;
    }

  *config = (ZieQwen3Config) {
    .dim = (int)dim, .ffn_dim = (int)ffn, .n_layers = n_run,
    .n_heads = (int)(q / head), .n_kv_heads = (int)(kv / head), .head_dim = (int)head, .vocab_size = (int)vocab,
    .norm_eps = (float)get_number (file, "attention.layer_norm_rms_epsilon", 1e-6),
    .rope_theta = get_number (file, "rope.freq_base", 1e6),
  };
  if (config->dim == RELEASED_DIM && config->n_layers != RELEASED_LAYERS - 1)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING,
                   "%s: has %d layers of %d; the file is incomplete or a piece of several", zie_weight_file_get_path (file), n_layers,
                   RELEASED_LAYERS);
      return FALSE;
    }
  return TRUE;
}
