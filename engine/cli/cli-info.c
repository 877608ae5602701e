/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include "config.h"
#include "cli-i18n.h"
#include "cli-json.h"
#include "cli-model.h"
#include "cli-options.h"

static const char *const part_names[] = { N_("transformer"), N_("text encoder"), N_("VAE") };
static const char *const part_keys[] = { "transformer", "text_encoder", "vae" };

#define MAX_DEVICES 16

/* What a picture of the model's own size takes on the best device here. */
typedef struct
{
  ZieDevice device;
  double seconds;
  guint64 ram_peak, vram_peak;
  char *problem;             /* owned; why it does not run, NULL: it does */
} Here;

static void
here_clear (Here *self)
{
  g_clear_pointer (&self->problem, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Here, here_clear)

static void
here_init (Here *self, ZieModel *model)
{
  g_autofree ZieDevice *devices = g_new0 (ZieDevice, MAX_DEVICES);
  g_autoptr(ZiePlan) plan = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(ZieRequest) request;

  *self = (Here) { .problem = NULL };
  zie_request_init (&request);
  zie_model_init_request (model, &request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a quiet harbour at dawn, fishing boats with peeling paint, gulls, soft light on still water");
  if (zie_list_devices (devices, MAX_DEVICES) == 0)
    {
      self->problem = g_strdup (_("there is no device to compute with"));
      return;
    }
  self->device = devices[0];
  if (!(plan = zie_plan_new (model, &self->device, &request, NULL, &error)))
    {
      self->problem = g_strdup (error->message);
      return;
    }
  self->seconds = zie_plan_get_seconds (plan);
  self->ram_peak = zie_plan_get_ram_peak (plan);
  self->vram_peak = zie_plan_get_vram_peak (plan);
}

static void
print_json (const ZieModelInfo *info, const Here *here)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "path", info->path);
  cli_json_string (&json, "name", info->name);
  cli_json_string (&json, "form", info->form);
  cli_json_bool (&json, "complete", TRUE);
  cli_json_bool (&json, "distilled", info->is_distilled);
  cli_json_bool (&json, "kind_known", info->is_kind_known);
  cli_json_bool (&json, "demo", info->is_demo);
  cli_json_string (&json, "notes", info->notes);
  cli_json_string (&json, "tokenizer", info->tokenizer);
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
      cli_json_string (&json, "path", info->parts[i].path);
      cli_json_string (&json, "form", info->parts[i].form);
      cli_json_string (&json, "types", info->parts[i].types);
      cli_json_uint (&json, "parameters", info->parts[i].n_parameters);
      cli_json_uint (&json, "bytes", info->parts[i].n_bytes);
      cli_json_close (&json, '}');
    }
  cli_json_close (&json, ']');

  cli_json_open (&json, "here", '{');
  cli_json_bool (&json, "runs", here->problem == NULL);
  cli_json_string (&json, "problem", here->problem);
  cli_json_string (&json, "device", here->device.name);
  cli_json_double (&json, "seconds", here->seconds);
  cli_json_uint (&json, "ram_peak", here->ram_peak);
  cli_json_uint (&json, "vram_peak", here->vram_peak);
  cli_json_close (&json, '}');

  cli_json_close (&json, '}');
  cli_json_print (&json);
}

