/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include "config.h"
#include "cli-i18n.h"
#include "cli-json.h"
#include "cli-options.h"

static const char *const part_names[] = { N_("transformer"), N_("text encoder"), N_("VAE") };

static void
print_json (const ZieModelInfo *info)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "path", info->path);
  cli_json_string (&json, "name", info->name);
  cli_json_string (&json, "form", info->form);
  cli_json_bool (&json, "distilled", info->is_distilled);
  cli_json_bool (&json, "demo", info->is_demo);
  cli_json_int (&json, "default_width", info->default_width);
  cli_json_int (&json, "default_height", info->default_height);
  cli_json_int (&json, "default_steps", info->default_steps);
  cli_json_double (&json, "default_guidance", info->default_guidance);
  cli_json_double (&json, "shift", info->shift);
  cli_json_int (&json, "max_side", info->max_side);
  cli_json_int (&json, "max_prompt_ids", info->max_prompt_ids);

  cli_json_open (&json, "presets", '[');
  for (guint i = 0; i < info->n_presets; i++)
    {
      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "id", info->presets[i].id);
      cli_json_int (&json, "width", info->presets[i].width);
      cli_json_int (&json, "height", info->presets[i].height);
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, ']');

  cli_json_open (&json, "parts", '[');
  for (guint i = 0; i < G_N_ELEMENTS (info->parts); i++)
    {
      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "name", info->parts[i].name);
      cli_json_string (&json, "types", info->parts[i].types);
      cli_json_uint (&json, "parameters", info->parts[i].n_parameters);
      cli_json_uint (&json, "bytes", info->parts[i].n_bytes);
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, ']');

  cli_json_close (&json, '}');
  cli_json_print (&json);
}

/* 6,154,908,736 as "6.15 G". */
static char *
format_count (guint64 n)
{
  static const struct { guint64 unit; const char *letter; } units[] = {
    { 1000000000, "G" }, { 1000000, "M" }, { 1000, "k" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (n >= units[i].unit)
      return g_strdup_printf ("%.2f %s", (double)n / (double)units[i].unit, units[i].letter);

  return g_strdup_printf ("%" G_GUINT64_FORMAT, n);
}

static void
print_text (const ZieModel *model)
{
  const ZieModelInfo *info = zie_model_get_info (model);
  g_autofree char *presets = cli_list_presets (info);

  g_print (_("%s (%s%s)\n"), info->name, info->form, info->is_demo ? _(", the demo model") : "");
  g_print (_("  path      %s\n"), info->path);
  g_print (info->is_distilled ? _("  kind      distilled: %d steps, no guidance\n") : _("  kind      base: %d steps, guidance %.1f\n"),
           info->default_steps, info->default_guidance);
  g_print (_("  size      %d × %d by default, sides up to %d in steps of %d\n"), info->default_width, info->default_height,
           info->max_side, ZIE_SIZE_STEP);
  g_print (_("  presets   %s\n"), presets);
  g_print (_("  schedule  shift %g\n"), info->shift);
  g_print (_("  prompt    up to %d ids, %u of them the template's\n"), info->max_prompt_ids, zie_model_count_tokens (model, ""));

  for (guint i = 0; i < G_N_ELEMENTS (info->parts); i++)
    {
      g_autofree char *count = format_count (info->parts[i].n_parameters);
      g_autofree char *size = cli_format_size (info->parts[i].n_bytes);

      g_print (_("  %-13s %s parameters, %s, %s\n"), _(part_names[i]), count, size, info->parts[i].types);
    }
}

int
cli_info (int argc, char **argv)
{
  gboolean is_json = FALSE;
  g_auto(GStrv) paths = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON object"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, N_("[MODEL]") },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_autoptr(ZieModel) model = NULL;
  GError *error = NULL;

  g_option_context_set_summary (context, _("Says what a model is and which sizes it makes; without MODEL the demo model."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (paths, 0, 1, "MODEL", &error)
      || !(model = cli_open_model (paths != NULL ? paths[0] : NULL, &error)))
    return cli_fail (error);

  if (is_json)
    print_json (zie_model_get_info (model));
  else
    print_text (model);
  return CLI_OK;
}
