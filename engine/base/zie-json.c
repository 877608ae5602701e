/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-json.h"

#include <math.h>
#include <string.h>

#include "zie-file.h"
#include "zie-json-reader.h"

/* The largest file read here is a tokenizer.json: 11 MB, 600,000 values. */
#define MAX_FILE_SIZE ((gsize)64 << 20)
#define MAX_VALUES 4000000

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* What the check finds out on its way. */
typedef struct
{
  guint n_values;
  GArray *long_ends;       /* gsize: where the integers end that gint64 cannot hold */
} Check;

static gboolean check_value (ZieJsonReader *reader, Check *check);

/* Sorting finds duplicates in n log n whatever the keys are; a hash table can be made to collide. */
static gboolean
check_members (ZieJsonReader *reader, Check *check)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GString) key = g_string_new (NULL);

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, key))
    {
      g_ptr_array_add (keys, g_strndup (key->str, key->len));
      check_value (reader, check);
    }
  if (reader->problem != NULL)
    return FALSE;

  g_ptr_array_sort (keys, compare_strings);
  for (guint i = 1; i < keys->len; i++)
    if (g_str_equal (keys->pdata[i - 1], keys->pdata[i]))
      return zie_json_reader_fail (reader, "a duplicate key in the object that ends here");

  return TRUE;
}

static gboolean
check_number (ZieJsonReader *reader, Check *check)
{
  const char *start = reader->at;
  gsize end, length;

  if (!zie_json_reader_skip (reader))
    return FALSE;

  end = zie_json_reader_offset (reader);
  length = (gsize)(reader->at - start);
  if (length >= 19)      /* fewer digits always fit */
    {
      g_autofree char *digits = g_strndup (start, length);

      if (strpbrk (digits, ".eE") == NULL && !g_ascii_string_to_signed (digits, 10, G_MININT64, G_MAXINT64, NULL, NULL))
        g_array_append_val (check->long_ends, end);
    }

  return TRUE;
}

static gboolean
check_value (ZieJsonReader *reader, Check *check)
{
  if (++check->n_values > MAX_VALUES)
    return zie_json_reader_fail (reader, "too many values");

  switch (zie_json_reader_peek (reader))
    {
    case '{':
      return check_members (reader, check);
    case '[':
      zie_json_reader_enter (reader, '[');
      while (zie_json_reader_next (reader, ']'))
        check_value (reader, check);
      return reader->problem == NULL;
    case '0':
      return check_number (reader, check);
    default:
      return zie_json_reader_skip (reader);
    }
}

/* TEXT with ".0" behind each of the long integers: json-glib wraps them round to any number, doubles it reads right. */
static GString *
widen_integers (const char *text, gsize length, const GArray *long_ends)
{
  GString *wide = g_string_sized_new (length + 2 * long_ends->len);
  gsize at = 0;

  for (guint i = 0; i < long_ends->len; i++)
    {
      gsize end = g_array_index (long_ends, gsize, i);

      g_string_append_len (wide, text + at, (gssize)(end - at));
      g_string_append (wide, ".0");
      at = end;
    }

  return g_string_append_len (wide, text + at, (gssize)(length - at));
}

JsonObject *
zie_json_parse_object (const char *text, gsize length, const char *where, GError **error)
{
  g_autoptr(GArray) long_ends = g_array_new (FALSE, FALSE, sizeof (gsize));
  g_autoptr(JsonParser) parser = NULL;
  g_autoptr(GString) wide = NULL;
  g_autoptr(GError) local = NULL;
  Check check = { 0, long_ends };
  ZieJsonReader reader;

  zie_json_reader_init (&reader, text, length);
  if (zie_json_reader_peek (&reader) != '{')
    zie_json_reader_fail (&reader, "expected an object {…}");
  check_value (&reader, &check);
  if (!zie_json_reader_end (&reader))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: not the JSON expected, at byte %" G_GSIZE_FORMAT ": %s",
                   where, zie_json_reader_offset (&reader), reader.problem);
      return NULL;
    }

  if (long_ends->len > 0)
    {
      wide = widen_integers (text, length, long_ends);
      text = wide->str;
      length = wide->len;
    }

  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, text, (gssize)length, &local))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: not JSON: %s", where, local->message);
      return NULL;
    }

  return json_node_dup_object (json_parser_get_root (parser));
}

JsonObject *
zie_json_load_object (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize length;

  if (!(text = zie_file_read (path, MAX_FILE_SIZE, &length, error)))
    return NULL;
  return zie_json_parse_object (text, length, path, error);
}

/* NULL when KEY is absent or null. */
static JsonNode *
get_member (JsonObject *object, const char *key)
{
  JsonNode *node = json_object_get_member (object, key);

  return node == NULL || JSON_NODE_HOLDS_NULL (node) ? NULL : node;
}

static gboolean
set_missing (const char *where, const char *key, const char *expected, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: \"%s\" is missing, expected %s", where, key, expected);
  return FALSE;
}

