/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-json.h"

#include <math.h>
#include <stdio.h>

void
cli_json_init (CliJson *self)
{
  self->text = g_string_new (NULL);
  self->needs_comma = FALSE;
}

void
cli_json_clear (CliJson *self)
{
  g_string_free (self->text, TRUE);
  self->text = NULL;
}

static void
append_quoted (GString *text, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);

  g_string_append_c (text, '"');
  for (const char *p = valid; *p != '\0'; p++)
    {
      guchar c = (guchar)*p;

      if (c == '"' || c == '\\')
        g_string_append_printf (text, "\\%c", c);
      else if (c == '\n')
        g_string_append (text, "\\n");
      else if (c == '\t')
        g_string_append (text, "\\t");
      else if (c < 0x20 || c == 0x7f)
        g_string_append_printf (text, "\\u%04x", c);
      else
        g_string_append_c (text, (char)c);
    }
  g_string_append_c (text, '"');
}

static void
begin_value (CliJson *self, const char *key)
{
  if (self->needs_comma)
    g_string_append (self->text, ", ");
  if (key != NULL)
    {
      append_quoted (self->text, key);
      g_string_append (self->text, ": ");
    }
  self->needs_comma = TRUE;
}

void
cli_json_open (CliJson *self, const char *key, char bracket)
{
  begin_value (self, key);
  g_string_append_c (self->text, bracket);
  self->needs_comma = FALSE;
}

void
cli_json_close (CliJson *self, char bracket)
{
  g_string_append_c (self->text, bracket);
  self->needs_comma = TRUE;
}

void
cli_json_string (CliJson *self, const char *key, const char *value)
{
  begin_value (self, key);
  if (value == NULL)
    g_string_append (self->text, "null");
  else
    append_quoted (self->text, value);
}

void
cli_json_int (CliJson *self, const char *key, gint64 value)
{
  begin_value (self, key);
  g_string_append_printf (self->text, "%" G_GINT64_FORMAT, value);
}

void
cli_json_uint (CliJson *self, const char *key, guint64 value)
{
  begin_value (self, key);
  g_string_append_printf (self->text, "%" G_GUINT64_FORMAT, value);
}

void
cli_json_double (CliJson *self, const char *key, double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  begin_value (self, key);
  if (!isfinite (value))
    g_string_append (self->text, "null");
  else
    g_string_append (self->text, g_ascii_formatd (buffer, sizeof buffer, "%.9g", value));
}

void
cli_json_bool (CliJson *self, const char *key, gboolean value)
{
  begin_value (self, key);
  g_string_append (self->text, value ? "true" : "false");
}

void
cli_json_raw (CliJson *self, const char *key, const char *json)
{
  begin_value (self, key);
  g_string_append (self->text, json);
}

void
cli_json_print (CliJson *self)
{
  g_string_append_c (self->text, '\n');
  fwrite (self->text->str, 1, self->text->len, stdout);
  fflush (stdout);
  g_string_truncate (self->text, 0);
  self->needs_comma = FALSE;
}
