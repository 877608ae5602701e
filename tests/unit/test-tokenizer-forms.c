/* SPDX-License-Identifier: Apache-2.0 */

/* The other forms of a tokenizer, written from the model's own tokenizer.json: vocab.json with merges.txt, and a GGUF file.  They
 * have to give the same ids, and where they are wrong, to say what is. */

#include <gio/gio.h>

#include "test-files.h"
#include "zie-json-reader.h"
#include "zie-json.h"
#include "zie-tokenizer.h"

/* What any form is written from.  Texts are in the vocabulary's alphabet, added tokens as they are. */
typedef struct
{
  GPtrArray *tokens;     /* id to char, owned; NULL: no token */
  GPtrArray *merges;     /* "left right", owned */
  GArray *added;         /* of ids whose token is an added one */
} Parts;

/* Where a file is written wrong on purpose. */
typedef struct
{
  const char *vocab, *merges, *config;     /* of the folder: appended within, before the end */
  const char *class;                       /* NULL: Qwen2Tokenizer */
  const char *model, *pre;                 /* of the GGUF; NULL: gpt2, qwen2 */
  int n_types_missing;
  guint32 odd_type;                        /* 0: none; of token 97 */
  guint32 odd_merge;                       /* 1 + index of a merge that is written without its space */
} Fault;

static TestFiles files;

static char *
read_gz (const char *first, ...)
{
  va_list args;
  g_autofree char *path = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GFile) file = NULL;
  g_autoptr(GInputStream) packed = NULL, stream = NULL;
  g_autoptr(GConverter) converter = G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP));
  g_autoptr(GOutputStream) output = g_memory_output_stream_new_resizable ();

  va_start (args, first);
  path = g_build_filename_valist (first, &args);
  va_end (args);
  file = g_file_new_for_path (path);
  packed = G_INPUT_STREAM (g_file_read (file, NULL, &error));
  g_assert_no_error (error);
  stream = g_converter_input_stream_new (packed, converter);
  g_output_stream_splice (output, stream, G_OUTPUT_STREAM_SPLICE_NONE, NULL, &error);
  g_assert_no_error (error);
  g_output_stream_write_all (output, "", 1, NULL, NULL, &error);
  g_output_stream_close (output, NULL, &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_data (G_MEMORY_OUTPUT_STREAM (output));
}

static Parts
parts_new (void)
{
  return (Parts) { g_ptr_array_new_with_free_func (g_free), g_ptr_array_new_with_free_func (g_free), g_array_new (FALSE, FALSE, sizeof (guint)) };
}

static void
parts_clear (Parts *self)
{
  g_ptr_array_unref (self->tokens);
  g_ptr_array_unref (self->merges);
  g_array_unref (self->added);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Parts, parts_clear)

static void
set_token (Parts *self, guint id, const char *text, gboolean is_added)
{
  if (id >= self->tokens->len)
    g_ptr_array_set_size (self->tokens, (gint)id + 1);
  g_assert_null (self->tokens->pdata[id]);
  self->tokens->pdata[id] = g_strdup (text);
  if (is_added)
    g_array_append_val (self->added, id);
}

static gboolean
is_added (const Parts *self, guint id)
{
  for (guint i = 0; i < self->added->len; i++)
    if (g_array_index (self->added, guint, i) == id)
      return TRUE;
  return FALSE;
}

static void
read_added (Parts *self, ZieJsonReader *reader)
{
  g_autoptr(GString) key = g_string_new (NULL), content = g_string_new (NULL);

  zie_json_reader_enter (reader, '[');
  while (zie_json_reader_next (reader, ']'))
    {
      guint64 id = 0;

      zie_json_reader_enter (reader, '{');
      while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, key))
        if (g_str_equal (key->str, "id"))
          zie_json_reader_u64 (reader, &id);
        else if (g_str_equal (key->str, "content"))
          zie_json_reader_string (reader, content);
        else
          zie_json_reader_skip (reader);
      set_token (self, (guint)id, content->str, TRUE);
    }
}

static void
read_model (Parts *self, ZieJsonReader *reader)
{
  g_autoptr(GString) key = g_string_new (NULL), left = g_string_new (NULL), right = g_string_new (NULL);
  guint64 id;

  zie_json_reader_enter (reader, '{');
  while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, key))
    if (g_str_equal (key->str, "vocab"))
      {
        zie_json_reader_enter (reader, '{');
        while (zie_json_reader_next (reader, '}') && zie_json_reader_key (reader, left) && zie_json_reader_u64 (reader, &id))
          set_token (self, (guint)id, left->str, FALSE);
      }
    else if (g_str_equal (key->str, "merges"))
      {
        zie_json_reader_enter (reader, '[');
        while (zie_json_reader_next (reader, ']'))
          {
            zie_json_reader_enter (reader, '[');
            g_assert_true (zie_json_reader_next (reader, ']') && zie_json_reader_string (reader, left) && zie_json_reader_next (reader, ']')
                           && zie_json_reader_string (reader, right) && !zie_json_reader_next (reader, ']'));
            g_ptr_array_add (self->merges, g_strdup_printf ("%s %s", left->str, right->str));
          }
      }
    else
      zie_json_reader_skip (reader);
}

