/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-gguf.h"

#include "test-files.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

static void
put_string (GByteArray *bytes, const char *text)
{
  put_u64 (bytes, strlen (text));
  put_text (bytes, text);
}

static void
put_key (GByteArray *bytes, const char *key, guint32 type)
{
  put_string (bytes, key);
  put_u32 (bytes, type);
}

static void
put_bytes (GByteArray *bytes, const void *data, guint size)
{
  g_byte_array_append (bytes, data, size);
}

/* DIMS fastest first, ended by 0. */
static void
put_tensor (GByteArray *bytes, const char *name, const guint64 *dims, guint32 type, guint64 offset)
{
  guint32 n_dims = 0;

  while (n_dims < 4 && dims[n_dims] != 0)
    n_dims++;
  put_string (bytes, name);
  put_u32 (bytes, n_dims);
  for (guint32 i = 0; i < n_dims; i++)
    put_u64 (bytes, dims[i]);
  put_u32 (bytes, type);
  put_u64 (bytes, offset);
}

#define DIMS(...) ((const guint64[5]) { __VA_ARGS__, 0 })

static GByteArray *
start_gguf (guint32 version, guint64 n_tensors, guint64 n_keys)
{
  GByteArray *bytes = g_byte_array_new ();

  put_text (bytes, "GGUF");
  put_u32 (bytes, version);
  put_u64 (bytes, n_tensors);
  put_u64 (bytes, n_keys);
  return bytes;
}

static void
pad_to (GByteArray *bytes, guint alignment)
{
  put_zeros (bytes, (alignment - bytes->len % alignment) % alignment);
}

static void
put_counting (GByteArray *bytes, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      guint8 byte = (guint8)i;

      put_bytes (bytes, &byte, 1);
    }
}

static GByteArray *
make_good (guint32 version)
{
  GByteArray *bytes = start_gguf (version, 5, 16);
  const float f = 0.5f;
  const double d = 1e6;

  put_key (bytes, "u8", U8), put_bytes (bytes, "\xff", 1);
  put_key (bytes, "i8", I8), put_bytes (bytes, "\xff", 1);
  put_key (bytes, "u16", U16), put_bytes (bytes, "\xfe\xff", 2);
  put_key (bytes, "i16", I16), put_bytes (bytes, "\xfe\xff", 2);
  put_key (bytes, "u32", U32), put_u32 (bytes, G_MAXUINT32);
  put_key (bytes, "i32", I32), put_u32 (bytes, G_MAXUINT32);
  put_key (bytes, "f32", F32), put_bytes (bytes, &f, 4);
  put_key (bytes, "yes", BOOL), put_bytes (bytes, "\1", 1);
  put_key (bytes, "u64", U64), put_u64 (bytes, G_MAXUINT64);
  put_key (bytes, "i64", I64), put_u64 (bytes, G_MAXUINT64);
  put_key (bytes, "f64", F64), put_bytes (bytes, &d, 8);
  put_key (bytes, "general.architecture", STRING), put_string (bytes, "lumina2");
  put_key (bytes, "shape", ARRAY), put_u32 (bytes, I32), put_u64 (bytes, 2), put_u32 (bytes, 3840), put_u32 (bytes, 64);
  put_key (bytes, "words", ARRAY), put_u32 (bytes, STRING), put_u64 (bytes, 2), put_string (bytes, "a\"b"), put_string (bytes, "");
  put_key (bytes, "many", ARRAY), put_u32 (bytes, ARRAY), put_u64 (bytes, 2);
  put_u32 (bytes, U8), put_u64 (bytes, 100), put_counting (bytes, 100);
  put_u32 (bytes, U8), put_u64 (bytes, 1), put_counting (bytes, 1);
  put_key (bytes, "general.alignment", U32), put_u32 (bytes, 16);

  put_tensor (bytes, "last.weight", DIMS (2), 1, 256);
  put_tensor (bytes, "q8.weight", DIMS (64, 2), 8, 0);               /* 136 bytes */
  put_tensor (bytes, "other.weight", DIMS (256, 1), 12, 272);        /* 144 bytes */
  put_tensor (bytes, "bf16.weight", DIMS (3, 2, 2, 2), 30, 144);     /* 48 bytes */
  put_tensor (bytes, "f32.bias", DIMS (16), 0, 192);                 /* 64 bytes */
  pad_to (bytes, 16);
  put_counting (bytes, 272 + 144);
  return bytes;
}

static ZieGguf *
open_bytes (TestFiles *files, GByteArray *bytes, GError **error)
{
  const char *path = test_files_write (files, "t.gguf", bytes->data, bytes->len);
  ZieGguf *self = zie_gguf_open (path, error);

  g_byte_array_unref (bytes);
  return self;
}

