/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include <locale.h>
#include <string.h>

#include "config.h"
#include "cli.h"
#include "cli-i18n.h"

static const CliCommand commands[] = {
  { "generate", cli_generate, N_("paint pictures from sentences") },
  { "plan", cli_plan, N_("say what that will need, without doing it") },
  { "info", cli_info, N_("say what a model is") },
  { "models", cli_models, N_("list the models on this computer, fetch and repair them") },
  { "inspect", cli_inspect, N_("print the recipe inside a picture") },
  { "tokenize", cli_tokenize, N_("print a text's token ids") },
  { "devices", cli_devices, N_("list what can compute here") },
  { "bench", cli_bench, N_("time each stage") },
};

static void
print_usage (void (*print) (const char *format, ...) G_GNUC_PRINTF (1, 2))
{
  print ("%s\n\n", _("Usage: zimage COMMAND [OPTION…]"));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    print ("  %-10s %s\n", commands[i].name, _(commands[i].summary));
  print ("\n%s\n", _("“zimage COMMAND --help” explains each; the manual is zimage(1).\n"
                     "To begin: zimage generate --prompt \"a red apple on a blue background\""));
}

static const CliCommand *
find_command (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      return &commands[i];

  return NULL;
}

static int
run_command (const char *name, int argc, char **argv)
{
  const CliCommand *command = find_command (name);
  g_autofree char *program = g_strdup_printf ("zimage %s", name);

  if (command == NULL)
    {
      g_autofree char *shown = g_utf8_make_valid (name, -1);

      g_printerr (_("zimage: there is no command “%s”; “zimage --help” lists them\n"), shown);
      return CLI_USAGE;
    }

  g_set_prgname (program);
  return command->run (argc, argv);
}

static int
run_help (int argc, char **argv)
{
  char *help[] = { argv[0], (char *)"--help", NULL };

  if (argc > 1)
    return run_command (argv[1], 2, help);

  print_usage (g_print);
  return CLI_OK;
}

int
main (int argc, char **argv)
{
  const char *name = argc > 1 ? argv[1] : NULL;

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, ZIE_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("zimage");

  if (name == NULL)
    {
      print_usage (g_printerr);
      return CLI_USAGE;
    }
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0 || strcmp (name, "help") == 0)
    return run_help (argc - 1, argv + 1);
  if (strcmp (name, "--version") == 0 || strcmp (name, "version") == 0)
    {
      g_print ("zimage %s\n", zie_version ());
      return CLI_OK;
    }

  return run_command (name, argc - 1, argv + 1);
}
