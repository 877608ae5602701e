/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-model.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#include "cli-i18n.h"

int
cli_tokenize (int argc, char **argv)
{
  g_auto(CliModelOptions) options = { NULL };
  g_autofree char *text = NULL;
  g_autofree gint32 *ids = NULL;
  g_auto(GStrv) texts = NULL;
  gboolean with_template = FALSE;
  const GOptionEntry entries[] = {
    { "template", 0, 0, G_OPTION_ARG_NONE, &with_template, N_("inside the chat template, as a prompt is"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &texts, NULL, N_("TEXT") },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  g_autoptr(ZieModel) model = NULL;
  GError *error = NULL;
  guint n;

  g_option_context_set_summary (context, _("Prints the token ids of TEXT on one line; “-” reads it from standard input."));
  cli_model_options_add (&options, context, TRUE);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (texts, 1, 1, "TEXT", &error))
    return cli_fail (error);

  text = strcmp (texts[0], "-") == 0 ? cli_read_text ("-", &error) : g_strdup (texts[0]);
  if (text == NULL || !(model = cli_model_options_open (&options, &error)))
    return cli_fail (error);

  ids = zie_model_tokenize (model, text, with_template, &n);
  for (guint i = 0; i < n; i++)
    printf ("%s%d", i > 0 ? " " : "", ids[i]);
  putchar ('\n');
  return CLI_OK;
}
