/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>
#include <zie/zie-error.h>

/* Typed reading over json-glib.  WHERE (a file's path) begins every message, which names the key, what was found and
 * what was expected.  Getters with a DEFAULT pointer accept an absent key; others require it. */
JsonObject *zie_json_load_object (const char *path, GError **error);      /* transfer full; FILE_NOT_FOUND / FILE_CORRUPT */
gboolean zie_json_get_int (JsonObject *object, const char *where, const char *key, const gint64 *fallback, gint64 min,
                           gint64 max, gint64 *out, GError **error);
gboolean zie_json_get_double (JsonObject *object, const char *where, const char *key, const double *fallback, double *out,
                              GError **error);
gboolean zie_json_get_bool (JsonObject *object, const char *where, const char *key, const gboolean *fallback, gboolean *out,
                            GError **error);
/* Borrowed from OBJECT. */
gboolean zie_json_get_string (JsonObject *object, const char *where, const char *key, const char *fallback, const char **out,
                              GError **error);
/* An array of exactly or at most MAX integers; *N receives the count (0 when absent and OPTIONAL). */
gboolean zie_json_get_ints (JsonObject *object, const char *where, const char *key, gboolean optional, gint64 *out, guint max,
                            guint *n, GError **error);
