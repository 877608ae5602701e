/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-weight-file.h"

#include "test-files.h"

/* A shard of TENSORS (names ended by NULL) of two bytes each. */
static void
write_shard (TestFiles *files, const char *name, const char *const *tensors)
{
  g_autoptr(GString) header = g_string_new ("{\"__metadata__\":{\"format\":\"pt\"}");
  g_autoptr(GByteArray) bytes = NULL;
  guint n = 0;

  for (; tensors[n] != NULL; n++)
    g_string_append_printf (header, ",\"%s\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[%u,%u]}", tensors[n], 2 * n,
                            2 * n + 2);
  g_string_append_c (header, '}');
  bytes = make_safetensors (header->str, 2 * n);
  test_files_write (files, name, bytes->data, bytes->len);
}

#define SHARD(files, name, ...) write_shard ((files), (name), (const char *const[]) { __VA_ARGS__, NULL })

static const char *
write_text (TestFiles *files, const char *name, const char *text)
{
  return test_files_write (files, name, text, strlen (text));
}

static void
write_gguf (TestFiles *files, const char *name)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  put_text (bytes, "GGUF");
  put_u32 (bytes, 3);
  put_u64 (bytes, 1);
  put_u64 (bytes, 1);
  put_u64 (bytes, 20);
  put_text (bytes, "general.architecture");
  put_u32 (bytes, 8);
  put_u64 (bytes, 5);
  put_text (bytes, "qwen3");
  put_u64 (bytes, 1);
  put_text (bytes, "w");
  put_u32 (bytes, 1);
  put_u64 (bytes, 32);
  put_u32 (bytes, 8);
  put_u64 (bytes, 0);
  put_zeros (bytes, 32 - bytes->len % 32 + 34);
  test_files_write (files, name, bytes->data, bytes->len);
}

static void
test_single (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) self = NULL;
  g_autofree char *format = NULL;

  test_files_init (&files);
  SHARD (&files, "model.safetensors", "z", "a", "m");
  self = zie_weight_file_open (files.paths->pdata[0], &error);
  g_assert_no_error (error);
  g_assert_cmpstr (zie_weight_file_get_form (self), ==, "safetensors");
  g_assert_cmpstr (zie_weight_file_get_path (self), ==, files.paths->pdata[0]);
  g_assert_cmpuint (zie_weight_file_get_n (self), ==, 3);
  g_assert_cmpstr (zie_weight_file_get (self, 0)->name, ==, "z");
  g_assert_cmpstr (zie_weight_file_lookup (self, "a")->name, ==, "a");
  g_assert_cmpuint (zie_weight_file_lookup (self, "m")->data[0], ==, 4);
  g_assert_null (zie_weight_file_lookup (self, "b"));
  g_assert_null (zie_weight_file_lookup (self, ""));
  format = zie_weight_file_get_meta (self, "format");
  g_assert_cmpstr (format, ==, "pt");
  g_assert_null (zie_weight_file_get_meta (self, "absent"));
  zie_weight_file_prefetch (zie_weight_file_get (self, 2)->data, 2);
}

static void
test_gguf (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) self = NULL;
  g_autofree char *architecture = NULL;

  test_files_init (&files);
  write_gguf (&files, "named-otherwise.bin");      /* content decides */
  self = zie_weight_file_open (files.paths->pdata[0], &error);
  g_assert_no_error (error);
  g_assert_cmpstr (zie_weight_file_get_form (self), ==, "GGUF");
  g_assert_cmpint (zie_weight_file_lookup (self, "w")->dtype, ==, ZIE_DTYPE_Q8_0);
  architecture = zie_weight_file_get_meta (self, "general.architecture");
  g_assert_cmpstr (architecture, ==, "qwen3");
}

static void
test_sharded (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) self = NULL;
  const char *path;

  test_files_init (&files);
  SHARD (&files, "m-1.safetensors", "b", "a", "unlisted");
  SHARD (&files, "m-2.safetensors", "c", "b");      /* this b is not the index' one */
  path = write_text (&files, "m.safetensors.index.json",
                     "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"c\":\"m-2.safetensors\","
                     "\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\"}}");
  self = zie_weight_file_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (zie_weight_file_get_form (self), ==, "sharded safetensors");
  g_assert_cmpuint (zie_weight_file_get_n (self), ==, 3);
  g_assert_cmpstr (zie_weight_file_get (self, 0)->name, ==, "b");
  g_assert_cmpstr (zie_weight_file_get (self, 2)->name, ==, "c");
  g_assert_true (g_str_has_suffix (zie_weight_file_lookup (self, "b")->file, "m-1.safetensors"));
  g_assert_true (g_str_has_suffix (zie_weight_file_lookup (self, "c")->file, "m-2.safetensors"));
  g_assert_null (zie_weight_file_lookup (self, "unlisted"));
}