static void
test_good (gconstpointer version)
{
  static const struct
  {
    const char *key, *value;
  } values[] = {
    { "u8", "255" }, { "i8", "-1" }, { "u16", "65534" }, { "i16", "-2" }, { "u32", "4294967295" }, { "i32", "-1" },
    { "f32", "0.5" }, { "yes", "true" }, { "u64", "18446744073709551615" }, { "i64", "-1" }, { "f64", "1000000" },
    { "general.architecture", "lumina2" }, { "shape", "[3840, 64]" }, { "words", "[\"a\\\"b\", \"\"]" },
    { "general.alignment", "16" }, { "absent", NULL },
  };
  static const char *const names[] = { "q8.weight", "bf16.weight", "f32.bias", "last.weight", "other.weight" };
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieGguf) self = NULL;
  g_autofree char *many = NULL;
  const ZieTensorInfo *info;

  test_files_init (&files);
  self = open_bytes (&files, make_good (GPOINTER_TO_UINT (version)), &error);
  g_assert_no_error (error);

  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autofree char *value = zie_gguf_get_meta (self, values[i].key);

      g_assert_cmpstr (value, ==, values[i].value);
    }
  many = zie_gguf_get_meta (self, "many");
  g_assert_true (g_str_has_prefix (many, "[[0, 1, 2,"));
  g_assert_true (g_str_has_suffix (many, "62, 63, …], [0]]"));

  g_assert_cmpuint (zie_gguf_get_n (self), ==, G_N_ELEMENTS (names));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_cmpstr (zie_gguf_get (self, i)->name, ==, names[i]);

  info = zie_gguf_get (self, 0);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_Q8_0);
  g_assert_cmpint (info->n_dims, ==, 2);
  g_assert_cmpint (info->dims[0], ==, 2);      /* slowest first */
  g_assert_cmpint (info->dims[1], ==, 64);
  g_assert_cmpuint (info->size, ==, 136);
  g_assert_cmpuint (info->data[135], ==, 135);

  info = zie_gguf_get (self, 1);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_BF16);
  g_assert_cmpint (info->n_dims, ==, 4);
  g_assert_cmpint (info->dims[0], ==, 2);
  g_assert_cmpint (info->dims[3], ==, 3);
  g_assert_cmpuint (info->size, ==, 48);
  g_assert_cmpuint (info->data[0], ==, 144);

  info = zie_gguf_get (self, 3);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_F16);
  g_assert_cmpuint (info->data[0], ==, 0);

  info = zie_gguf_get (self, 4);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_Q4_K);
  g_assert_cmpstr (info->dtype_name, ==, "Q4_K");
  g_assert_cmpuint (info->size, ==, 144);
}

/* A type without a size that we know: listed with its number. */
static void
test_unknown_type (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieGguf) self = NULL;
  GByteArray *bytes = start_gguf (3, 2, 0);

  put_tensor (bytes, "a", DIMS (32), 77, 0);
  put_tensor (bytes, "b", DIMS (32), 20, 32);
  pad_to (bytes, 32);
  put_zeros (bytes, 50);
  test_files_init (&files);
  self = open_bytes (&files, bytes, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (zie_gguf_get (self, 0)->dtype_name, ==, "ggml type 77");
  g_assert_cmpint (zie_gguf_get (self, 0)->dtype, ==, ZIE_DTYPE_OTHER);
  g_assert_cmpstr (zie_gguf_get (self, 1)->dtype_name, ==, "IQ4_NL (ggml type 20)");
}

static void
test_metadata_alone (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieGguf) self = NULL;

  test_files_init (&files);
  self = open_bytes (&files, start_gguf (3, 0, 0), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (zie_gguf_get_n (self), ==, 0);
}

static void
refuse (GByteArray *bytes, ZieError code, const char *first, const char *second)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;

  test_files_init (&files);
  g_assert_null (open_bytes (&files, bytes, &error));
  assert_says (error, code, "t.gguf: ", first, second);
}

