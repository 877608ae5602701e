/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

#include "config.h"
#include "cli-i18n.h"

static void
append_double (GString *command, const char *option, double value, double usual)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  if (value < usual || value > usual)
    g_string_append_printf (command, " --%s %s", option, g_ascii_formatd (buffer, sizeof buffer, "%.9g", value));
}

/* The command that makes the picture again with the model it was made by. */
static char *
command_of (const ZieRequest *request)
{
  GString *command = g_string_new ("zimage generate --prompt ");
  g_autofree char *prompt = g_shell_quote (request->prompt != NULL ? request->prompt : "");
  ZieRequest usual;

  zie_request_init (&usual);
  g_string_append (command, prompt);
  if (request->negative_prompt != NULL && *request->negative_prompt != '\0')
    {
      g_autofree char *negative = g_shell_quote (request->negative_prompt);

      g_string_append_printf (command, " --negative %s", negative);
    }
  g_string_append_printf (command, " --width %d --height %d --steps %d --seed %" G_GUINT64_FORMAT, request->width,
                          request->height, request->n_steps, request->seed);
  append_double (command, "guidance", request->guidance, 0);
  append_double (command, "cfg-truncation", request->cfg_truncation, usual.cfg_truncation);
  append_double (command, "cfg-normalization", request->cfg_normalization, usual.cfg_normalization);
  append_double (command, "shift", request->shift, 0);
  if (request->sampler != usual.sampler)
    g_string_append_printf (command, " --sampler %s", zie_sampler_name (request->sampler));
  if (request->noise != usual.noise)
    g_string_append_printf (command, " --noise %s", zie_noise_name (request->noise));
  if (request->compute != usual.compute)
    g_string_append_printf (command, " --dtype %s", zie_compute_name (request->compute));
  for (guint i = 0; i < request->n_loras; i++)
    {
      g_autofree char *lora = g_strdup_printf ("%s:%g", request->loras[i].file, request->loras[i].strength), *quoted = g_shell_quote (lora);
      g_string_append_printf (command, " --lora %s", quoted);
    }
  if (request->truncate_prompt)
    g_string_append (command, " --truncate");

  zie_request_clear (&usual);
  return g_string_free (command, FALSE);
}

static void
print_text (const ZieRequest *request)
{
  g_autofree char *command = command_of (request);

  g_print (_("prompt    %s\n"), request->prompt);
  if (request->negative_prompt != NULL && *request->negative_prompt != '\0')
    g_print (_("negative  %s\n"), request->negative_prompt);
  g_print (_("size      %d × %d\n"), request->width, request->height);
  g_print (_("seed      %" PRIu64 " (%s noise)\n"), request->seed, zie_noise_name (request->noise));
  g_print (_("steps     %d (%s)\n"), request->n_steps, zie_sampler_name (request->sampler));
  g_print (_("guidance  %g\n"), request->guidance);
  for (guint i = 0; i < request->n_loras; i++)
    g_print (_("lora      %s (%g)\n"), request->loras[i].file, request->loras[i].strength);
  if (request->model_name != NULL)
    g_print (_("model     %s\n"), request->model_name);
  g_print (_("again     %s\n"), command);
}

int
cli_inspect (int argc, char **argv)
{
  gboolean is_json = FALSE, is_parameters = FALSE;
  g_auto(GStrv) files = NULL;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("the recipe as one JSON object"), NULL },
    { "parameters", 0, 0, G_OPTION_ARG_NONE, &is_parameters, N_("the text that A1111-style tools read"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &files, NULL, N_("FILE.png") },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_auto(ZieRequest) request;
  GError *error = NULL;

  zie_request_init (&request);
  g_option_context_set_summary (context, _("Prints the recipe inside a picture: what it was made from, and the command that makes it again."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (files, 1, 1, "FILE.png", &error)
      || !zie_request_from_png (&request, files[0], &error))
    return cli_fail (error);

  if (is_json || is_parameters)
    {
      g_autofree char *text = is_json ? zie_request_to_json (&request) : zie_request_to_parameters (&request);

      puts (text);
    }
  else
    print_text (&request);
  return CLI_OK;
}