static void
test_sharded_refused (void)
{
  static const struct
  {
    const char *index;
    ZieError code;
    const char *says[2];
  } cases[] = {
    { "{}", ZIE_ERROR_FILE_CORRUPT, { "weight_map", "missing" } },
    { "{\"weight_map\":[]}", ZIE_ERROR_FILE_CORRUPT, { "weight_map", "not an object" } },
    { "{\"weight_map\":{\"a\":1}}", ZIE_ERROR_FILE_CORRUPT, { "\"a\"", "no file" } },
    { "{\"weight_map\":{\"a\":null}}", ZIE_ERROR_FILE_CORRUPT, { "\"a\"", "no file" } },
    { "{\"weight_map\":{\"a\":\"\"}}", ZIE_ERROR_FILE_CORRUPT, { "\"a\"", "same folder" } },
    { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", ZIE_ERROR_FILE_CORRUPT, { "\"/etc/passwd\"", "same folder" } },
    { "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", ZIE_ERROR_FILE_CORRUPT, { "../m-1", "same folder" } },
    { "{\"weight_map\":{\"a\":\"x/../m-1.safetensors\"}}", ZIE_ERROR_FILE_CORRUPT, { "x/../m-1", "same folder" } },
    { "{\"weight_map\":{\"a\":\"..\"}}", ZIE_ERROR_FILE_CORRUPT, { "\"..\"", "same folder" } },
    { "{\"weight_map\":{\"a\":\"m-1.safetensors\\n\"}}", ZIE_ERROR_FILE_CORRUPT, { "\"a\"", "same folder" } },
    { "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"a\":\"m-1.safetensors\"}}", ZIE_ERROR_FILE_CORRUPT, { "duplicate" } },
    { "{\"weight_map\":{\"x\":\"m-1.safetensors\"}}", ZIE_ERROR_TENSOR_MISSING, { "\"x\"", "\"m-1.safetensors\"" } },
    { "{\"weight_map\":{\"a\":\"m-9.safetensors\"}}", ZIE_ERROR_FILE_NOT_FOUND, { "m.index.json", "m-9.safetensors" } },
    { "{\"weight_map\":{\"a\":\"bad.safetensors\"}}", ZIE_ERROR_FILE_CORRUPT, { "bad.safetensors", "header" } },
    { "{\"weight_map\":", ZIE_ERROR_FILE_CORRUPT, { "m.index.json", "ends early" } },
  };
  g_auto(TestFiles) files;

  test_files_init (&files);
  SHARD (&files, "m-1.safetensors", "a");
  write_text (&files, "bad.safetensors", "not what it is said to be");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      const char *path = write_text (&files, "m.index.json", cases[i].index);

      g_assert_null (zie_weight_file_open (path, &error));
      assert_says (error, cases[i].code, cases[i].says[0], cases[i].says[1] ? cases[i].says[1] : "");
    }
}

/* What content cannot tell, the name does: the message fits what was meant. */
static void
test_not_told_by_content (void)
{
  static const char *const cases[][2] = {
    { "x.gguf", "not a GGUF" }, { "x.index.json", "expected an object" }, { "x.safetensors", "safetensors" },
    { "x", "safetensors" },
  };
  g_auto(TestFiles) files;

  test_files_init (&files);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (zie_weight_file_open (write_text (&files, cases[i][0], "some text that is none"), &error));
      assert_says (error, ZIE_ERROR_FILE_CORRUPT, cases[i][0], cases[i][1]);
    }
}

static void
assert_component (TestFiles *files, const char *form)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) self = zie_weight_file_open_component (files->folder, "model", &error);

  g_assert_no_error (error);
  g_assert_cmpstr (zie_weight_file_get_form (self), ==, form);
}

static void
test_component (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GError) error = NULL;

  test_files_init (&files);
  g_assert_null (zie_weight_file_open_component (files.folder, "model", &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, files.folder, "model.safetensors.index.json", ".gguf");
  g_clear_error (&error);

  write_gguf (&files, "any.gguf");      /* each of these comes before what is already there */
  assert_component (&files, "GGUF");
  write_gguf (&files, "second.gguf");
  g_assert_null (zie_weight_file_open_component (files.folder, "model", &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "several", "any.gguf", "second.gguf", "model.gguf");
  g_clear_error (&error);
  write_gguf (&files, "model.gguf");
  assert_component (&files, "GGUF");
  SHARD (&files, "model.safetensors", "a");
  assert_component (&files, "safetensors");
  write_text (&files, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"model.safetensors\"}}");
  assert_component (&files, "sharded safetensors");

  g_assert_null (zie_weight_file_open_component ("/nowhere/at/all", "model", &error));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "/nowhere/at/all");
}

static void
test_damaged_index (void)
{
  g_auto(TestFiles) files;
  g_autoptr(GByteArray) whole = g_byte_array_new ();
  GRand *rand = g_rand_new_with_seed (5);

  test_files_init (&files);
  SHARD (&files, "m-1.safetensors", "a", "b");
  SHARD (&files, "m-2.safetensors", "c");
  put_text (whole, "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"c\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\","
                   "\"b\":\"m-1.safetensors\"}}");
  for (int i = 0; i < 3000; i++)
    {
      g_autoptr(GByteArray) broken = damage (rand, whole);
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieWeightFile) self =
          zie_weight_file_open (test_files_write (&files, "m.index.json", broken->data, broken->len), &error);

      g_assert_true ((self != NULL) == (error == NULL));
      g_assert_true (error == NULL || error->domain == ZIE_ERROR);
      g_ptr_array_set_size (files.paths, 3);
    }
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/weight-file/single", test_single);
  g_test_add_func ("/weight-file/gguf", test_gguf);
  g_test_add_func ("/weight-file/sharded", test_sharded);
  g_test_add_func ("/weight-file/sharded-refused", test_sharded_refused);
  g_test_add_func ("/weight-file/not-told-by-content", test_not_told_by_content);
  g_test_add_func ("/weight-file/component", test_component);
  g_test_add_func ("/weight-file/damaged-index", test_damaged_index);
  return g_test_run ();
}
