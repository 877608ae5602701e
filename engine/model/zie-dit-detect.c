/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-dit.h"

#include <string.h>

#define MAX_WIDTH (1 << 17)          /* of any matrix: far above any model, far below overflow */
#define MAX_LAYERS 1024

/* Rows and columns of PREFIX + NAME, or of PREFIX + OTHER; FALSE where neither is there. */
static gboolean
get_matrix (const ZieWeightFile *file, const char *prefix, const char *name, const char *other, gint64 *rows, gint64 *cols)
{
  g_autofree char *full = g_strconcat (prefix, name, NULL), *full_other = g_strconcat (prefix, other ? other : name, NULL);

  return zie_weight_file_get_matrix (file, full, rows, cols) || zie_weight_file_get_matrix (file, full_other, rows, cols);
}

/* Lumina 2 has the same names; its modulation is computed from 1024 numbers and not from 256. */
static gboolean
is_z_image (const ZieWeightFile *file, const char *prefix)
{
  gint64 rows, cols, dim, patch;

  return get_matrix (file, prefix, "cap_embedder.0.weight", NULL, &rows, &cols)
         && get_matrix (file, prefix, "all_x_embedder.2-1.weight", "x_embedder.weight", &dim, &patch)
         && get_matrix (file, prefix, "layers.0.adaLN_modulation.0.weight", NULL, &rows, &cols) && rows == 4 * dim
         && cols == MIN (dim, 256);
}

const char *
zie_dit_find_prefix (const ZieWeightFile *file)
{
  static const char *const prefixes[] = { "", "model.diffusion_model.", "diffusion_model.", "transformer." };

  for (guint i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (is_z_image (file, prefixes[i]))
      return prefixes[i];
  return NULL;
}

static int
count_layers (const ZieWeightFile *file, const char *prefix, const char *part)
{
  for (int i = 0; i < MAX_LAYERS; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s%s.%d.attention_norm1.weight", prefix, part, i);
      if (zie_weight_file_lookup (file, name) == NULL)
        return i;
    }
  return MAX_LAYERS;
}

static gboolean
unsupported (const ZieWeightFile *file, GError **error, const char *what)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: %s", zie_weight_file_get_path (file), what);
  return FALSE;
}

gboolean
zie_dit_config_from_file (ZieDitConfig *config, const ZieWeightFile *file, GError **error)
{
  const char *prefix = zie_dit_find_prefix (file);
  gint64 dim = 0, patch = 0, head = 0, cap = 0, ffn = 0, one;

  if (prefix == NULL)
    return unsupported (file, error, "holds no transformer of the Z-Image kind");
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const char *name = zie_weight_file_get (file, i)->name;
      const char *bare = g_str_has_prefix (name, prefix) ? name + strlen (prefix) : name;

      if (g_str_has_prefix (bare, "siglip_"))
        return unsupported (file, error, "is an Omni or Edit model (it has siglip tensors), and this program runs the text-to-image one only");
    }

  if (!get_matrix (file, prefix, "all_x_embedder.2-1.weight", "x_embedder.weight", &dim, &patch)
      || !get_matrix (file, prefix, "cap_embedder.0.weight", NULL, &one, &cap)
      || !get_matrix (file, prefix, "layers.0.attention.norm_q.weight", "layers.0.attention.q_norm.weight", &one, &head)
      || !get_matrix (file, prefix, "layers.0.feed_forward.w1.weight", NULL, &ffn, &one))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_TENSOR_MISSING,
                   "%s: a tensor of the first layer (attention.q_norm or feed_forward.w1) is missing; the file is incomplete or a piece of "
                   "several", zie_weight_file_get_path (file));
      return FALSE;
    }
  if (dim > MAX_WIDTH || ffn > MAX_WIDTH || cap > MAX_WIDTH || head < 16 || head > dim || dim % head != 0 || head % 16 != 0
      || patch % (ZIE_DIT_PATCH * ZIE_DIT_PATCH) != 0)
    return unsupported (file, error, "has tensors of sizes that no Z-Image model has");

  /* What no tensor tells is as in the released models; the parts of the rotation are in their proportion. */
  *config = (ZieDitConfig) {
    .dim = (int)dim, .n_heads = (int)(dim / head), .head_dim = (int)head, .ffn_dim = (int)ffn, .adaln_dim = (int)MIN (dim, 256),
    .n_layers = count_layers (file, prefix, "layers"), .n_refiner_layers = count_layers (file, prefix, "noise_refiner"),
    .in_channels = (int)(patch / (ZIE_DIT_PATCH * ZIE_DIT_PATCH)), .cap_dim = (int)cap,
    .norm_eps = 1e-5f, .t_scale = 1000.0f, .rope_theta = 256.0,
    .axes_dims = { (int)head / 4, (int)head * 3 / 8, (int)head * 3 / 8 }, .axes_lens = { 1536, 512, 512 },
  };
  return TRUE;
}

/* Trained copies carry biases that the network does not have; zeros do no harm. */
char *
zie_dit_describe_extras (const ZieWeightFile *file)
{
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (file, i);
      gsize n = info->n_dims == 1 && zie_dtype_is_weight (info->dtype) && zie_dtype_block (info->dtype) == 1 ? (gsize)info->dims[0] : 0;

      if (!g_str_has_suffix (info->name, ".attention.out.bias") && !g_str_has_suffix (info->name, ".attention.to_out.0.bias"))
        continue;
      for (gsize k = 0; k < n; k++)
        {
          float v;
          zie_dtype_to_f32 (info->dtype, &v, info->data + k * zie_dtype_row_size (info->dtype, 1), 1);
          if (v != 0)
            return g_strdup_printf ("the transformer has biases such as %s, which Z-Image has not: they are left out", info->name);
        }
    }
  return NULL;
}