/* Of the model's own tokenizer.json, by a reader of its own. */
static Parts
real_parts (void)
{
  g_autofree char *text = read_gz (g_getenv ("ZIE_TEST_DATA"), "..", "..", "data", "qwen3-tokenizer", "tokenizer.json.gz", NULL);
  g_autoptr(GString) key = g_string_new (NULL);
  Parts self = parts_new ();
  ZieJsonReader reader;

  zie_json_reader_init (&reader, text, strlen (text));
  zie_json_reader_enter (&reader, '{');
  while (zie_json_reader_next (&reader, '}') && zie_json_reader_key (&reader, key))
    if (g_str_equal (key->str, "added_tokens"))
      read_added (&self, &reader);
    else if (g_str_equal (key->str, "model"))
      read_model (&self, &reader);
    else
      zie_json_reader_skip (&reader);
  g_assert_true (zie_json_reader_end (&reader));
  g_assert_cmpuint (self.tokens->len, ==, 151669);
  g_assert_cmpuint (self.merges->len, ==, 151387);
  return self;
}

/* 256 bytes, two merges, the tokens of the template. */
static Parts
small_parts (void)
{
  Parts self = parts_new ();
  gunichar extra = 256;

  for (guint byte = 0; byte < 256; byte++)
    {
      gboolean is_plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      char letter[8] = "";

      g_unichar_to_utf8 (is_plain ? byte : extra++, letter);
      set_token (&self, byte, letter, FALSE);
    }
  set_token (&self, 256, "ab", FALSE);
  set_token (&self, 257, "abc", FALSE);
  set_token (&self, 258, "<|im_start|>", TRUE);
  set_token (&self, 259, "<|im_end|>", TRUE);
  g_ptr_array_add (self.merges, g_strdup ("a b"));
  g_ptr_array_add (self.merges, g_strdup ("ab c"));
  return self;
}

/* The three files; CONFIG NULL: with added_tokens.json in place of tokenizer_config.json.  Returns vocab.json's path. */
static const char *
write_folder (const Parts *parts, const Fault *fault, gboolean has_config)
{
  g_autoptr(GString) vocab = g_string_new ("{"), merges = g_string_new ("#version: 0.2\n"), config = g_string_new (NULL);

  for (guint i = 0; i < parts->tokens->len; i++)
    if (parts->tokens->pdata[i] != NULL && !is_added (parts, i))
      {
        g_string_append (vocab, vocab->len > 1 ? ", " : "");
        zie_json_append_string (vocab, parts->tokens->pdata[i]);
        g_string_append_printf (vocab, ": %u", i);
      }
  for (guint i = 0; i < parts->merges->len; i++)
    g_string_append_printf (merges, "%s\n", (const char *)parts->merges->pdata[i]);
  g_string_append (config, "{");
  if (has_config)
    g_string_append_printf (config, "\"tokenizer_class\": \"%s\", \"added_tokens_decoder\": {", fault->class ? fault->class : "Qwen2Tokenizer");
  for (guint i = 0; i < parts->added->len; i++)
    {
      guint id = g_array_index (parts->added, guint, i);

      g_string_append (config, i > 0 ? ", " : "");
      if (has_config)
        g_string_append_printf (config, "\"%u\": {\"lstrip\": false, \"content\": \"%s\"}", id, (const char *)parts->tokens->pdata[id]);
      else
        g_string_append_printf (config, "\"%s\": %u", (const char *)parts->tokens->pdata[id], id);
    }
  g_string_append (vocab, fault->vocab ? fault->vocab : "");
  g_string_append (vocab, "}");
  g_string_append (merges, fault->merges ? fault->merges : "");
  g_string_append (config, fault->config ? fault->config : "");
  g_string_append (config, has_config ? "}}" : "}");
  test_files_write (&files, "merges.txt", merges->str, merges->len);
  g_unlink (test_files_path (&files, "tokenizer_config.json"));
  test_files_write (&files, has_config ? "tokenizer_config.json" : "added_tokens.json", config->str, config->len);
  return test_files_write (&files, "vocab.json", vocab->str, vocab->len);
}

static void
put_string (GByteArray *bytes, const char *text)
{
  put_u64 (bytes, strlen (text));
  put_text (bytes, text);
}

