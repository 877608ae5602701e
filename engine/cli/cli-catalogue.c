/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <zie-hub.h>

#include "config.h"
#include "cli-i18n.h"
#include "cli-json.h"

static const char *const state_names[] = {
  [ZIE_HUB_ABSENT] = "absent",
  [ZIE_HUB_BEGUN] = "begun",
  [ZIE_HUB_BROKEN] = "broken",
  [ZIE_HUB_THERE] = "there",
};

static void
print_json (const ZieCatalogue *models, const char *folder)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '[');
  for (guint i = 0; i < zie_catalogue_get_n (models); i++)
    {
      const ZieHubModel *model = zie_catalogue_get (models, i);
      g_autofree char *path = zie_hub_model_path (model, folder);
      guint64 n_bytes;
      ZieHubState state = zie_hub_examine (model, folder, &n_bytes);

      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "id", model->id);
      cli_json_string (&json, "name", model->name);
      cli_json_string (&json, "summary", model->summary);
      cli_json_string (&json, "form", model->form);
      cli_json_bool (&json, "recommended", model->is_recommended);
      cli_json_uint (&json, "bytes", model->n_bytes);
      cli_json_bool (&json, "bytes_exact", model->is_size_exact);
      cli_json_string (&json, "licence", model->licence);
      cli_json_string (&json, "licence_url", model->licence_url);
      cli_json_string (&json, "page", model->page);
      cli_json_open (&json, "sources", '[');
      for (int s = 0; s < ZIE_N_HUB_SOURCES; s++)
        if (zie_hub_model_has_source (model, (ZieHubSource)s))
          cli_json_string (&json, NULL, zie_hub_source_name ((ZieHubSource)s));
      cli_json_close (&json, ']');
      cli_json_string (&json, "state", state_names[state]);
      cli_json_uint (&json, "bytes_there", n_bytes);
      cli_json_string (&json, "path", path);
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, ']');
  cli_json_print (&json);
}

static void
print_text (const ZieCatalogue *models, const char *folder)
{
  for (guint i = 0; i < zie_catalogue_get_n (models); i++)
    {
      const ZieHubModel *model = zie_catalogue_get (models, i);
      guint64 n_bytes;
      ZieHubState state = zie_hub_examine (model, folder, &n_bytes);
      g_autofree char *size = cli_format_size (model->n_bytes), *have = cli_format_size (n_bytes), *path = zie_hub_model_path (model, folder);
      g_autofree char *shown = g_filename_display_name (path);

      g_print ("%s\n", model->id);
      g_print (model->is_recommended ? _("  %s, %s, licence %s: recommended\n") : _("  %s, %s, licence %s\n"), model->name, size, model->licence);
      g_print ("  %s\n", _(model->summary));
      if (state == ZIE_HUB_BEGUN)
        g_print (_("  %s of it are here: “zimage models fetch %s” goes on\n"), have, model->id);
      else if (state == ZIE_HUB_BROKEN)
        g_print (_("  damaged in %s: “zimage models repair %s” mends it\n"), shown, model->id);
      else if (state == ZIE_HUB_THERE)
        g_print (_("  here: %s\n"), shown);
    }
}

int
cli_models_catalogue (int argc, char **argv)
{
  gboolean is_json = FALSE;
  g_autofree char *folder = NULL;
  g_auto(GStrv) rest = NULL;
  const GOptionEntry entries[] = {
    { "to", 0, 0, G_OPTION_ARG_FILENAME, &folder, N_("the folder of models to look into"), N_("FOLDER") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON array"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_autoptr(ZieCatalogue) models = NULL;
  GError *error = NULL;

  g_option_context_set_summary (context, _("Lists the models that “zimage models fetch” can fetch, and which of them are here.  Asks no server."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (rest, 0, 0, NULL, &error)
      || (models = zie_catalogue_load (NULL, &error)) == NULL)
    return cli_fail (error);

  if (folder == NULL)
    folder = zie_model_get_folder ();
  if (is_json)
    print_json (models, folder);
  else
    print_text (models, folder);
  return CLI_OK;
}
