/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-config.h"

#include <math.h>
#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-json.h"

#define MAX_WIDTH (1 << 17)          /* of any matrix: far above any model, far below overflow */
#define DISTILLED_SHIFT 3.0          /* Turbo's schedule; the base model's differs */

/* One configuration file being read; the first failure stops everything. */
typedef struct
{
  JsonObject *object;                /* owned */
  char *path;                        /* owned */
  GError **error;
  gboolean ok;
} Reader;

static void
reader_clear (Reader *r)
{
  g_clear_pointer (&r->object, json_object_unref);
  g_clear_pointer (&r->path, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

static void
reader_open (Reader *r, char *path /* transfer full */, GError **error)
{
  *r = (Reader) { .path = path, .error = error };
  r->object = zie_json_load_object (r->path, error);
  r->ok = r->object != NULL;
}

static int
get_int (Reader *r, const char *key, gint64 min, gint64 max)
{
  gint64 value = min;
  r->ok = r->ok && zie_json_get_int (r->object, r->path, key, NULL, min, max, &value, r->error);
  return (int)value;
}

static int
get_int_or (Reader *r, const char *key, gint64 fallback, gint64 min, gint64 max)
{
  gint64 value = fallback;
  r->ok = r->ok && zie_json_get_int (r->object, r->path, key, &fallback, min, max, &value, r->error);
  return (int)value;
}

static double
get_double_or (Reader *r, const char *key, double fallback)
{
  double value = fallback;
  r->ok = r->ok && zie_json_get_double (r->object, r->path, key, &fallback, &value, r->error);
  return value;
}

static void
unsupported (Reader *r, const char *key, const char *found, const char *expected)
{
  if (r->ok)
    g_set_error (r->error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: \"%s\" is %s, but this program runs models with %s only", r->path,
                 key, found, expected);
  r->ok = FALSE;
}

/* KEY, where present, must be WANTED. */
static void
require_bool (Reader *r, const char *key, gboolean wanted)
{
  gboolean value = wanted;
  r->ok = r->ok && zie_json_get_bool (r->object, r->path, key, &wanted, &value, r->error);
  if (r->ok && value != wanted)
    unsupported (r, key, value ? "true" : "false", wanted ? "true" : "false");
}

static void
require_string (Reader *r, const char *key, const char *wanted)
{
  const char *value = wanted;
  r->ok = r->ok && zie_json_get_string (r->object, r->path, key, wanted, &value, r->error);
  if (r->ok && strcmp (value, wanted) != 0)
    unsupported (r, key, value, wanted);
}

static void
require_null (Reader *r, const char *key)
{
  if (r->ok && json_object_has_member (r->object, key) && !json_object_get_null_member (r->object, key))
    unsupported (r, key, "set", "null");
}

/* Exactly N integers of MIN … MAX. */
static void
get_ints (Reader *r, const char *key, guint n, gint64 min, gint64 max, int *out)
{
  gint64 values[8];
  guint found = 0;

  g_assert (n <= G_N_ELEMENTS (values));
  r->ok = r->ok && zie_json_get_ints (r->object, r->path, key, FALSE, values, G_N_ELEMENTS (values), &found, r->error);
  if (r->ok && found != n)
    {
      g_autofree char *text = g_strdup_printf ("a list of %u", found), *wanted = g_strdup_printf ("a list of %u", n);
      unsupported (r, key, text, wanted);
    }
  for (guint i = 0; r->ok && i < n; i++)
    {
      out[i] = (int)CLAMP (values[i], min, max);
      if (values[i] != out[i])
        {
          g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, values[i]);
          g_autofree char *wanted = g_strdup_printf ("%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, min, max);
          unsupported (r, key, text, wanted);
        }
    }
}

static void
load_transformer (Reader *r, ZieDitConfig *c)
{
  int patch, f_patch, n_kv_heads;

  require_string (r, "_class_name", "ZImageTransformer2DModel");
  c->dim = get_int (r, "dim", 32, MAX_WIDTH);
  c->n_heads = get_int (r, "n_heads", 1, 1024);
  n_kv_heads = get_int_or (r, "n_kv_heads", c->n_heads, 1, 1024);
  c->n_layers = get_int (r, "n_layers", 1, 1024);
  c->n_refiner_layers = get_int (r, "n_refiner_layers", 0, 64);
  c->in_channels = get_int (r, "in_channels", 1, ZIE_PREVIEW_MAX_CHANNELS);
  c->cap_dim = get_int (r, "cap_feat_dim", 1, MAX_WIDTH);
  c->norm_eps = (float)get_double_or (r, "norm_eps", 1e-5);
  c->t_scale = (float)get_double_or (r, "t_scale", 1000.0);
  c->rope_theta = get_double_or (r, "rope_theta", 256.0);
  get_ints (r, "axes_dims", 3, 2, 1024, c->axes_dims);
  get_ints (r, "axes_lens", 3, 1, 1 << 20, c->axes_lens);
  get_ints (r, "all_patch_size", 1, 2, 2, &patch);
  get_ints (r, "all_f_patch_size", 1, 1, 1, &f_patch);
  require_bool (r, "qk_norm", TRUE);
  require_null (r, "siglip_feat_dim");
  if (!r->ok)
    return;

  c->head_dim = c->dim / c->n_heads;
  c->ffn_dim = (int)((double)c->dim / 3 * 8);
  c->adaln_dim = MIN (c->dim, 256);
  if (c->dim % c->n_heads != 0 || c->axes_dims[0] + c->axes_dims[1] + c->axes_dims[2] != c->head_dim
      || c->axes_dims[0] % 2 || c->axes_dims[1] % 2 || c->axes_dims[2] % 2)
    unsupported (r, "axes_dims", "not made of even parts that add up to dim / n_heads", "such parts");
  if (n_kv_heads != c->n_heads)
    unsupported (r, "n_kv_heads", "not n_heads", "as many key heads as heads");
  if (!(c->rope_theta > 0) || !(c->norm_eps > 0))
    unsupported (r, "rope_theta or norm_eps", "not positive", "positive values");
}

/* Top level in the released file, inside "rope_parameters" in files that newer libraries write. */
static double
get_rope_theta (Reader *r)
{
  JsonObject *from = r->object;
  JsonNode *node;
  double theta = 0;

  if (!r->ok)
    return 0;
  node = json_object_get_member (r->object, "rope_parameters");
  if (!json_object_has_member (r->object, "rope_theta") && node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    from = json_node_get_object (node);
  r->ok = zie_json_get_double (from, r->path, "rope_theta", NULL, &theta, r->error);
  if (r->ok && !(theta > 0))
    unsupported (r, "rope_theta", "not positive", "a positive value");
  return theta;
}

static void
load_text_encoder (Reader *r, ZieQwen3Config *c)
{
  int n_file_layers;

  require_string (r, "model_type", "qwen3");
  c->dim = get_int (r, "hidden_size", 32, MAX_WIDTH);
  c->ffn_dim = get_int (r, "intermediate_size", 1, MAX_WIDTH);
  c->n_heads = get_int (r, "num_attention_heads", 1, 1024);
  c->n_kv_heads = get_int_or (r, "num_key_value_heads", c->n_heads, 1, 1024);
  c->head_dim = get_int_or (r, "head_dim", c->dim / MAX (c->n_heads, 1), 2, 1024);
  c->vocab_size = get_int (r, "vocab_size", 1, 1 << 24);
  c->norm_eps = (float)get_double_or (r, "rms_norm_eps", 1e-6);
  n_file_layers = get_int (r, "num_hidden_layers", 2, 1024);
  c->n_layers = n_file_layers - 1;                       /* the state before the last layer is what is used */
  c->rope_theta = get_rope_theta (r);
  require_bool (r, "attention_bias", FALSE);
  require_bool (r, "use_sliding_window", FALSE);
  require_string (r, "hidden_act", "silu");
  require_null (r, "rope_scaling");
  if (r->ok && (c->n_heads % c->n_kv_heads != 0 || c->head_dim % 2 != 0))
    unsupported (r, "num_key_value_heads", "not a divisor of num_attention_heads", "grouped key heads");
}

static void
load_vae (Reader *r, ZieVaeConfig *c)
{
  require_string (r, "_class_name", "AutoencoderKL");
  require_string (r, "act_fn", "silu");
  require_bool (r, "use_quant_conv", FALSE);
  require_bool (r, "use_post_quant_conv", FALSE);
  require_null (r, "latents_mean");
  require_null (r, "latents_std");
  c->groups = get_int_or (r, "norm_num_groups", 32, 1, 1024);
  c->layers_per_block = get_int (r, "layers_per_block", 1, ZIE_VAE_MAX_LAYERS);
  c->latent_channels = get_int (r, "latent_channels", 1, ZIE_PREVIEW_MAX_CHANNELS);
  get_ints (r, "block_out_channels", ZIE_VAE_LEVELS, 1, 1 << 14, c->channels);
  c->scaling_factor = (float)get_double_or (r, "scaling_factor", 0.3611);
  c->shift_factor = (float)get_double_or (r, "shift_factor", 0.1159);
  c->mid_attention = TRUE;
  if (r->ok && get_int_or (r, "in_channels", 3, 0, 1 << 14) != 3)
    unsupported (r, "in_channels", "not 3", "RGB pictures");
  if (r->ok && get_int_or (r, "out_channels", 3, 0, 1 << 14) != 3)
    unsupported (r, "out_channels", "not 3", "RGB pictures");
  if (r->ok && json_object_has_member (r->object, "mid_block_add_attention"))
    r->ok = zie_json_get_bool (r->object, r->path, "mid_block_add_attention", NULL, &c->mid_attention, r->error);
  if (r->ok && !(fabsf (c->scaling_factor) > 1e-6f))
    unsupported (r, "scaling_factor", "zero", "a factor that can be divided by");
  for (int i = 0; r->ok && i < ZIE_VAE_LEVELS; i++)
    if (c->channels[i] % c->groups != 0)
      unsupported (r, "block_out_channels", "not made of multiples of norm_num_groups", "such multiples");
}

static void
load_scheduler (Reader *r, ZieModelInfo *info)
{
  static const char *const off[] = { "use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
                                     "invert_sigmas", "stochastic_sampling" };
  int n_timesteps;

  require_string (r, "_class_name", "FlowMatchEulerDiscreteScheduler");
  n_timesteps = get_int_or (r, "num_train_timesteps", 1000, 1, 1 << 20);
  if (r->ok && n_timesteps != 1000)
    unsupported (r, "num_train_timesteps", "not 1000", "1000");
  info->shift = get_double_or (r, "shift", DISTILLED_SHIFT);
  for (guint i = 0; i < G_N_ELEMENTS (off); i++)
    require_bool (r, off[i], FALSE);
  if (r->ok && !(info->shift > 0 && info->shift < 1000))
    unsupported (r, "shift", "not positive", "a positive shift");
}

/* Z-Image's own sizes. */
static const ZiePreset z_image_presets[] = {
  { "square-1024", 1024, 1024 },       { "square-512", 512, 512 },          { "square-768", 768, 768 },
  { "square-1536", 1536, 1536 },       { "square-2048", 2048, 2048 },       { "landscape-1280x720", 1280, 720 },
  { "portrait-720x1280", 720, 1280 },
};

static const char *
preset_id (int width, int height, GPtrArray *strings)
{
  char *id = width == height ? g_strdup_printf ("square-%d", width)
                             : g_strdup_printf ("%s-%dx%d", width > height ? "landscape" : "portrait", width, height);
  g_ptr_array_add (strings, id);
  return id;
}

/* 0 where NODE is no number or out of any reasonable range. */
static double
get_number (JsonNode *node)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;
  double value = type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_double (node) : 0;

  return fabs (value) < 1e6 ? value : 0;
}

/* [[width, height], …] */
static void
load_sizes (Reader *r, JsonNode *node, GArray *presets, GPtrArray *strings)
{
  JsonArray *list = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; list != NULL && i < json_array_get_length (list); i++)
    {
      JsonNode *item = json_array_get_element (list, i);
      JsonArray *pair = JSON_NODE_HOLDS_ARRAY (item) ? json_node_get_array (item) : NULL;
      gint64 w = 0, h = 0;

      if (pair != NULL && json_array_get_length (pair) == 2)
        {
          w = (gint64)get_number (json_array_get_element (pair, 0));
          h = (gint64)get_number (json_array_get_element (pair, 1));
        }
      if (w < ZIE_SIZE_STEP || h < ZIE_SIZE_STEP || w > ZIE_SIZE_MAX || h > ZIE_SIZE_MAX || w % ZIE_SIZE_STEP || h % ZIE_SIZE_STEP)
        {
          unsupported (r, "zimage_studio.sizes", "not made of [width, height] in multiples of 16", "such pairs");
          return;
        }
      ZiePreset preset = { preset_id ((int)w, (int)h, strings), (int)w, (int)h };
      g_array_append_val (presets, preset);
    }
}

/* {"weights": [[r, g, b] a channel], "bias": [r, g, b]}: latents that are not Flux's need a map of their own. */
static void
load_preview (Reader *r, JsonNode *node, ZiePreview *preview)
{
  JsonObject *object = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonArray *weights, *bias;

  if (object == NULL)
    return;
  weights = json_object_has_member (object, "weights") && JSON_NODE_HOLDS_ARRAY (json_object_get_member (object, "weights"))
              ? json_object_get_array_member (object, "weights") : NULL;
  bias = json_object_has_member (object, "bias") && JSON_NODE_HOLDS_ARRAY (json_object_get_member (object, "bias"))
           ? json_object_get_array_member (object, "bias") : NULL;
  if (weights == NULL || bias == NULL || json_array_get_length (bias) != 3 || (int)json_array_get_length (weights) != preview->channels)
    {
      unsupported (r, "zimage_studio.preview", "not one row of three numbers a latent channel and a bias of three", "such a map");
      return;
    }
  for (guint k = 0; k < 3; k++)
    preview->bias[k] = (float)get_number (json_array_get_element (bias, k));
  for (int c = 0; c < preview->channels; c++)
    {
      JsonNode *row = json_array_get_element (weights, (guint)c);
      if (!JSON_NODE_HOLDS_ARRAY (row) || json_array_get_length (json_node_get_array (row)) != 3)
        {
          unsupported (r, "zimage_studio.preview", "not rows of three numbers", "such rows");
          return;
        }
      for (guint k = 0; k < 3; k++)
        preview->weights[c][k] = (float)get_number (json_array_get_element (json_node_get_array (row), k));
    }
}

/* What a model made for this program says of itself; without it, Z-Image's own sizes and steps. */
static void
load_own (Reader *index, ZieModelConfig *config, GArray *presets, GPtrArray *strings)
{
  ZieModelInfo *info = &config->info;
  JsonNode *node = index->ok ? json_object_get_member (index->object, "zimage_studio") : NULL;
  Reader own = { .path = index->path, .error = index->error, .ok = index->ok };
  const char *name = NULL;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    {
      g_array_append_vals (presets, z_image_presets, G_N_ELEMENTS (z_image_presets));
      return;
    }

  own.object = json_node_get_object (node);
  info->default_width = get_int_or (&own, "default_width", info->default_width, ZIE_SIZE_STEP, ZIE_SIZE_MAX);
  info->default_height = get_int_or (&own, "default_height", info->default_height, ZIE_SIZE_STEP, ZIE_SIZE_MAX);
  info->default_steps = get_int_or (&own, "steps", info->default_steps, 1, 1000);
  own.ok = own.ok && zie_json_get_bool (own.object, own.path, "distilled", &info->is_distilled, &info->is_distilled, own.error)
           && zie_json_get_bool (own.object, own.path, "demo", &info->is_demo, &info->is_demo, own.error)
           && zie_json_get_string (own.object, own.path, "name", "", &name, own.error);
  if (own.ok && *name != '\0')
    {
      info->name = g_strdup (name);
      g_ptr_array_add (strings, (char *)info->name);
    }
  load_sizes (&own, own.ok ? json_object_get_member (own.object, "sizes") : NULL, presets, strings);
  load_preview (&own, own.ok ? json_object_get_member (own.object, "preview") : NULL, &config->preview);
  if (own.ok && presets->len == 0)
    {
      ZiePreset preset = { preset_id (info->default_width, info->default_height, strings), info->default_width, info->default_height };
      g_array_append_val (presets, preset);
    }
  index->ok = own.ok;
}

static void
check_index (Reader *r)
{
  const char *class_name = NULL;

  r->ok = r->ok && zie_json_get_string (r->object, r->path, "_class_name", NULL, &class_name, r->error);
  if (r->ok && !g_str_has_prefix (class_name, "ZImage"))
    unsupported (r, "_class_name", class_name, "ZImagePipeline");
}

/* The parts must fit each other.  WHERE names the transformer. */
static gboolean
check_together (const ZieModelConfig *config, const char *where, GError **error)
{
  if (config->transformer.cap_dim != config->text_encoder.dim)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                 "%s: the transformer takes text embeddings of %d numbers (cap_feat_dim) and the text encoder makes %d (hidden_size); "
                 "the two are of different models", where, config->transformer.cap_dim, config->text_encoder.dim);
  else if (config->transformer.in_channels != config->vae.latent_channels)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                 "%s: the transformer makes latents of %d channels (in_channels) and the VAE takes %d (latent_channels); "
                 "the two are of different models", where, config->transformer.in_channels, config->vae.latent_channels);
  else
    return TRUE;
  return FALSE;
}