static void
test_refused_start (void)
{
  GByteArray *bytes = g_byte_array_new ();

  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "not a GGUF", "");
  bytes = g_byte_array_new ();
  put_text (bytes, "GGML");
  put_zeros (bytes, 100);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "not a GGUF", "");
  bytes = g_byte_array_new ();
  put_text (bytes, "GGUF");
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "cut short", "");

  refuse (start_gguf (1, 0, 0), ZIE_ERROR_MODEL_UNSUPPORTED, "version 1", "expected 2 or 3");
  refuse (start_gguf (4, 0, 0), ZIE_ERROR_MODEL_UNSUPPORTED, "version 4", "expected 2 or 3");
  refuse (start_gguf (0x03000000, 0, 0), ZIE_ERROR_MODEL_UNSUPPORTED, "big-endian", "");
  refuse (start_gguf (3, G_MAXUINT64, 0), ZIE_ERROR_FILE_CORRUPT, "18446744073709551615 tensors", "at most");
  refuse (start_gguf (3, 0, G_MAXUINT64), ZIE_ERROR_FILE_CORRUPT, "18446744073709551615 metadata", "at most");
  refuse (start_gguf (3, 1000000, 0), ZIE_ERROR_FILE_CORRUPT, "ends inside the header", "byte 24");
}

static void
refuse_meta (GByteArray *bytes, const char *first, const char *second)
{
  put_zeros (bytes, 64);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, first, second);
}

static void
test_refused_metadata (void)
{
  GByteArray *bytes = start_gguf (3, 0, 1);

  put_key (bytes, "a", 13);
  refuse_meta (bytes, "\"a\"", "unknown type");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "", U8);
  refuse_meta (bytes, "metadata", "empty name");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a\x1b[2J", U8);
  refuse_meta (bytes, "metadata", "control characters");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a\xff", U8);
  refuse_meta (bytes, "metadata", "UTF-8");

  bytes = start_gguf (3, 0, 1);
  put_u64 (bytes, G_MAXUINT64);
  refuse_meta (bytes, "metadata", "65535");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", STRING);
  put_u64 (bytes, G_MAXUINT64);
  refuse_meta (bytes, "\"a\"", "ends inside");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, U64);
  put_u64 (bytes, (guint64)1 << 61);
  refuse_meta (bytes, "\"a\"", "2^64");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, U64);
  put_u64 (bytes, 9);
  refuse_meta (bytes, "\"a\"", "ends inside");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, STRING);
  put_u64 (bytes, G_MAXUINT64);
  refuse_meta (bytes, "\"a\"", "ends inside");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, 99);
  put_u64 (bytes, 1);
  refuse_meta (bytes, "\"a\"", "unknown type");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  for (int i = 0; i < 100; i++)
    put_u32 (bytes, ARRAY), put_u64 (bytes, 1);
  refuse_meta (bytes, "\"a\"", "deep");

  bytes = start_gguf (3, 0, 2);
  put_key (bytes, "a", U8), put_zeros (bytes, 1);
  put_key (bytes, "a", U8), put_zeros (bytes, 1);
  refuse_meta (bytes, "\"a\"", "twice");

  for (guint32 alignment = 0; alignment < 50; alignment += 3)
    {
      bytes = start_gguf (3, 0, 1);
      put_key (bytes, "general.alignment", U32), put_u32 (bytes, alignment);
      if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        refuse_meta (bytes, "general.alignment", "power of two");
      else
        g_byte_array_unref (bytes);
    }
  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "general.alignment", U64), put_u64 (bytes, 32);
  refuse_meta (bytes, "general.alignment", "power of two");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "split.count", U16), put_bytes (bytes, "\3\0", 2);
  refuse (bytes, ZIE_ERROR_MODEL_UNSUPPORTED, "one of 3 files", "merge");
}

static void
refuse_tensor (const char *name, const guint64 *dims, guint32 type, guint64 offset, const char *first, const char *second)
{
  GByteArray *bytes = start_gguf (3, 1, 0);

  put_tensor (bytes, name, dims, type, offset);
  pad_to (bytes, 32);
  put_zeros (bytes, 128);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, first, second);
}