static void
put_setting (GByteArray *bytes, const char *key, const char *value)
{
  put_string (bytes, key);
  put_u32 (bytes, 8);
  put_string (bytes, value);
}

static void
put_array (GByteArray *bytes, const char *key, guint32 type, guint64 n)
{
  put_string (bytes, key);
  put_u32 (bytes, 9);
  put_u32 (bytes, type);
  put_u64 (bytes, n);
}

/* As llama.cpp's converter writes it: ids that are no tokens have one each, of type 5. */
static const char *
write_gguf (const Parts *parts, const Fault *fault)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  guint n = parts->tokens->len + 3;

  put_text (bytes, "GGUF");
  put_u32 (bytes, 3);
  put_u64 (bytes, 0);
  put_u64 (bytes, 5);
  put_setting (bytes, "tokenizer.ggml.model", fault->model ? fault->model : "gpt2");
  put_setting (bytes, "tokenizer.ggml.pre", fault->pre ? fault->pre : "qwen2");
  put_array (bytes, "tokenizer.ggml.tokens", 8, n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *pad = g_strdup_printf ("[PAD%u]", i);
      put_string (bytes, i < parts->tokens->len && parts->tokens->pdata[i] != NULL ? parts->tokens->pdata[i] : pad);
    }
  put_array (bytes, "tokenizer.ggml.token_type", 5, n - (guint)fault->n_types_missing);
  for (guint i = 0; i < n - (guint)fault->n_types_missing; i++)
    put_u32 (bytes, i == 97 && fault->odd_type                                         ? fault->odd_type
                    : i >= parts->tokens->len || parts->tokens->pdata[i] == NULL ? 5
                    : is_added (parts, i)                                              ? 3 + i % 2
                                                                                       : 1);
  put_array (bytes, "tokenizer.ggml.merges", 8, parts->merges->len);
  for (guint i = 0; i < parts->merges->len; i++)
    put_string (bytes, i + 1 == fault->odd_merge ? "ab" : parts->merges->pdata[i]);
  return test_files_write (&files, "encoder.gguf", bytes->data, bytes->len);
}

/* All of Qwen's tokens and merges: a quarter of a megabyte of difficult texts becomes the same ids. */
static void
test_same_ids (void)
{
  static const Fault none;
  g_auto(Parts) parts = real_parts ();
  g_autofree char *own_path = g_build_filename (g_getenv ("ZIE_TEST_DATA"), "..", "..", "data", "qwen3-tokenizer", "tokenizer.json.gz", NULL);
  g_autofree char *text = read_gz (g_getenv ("ZIE_TEST_DATA"), "qwen3-tokenizer", "golden.txt.gz", NULL);
  const char *const paths[] = { write_folder (&parts, &none, TRUE), write_gguf (&parts, &none) };
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieTokenizer) own = zie_tokenizer_load (own_path, &error);
  g_autofree gint32 *expected = NULL;
  guint n_expected;

  g_assert_no_error (error);
  text[MIN (strlen (text), 1 << 18)] = '\0';
  expected = zie_tokenizer_encode (own, text, -1, &n_expected);
  g_assert_cmpuint (n_expected, >, 50000);
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr(ZieTokenizer) tokenizer = zie_tokenizer_load (paths[i], &error);
      g_autofree gint32 *ids = NULL, *prompt = NULL, *own_prompt = NULL;
      guint n, n_own;

      g_assert_no_error (error);
      g_assert_cmpuint (zie_tokenizer_get_vocab_size (tokenizer), ==, 151669);
      ids = zie_tokenizer_encode (tokenizer, text, -1, &n);
      g_assert_cmpmem (ids, n * sizeof *ids, expected, n_expected * sizeof *expected);
      prompt = zie_tokenizer_encode_prompt (tokenizer, "<think>a fox</think> <|vision_pad|>", &n);
      own_prompt = zie_tokenizer_encode_prompt (own, "<think>a fox</think> <|vision_pad|>", &n_own);
      g_assert_cmpmem (prompt, n * sizeof *prompt, own_prompt, n_own * sizeof *own_prompt);
    }
}

static void
check_small (const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieTokenizer) tokenizer = zie_tokenizer_load (path, &error);
  g_autofree gint32 *ids = NULL;
  static const gint32 expected[] = { 258, 257, 256, 32, 195, 169, 259 };
  guint n;

  g_assert_no_error (error);
  ids = zie_tokenizer_encode (tokenizer, "<|im_start|>abcab \xc3\xa9<|im_end|>", -1, &n);
  g_assert_cmpmem (ids, n * sizeof *ids, expected, sizeof expected);
}

