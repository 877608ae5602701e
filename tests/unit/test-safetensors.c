/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-safetensors.h"

#include "test-files.h"

static const char good_header[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"名\":\"a\\nb\"},"
    "\"b.odd\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[5,13]},"
    "\"a.bytes\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
    "\"scalar\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[13,15]},"
    "\"empty\":{\"shape\":[3,0],\"data_offsets\":[15,15],\"dtype\":\"F16\"},"
    "\"five\":{\"dtype\":\"I32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[15,19]},"
    "\"new\":{\"dtype\":\"F4_X\",\"shape\":[9,9],\"data_offsets\":[19,22],\"more\":[{}]},"
    "\"wide\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[22,30]}}   ";

static ZieSafetensors *
open_bytes (TestFiles *files, GByteArray *bytes, GError **error)
{
  const char *path = test_files_write (files, "t.safetensors", bytes->data, bytes->len);
  ZieSafetensors *self = zie_safetensors_open (path, error);

  g_byte_array_unref (bytes);
  return self;
}

static void
test_good (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieSafetensors) self = NULL;
  const ZieTensorInfo *info;

  test_files_init (&files);
  self = open_bytes (&files, make_safetensors (good_header, 30), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (zie_safetensors_get_n (self), ==, 7);

  info = zie_safetensors_get (self, 0);      /* in the order of the data */
  g_assert_cmpstr (info->name, ==, "a.bytes");
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_U8);
  g_assert_cmpuint (info->size, ==, 5);
  g_assert_cmpuint (info->data[4], ==, 4);

  info = zie_safetensors_get (self, 1);
  g_assert_cmpstr (info->name, ==, "b.odd");
  g_assert_cmpstr (info->dtype_name, ==, "F32");
  g_assert_cmpint (info->n_dims, ==, 2);
  g_assert_cmpint (info->dims[0], ==, 2);
  g_assert_cmpint (info->dims[1], ==, 1);
  g_assert_cmpuint (info->size, ==, 8);
  g_assert_cmpuint (info->data[0], ==, 5);
  g_assert_true (g_str_has_suffix (info->file, "t.safetensors"));

  info = zie_safetensors_get (self, 2);
  g_assert_cmpstr (info->name, ==, "scalar");
  g_assert_cmpint (info->n_dims, ==, 0);
  g_assert_cmpuint (info->size, ==, 2);

  info = zie_safetensors_get (self, 3);
  g_assert_cmpstr (info->name, ==, "empty");
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_F16);
  g_assert_cmpuint (info->size, ==, 0);

  info = zie_safetensors_get (self, 4);
  g_assert_cmpint (info->n_dims, ==, 5);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_OTHER);

  info = zie_safetensors_get (self, 5);      /* a type of tomorrow: listed, not readable */
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_OTHER);
  g_assert_cmpstr (info->dtype_name, ==, "F4_X");
  g_assert_cmpuint (info->size, ==, 3);

  info = zie_safetensors_get (self, 6);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_OTHER);
  g_assert_cmpstr (info->dtype_name, ==, "F64");

  g_assert_cmpstr (zie_safetensors_get_meta (self, "format"), ==, "pt");
  g_assert_cmpstr (zie_safetensors_get_meta (self, "名"), ==, "a\nb");
  g_assert_null (zie_safetensors_get_meta (self, "absent"));
}

static void
test_empty_header (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieSafetensors) self = NULL;

  test_files_init (&files);
  self = open_bytes (&files, make_safetensors ("{}", 0), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (zie_safetensors_get_n (self), ==, 0);
}

/* A whole file of these bytes is refused with every word. */
static void
refuse (GByteArray *bytes, const char *const *words)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;

  test_files_init (&files);
  g_assert_null (open_bytes (&files, bytes, &error));
  assert_error_says (error, ZIE_ERROR_FILE_CORRUPT, words);
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "t.safetensors: ");
}

