/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-private.h"

#include "config.h"

#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-request.h>

#include "zie-json.h"
#include "zie-model-config.h"

#define TEMPLATE_PROMPT_LIMIT 512

static gint n_models;        /* atomic: the last serial */

static const char *
keep (ZieModel *self, char *string /* transfer full */)
{
  g_ptr_array_add (self->strings, string);
  return string;
}

static void
fill_part (ZieModel *self, int i, const char *name, const ZieWeights *weights)
{
  self->info.parts[i] = (ZieModelPart) {
    .name = name,
    .types = keep (self, zie_weights_describe_types (weights)),
    .n_parameters = zie_weights_get_n_parameters (weights),
    .n_bytes = zie_weights_get_size (weights),
  };
}

static gboolean
open_tokenizer (ZieModel *self, const char *folder, gboolean optional, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "tokenizer", "tokenizer.json", NULL);

  if (optional && !g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  self->tokenizer = zie_tokenizer_load (path, error);
  if (self->tokenizer == NULL)
    return FALSE;
  if (zie_tokenizer_get_vocab_size (self->tokenizer) > (guint)self->text_encoder.config.vocab_size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: the tokenizer has %u ids but the text encoder's table has %d rows; the two are of different models", path,
                   zie_tokenizer_get_vocab_size (self->tokenizer), self->text_encoder.config.vocab_size);
      return FALSE;
    }
  return TRUE;
}

static ZieWeightFile *
open_weights (const char *folder, const char *part, const char *stem, GError **error)
{
  g_autofree char *path = g_build_filename (folder, part, NULL);
  return zie_weight_file_open_component (path, stem, error);
}

static gboolean
open_networks (ZieModel *self, const char *folder, const ZieModelConfig *config, GError **error)
{
  if (!(self->text_file = open_weights (folder, "text_encoder", "model", error))
      || !zie_qwen3_init (&self->text_encoder, &config->text_encoder, self->text_file, error))
    return FALSE;
  if (!(self->transformer_file = open_weights (folder, "transformer", "diffusion_pytorch_model", error))
      || !zie_dit_init (&self->transformer, &config->transformer, self->transformer_file, error))
    return FALSE;
  return (self->vae_file = open_weights (folder, "vae", "diffusion_pytorch_model", error)) != NULL
         && zie_vae_init (&self->vae, &config->vae, self->vae_file, error);
}

static ZieModel *
open_model (const char *path, gboolean for_feed, GError **error)
{
  g_autoptr(ZieModel) self = g_new0 (ZieModel, 1);
  g_autofree char *name = g_path_get_basename (path);
  ZieModelConfig config;

  self->ref_count = 1;
  self->serial = (guint64)g_atomic_int_add (&n_models, 1) + 1;
  self->strings = g_ptr_array_new_with_free_func (g_free);
  self->presets = g_array_new (FALSE, TRUE, sizeof (ZiePreset));

  if (!zie_model_config_load (&config, path, self->presets, self->strings, error))
    return NULL;
  if (!open_networks (self, path, &config, error) || !open_tokenizer (self, path, for_feed, error))
    return NULL;

  self->preview = config.preview;
  self->info = config.info;
  self->info.path = keep (self, g_strdup (path));
  if (self->info.name == NULL)
    self->info.name = keep (self, g_steal_pointer (&name));
  self->info.form = "diffusers directory";
  self->info.max_prompt_ids = TEMPLATE_PROMPT_LIMIT;
  self->info.presets = (const ZiePreset *)(gconstpointer)self->presets->data;
  self->info.n_presets = self->presets->len;
  fill_part (self, 0, "transformer", self->transformer.weights);
  fill_part (self, 1, "text encoder", self->text_encoder.weights);
  fill_part (self, 2, "VAE", self->vae.weights);
  return g_steal_pointer (&self);
}

ZieModel *
zie_model_open (const char *path, GError **error)
{
  return open_model (path, FALSE, error);
}

ZieModel *
zie_model_open_for_feed (const char *path, GError **error)
{
  return open_model (path, TRUE, error);
}

ZieModel *
zie_model_ref (ZieModel *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
zie_model_unref (ZieModel *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;

  zie_qwen3_clear (&self->text_encoder);
  zie_dit_clear (&self->transformer);
  zie_vae_clear (&self->vae);
  g_clear_pointer (&self->text_file, zie_weight_file_free);
  g_clear_pointer (&self->transformer_file, zie_weight_file_free);
  g_clear_pointer (&self->vae_file, zie_weight_file_free);
  g_clear_pointer (&self->tokenizer, zie_tokenizer_free);
  g_clear_pointer (&self->presets, g_array_unref);
  g_clear_pointer (&self->strings, g_ptr_array_unref);
  g_free (self);
}

const ZieModelInfo *
zie_model_get_info (const ZieModel *self)
{
  return &self->info;
}

void
zie_model_init_request (const ZieModel *self, ZieRequest *request)
{
  request->width = self->info.default_width;
  request->height = self->info.default_height;
  request->n_steps = self->info.default_steps;
  request->guidance = self->info.default_guidance;
  g_free (request->model_name);
  request->model_name = g_strdup (self->info.name);
}

gint32 *
zie_model_encode_prompt (const ZieModel *self, const char *prompt, gboolean truncate, guint *n_ids)
{
  gint32 *ids = zie_tokenizer_encode_prompt (self->tokenizer, prompt, n_ids);

  if (truncate)
    *n_ids = MIN (*n_ids, (guint)self->info.max_prompt_ids);    /* on the right, the template's tail included */
  return ids;
}

guint
zie_model_count_tokens (const ZieModel *self, const char *prompt)
{
  guint n_ids;

  g_free (zie_tokenizer_encode_prompt (self->tokenizer, prompt, &n_ids));
  return n_ids;
}

gint32 *
zie_model_tokenize (const ZieModel *self, const char *text, gboolean with_template, guint *n_ids)
{
  return with_template ? zie_tokenizer_encode_prompt (self->tokenizer, text, n_ids) : zie_tokenizer_encode (self->tokenizer, text, -1, n_ids);
}

char *
zie_model_find_demo (GError **error)
{
  const char *named = g_getenv ("ZIE_DEMO_MODEL");
  const char *const folders[] = { ZIE_SOURCE_DATADIR "/demo-model", ZIE_DATADIR "/zimage-studio/demo-model" };

  if (named != NULL && *named != '\0')
    return g_strdup (named);
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *index = g_build_filename (folders[i], "model_index.json", NULL);
      if (g_file_test (index, G_FILE_TEST_IS_REGULAR))
        return g_strdup (folders[i]);
    }

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
               "the demo model is neither in %s nor in %s; reinstall the program, or name a model with --model", folders[0], folders[1]);
  return NULL;
}