static void
check_broken (const char *path, ZieError code, const char *words)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_tokenizer_load (path, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, (int)code);
  g_assert_nonnull (strstr (error->message, files.folder));
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_folder (void)
{
  static const struct { Fault fault; ZieError code; const char *words; } broken[] = {
    { { .vocab = ", \"b\": 300" }, ZIE_ERROR_FILE_CORRUPT, "there before" },
    { { .vocab = ", \"\u2581the\": 300" }, ZIE_ERROR_FILE_CORRUPT, "stands for no byte" },
    { { .vocab = ", \"zz\": -1" }, ZIE_ERROR_FILE_CORRUPT, "at byte" },
    { { .merges = "ab d\n" }, ZIE_ERROR_FILE_CORRUPT, "merges.txt: line 4 merges to what is not in vocab.json" },
    { { .merges = "\n\nabd c" }, ZIE_ERROR_FILE_CORRUPT, "merges.txt: line 6 merges what is not in vocab.json" },
    { { .merges = "abc" }, ZIE_ERROR_FILE_CORRUPT, "is not two tokens" },
    { { .merges = "a \xff" }, ZIE_ERROR_FILE_CORRUPT, "is not UTF-8" },
    { { .config = ", \"x\": {\"content\": \"x\"}" }, ZIE_ERROR_FILE_CORRUPT, "is no id" },
    { { .config = ", \"300\": {\"content\": \"x\", \"rstrip\": true}" }, ZIE_ERROR_MODEL_UNSUPPORTED, "rstrip is true" },
    { { .config = ", \"300\": {\"content\": \"\"}" }, ZIE_ERROR_FILE_CORRUPT, "content has 0 bytes" },
    { { .class = "LlamaTokenizer" }, ZIE_ERROR_MODEL_UNSUPPORTED, "tokenizer_class is LlamaTokenizer" },
  };
  static const Fault none, windows = { .merges = "\r\n" };
  g_auto(Parts) parts = small_parts ();

  check_small (write_folder (&parts, &none, TRUE));
  check_small (write_folder (&parts, &windows, TRUE));
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++)
    check_broken (write_folder (&parts, &broken[i].fault, TRUE), broken[i].code, broken[i].words);
  check_small (write_folder (&parts, &none, FALSE));
  g_unlink (test_files_path (&files, "added_tokens.json"));
  check_broken (test_files_path (&files, "vocab.json"), ZIE_ERROR_FILE_NOT_FOUND, "neither a tokenizer_config.json");
  g_unlink (test_files_path (&files, "merges.txt"));
  check_broken (test_files_path (&files, "vocab.json"), ZIE_ERROR_FILE_NOT_FOUND, "merges.txt");
}

static void
test_gguf (void)
{
  static const struct { Fault fault; ZieError code; const char *words; } broken[] = {
    { { .model = "llama" }, ZIE_ERROR_MODEL_UNSUPPORTED, "tokenizer.ggml.model is llama, expected gpt2" },
    { { .pre = "llama-bpe" }, ZIE_ERROR_MODEL_UNSUPPORTED, "tokenizer.ggml.pre is llama-bpe, expected qwen2" },
    { { .n_types_missing = 1 }, ZIE_ERROR_FILE_CORRUPT, "token_type has 262 numbers, expected one for each of the 263 tokens" },
    { { .odd_type = 6 }, ZIE_ERROR_FILE_CORRUPT, "token_type[97] is a kind of token" },
    { { .odd_type = 5 }, ZIE_ERROR_FILE_CORRUPT, "merges[0] merges what is not among the tokens" },
    { { .odd_merge = 2 }, ZIE_ERROR_FILE_CORRUPT, "merges[1] is not two tokens" },
  };
  static const Fault none;
  g_auto(Parts) parts = small_parts ();
  const char *path = write_gguf (&parts, &none);

  check_small (path);
  g_assert_true (zie_tokenizer_is_inside (path));
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++)
    check_broken (write_gguf (&parts, &broken[i].fault), broken[i].code, broken[i].words);
  path = test_files_write (&files, "encoder.gguf", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
  g_assert_false (zie_tokenizer_is_inside (path));
  check_broken (path, ZIE_ERROR_MODEL_UNSUPPORTED, "tokenizer.ggml.model is not set");
  g_assert_false (zie_tokenizer_is_inside (write_folder (&parts, &none, TRUE)));
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  test_files_init (&files);
  g_test_add_func ("/tokenizer-forms/folder", test_folder);
  g_test_add_func ("/tokenizer-forms/gguf", test_gguf);
  g_test_add_func ("/tokenizer-forms/same-ids", test_same_ids);
  result = g_test_run ();
  test_files_clear (&files);
  return result;
}
