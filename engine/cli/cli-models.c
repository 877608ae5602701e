/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <string.h>

#include "config.h"
#include "cli-i18n.h"
#include "cli-json.h"

static const char *const part_keys[] = { "transformer", "text_encoder", "vae" };

static void
print_json (GPtrArray *found)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '[');
  for (guint i = 0; i < found->len; i++)
    {
      const ZieModelCandidate *model = found->pdata[i];

      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "path", model->path);
      cli_json_string (&json, "name", model->name);
      cli_json_string (&json, "form", model->form);
      cli_json_string (&json, "place", model->place);
      cli_json_bool (&json, "complete", model->missing == NULL);
      cli_json_string (&json, "missing", model->missing);
      cli_json_uint (&json, "bytes", model->n_bytes);
      cli_json_open (&json, "parts", '{');
      for (guint p = 0; p < G_N_ELEMENTS (part_keys); p++)
        cli_json_string (&json, part_keys[p], model->parts[p]);
      cli_json_close (&json, '}');
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, ']');
  cli_json_print (&json);
}

static void
print_text (GPtrArray *found)
{
  for (guint i = 0; i < found->len; i++)
    {
      const ZieModelCandidate *model = found->pdata[i];
      g_autofree char *size = cli_format_size (model->n_bytes), *path = g_filename_display_name (model->path);

      g_print ("%s\n", path);
      g_print (_("  %s, %s, %s, %s\n"), model->name, _(model->form), size, _(model->place));
      if (model->missing != NULL)
        g_print (_("  not usable: %s\n"), model->missing);
    }
}

static int
models_list (int argc, char **argv)
{
  gboolean is_json = FALSE;
  g_auto(GStrv) rest = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON array"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_autoptr(GPtrArray) found = NULL;
  GError *error = NULL;

  g_option_context_set_summary (context, _("Lists the models on this computer: those in the program’s own folder, in the caches of Hugging Face and "
                                           "ModelScope and in ComfyUI’s folders, and the demo model."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (rest, 0, 0, NULL, &error))
    return cli_fail (error);

  found = zie_model_find_all ();
  if (is_json)
    print_json (found);
  else
    print_text (found);
  return CLI_OK;
}

static const CliCommand commands[] = {
  { "list", models_list, N_("list the models on this computer") },
  { "catalogue", cli_models_catalogue, N_("list the models that can be fetched") },
  { "fetch", cli_models_fetch, N_("fetch a model from the network") },
  { "repair", cli_models_repair, N_("find what is damaged in a fetched model, and fetch it again") },
};

static void
print_usage (void (*print) (const char *format, ...) G_GNUC_PRINTF (1, 2))
{
  print ("%s\n\n", _("Usage: zimage models COMMAND [OPTION…]"));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    print ("  %-10s %s\n", commands[i].name, _(commands[i].summary));
}

int
cli_models (int argc, char **argv)
{
  const char *name = argc > 1 ? argv[1] : "list";
  g_autofree char *program = g_strdup_printf ("zimage models %s", name);

  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0)
    {
      print_usage (g_print);
      return CLI_OK;
    }
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      {
        g_set_prgname (program);
        return commands[i].run (MAX (argc - 1, 1), argc > 1 ? argv + 1 : argv);
      }
  if (*name == '-')                         /* an option: of the list */
    return models_list (argc, argv);

  {
    g_autofree char *shown = g_utf8_make_valid (name, -1);
    g_printerr (_("zimage: there is no command “models %s”; “zimage models --help” lists them\n"), shown);
    return CLI_USAGE;
  }
}