static gboolean
set_unexpected (JsonNode *node, const char *where, const char *key, const char *expected, GError **error)
{
  g_autofree char *found = json_to_string (node, FALSE);

  if (g_utf8_strlen (found, -1) > 60)
    strcpy (g_utf8_offset_to_pointer (found, 56), "…");      /* three bytes, in place of four characters or more */
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: \"%s\" is %s, expected %s", where, key, found, expected);
  return FALSE;
}

static gboolean
read_int (JsonNode *node, gint64 *out)
{
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;

  *out = json_node_get_int (node);
  return TRUE;
}

gboolean
zie_json_get_int (JsonObject *object, const char *where, const char *key, const gint64 *fallback, gint64 min,
                  gint64 max, gint64 *out, GError **error)
{
  g_autofree char *expected = NULL;
  JsonNode *node = get_member (object, key);
  gint64 value;

  if (node == NULL && fallback != NULL)
    {
      *out = *fallback;
      return TRUE;
    }
  if (node != NULL && read_int (node, &value) && value >= min && value <= max)
    {
      *out = value;
      return TRUE;
    }

  expected = min == max ? g_strdup_printf ("%" G_GINT64_FORMAT, min)
                        : g_strdup_printf ("an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, min, max);
  return node == NULL ? set_missing (where, key, expected, error) : set_unexpected (node, where, key, expected, error);
}

gboolean
zie_json_get_double (JsonObject *object, const char *where, const char *key, const double *fallback, double *out,
                     GError **error)
{
  static const char expected[] = "a number";
  JsonNode *node = get_member (object, key);
  double value;

  if (node == NULL)
    {
      if (fallback == NULL)
        return set_missing (where, key, expected, error);
      *out = *fallback;
      return TRUE;
    }

  if (!JSON_NODE_HOLDS_VALUE (node)
      || (json_node_get_value_type (node) != G_TYPE_INT64 && json_node_get_value_type (node) != G_TYPE_DOUBLE)
      || !isfinite (value = json_node_get_double (node)))
    return set_unexpected (node, where, key, expected, error);

  *out = value;
  return TRUE;
}

gboolean
zie_json_get_bool (JsonObject *object, const char *where, const char *key, const gboolean *fallback, gboolean *out,
                   GError **error)
{
  static const char expected[] = "true or false";
  JsonNode *node = get_member (object, key);

  if (node == NULL)
    {
      if (fallback == NULL)
        return set_missing (where, key, expected, error);
      *out = *fallback;
      return TRUE;
    }

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return set_unexpected (node, where, key, expected, error);

  *out = json_node_get_boolean (node);
  return TRUE;
}

gboolean
zie_json_get_string (JsonObject *object, const char *where, const char *key, const char *fallback, const char **out,
                     GError **error)
{
  static const char expected[] = "a string";
  JsonNode *node = get_member (object, key);

  if (node == NULL)
    {
      if (fallback == NULL)
        return set_missing (where, key, expected, error);
      *out = fallback;
      return TRUE;
    }

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return set_unexpected (node, where, key, expected, error);

  *out = json_node_get_string (node);
  return TRUE;
}

gboolean
zie_json_get_ints (JsonObject *object, const char *where, const char *key, gboolean optional, gint64 *out, guint max,
                   guint *n, GError **error)
{
  g_autofree char *expected = g_strdup_printf ("an array of at most %u integers", max);
  JsonNode *node = get_member (object, key);
  JsonArray *array;

  *n = 0;
  if (node == NULL)
    return optional || set_missing (where, key, expected, error);

  if (!JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) > max)
    return set_unexpected (node, where, key, expected, error);

  array = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (array); i++)
    if (!read_int (json_array_get_element (array, i), &out[i]))
      return set_unexpected (node, where, key, expected, error);

  *n = json_array_get_length (array);
  return TRUE;
}

void
zie_json_append_string (GString *json, const char *value)
{
  g_autofree char *valid = g_utf8_make_valid (value, -1);

  g_string_append_c (json, '"');
  for (const char *p = valid; *p != '\0'; p++)
    switch (*p)
      {
      case '"':
      case '\\':
        g_string_append_c (json, '\\');
        g_string_append_c (json, *p);
        break;
      case '\n':
        g_string_append (json, "\\n");
        break;
      case '\r':
        g_string_append (json, "\\r");
        break;
      case '\t':
        g_string_append (json, "\\t");
        break;
      default:
        if ((guchar)*p < 0x20 || *p == 0x7f)
          g_string_append_printf (json, "\\u%04x", (guchar)*p);
        else
          g_string_append_c (json, *p);
      }
  g_string_append_c (json, '"');
}

void
zie_json_append_double (GString *json, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_return_if_fail (isfinite (value));

  for (int digits = 15; digits <= 17; digits++)
    {
      g_autofree char *format = g_strdup_printf ("%%.%dg", digits);

      g_ascii_formatd (text, sizeof text, format, value);
      if (g_ascii_strtod (text, NULL) == value)
        break;
    }
  g_string_append (json, text);
}
