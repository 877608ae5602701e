/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-json.h"

#include <sys/stat.h>

#include "test-files.h"
#include "zie-json-reader.h"

static JsonObject *
parse (const char *text)
{
  g_autoptr(GError) error = NULL;
  JsonObject *object = zie_json_parse_object (text, strlen (text), "x.json", &error);

  g_assert_no_error (error);
  return object;
}

static void
test_load (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonObject) object = NULL;
  const char *path;

  test_files_init (&files);
  path = test_files_write (&files, "config.json", " {\"dim\": 3840,\n\"名\": [1, {}]}\n", 31);
  object = zie_json_load_object (path, &error);
  g_assert_no_error (error);
  g_assert_cmpint (json_object_get_int_member (object, "dim"), ==, 3840);

  g_assert_null (zie_json_load_object (test_files_path (&files, "absent.json"), &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "absent.json");
  g_clear_error (&error);

  g_assert_null (zie_json_load_object (files.folder, &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, files.folder, "folder");
  g_clear_error (&error);

  path = test_files_path (&files, "big.json");
  g_assert_true (g_file_set_contents (path, "{", 1, NULL));
  g_assert_cmpint (truncate (path, (off_t)1 << 33), ==, 0);
  g_assert_null (zie_json_load_object (path, &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "big.json", "8589934592", "at most");
}

/* A pipe would hold an open() for ever. */
static void
test_load_fifo (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  const char *path;

  test_files_init (&files);
  path = test_files_path (&files, "fifo.json");
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  g_assert_null (zie_json_load_object (path, &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "fifo.json", "regular file");
}

static void
test_refused (void)
{
  static const struct
  {
    const char *text, *says;
  } cases[] = {
    { "", "expected an object" },
    { "  ", "expected an object" },
    { "[1]", "expected an object" },
    { "{", "ends early" },
    { "{\"a\"", "ends early" },
    { "{\"a\":", "ends early" },
    { "{\"a\":1", "ends early" },
    { "{\"a\":1,", "ends early" },
    { "{\"a\":1,}", "expected a string" },
    { "{\"a\":[1,]}", "expected a value" },
    { "{\"a\":[1 2]}", "expected , or ]" },
    { "{\"a\":1 \"b\":2}", "expected , or }" },
    { "{\"a\" 1}", "expected :" },
    { "{a:1}", "expected a string" },
    { "{\"a\":1} x", "after the end" },
    { "{\"a\":1}{}", "after the end" },
    { "{\"a\":01}", "expected , or }" },
    { "{\"a\":1.}", "number" },
    { "{\"a\":-}", "number" },
    { "{\"a\":1e}", "number" },
    { "{\"a\":.5}", "expected a value" },
    { "{\"a\":+5}", "expected a value" },
    { "{\"a\":NaN}", "expected a value" },
    { "{\"a\":nul}", "expected a value" },
    { "{\"a\":'x'}", "expected a value" },
    { "{/* c */\"a\":1}", "expected a string" },
    { "var a = {}", "expected an object" },
    { "{\"a\":\"x", "ends inside a string" },
    { "{\"a\":\"x\\", "ends inside a string" },
    { "{\"a\":\"\\q\"}", "escape" },
    { "{\"a\":\"\\u12\"}", "escape" },
    { "{\"a\":\"\\u0000\"}", "escape" },
    { "{\"a\":\"\\ud800\"}", "surrogate" },
    { "{\"a\":\"\\ud800\\u0041\"}", "surrogate" },
    { "{\"a\":\"\\udc00\"}", "escape" },
    { "{\"a\":\"x\ny\"}", "control character" },
    { "{\"a\":\"\xff\"}", "UTF-8" },
    { "{\"a\":\"\xed\xa0\x80\"}", "UTF-8" },
    { "{\"a\":1,\"a\":2}", "duplicate" },
    { "{\"a\":1,\"\\u0061\":2}", "duplicate" },
    { "{\"x\":[{\"a\":1,\"b\":0,\"a\":2}]}", "duplicate" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (zie_json_parse_object (cases[i].text, strlen (cases[i].text), "x.json", &error));
      assert_says (error, ZIE_ERROR_FILE_CORRUPT, "x.json", cases[i].says);
    }
}

static void
test_depth (void)
{
  for (guint depth = ZIE_JSON_MAX_DEPTH - 1; depth <= 2000000; depth = depth < 1000 ? depth + 1000 : depth * 10)
    {
      g_autoptr(GString) text = g_string_new ("{\"a\":");
      g_autoptr(GError) error = NULL;
      g_autoptr(JsonObject) object = NULL;

      for (guint i = 0; i < depth; i++)
        g_string_append_c (text, '[');
      for (guint i = 0; i < depth; i++)
        g_string_append_c (text, ']');
      g_string_append_c (text, '}');

      object = zie_json_parse_object (text->str, text->len, "x.json", &error);
      if (depth < ZIE_JSON_MAX_DEPTH)
        g_assert_no_error (error);
      else
        assert_says (error, ZIE_ERROR_FILE_CORRUPT, "deep");
    }
}

/* 20 MB of numbers would be gigabytes of nodes. */
static void
test_too_many (void)
{
  g_autoptr(GString) text = g_string_new ("{\"a\":[0");
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 10000000; i++)
    g_string_append (text, ",0");
  g_string_append (text, "]}");
  g_assert_null (zie_json_parse_object (text->str, text->len, "x.json", &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "too many");
}

static void
test_getters (void)
{
  g_autoptr(JsonObject) object = parse ("{\"int\": 7, \"big\": 99999999999999999999, \"double\": 1e-5, \"three\": 3,"
                                        " \"huge\": 1e999, \"yes\": true, \"text\": \"silu\", \"null\": null,"
                                        " \"ints\": [1, -2, 3], \"mixed\": [1, \"x\"], \"object\": {\"a\": 1},"
                                        " \"long\": \"名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名"
                                        "名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名名\"}");
  gint64 i = 0, ints[4], seven = 7;
  double d = 0, half = 0.5;
  gboolean b = FALSE, no = FALSE;
  const char *s = NULL;
  guint n = 9;

  g_assert_true (zie_json_get_int (object, "f", "int", NULL, 0, 10, &i, NULL));
  g_assert_cmpint (i, ==, 7);
  g_assert_true (zie_json_get_int (object, "f", "absent", &seven, 0, 1, &i, NULL));
  g_assert_true (zie_json_get_int (object, "f", "null", &seven, 0, 1, &i, NULL));
  g_assert_true (zie_json_get_double (object, "f", "double", NULL, &d, NULL));
  g_assert_cmpfloat (d, ==, 1e-5);
  g_assert_true (zie_json_get_double (object, "f", "three", NULL, &d, NULL));
  g_assert_cmpfloat (d, ==, 3);
  g_assert_true (zie_json_get_double (object, "f", "absent", &half, &d, NULL));
  g_assert_cmpfloat (d, ==, 0.5);
  g_assert_true (zie_json_get_bool (object, "f", "yes", NULL, &b, NULL));
  g_assert_true (b);
  g_assert_true (zie_json_get_bool (object, "f", "absent", &no, &b, NULL));
  g_assert_false (b);
  g_assert_true (zie_json_get_string (object, "f", "text", NULL, &s, NULL));
  g_assert_cmpstr (s, ==, "silu");
  g_assert_true (zie_json_get_string (object, "f", "absent", "other", &s, NULL));
  g_assert_cmpstr (s, ==, "other");
  g_assert_true (zie_json_get_ints (object, "f", "ints", FALSE, ints, 4, &n, NULL));
  g_assert_cmpuint (n, ==, 3);
  g_assert_cmpint (ints[1], ==, -2);
  g_assert_true (zie_json_get_ints (object, "f", "absent", TRUE, ints, 4, &n, NULL));
  g_assert_cmpuint (n, ==, 0);

#define REFUSES(call, ...) \
  G_STMT_START \
    { \
      g_autoptr(GError) error = NULL; \
      g_assert_false (call); \
      assert_says (error, ZIE_ERROR_FILE_CORRUPT, "f: ", __VA_ARGS__); \
    } \
  G_STMT_END

  REFUSES (zie_json_get_int (object, "f", "int", NULL, 8, 10, &i, &error), "\"int\"", "is 7", "8 to 10");
  REFUSES (zie_json_get_int (object, "f", "int", NULL, 8, 8, &i, &error), "\"int\"", "is 7", "expected 8");
  REFUSES (zie_json_get_int (object, "f", "big", NULL, 0, G_MAXINT64, &i, &error), "\"big\"", "expected an integer");
  REFUSES (zie_json_get_int (object, "f", "double", NULL, 0, 10, &i, &error), "\"double\"", "integer");
  REFUSES (zie_json_get_int (object, "f", "text", NULL, 0, 10, &i, &error), "\"silu\"", "integer");
  REFUSES (zie_json_get_int (object, "f", "object", NULL, 0, 10, &i, &error), "{\"a\":1}", "integer");
  REFUSES (zie_json_get_int (object, "f", "absent", NULL, 0, 10, &i, &error), "\"absent\"", "missing");
  REFUSES (zie_json_get_int (object, "f", "null", NULL, 0, 10, &i, &error), "\"null\"", "missing");
  REFUSES (zie_json_get_double (object, "f", "huge", NULL, &d, &error), "\"huge\"", "number");
  REFUSES (zie_json_get_double (object, "f", "text", NULL, &d, &error), "\"text\"", "number");
  REFUSES (zie_json_get_double (object, "f", "absent", NULL, &d, &error), "\"absent\"", "missing");
  REFUSES (zie_json_get_bool (object, "f", "int", NULL, &b, &error), "\"int\"", "true or false");
  REFUSES (zie_json_get_bool (object, "f", "absent", NULL, &b, &error), "missing");
  REFUSES (zie_json_get_string (object, "f", "int", NULL, &s, &error), "\"int\"", "string");
  REFUSES (zie_json_get_string (object, "f", "absent", NULL, &s, &error), "missing");
  REFUSES (zie_json_get_int (object, "f", "long", NULL, 0, 1, &i, &error), "名…,");
  REFUSES (zie_json_get_ints (object, "f", "ints", FALSE, ints, 2, &n, &error), "\"ints\"", "at most 2");
  REFUSES (zie_json_get_ints (object, "f", "mixed", FALSE, ints, 4, &n, &error), "\"mixed\"", "integers");
  REFUSES (zie_json_get_ints (object, "f", "int", FALSE, ints, 4, &n, &error), "\"int\"", "array");
  REFUSES (zie_json_get_ints (object, "f", "absent", FALSE, ints, 4, &n, &error), "missing");
}

static void
test_reader_strings (void)
{
  static const char text[] = " [ \"a\\u00e9\\ud83d\\ude00\\n\\/\" , 18446744073709551615, 18446744073709551616]";
  g_autoptr(GString) string = g_string_new ("old");
  ZieJsonReader reader;
  guint64 number;

  zie_json_reader_init (&reader, text, strlen (text));
  g_assert_cmpint (zie_json_reader_peek (&reader), ==, '[');
  g_assert_true (zie_json_reader_enter (&reader, '['));
  g_assert_true (zie_json_reader_next (&reader, ']'));
  g_assert_true (zie_json_reader_string (&reader, string));
  g_assert_cmpstr (string->str, ==, "a\u00e9\U0001f600\n/");
  g_assert_true (zie_json_reader_next (&reader, ']'));
  g_assert_true (zie_json_reader_u64 (&reader, &number));
  g_assert_cmpuint (number, ==, G_MAXUINT64);
  g_assert_true (zie_json_reader_next (&reader, ']'));
  g_assert_false (zie_json_reader_u64 (&reader, &number));
  g_assert_nonnull (strstr (reader.problem, "64 bits"));
  g_assert_false (zie_json_reader_next (&reader, ']'));      /* stays broken */
  g_assert_false (zie_json_reader_end (&reader));

  zie_json_reader_init (&reader, "\"\\ud800\\u0041\"", 14);
  g_assert_false (zie_json_reader_string (&reader, string));
  g_assert_cmpstr (reader.problem, ==, "half a surrogate pair in a string");
}

/* json-glib alone reads these as other numbers. */
static void
test_long_integers (void)
{
  static const char text[] = "{\"most\": 9223372036854775807, \"least\": -9223372036854775808, \"more\": 9223372036854775808,"
                             " \"less\": -9223372036854775809, \"list\": [18446744073709551615, 7],"
                             " \"model_max_length\": 1000000000000000019884624838656, \"exponent\": 10000000000000000000e2}";
  g_autoptr(JsonObject) object = parse (text);
  gint64 value, values[2];
  double number;
  guint n;

  g_assert_true (zie_json_get_int (object, "f", "most", NULL, G_MININT64, G_MAXINT64, &value, NULL));
  g_assert_cmpint (value, ==, G_MAXINT64);
  g_assert_true (zie_json_get_int (object, "f", "least", NULL, G_MININT64, G_MAXINT64, &value, NULL));
  g_assert_cmpint (value, ==, G_MININT64);
  g_assert_false (zie_json_get_int (object, "f", "more", NULL, G_MININT64, G_MAXINT64, &value, NULL));
  g_assert_false (zie_json_get_int (object, "f", "less", NULL, G_MININT64, G_MAXINT64, &value, NULL));
  g_assert_false (zie_json_get_ints (object, "f", "list", FALSE, values, 2, &n, NULL));
  g_assert_true (zie_json_get_double (object, "f", "more", NULL, &number, NULL));
  g_assert_cmpfloat (number, ==, 0x1p63);
  g_assert_true (zie_json_get_double (object, "f", "model_max_length", NULL, &number, NULL));
  g_assert_cmpfloat (number, ==, 1e30);
  g_assert_true (zie_json_get_double (object, "f", "exponent", NULL, &number, NULL));
  g_assert_cmpfloat (number, ==, 1e21);
}

static void
test_write (void)
{
  static const double doubles[] = { 0, 1, 0.1, 0.3, 1e300, -2.5, 1.0 / 3, 5e-324, 0.6, 123456789012345678.0 };
  g_autoptr(GString) json = g_string_new ("{\"s\":");
  g_autoptr(JsonObject) object = NULL;
  GRand *rand = g_rand_new_with_seed (1);

  zie_json_append_string (json, "a\"b\\c\n\r\t\x01\x7f" "é😀\xff");
  g_string_append_c (json, '}');
  object = parse (json->str);
  g_assert_cmpstr (json_object_get_string_member (object, "s"), ==, "a\"b\\c\n\r\t\x01\x7f" "é😀\uFFFD");

  for (int i = 0; i < 2000; i++)
    {
      double d = i < (int)G_N_ELEMENTS (doubles) ? doubles[i] : g_rand_double_range (rand, -1e3, 1e3);

      g_string_truncate (json, 0);
      zie_json_append_double (json, d);
      g_assert_cmpfloat (g_ascii_strtod (json->str, NULL), ==, d);
    }
  g_string_truncate (json, 0);
  zie_json_append_double (json, 0.1);
  g_assert_cmpstr (json->str, ==, "0.1");
  g_rand_free (rand);
}

static void
test_damaged (void)
{
  static const char text[] = "{\"dim\":3840,\"name\":\"a\\u00e9\\n名\",\"list\":[1,2.5e3,{\"x\":null,\"y\":[true,false]}],"
                             "\"empty\":{},\"z\":\"\"}";
  GRand *rand = g_rand_new_with_seed (2);
  g_autoptr(GByteArray) whole = g_byte_array_new ();

  put_text (whole, text);
  for (int i = 0; i < 20000; i++)
    {
      g_autoptr(GByteArray) broken = damage (rand, whole);
      g_autoptr(GError) error = NULL;
      g_autofree char *exact = g_memdup2 (broken->data, broken->len);      /* no byte to spare behind it */
      g_autoptr(JsonObject) object = zie_json_parse_object (exact, broken->len, "x.json", &error);

      if (object == NULL)
        g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
    }
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/json/load", test_load);
  g_test_add_func ("/json/load-fifo", test_load_fifo);
  g_test_add_func ("/json/refused", test_refused);
  g_test_add_func ("/json/depth", test_depth);
  g_test_add_func ("/json/too-many", test_too_many);
  g_test_add_func ("/json/getters", test_getters);
  g_test_add_func ("/json/reader-strings", test_reader_strings);
  g_test_add_func ("/json/long-integers", test_long_integers);
  g_test_add_func ("/json/write", test_write);
  g_test_add_func ("/json/damaged", test_damaged);
  return g_test_run ();
}
