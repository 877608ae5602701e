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
#define QWEN3_ROWS 151936             /* of Qwen3's table of embeddings */
#define QWEN3_THETA 1e6

static gint n_models;        /* atomic: the last serial */

static const char *
keep (ZieModel *self, char *string /* transfer full */)
{
  g_ptr_array_add (self->strings, string);
  return string;
}

static void
fill_part (ZieModel *self, ZieModelPartKind i, const char *name, const ZieWeightFile *file, const ZieWeights *weights)
{
  self->info.parts[i] = (ZieModelPart) {
    .name = name,
    .path = zie_weight_file_get_path (file),
    .form = zie_weight_file_get_form (file),
    .types = keep (self, zie_weights_describe_types (weights)),
    .n_parameters = zie_weights_get_n_parameters (weights),
    .n_bytes = zie_weights_get_size (weights),
  };
}

/* FOLDER/NAME in the source tree or the installed data. */
static char *
find_data (const char *folder, const char *name)
{
  const char *const roots[] = { ZIE_SOURCE_DATADIR, ZIE_DATADIR "/zimage-studio" };

  for (guint i = 0; i < G_N_ELEMENTS (roots); i++)
    {
      g_autofree char *path = g_build_filename (roots[i], folder, name, NULL);
      if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer (&path);
    }
  return NULL;
}

/* PATH's, if it fits the text encoder's table. */
static gboolean
load_tokenizer (ZieModel *self, const char *path, GError **error)
{
  int n_rows = self->text_encoder.config.vocab_size;
  g_autoptr(ZieTokenizer) tokenizer = zie_tokenizer_load (path, error);

  if (tokenizer == NULL)
    return FALSE;
  if (zie_tokenizer_get_vocab_size (tokenizer) > (guint)n_rows)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: the tokenizer has %u ids but the text encoder's table has %d rows; the two are of different models", path,
                   zie_tokenizer_get_vocab_size (tokenizer), n_rows);
      return FALSE;
    }
  self->tokenizer = g_steal_pointer (&tokenizer);
  self->info.tokenizer = keep (self, g_strdup (path));
  return TRUE;
}

/* The tokenizer that lies with the model or in the encoder's own file; Qwen3's, which comes with the program, for encoders of its
 * size. */
static gboolean
open_tokenizer (ZieModel *self, const ZieModelPlaces *places, gboolean optional, GError **error)
{
  const char *encoder = places->weights[ZIE_MODEL_TEXT_ENCODER];
  gboolean is_qwen3 = self->text_encoder.config.vocab_size == QWEN3_ROWS;
  gboolean is_there = places->tokenizer != NULL && g_file_test (places->tokenizer, G_FILE_TEST_EXISTS);
  g_autofree char *own = NULL;

  self->info.tokenizer = "";
  if (optional && !is_there)
    return TRUE;
  if (is_there)
    return load_tokenizer (self, places->tokenizer, error);
  own = is_qwen3 ? find_data ("qwen3-tokenizer", "tokenizer.json.gz") : NULL;
  if (g_file_test (encoder, G_FILE_TEST_IS_REGULAR) && zie_tokenizer_is_inside (encoder))
    {
      g_autoptr(GError) inner = NULL;

      if (load_tokenizer (self, encoder, own != NULL ? &inner : error))
        return TRUE;
      if (own == NULL)
        return FALSE;
      g_debug ("the program's own tokenizer is used: %s", inner->message);
    }
  if (own != NULL)
    return load_tokenizer (self, own, error);
  if (places->tokenizer != NULL)
    return load_tokenizer (self, places->tokenizer, error);       /* which says that it is not there */
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
               is_qwen3 ? "%s: no tokenizer.json lies with this text encoder, and the program's own is not installed; reinstall the "
                          "program, or name one with --tokenizer"
                        : "%s: no tokenizer.json lies with this text encoder, whose table is not Qwen3's; name one with --tokenizer",
               encoder);
  return FALSE;
}

static ZieWeightFile *
open_weights (const ZieModelPlaces *places, ZieModelPartKind part, GError **error)
{
  g_autoptr(ZieWeightFile) file = zie_model_places_open (places, part, error);

  return file != NULL && zie_model_check_quantisation (file, error) ? g_steal_pointer (&file) : NULL;
}

/* Opens the parts without a configuration file, and derives theirs. */
static gboolean
derive_configs (ZieModel *self, const ZieModelPlaces *places, ZieModelConfig *config, GError **error)
{
  if (places->configs[ZIE_MODEL_TRANSFORMER] == NULL
      && (!(self->transformer_file = open_weights (places, ZIE_MODEL_TRANSFORMER, error))
          || !zie_dit_config_from_file (&config->transformer, self->transformer_file, error)))
    return FALSE;
  if (places->configs[ZIE_MODEL_TEXT_ENCODER] == NULL
      && (!(self->text_file = open_weights (places, ZIE_MODEL_TEXT_ENCODER, error))
          || !zie_qwen3_config_from_file (&config->text_encoder, self->text_file, error)))
    return FALSE;
  return places->configs[ZIE_MODEL_VAE] != NULL
         || ((self->vae_file = open_weights (places, ZIE_MODEL_VAE, error)) != NULL
             && zie_vae_config_from_file (&config->vae, self->vae_file, error));
}

static gboolean
open_networks (ZieModel *self, const ZieModelPlaces *places, const ZieModelConfig *config, GError **error)
{
  if ((self->text_file == NULL && !(self->text_file = open_weights (places, ZIE_MODEL_TEXT_ENCODER, error)))
      || !zie_qwen3_init (&self->text_encoder, &config->text_encoder, self->text_file, error))
    return FALSE;
  if ((self->transformer_file == NULL && !(self->transformer_file = open_weights (places, ZIE_MODEL_TRANSFORMER, error)))
      || !zie_dit_init (&self->transformer, &config->transformer, self->transformer_file, error))
    return FALSE;
  return (self->vae_file != NULL || (self->vae_file = open_weights (places, ZIE_MODEL_VAE, error)) != NULL)
         && zie_vae_init (&self->vae, &config->vae, self->vae_file, error);
}

