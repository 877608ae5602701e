/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <stdio.h>

#include "config.h"
#include "cli-i18n.h"
#include "cli-options.h"

/* A prompt as long as the model takes: the plan of the worst case. */
static char *
longest_prompt (const ZieModel *model)
{
  int n_words = zie_model_get_info (model)->max_prompt_ids;
  GString *prompt = g_string_new ("a");

  while (n_words-- > 1)
    g_string_append (prompt, " a");

  return g_string_free (prompt, FALSE);
}

static gboolean
print_plan (const CliRequestOptions *options, const char *prompt, gboolean is_json, GError **error)
{
  g_autoptr(ZieModel) model = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  g_autoptr(ZiePlan) plan = NULL;
  g_autofree char *text = NULL;
  g_auto(ZieRequest) request;
  ZieEngineOptions engine_options;
  ZieBudget budget;
  ZieDevice device;

  zie_request_init (&request);
  if (!cli_request_options_get_engine (options, &engine_options, error)
      || !cli_request_options_get_budget (options, &budget, error)
      || !(model = cli_model_options_open (&options->model, error))
      || !cli_request_options_apply (options, model, &request, error)
      || !(engine = zie_engine_new (&engine_options, error)))
    return FALSE;

  g_free (request.prompt);
  request.prompt = prompt != NULL ? g_strdup (prompt) : longest_prompt (model);
  request.truncate_prompt |= prompt == NULL;
  zie_engine_get_device (engine, &device);
  if (!zie_request_validate (&request, model, error)
      || !(plan = zie_plan_new (model, &device, &request, &budget, error)))
    return FALSE;

  text = is_json ? zie_plan_to_json (plan) : zie_plan_to_text (plan);
  fputs (text, stdout);
  if (!g_str_has_suffix (text, "\n"))
    putchar ('\n');
  return TRUE;
}

int
cli_plan (int argc, char **argv)
{
  g_auto(CliRequestOptions) options = { 0 };
  g_autofree char *prompt = NULL;
  g_auto(GStrv) rest = NULL;
  gboolean is_json = FALSE;
  const GOptionEntry entries[] = {
    { "prompt", 'p', 0, G_OPTION_ARG_FILENAME, &prompt, N_("what to paint (default: as long as the model takes)"), N_("TEXT") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON object"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  GError *error = NULL;

  g_option_context_set_summary (context, _("Says what a request will need, in memory and time, without doing it."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  cli_request_options_add (&options, context);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (rest, 0, 0, NULL, &error)
      || !print_plan (&options, prompt, is_json, &error))
    return cli_fail (error);

  return CLI_OK;
}