gboolean
zie_model_config_load (ZieModelConfig *config, const ZieModelPlaces *places, GError **error)
{
  g_auto(Reader) index = { 0 }, scheduler = { 0 }, transformer = { 0 }, text_encoder = { 0 }, vae = { 0 };
  ZieModelInfo *info = &config->info;

  *config = (ZieModelConfig) { 0 };
  *info = (ZieModelInfo) { .default_width = 1024, .default_height = 1024, .default_steps = 8, .is_distilled = TRUE,
                           .shift = DISTILLED_SHIFT };

  if (places->folder != NULL)
    {
      reader_open (&index, g_build_filename (places->folder, "model_index.json", NULL), error);
      check_index (&index);
      if (!index.ok)
        return FALSE;
      reader_open (&scheduler, g_build_filename (places->folder, "scheduler", "scheduler_config.json", NULL), error);
      load_scheduler (&scheduler, info);
      if (!scheduler.ok)
        return FALSE;
    }

  if (places->configs[ZIE_MODEL_TRANSFORMER] != NULL)
    {
      reader_open (&transformer, g_strdup (places->configs[ZIE_MODEL_TRANSFORMER]), error);
      load_transformer (&transformer, &config->transformer);
      if (!transformer.ok)
        return FALSE;
    }
  if (places->configs[ZIE_MODEL_TEXT_ENCODER] != NULL)
    {
      reader_open (&text_encoder, g_strdup (places->configs[ZIE_MODEL_TEXT_ENCODER]), error);
      load_text_encoder (&text_encoder, &config->text_encoder);
      if (!text_encoder.ok)
        return FALSE;
    }
  if (places->configs[ZIE_MODEL_VAE] != NULL)
    {
      reader_open (&vae, g_strdup (places->configs[ZIE_MODEL_VAE]), error);
      load_vae (&vae, &config->vae);
      if (!vae.ok)
        return FALSE;
    }
  return TRUE;
}

gboolean
zie_model_config_finish (ZieModelConfig *config, const ZieModelPlaces *places, GArray *presets, GPtrArray *strings, GError **error)
{
  const char *transformer = places->configs[ZIE_MODEL_TRANSFORMER];
  g_auto(Reader) index = { 0 };
  ZieModelInfo *info = &config->info;

  if (!check_together (config, transformer ? transformer : places->weights[ZIE_MODEL_TRANSFORMER], error))
    return FALSE;
  if (info->shift != DISTILLED_SHIFT)          /* the base model: guidance and many steps */
    {
      info->is_distilled = FALSE;
      info->default_steps = 28;
      info->default_guidance = 4.0;
    }
  zie_preview_init_flux (&config->preview);
  config->preview.channels = config->vae.latent_channels;

  if (places->folder != NULL)
    reader_open (&index, g_build_filename (places->folder, "model_index.json", NULL), error);
  else
    index.error = error;
  load_own (&index, config, presets, strings);
  info->max_side = MIN (ZIE_SIZE_MAX, MIN (config->transformer.axes_lens[1], config->transformer.axes_lens[2]) * ZIE_SIZE_STEP);
  return places->folder == NULL || index.ok;
}