static void
test_refused_tensors (void)
{
  GByteArray *bytes;

  refuse_tensor ("a", DIMS (0), 0, 0, "\"a\"", "1 to 4 dimensions");
  refuse_tensor ("", DIMS (4), 0, 0, "tensor", "empty name");
  refuse_tensor ("a", DIMS (33), 0, 0, "\"a\"", "has 132 bytes");
  refuse_tensor ("a", DIMS (32), 0, 32, "\"a\"", "only 128 bytes");
  refuse_tensor ("a", DIMS (32), 0, 1, "\"a\"", "multiple of 32");
  refuse_tensor ("a", DIMS (32), 0, G_MAXUINT64 - 31, "\"a\"", "only 128 bytes");
  refuse_tensor ("a", DIMS (31), 8, 0, "\"a\"", "whole blocks of 32");
  refuse_tensor ("a", DIMS (32, 3), 12, 0, "\"a\"", "whole blocks of 256");
  refuse_tensor ("a", DIMS ((guint64)1 << 62), 0, 0, "\"a\"", "2^63");
  refuse_tensor ("a", DIMS ((guint64)1 << 32, (guint64)1 << 32), 0, 0, "\"a\"", "2^63");
  refuse_tensor ("a", DIMS ((guint64)1 << 63), 0, 0, "\"a\"", "2^63");
  refuse_tensor ("a", DIMS (32), 99, 160, "\"a\"", "only 128 bytes");

  bytes = start_gguf (3, 1, 0);
  put_string (bytes, "a");
  put_u32 (bytes, 5);
  put_zeros (bytes, 100);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "\"a\"", "1 to 4 dimensions");

  bytes = start_gguf (3, 2, 0);
  put_tensor (bytes, "a", DIMS (4), 0, 0);
  put_tensor (bytes, "a", DIMS (4), 0, 32);
  put_zeros (bytes, 128);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "\"a\"", "twice");

  bytes = start_gguf (3, 2, 0);
  put_tensor (bytes, "a", DIMS (12), 0, 0);
  put_tensor (bytes, "b", DIMS (4), 0, 32);
  put_zeros (bytes, 128);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "\"b\"", "overlaps");

  bytes = start_gguf (3, 2, 0);
  put_tensor (bytes, "a", DIMS (4), 0, 0);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "tensor", "ends inside the header");
}

/* Every shorter beginning of a good file is refused. */
static void
test_cut_anywhere (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GByteArray) whole = make_good (3);

  test_files_init (&files);
  for (guint size = 0; size < whole->len; size++)
    {
      GByteArray *bytes = g_byte_array_new ();
      g_autoptr(GError) error = NULL;

      put_bytes (bytes, whole->data, size);
      g_assert_null (open_bytes (&files, bytes, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
      g_ptr_array_set_size (files.paths, 1);
    }
}

static void
test_damaged (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GByteArray) whole = make_good (2);
  GRand *rand = g_rand_new_with_seed (4);
  guint n_open = 0, sum = 0;

  test_files_init (&files);
  for (int i = 0; i < 10000; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieGguf) self = open_bytes (&files, damage (rand, whole), &error);

      if (self == NULL)
        g_assert_true (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT)
                       || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED));
      else
        {
          static const char *const keys[] = { "shape", "words", "many", "general.architecture", "f64" };

          n_open++;
          for (guint t = 0; t < zie_gguf_get_n (self); t++)
            for (gsize k = 0; k < zie_gguf_get (self, t)->size; k++)
              sum += zie_gguf_get (self, t)->data[k];
          for (gsize k = 0; k < G_N_ELEMENTS (keys); k++)
            g_free (zie_gguf_get_meta (self, keys[k]));
        }
      g_ptr_array_set_size (files.paths, 1);
    }

  g_assert_cmpuint (sum, >, 0);
  g_test_message ("%u of 10000 still opened", n_open);
  g_rand_free (rand);
}

/* Megabytes of the smallest things that a header can hold. */
static void
test_large_and_hostile (void)
{
  gint64 start = test_cpu_us ();
  GByteArray *bytes = start_gguf (3, 0, 1);

  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, ARRAY);
  put_u64 (bytes, G_MAXUINT64);
  put_zeros (bytes, 50000000);      /* empty arrays of u8 */
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "\"a\"", "ends inside");

  bytes = start_gguf (3, 0, 1);
  put_key (bytes, "a", ARRAY);
  put_u32 (bytes, STRING);
  put_u64 (bytes, G_MAXUINT64);
  put_zeros (bytes, 50000000);
  refuse (bytes, ZIE_ERROR_FILE_CORRUPT, "\"a\"", "ends inside");

  g_assert_cmpint (test_cpu_us () - start, <, 10 * TEST_TIME_FACTOR * G_USEC_PER_SEC);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/gguf/good/v2", GUINT_TO_POINTER (2), test_good);
  g_test_add_data_func ("/gguf/good/v3", GUINT_TO_POINTER (3), test_good);
  g_test_add_func ("/gguf/unknown-type", test_unknown_type);
  g_test_add_func ("/gguf/metadata-alone", test_metadata_alone);
  g_test_add_func ("/gguf/refused/start", test_refused_start);
  g_test_add_func ("/gguf/refused/metadata", test_refused_metadata);
  g_test_add_func ("/gguf/refused/tensors", test_refused_tensors);
  g_test_add_func ("/gguf/cut-anywhere", test_cut_anywhere);
  g_test_add_func ("/gguf/damaged", test_damaged);
  g_test_add_func ("/gguf/large-and-hostile", test_large_and_hostile);
  return g_test_run ();
}
