/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Writes one JSON value on one line.  Own, because json-glib knows no unsigned 64-bit numbers (seeds are) and writes
 * 0.1 with 17 digits.  KEY is NULL inside arrays and for the outermost value. */
typedef struct
{
  GString *text;             /* owned */
  gboolean needs_comma;
} CliJson;

void cli_json_init (CliJson *self);
void cli_json_clear (CliJson *self);
void cli_json_open (CliJson *self, const char *key, char bracket);     /* '{' or '[' */
void cli_json_close (CliJson *self, char bracket);                     /* '}' or ']' */
void cli_json_string (CliJson *self, const char *key, const char *value);    /* NULL: null; bytes that are not UTF-8 become U+FFFD */
void cli_json_int (CliJson *self, const char *key, gint64 value);
void cli_json_uint (CliJson *self, const char *key, guint64 value);
void cli_json_double (CliJson *self, const char *key, double value);   /* not finite: null */
void cli_json_bool (CliJson *self, const char *key, gboolean value);
void cli_json_raw (CliJson *self, const char *key, const char *json);
/* The line to standard output at once; the text is empty afterwards. */
void cli_json_print (CliJson *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliJson, cli_json_clear)