#define T(name, dtype, shape, offsets) \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void
test_refused (void)
{
  static const struct
  {
    const char *header;
    guint n_data;
    const char *words[5];      /* NULL-ended */
  } cases[] = {
    /* the JSON */
    { "[]", 0, { "byte 0x5b" } },
    { " {}", 0, { "byte 0x20" } },
    { "{} x", 0, { "at byte 11", "after the end" } },
    { "{\"a\"", 0, { "ends early" } },
    { "{\"a\":[]}", 0, { "expected an object" } },
    { "{\"\":" "{}}", 0, { "empty tensor name" } },
    { "{\"a\\u001b[2J\":{}}", 0, { "control characters" } },
    { "{\"a\xff\":{}}", 0, { "UTF-8" } },
    { "{\"__metadata__\":[]}", 0, { "expected an object" } },
    { "{\"__metadata__\":{\"a\":1}}", 0, { "expected a string" } },
    { "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, { "duplicate", "__metadata__" } },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, { "second" } },
    /* an entry */
    { "{\"a\":{}}", 0, { "\"a\"", "no \"dtype\"" } },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, { "\"a\"", "no \"shape\"" } },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, { "\"a\"", "no \"data_offsets\"" } },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, { "duplicate" } },
    { "{" T ("a", "U8", "[1]", "[0,1,2]") "}", 1, { "two numbers" } },
    { "{" T ("a", "U8", "[1]", "[0]") "}", 1, { "two numbers" } },
    { "{" T ("a", "U8", "[1]", "[]") "}", 1, { "two numbers" } },
    { "{" T ("a", "U8", "[1]", "[-1,0]") "}", 1, { "not negative" } },
    { "{" T ("a", "U8", "[1.0]", "[0,1]") "}", 1, { "whole number" } },
    { "{" T ("a", "U8", "[1e0]", "[0,1]") "}", 1, { "whole number" } },
    { "{" T ("a", "U8", "[\"1\"]", "[0,1]") "}", 1, { "whole number" } },
    { "{" T ("a", "U8", "[-1]", "[0,1]") "}", 1, { "not negative" } },
    { "{" T ("a", "U8", "1", "[0,1]") "}", 1, { "expected an array" } },
    { "{" T ("a", "U8", "[18446744073709551616]", "[0,1]") "}", 1, { "64 bits" } },
    { "{" T ("a", "U8\\u0007", "[1]", "[0,1]") "}", 1, { "type's name" } },
    { "{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, { "expected a string" } },
    /* sizes */
    { "{" T ("a", "F32", "[2]", "[0,7]") "}", 7, { "\"a\"", "has 7 bytes", "expected 8" } },
    { "{" T ("a", "U8", "[0]", "[0,1]") "}", 1, { "\"a\"", "has 1 bytes", "expected 0" } },
    { "{" T ("a", "U8", "[1]", "[1,0]") "}", 1, { "\"a\"", "before it begins" } },
    { "{" T ("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, { "\"a\"", "2^63" } },
    { "{" T ("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, { "\"a\"", "2^63" } },
    { "{" T ("a", "U8", "[9223372036854775808]", "[0,9223372036854775808]") "}", 0, { "\"a\"", "2^63" } },
    { "{" T ("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 4, { "\"a\"", "only 4 bytes" } },
    /* places */
    { "{" T ("a", "U8", "[1]", "[1,2]") "}", 2, { "\"a\"", "offset 1", "expected 0", "gap" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "," T ("b", "U8", "[2]", "[1,3]") "}", 3, { "\"b\"", "offset 1", "expected 2", "overlaps" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "," T ("b", "U8", "[1]", "[3,4]") "}", 4, { "\"b\"", "offset 3", "expected 2", "gap" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "," T ("b", "U8", "[2]", "[0,2]") "}", 4, { "\"b\"", "overlaps" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "}", 1, { "\"a\"", "only 1 bytes", "not complete" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "}", 3, { "1 bytes follow" } },
    { "{}", 1, { "1 bytes follow" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "," T ("a", "U8", "[2]", "[2,4]") "}", 4, { "\"a\"", "twice" } },
    { "{" T ("a", "U8", "[2]", "[0,2]") "," T ("\\u0061", "U8", "[2]", "[2,4]") "}", 4, { "\"a\"", "twice" } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    refuse (make_safetensors (cases[i].header, cases[i].n_data), cases[i].words);
}

static void
test_header_size (void)
{
  static const guint64 sizes[] = { 0, 1, 3, 100000001, G_MAXUINT64, (guint64)1 << 63, G_MAXUINT64 - 8 };
  static const char *const words[] = { "header", "expected 2 to 2", NULL };
  static const char *const few[] = { "too few", NULL };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      GByteArray *bytes = g_byte_array_new ();

      put_u64 (bytes, sizes[i]);
      put_text (bytes, "{}");
      refuse (bytes, words);
    }
  for (guint size = 0; size < 10; size++)
    {
      GByteArray *bytes = g_byte_array_new ();

      put_zeros (bytes, size);
      refuse (bytes, few);
    }
}

static void
test_not_there (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;

  test_files_init (&files);
  g_assert_null (zie_safetensors_open (test_files_path (&files, "absent"), &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "absent");
  g_clear_error (&error);
  g_assert_null (zie_safetensors_open (files.folder, &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "folder");
}

/* What a hostile header of many megabytes can cost: each is refused within seconds. */
static void
test_large_and_hostile (void)
{
  static const struct
  {
    const char *before, *again, *after;
    guint n;
    const char *words[2];
  } cases[] = {
    { "{", "\xff", "", 20000000, { "UTF-8" } },
    { "{", " ", "", 20000000, { "ends early" } },
    { "{\"a\":", "[", "", 10000000, { "expected an object" } },
    { "{\"a\":{\"x\":", "[", "", 10000000, { "deep" } },
    { "{\"a\":{\"x\":[0", ",0", "]}}", 10000000, { "dtype" } },
    { "{\"a\":{\"dtype\":\"", "x", "\"}}", 20000000, { "shape" } },
    { "{\"", "x", "\":{}}", 20000000, { "dtype" } },
    { "{\"a\":{\"shape\":[1", ",1", "]}}", 10000000, { "64 dimensions" } },
    { "{\"a\":{\"shape\":[", "9", "]}}", 10000000, { "64 bits" } },
    { "{\"__metadata__\":{\"a\":\"", "\\u0041", "\"}, \"b\":{}}", 4000000, { "dtype" } },
    { "{\"__metadata__\":{\"a\":\"\"", ",\"a\":\"\"", "}}", 1000000, { "duplicate" } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GString) header = g_string_new (cases[i].before);
      gint64 start;

      for (guint n = 0; n < cases[i].n; n++)
        g_string_append (header, cases[i].again);
      g_string_append (header, cases[i].after);

      start = test_cpu_us ();
      refuse (make_safetensors (header->str, 0), cases[i].words);
      g_assert_cmpint (test_cpu_us () - start, <, 10 * TEST_TIME_FACTOR * G_USEC_PER_SEC);
    }
}

/* Names that all fall into one slot of a djb2 hash table would take hours there. */
static void
test_many_tensors (void)
{
  g_autoptr(GString) header = g_string_new ("{");
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieSafetensors) self = NULL;
  gint64 start;

  for (guint i = 0; i < 1 << 16; i++)
    {
      if (i > 0)
        g_string_append_c (header, ',');
      g_string_append_c (header, '"');
      for (guint bit = 0; bit < 16; bit++)      /* "B!" and "AB" have the same hash */
        g_string_append (header, i >> bit & 1 ? "B!" : "AB");
      g_string_append_printf (header, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%u,%u]}", i, i + 1);
    }
  g_string_append_c (header, '}');
  g_assert_cmpuint (g_str_hash ("B!"), ==, g_str_hash ("AB"));

  test_files_init (&files);
  start = test_cpu_us ();
  self = open_bytes (&files, make_safetensors (header->str, 1 << 16), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (zie_safetensors_get_n (self), ==, 1 << 16);
  g_assert_cmpint (test_cpu_us () - start, <, 10 * TEST_TIME_FACTOR * G_USEC_PER_SEC);
}

/* Reads what the file claims to hold, so that a sanitizer sees a wrong range. */
static guint
touch (const ZieSafetensors *self)
{
  guint sum = 0;

  for (guint i = 0; i < zie_safetensors_get_n (self); i++)
    {
      const ZieTensorInfo *info = zie_safetensors_get (self, i);

      g_assert_true (g_utf8_validate (info->name, -1, NULL));
      g_assert_nonnull (info->dtype_name);
      for (gsize k = 0; k < info->size; k++)
        sum += info->data[k];
    }

  return sum;
}

static void
test_damaged (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GByteArray) whole = make_safetensors (good_header, 30);
  GRand *rand = g_rand_new_with_seed (3);
  guint n_open = 0, sum = 0;

  test_files_init (&files);
  for (int i = 0; i < 10000; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieSafetensors) self = open_bytes (&files, damage (rand, whole), &error);

      if (self != NULL)
        {
          n_open++;
          sum += touch (self);
        }
      else
        g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
      g_ptr_array_set_size (files.paths, 1);
    }

  g_assert_cmpuint (sum, >, 0);
  g_test_message ("%u of 10000 still opened", n_open);
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/safetensors/good", test_good);
  g_test_add_func ("/safetensors/empty-header", test_empty_header);
  g_test_add_func ("/safetensors/refused", test_refused);
  g_test_add_func ("/safetensors/header-size", test_header_size);
  g_test_add_func ("/safetensors/not-there", test_not_there);
  g_test_add_func ("/safetensors/large-and-hostile", test_large_and_hostile);
  g_test_add_func ("/safetensors/many-tensors", test_many_tensors);
  g_test_add_func ("/safetensors/damaged", test_damaged);
  return g_test_run ();
}