static void
append_note (GString *notes, char *note /* transfer full, or NULL */)
{
  if (note == NULL)
    return;
  g_string_append_printf (notes, "%s%s", notes->len > 0 ? "\n" : "", note);
  g_free (note);
}

/* What was chosen, and what makes pictures other than the released model's. */
static const char *
describe_notes (ZieModel *self, const ZieModelPlaces *places)
{
  GString *notes = g_string_new (places->notes->str);

  append_note (notes, zie_dit_describe_extras (self->transformer_file));
  if (self->text_encoder.config.rope_theta != QWEN3_THETA && self->text_encoder.config.vocab_size == QWEN3_ROWS)
    append_note (notes, g_strdup_printf ("the text encoder turns with a base of %g where Qwen3-4B has %g: it is another Qwen, and pictures will differ",
                                         self->text_encoder.config.rope_theta, (double)QWEN3_THETA));
  return keep (self, g_string_free (notes, FALSE));
}

/* What messages call SOURCE by. */
static const char *
get_anchor (const ZieModelSource *source)
{
  const char *anchor = source->path;

  for (int i = 0; i < ZIE_N_MODEL_PARTS && anchor == NULL; i++)
    anchor = source->parts[i];
  return anchor;
}

static ZieModel *
open_model (const ZieModelSource *source, gboolean for_feed, GError **error)
{
  g_autoptr(ZieModel) self = g_new0 (ZieModel, 1);
  g_auto(ZieModelPlaces) places = { NULL };
  g_autofree char *missing = NULL;
  ZieModelConfig config;

  self->ref_count = 1;
  self->serial = (guint64)g_atomic_int_add (&n_models, 1) + 1;
  self->strings = g_ptr_array_new_with_free_func (g_free);
  self->presets = g_array_new (FALSE, TRUE, sizeof (ZiePreset));
  self->loras = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)zie_lora_free);
  g_mutex_init (&self->lora_lock);

  if (!zie_model_places_find (&places, source, error))
    return NULL;
  if ((missing = zie_model_places_describe_missing (&places)) != NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: %s, neither beside it nor anywhere models are looked for; put it there, "
                   "or name it with --transformer, --text-encoder or --vae",
                   get_anchor (source), missing);
      return NULL;
    }
  if (!zie_model_places_check_whole (&places, error) || !zie_model_config_load (&config, &places, error) ||
      !derive_configs (self, &places, &config, error) ||
      !zie_model_config_finish (&config, &places, self->presets, self->strings, error) ||
      !open_networks (self, &places, &config, error))
    return NULL;

  zie_weight_file_set_flag (self->text_file, &self->is_lost);
  zie_weight_file_set_flag (self->transformer_file, &self->is_lost);
  zie_weight_file_set_flag (self->vae_file, &self->is_lost);
  self->preview = config.preview;
  self->info = config.info;
  if (!open_tokenizer (self, &places, for_feed, error))
    return NULL;
  self->info.path = keep (self, g_strdup (source->path ? source->path : places.weights[ZIE_MODEL_TRANSFORMER]));
  if (self->info.name == NULL)
    self->info.name = keep (self, g_strdup (places.name));
  self->info.form = places.form;
  self->info.notes = describe_notes (self, &places);
  self->info.is_kind_known = places.folder != NULL;
  self->info.max_prompt_ids = TEMPLATE_PROMPT_LIMIT;
  self->info.presets = (const ZiePreset *)(gconstpointer)self->presets->data;
  self->info.n_presets = self->presets->len;
  fill_part (self, ZIE_MODEL_TRANSFORMER, "transformer", self->transformer_file, self->transformer.weights);
  fill_part (self, ZIE_MODEL_TEXT_ENCODER, "text encoder", self->text_file, self->text_encoder.weights);
  fill_part (self, ZIE_MODEL_VAE, "VAE", self->vae_file, self->vae.weights);
  return g_steal_pointer (&self);
}

ZieModel *
zie_model_open (const char *path, GError **error)
{
  return open_model (&(ZieModelSource) { .path = path }, FALSE, error);
}

ZieModel *
zie_model_open_source (const ZieModelSource *source, GError **error)
{
  return open_model (source, FALSE, error);
}

ZieModel *
zie_model_open_for_feed (const char *path, GError **error)
{
  return open_model (&(ZieModelSource) { .path = path }, TRUE, error);
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

  g_clear_pointer (&self->loras, g_hash_table_unref);
  g_mutex_clear (&self->lora_lock);
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

gboolean
zie_model_check_files (ZieModel *self, GError **error)
{
  GHashTableIter iter;
  gpointer lora;
  gboolean ok = TRUE;

  if (!g_atomic_int_get (&self->is_lost))
    return TRUE;
  if (!zie_weight_file_check (self->text_file, error) || !zie_weight_file_check (self->transformer_file, error)
      || !zie_weight_file_check (self->vae_file, error))
    return FALSE;

  g_mutex_lock (&self->lora_lock);
  g_hash_table_iter_init (&iter, self->loras);
  while (ok && g_hash_table_iter_next (&iter, NULL, &lora))
    ok = zie_weight_file_check (zie_lora_get_file (lora), error);
  g_mutex_unlock (&self->lora_lock);
  return ok;
}

void
zie_model_watch_files (ZieModel *self, ZieOpCtx *ctx)
{
  ctx->lost = &self->is_lost;
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
