/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie.h>

/* Exit statuses, as in the man page. */
enum
{
  CLI_OK = 0,
  CLI_FAILURE = 1,
  CLI_USAGE = 2,             /* the command line or a value in it is wrong */
  CLI_CANCELLED = 130,
};

/* Errors of the command line itself; those of the engine keep their own domain. */
#define CLI_ERROR (cli_error_quark ())
typedef enum
{
  CLI_ERROR_USAGE,
} CliError;
GQuark cli_error_quark (void);

typedef struct
{
  const char *name;
  int (*run) (int argc, char **argv);    /* argv[0] is the command's name; returns the exit status */
  const char *summary;                   /* one line, translatable */
} CliCommand;

int cli_bench (int argc, char **argv);
int cli_devices (int argc, char **argv);
int cli_generate (int argc, char **argv);
int cli_info (int argc, char **argv);
int cli_inspect (int argc, char **argv);
int cli_models (int argc, char **argv);
int cli_models_catalogue (int argc, char **argv);
int cli_models_fetch (int argc, char **argv);
int cli_models_repair (int argc, char **argv);
int cli_plan (int argc, char **argv);
int cli_tokenize (int argc, char **argv);

/* Parses ARGV by CONTEXT (consumed), whose own entries were added before; --help prints and exits.  The context takes
 * over everything that is no option only through G_OPTION_REMAINING. */
gboolean cli_parse (GOptionContext *context, int argc, char **argv, GError **error);

/* REST, what G_OPTION_REMAINING gathered (NULL = nothing), has MIN to MAX members; NAME is what they are. */
gboolean cli_check_count (char **rest, guint min, guint max, const char *name, GError **error);

/* Prints ERROR (consumed) as one sentence after "zimage: " and returns the exit status that fits it. */
int cli_fail (GError *error);
/* The same status without printing. */
int cli_status_of (const GError *error);
void cli_warn (const char *message);
/* "cancelled", "write" …: for JSON.  Static string. */
const char *cli_error_name (const GError *error);

/* All of FILE, "-" = standard input; refuses NUL bytes.  Bytes are not checked to be UTF-8. */
char *cli_read_text (const char *file, GError **error);

/* "1.5 GB", in the words of the locale; free with g_free(). */
char *cli_format_size (guint64 size);
/* "6.15 G"; free with g_free(). */
char *cli_format_count (guint64 n);
