/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "cli-i18n.h"

G_DEFINE_QUARK (cli-error-quark, cli_error)

gboolean
cli_parse (GOptionContext *context, int argc, char **argv, GError **error)
{
  g_autoptr(GOptionContext) self = context;

  g_option_context_set_translation_domain (self, GETTEXT_PACKAGE);
  return g_option_context_parse (self, &argc, &argv, error);
}

gboolean
cli_check_count (char **rest, guint min, guint max, const char *name, GError **error)
{
  guint n = rest != NULL ? g_strv_length (rest) : 0;

  if (n < min)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("%s is missing; see “%s --help”"), name, g_get_prgname ());
      return FALSE;
    }
  if (n > max)
    {
      g_autofree char *shown = g_utf8_make_valid (rest[max], -1);

      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("“%s” is one argument too many; see “%s --help”"), shown, g_get_prgname ());
      return FALSE;
    }

  return TRUE;
}

int
cli_status_of (const GError *error)
{
  if (error->domain == G_OPTION_ERROR || error->domain == CLI_ERROR
      || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST)
      || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG))
    return CLI_USAGE;
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
    return CLI_CANCELLED;
  return CLI_FAILURE;
}

int
cli_fail (GError *error)
{
  int status = cli_status_of (error);

  if (status == CLI_CANCELLED)
    g_printerr ("zimage: %s\n", _("cancelled"));
  else if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG))
    g_printerr ("zimage: %s %s\n", error->message, _("(--truncate cuts it)"));
  else if (error->domain == G_OPTION_ERROR)
    g_printerr (_("zimage: %s (see “%s --help”)\n"), error->message, g_get_prgname ());
  else
    g_printerr ("zimage: %s\n", error->message);

  g_error_free (error);
  return status;
}

const char *
cli_error_name (const GError *error)
{
  static const char *const names[] = {
    [ZIE_ERROR_FAILED] = "failed",
    [ZIE_ERROR_CANCELLED] = "cancelled",
    [ZIE_ERROR_INVALID_REQUEST] = "invalid-request",
    [ZIE_ERROR_PROMPT_TOO_LONG] = "prompt-too-long",
    [ZIE_ERROR_FILE_NOT_FOUND] = "file-not-found",
    [ZIE_ERROR_FILE_CORRUPT] = "file-corrupt",
    [ZIE_ERROR_MODEL_UNSUPPORTED] = "model-unsupported",
    [ZIE_ERROR_TENSOR_MISSING] = "tensor-missing",
    [ZIE_ERROR_OUT_OF_DEVICE_MEMORY] = "out-of-device-memory",
    [ZIE_ERROR_OUT_OF_HOST_MEMORY] = "out-of-host-memory",
    [ZIE_ERROR_BACKEND_UNAVAILABLE] = "backend-unavailable",
    [ZIE_ERROR_DEVICE_LOST] = "device-lost",
    [ZIE_ERROR_BROKEN_PICTURE] = "broken-picture",
    [ZIE_ERROR_WRITE] = "write",
    [ZIE_ERROR_FILE_LOST] = "file-lost",
  };

  if (error->domain == ZIE_ERROR && error->code >= 0 && error->code < (int)G_N_ELEMENTS (names))
    return names[error->code];

  return cli_status_of (error) == CLI_USAGE ? "usage" : "failed";
}

void
cli_warn (const char *message)
{
  g_printerr (_("zimage: warning: %s\n"), message);
}

/* Everything that comes from DESCRIPTOR. */
static gboolean
read_all (int descriptor, const char *name, GString *text, GError **error)
{
  char buffer[4096];
  gssize n;

  while ((n = read (descriptor, buffer, sizeof buffer)) != 0)
    if (n > 0)
      g_string_append_len (text, buffer, n);
    else if (errno != EINTR)
      {
        g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: %s", name, g_strerror (errno));
        return FALSE;
      }

  return TRUE;
}

char *
cli_read_text (const char *file, GError **error)
{
  g_autofree char *text = NULL;
  g_autofree char *name = NULL;
  gsize length;

  if (strcmp (file, "-") == 0)
    {
      GString *input = g_string_new (NULL);
      gboolean is_read;

      name = g_strdup (_("standard input"));
      is_read = read_all (STDIN_FILENO, name, input, error);
      length = input->len;
      text = g_string_free (input, FALSE);
      if (!is_read)
        return NULL;
    }
  else
    {
      g_autoptr(GError) local = NULL;

      name = g_filename_display_name (file);
      if (!g_file_get_contents (file, &text, &length, &local))
        {
          g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, local->message);
          return NULL;
        }
    }

  if (strlen (text) != length)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, _("%s holds a NUL byte at offset %zu: it must be text in UTF-8"), name,
                   strlen (text));
      return NULL;
    }

  return g_steal_pointer (&text);
}

char *
cli_format_size (guint64 size)
{
  return g_format_size_full (size, G_FORMAT_SIZE_IEC_UNITS);
}

char *
cli_format_count (guint64 n)
{
  static const struct { guint64 unit; const char *letter; } units[] = {
    { 1000000000, "G" }, { 1000000, "M" }, { 1000, "k" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (n >= units[i].unit)
      return g_strdup_printf ("%.2f %s", (double)n / (double)units[i].unit, units[i].letter);

  return g_strdup_printf ("%" G_GUINT64_FORMAT, n);
}
