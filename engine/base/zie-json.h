/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>
#include <zie/zie-error.h>

/* Typed reading over json-glib.  WHERE (a file's path) begins every message, which names the key, what was found and
 * what was expected.  Getters with a FALLBACK pointer accept an absent (or null) key; others require it.
 * Errors: FILE_CORRUPT unless said otherwise. */
JsonObject *zie_json_load_object (const char *path, GError **error);      /* transfer full; FILE_NOT_FOUND / FILE_CORRUPT */

/* json-glib alone takes comments, assignments, duplicate keys and any depth: here the text is checked first.  It must
 * be one JSON object with no duplicate key anywhere, of ZIE_JSON_MAX_DEPTH levels and a few million values at most. */
JsonObject *zie_json_parse_object (const char *text, gsize length, const char *where, GError **error);

gboolean zie_json_get_int (JsonObject *object, const char *where, const char *key, const gint64 *fallback, gint64 min,
                           gint64 max, gint64 *out, GError **error);
gboolean zie_json_get_double (JsonObject *object, const char *where, const char *key, const double *fallback, double *out,
                              GError **error);
gboolean zie_json_get_bool (JsonObject *object, const char *where, const char *key, const gboolean *fallback, gboolean *out,
                            GError **error);
/* Borrowed from OBJECT.  FALLBACK NULL: required. */
gboolean zie_json_get_string (JsonObject *object, const char *where, const char *key, const char *fallback, const char **out,
                              GError **error);
/* An array of at most MAX integers; *N receives the count (0 when absent and OPTIONAL). */
gboolean zie_json_get_ints (JsonObject *object, const char *where, const char *key, gboolean optional, gint64 *out, guint max,
                            guint *n, GError **error);

/* Writing: VALUE as a quoted JSON string (bytes that are not UTF-8 become U+FFFD), or as the shortest decimal that
 * reads back as the same double. */
void zie_json_append_string (GString *json, const char *value);
void zie_json_append_double (GString *json, double value);
