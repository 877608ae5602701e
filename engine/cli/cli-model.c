/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-model.h"

#include "config.h"
#include "cli-i18n.h"

void
cli_model_options_add (CliModelOptions *self, GOptionContext *context, gboolean with_model)
{
  const GOptionEntry model[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &self->path, N_("the model: a folder or a file (default: the demo model)"), N_("PATH") },
    { NULL }
  };
  const GOptionEntry parts[] = {
    { "transformer", 0, 0, G_OPTION_ARG_FILENAME, &self->parts[ZIE_MODEL_TRANSFORMER], N_("the transformer from elsewhere"), N_("FILE") },
    { "text-encoder", 0, 0, G_OPTION_ARG_FILENAME, &self->parts[ZIE_MODEL_TEXT_ENCODER], N_("the text encoder from elsewhere"), N_("FILE") },
    { "vae", 0, 0, G_OPTION_ARG_FILENAME, &self->parts[ZIE_MODEL_VAE], N_("the VAE from elsewhere"), N_("FILE") },
    { "tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &self->tokenizer, N_("the text encoder’s tokenizer.json"), N_("FILE") },
    { NULL }
  };

  if (with_model)
    g_option_context_add_main_entries (context, model, GETTEXT_PACKAGE);
  g_option_context_add_main_entries (context, parts, GETTEXT_PACKAGE);
}

void
cli_model_options_clear (CliModelOptions *self)
{
  g_clear_pointer (&self->path, g_free);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    g_clear_pointer (&self->parts[i], g_free);
  g_clear_pointer (&self->tokenizer, g_free);
}

/* DEMO keeps what is borrowed by the result. */
static gboolean
get_source (const CliModelOptions *self, ZieModelSource *source, char **demo, GError **error)
{
  gboolean names_parts = FALSE;

  *source = (ZieModelSource) { .path = self->path, .tokenizer = self->tokenizer };
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      source->parts[i] = self->parts[i];
      names_parts = names_parts || self->parts[i] != NULL;
    }
  if (source->path == NULL && !names_parts)
    source->path = *demo = zie_model_find_demo (error);
  return source->path != NULL || names_parts;
}

ZieModel *
cli_model_options_open (const CliModelOptions *self, GError **error)
{
  g_autofree char *demo = NULL;
  ZieModelSource source;

  return get_source (self, &source, &demo, error) ? zie_model_open_source (&source, error) : NULL;
}

ZieModelCandidate *
cli_model_options_examine (const CliModelOptions *self, GError **error)
{
  g_autofree char *demo = NULL;
  ZieModelSource source;

  return get_source (self, &source, &demo, error) ? zie_model_examine (&source, error) : NULL;
}
