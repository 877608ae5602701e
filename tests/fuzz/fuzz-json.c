/* SPDX-License-Identifier: Apache-2.0 */

/* The two readers of JSON: what the strict one takes, json-glib must have taken too, and every getter must bear it. */

#include "fuzz.h"

#include "zie-json-reader.h"
#include "zie-json.h"

static void
get_all (JsonObject *object, const char *key)
{
  gint64 number, numbers[4];
  double real;
  gboolean truth;
  const char *text;
  guint n;

  zie_json_get_int (object, "in", key, NULL, -5, 5, &number, NULL);
  zie_json_get_double (object, "in", key, NULL, &real, NULL);
  zie_json_get_bool (object, "in", key, NULL, &truth, NULL);
  if (zie_json_get_string (object, "in", key, NULL, &text, NULL))
    fuzz_touch (text, strlen (text) + 1);
  if (zie_json_get_ints (object, "in", key, FALSE, numbers, G_N_ELEMENTS (numbers), &n, NULL))
    g_assert_cmpuint (n, <=, G_N_ELEMENTS (numbers));
}

static gboolean
read_with_reader (const char *text, gsize size)
{
  g_autoptr(GString) key = g_string_new (NULL);
  ZieJsonReader reader;

  zie_json_reader_init (&reader, text, size);
  zie_json_reader_enter (&reader, '{');
  while (zie_json_reader_next (&reader, '}') && zie_json_reader_key (&reader, key))
    {
      guint64 number;

      if (zie_json_reader_peek (&reader) == '"')
        zie_json_reader_string (&reader, key);
      else if (zie_json_reader_peek (&reader) == 0 && g_str_has_prefix (key->str, "n"))
        zie_json_reader_u64 (&reader, &number);
      else
        zie_json_reader_skip (&reader);
    }
  zie_json_reader_end (&reader);
  g_assert_cmpuint (zie_json_reader_offset (&reader), <=, size);
  return reader.problem == NULL;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_malloc (size + 1);       /* the contract of zie_json_parse_object(): a NUL follows */
  GError *error = NULL;
  JsonObject *object;

  if (size > 0)
    memcpy (text, data, size);
  text[size] = '\0';
  read_with_reader ((const char *)data, size);
  if ((object = zie_json_parse_object (text, size, "in.json", &error)) == NULL)
    {
      fuzz_check_error (error, "in.json");
      return 0;
    }
  {
    g_autoptr(GList) keys = json_object_get_members (object);

    for (GList *l = keys; l != NULL; l = l->next)
      get_all (object, l->data);
    get_all (object, "absent");
  }
  json_object_unref (object);
  return 0;
}