static void
print_notes (const char *notes)
{
  g_auto(GStrv) lines = g_strsplit (notes, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (*lines[i] != '\0')
      g_print (_("  note      %s\n"), lines[i]);
}

/* "41.2 s", "12 min", "3.4 h" */
static char *
format_seconds (double seconds)
{
  if (seconds < 100)
    return g_strdup_printf (_("%.3g s"), seconds);
  return seconds < 100 * 60 ? g_strdup_printf (_("%.0f min"), seconds / 60) : g_strdup_printf (_("%.1f h"), seconds / 3600);
}

static void
print_here (const ZieModelInfo *info, const Here *here)
{
  g_autofree char *ram = cli_format_size (here->ram_peak), *vram = cli_format_size (here->vram_peak);
  g_autofree char *time = format_seconds (here->seconds);

  if (here->problem != NULL)
    g_print (_("  here      does not run: %s\n"), here->problem);
  else if (here->vram_peak > 0)
    g_print (_("  here      %d × %d in about %s and %s of graphics memory on %s\n"), info->default_width, info->default_height, time,
             vram, here->device.name);
  else
    g_print (_("  here      %d × %d in about %s and %s of memory on %s\n"), info->default_width, info->default_height, time, ram,
             here->device.name);
}

static void
print_text (const ZieModel *model, const Here *here)
{
  const ZieModelInfo *info = zie_model_get_info (model);
  g_autofree char *presets = cli_list_presets (info);

  g_print (_("%s (%s%s)\n"), info->name, _(info->form), info->is_demo ? _(", the demo model") : "");
  g_print (_("  path      %s\n"), info->path);
  g_print (info->is_distilled ? _("  kind      distilled: %d steps, no guidance\n") : _("  kind      base: %d steps, guidance %.1f\n"),
           info->default_steps, info->default_guidance);
  if (!info->is_kind_known)
    g_print (_("            (taken to be Turbo: nothing in these files says whether they are)\n"));
  g_print (_("  size      %d × %d by default, sides up to %d in steps of %d\n"), info->default_width, info->default_height,
           info->max_side, ZIE_SIZE_STEP);
  g_print (_("  presets   %s\n"), presets);
  g_print (_("  schedule  shift %g\n"), info->shift);
  g_print (_("  prompt    up to %d ids, %u of them the template's\n"), info->max_prompt_ids, zie_model_count_tokens (model, ""));
  print_here (info, here);
  print_notes (info->notes);

  for (guint i = 0; i < G_N_ELEMENTS (info->parts); i++)
    {
      g_autofree char *count = cli_format_count (info->parts[i].n_parameters);
      g_autofree char *size = cli_format_size (info->parts[i].n_bytes), *path = g_filename_display_name (info->parts[i].path);

      g_print (_("  %-13s %s parameters, %s, %s (%s)\n"), _(part_names[i]), count, size, info->parts[i].types, info->parts[i].form);
      g_print ("                %s\n", path);
    }
}

/* What there is of a model that cannot be opened; FALSE: nothing. */
static gboolean
print_incomplete (const CliModelOptions *options, const GError *why, gboolean is_json)
{
  g_autoptr(ZieModelCandidate) found = cli_model_options_examine (options, NULL);
  const char *problem;

  if (found == NULL)
    return FALSE;
  problem = found->missing != NULL ? found->missing : why->message;
  if (is_json)
    {
      g_auto(CliJson) json;

      cli_json_init (&json);
      cli_json_open (&json, NULL, '{');
      cli_json_string (&json, "path", found->path);
      cli_json_string (&json, "name", found->name);
      cli_json_string (&json, "form", found->form);
      cli_json_bool (&json, "complete", FALSE);
      cli_json_string (&json, "missing", problem);
      cli_json_open (&json, "parts", '{');
      for (guint i = 0; i < G_N_ELEMENTS (part_keys); i++)
        cli_json_string (&json, part_keys[i], found->parts[i]);
      cli_json_close (&json, '}');
      cli_json_close (&json, '}');
      cli_json_print (&json);
      return TRUE;
    }

  g_print (_("%s (%s), not usable\n"), found->name, _(found->form));
  for (guint i = 0; i < G_N_ELEMENTS (part_keys); i++)
    g_print ("  %-13s %s\n", _(part_names[i]), found->parts[i] != NULL ? found->parts[i] : _("not there, or not readable"));
  return TRUE;
}

int
cli_info (int argc, char **argv)
{
  g_auto(CliModelOptions) options = { NULL };
  gboolean is_json = FALSE;
  g_auto(GStrv) paths = NULL;
  g_auto(Here) here = { .problem = NULL };
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON object"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, N_("[MODEL]") },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_autoptr(ZieModel) model = NULL;
  GError *error = NULL;

  g_option_context_set_summary (context, _("Says what a model is, which sizes it makes, what of it is missing, and whether and how fast it runs here; "
                                           "without MODEL the demo model."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  cli_model_options_add (&options, context, FALSE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (paths, 0, 1, "MODEL", &error))
    return cli_fail (error);

  options.path = paths != NULL ? g_strdup (paths[0]) : NULL;
  if (!(model = cli_model_options_open (&options, &error)))
    {
      print_incomplete (&options, error, is_json);
      return cli_fail (error);
    }

  here_init (&here, model);
  if (is_json)
    print_json (zie_model_get_info (model), &here);
  else
    print_text (model, &here);
  return CLI_OK;
}
