/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <gio/gio.h>
#include <glib/gstdio.h>

#include "zie-pretokenize.h"
#include "zie-prompt.h"
#include "zie-tokenizer.h"
#include "zie-unicode.h"

static char *work_dir;              /* made and removed by main */

/* The contents of a gzip file. */
static GBytes *
read_gz (const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autoptr(GFileInputStream) input = g_file_read (file, NULL, &error);
  g_autoptr(GConverter) converter = G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP));
  g_autoptr(GInputStream) stream = NULL;
  g_autoptr(GOutputStream) output = g_memory_output_stream_new_resizable ();

  g_assert_no_error (error);
  stream = g_converter_input_stream_new (G_INPUT_STREAM (input), converter);
  g_output_stream_splice (output, stream, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (output));
}

static char *
data_path (const char *name)
{
  return g_build_filename (g_getenv ("ZIE_TEST_DATA"), "qwen3-tokenizer", name, NULL);
}

static char *
real_path (void)
{
  return g_build_filename (g_getenv ("ZIE_TEST_DATA"), "..", "..", "data", "qwen3-tokenizer", "tokenizer.json.gz", NULL);
}

/* The model's own tokenizer, loaded once: 2 MB that are 11 MB unpacked. */
static const ZieTokenizer *
real_tokenizer (void)
{
  static ZieTokenizer *tokenizer;

  if (tokenizer == NULL)
    {
      g_autofree char *packed = real_path ();
      g_autoptr(GError) error = NULL;
      gint64 start = g_get_monotonic_time ();

      tokenizer = zie_tokenizer_load (packed, &error);
      g_assert_no_error (error);
      g_test_message ("loaded in %.3f s", (double)(g_get_monotonic_time () - start) / 1e6);
    }

  return tokenizer;
}

static char *
ids_to_string (const gint32 *ids, guint n)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%d", i > 0 ? " " : "", ids[i]);
  return g_string_free (text, FALSE);
}

static char *
encode_to_string (const ZieTokenizer *tokenizer, const char *text)
{
  guint n;
  g_autofree gint32 *ids = zie_tokenizer_encode (tokenizer, text, -1, &n);

  return ids_to_string (ids, n);
}

static void
test_sizes (void)
{
  g_assert_cmpuint (zie_tokenizer_get_vocab_size (real_tokenizer ()), ==, 151669);
}

/* The vectors of the specification, on which two independent implementations agreed. */
static void
test_vectors (void)
{
  static const struct { const char *prompt, *ids; } cases[] = {
    { "a cat", "64 8251" },
    { "", NULL },
    { "A photo of a red fox, 4k; it's 2025!", "32 6548 315 264 2518 38835 11 220 19 74 26 432 594 220 17 15 17 20 0" },
    { "一幅为名为“造相「Z-IMAGE-TURBO」”的项目设计的创意海报。",
      "107814 17714 101599 2073 66078 48921 12881 57 12 29926 9285 1511 4677 10429 854 9370 73345 70500 9370 102343 108755 "
      "1773" },
    { "  two  spaces\n\n\nand\ttabs  \n end ", "220 1378 220 12621 1406 437 3244 3435 2303 835 220" },
    { "I'LL we're DON'T x'S \u017f's", "40 6 4086 582 2299 44273 17323 856 13272 25917 123 594" },
    { "e\u0301 vs \u00e9, \ufb01 \u00c5", "963 6165 3958 11 32495 70731 79252" },
    { "emoji \U0001f469\u200d\U0001f469\u200d\U0001f467 \u26a1\ufe0f \u0928\u092e\u0938\u094d\u0924\u0947 "
      "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
      "37523 61804 102 378 235 145233 378 235 145665 2858 248 94 30543 14925 101 87244 78368 30484 97 34370 129328 37213 "
      "23271 125136 28319" },
    { "12345 3.14e-10 \u0663\u0664", "16 17 18 19 20 220 18 13 16 19 68 12 16 15 220 149 96 149 97" },
    { "a\r\nb \r\n  c", "64 319 65 2529 220 272" },
    { "<|im_end|> literal <think>x</think>", "151645 23141 220 151667 87 151668" },
    { "\u00a0nbsp\u3000ideo\u200bzw", "4102 5674 22441 1888 15692 30781" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint n;
      g_autofree gint32 *ids = zie_tokenizer_encode_prompt (real_tokenizer (), cases[i].prompt, &n);
      g_autofree char *found = ids_to_string (ids, n);
      g_autofree char *expected = g_strconcat ("151644 872 198 ", cases[i].ids ? cases[i].ids : "", cases[i].ids ? " " : "",
                                               "151645 198 151644 77091 198", NULL);

      g_assert_cmpstr (found, ==, expected);
    }
}

/* The prompt and the template's line end before it are one text. */
static void
test_prompt_joins_template (void)
{
  guint n;
  g_autofree gint32 *ids = zie_tokenizer_encode_prompt (real_tokenizer (), "\nx", &n);
  g_autofree char *found = ids_to_string (ids, n);

  g_assert_cmpstr (found, ==, "151644 872 271 87 151645 198 151644 77091 198");
}

/* Undoes the \xHH of the golden file, in place; returns the length. */
static gsize
unquote (char *text)
{
  char *to = text;

  for (const char *from = text; *from != '\0'; to++)
    {
      if (from[0] == '\\')
        {
          g_assert_true (from[1] == 'x' && g_ascii_isxdigit (from[2]) && g_ascii_isxdigit (from[3]));
          *to = (char)(g_ascii_xdigit_value (from[2]) << 4 | g_ascii_xdigit_value (from[3]));
          from += 4;
        }
      else
        *to = *from++;
    }

  *to = '\0';
  return (gsize)(to - text);
}

static guint32
hash_ids (const gint32 *ids, guint n)
{
  guint32 h = 2166136261u;

  for (guint i = 0; i < n; i++)
    for (guint shift = 0; shift < 32; shift += 8)
      h = (h ^ ((guint32)ids[i] >> shift & 0xff)) * 16777619u;
  return h;
}

/* Every string that make-tokenizer-golden.py gave to the reference. */
static void
test_golden (void)
{
  g_autofree char *path = g_getenv ("ZIE_TOKENIZER_GOLDEN") ? g_strdup (g_getenv ("ZIE_TOKENIZER_GOLDEN"))
                                                            : data_path ("golden.txt.gz");
  g_autoptr(GBytes) bytes = read_gz (path);
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);
  const char *end = data + size;
  guint n_strings = 0, n_wrong = 0;

  for (const char *at = data; at < end;)
    {
      const char *line_end = memchr (at, '\n', (gsize)(end - at));
      g_autofree char *line = g_strndup (at, (gsize)(line_end - at)), *quoted = NULL;
      g_autofree gint32 *ids = NULL;
      char *text;
      guint64 n_expected, hash;
      gsize length;
      guint n;

      at = line_end + 1;
      if (line[0] == '#')
        continue;

      n_expected = g_ascii_strtoull (line, &text, 10);
      hash = g_ascii_strtoull (text, &text, 16);
      g_assert_cmpint (*text++, ==, ' ');
      quoted = g_strdup (text);
      length = unquote (text);

      ids = zie_tokenizer_encode (real_tokenizer (), text, (gssize)length, &n);
      n_strings++;
      if (n != n_expected || hash_ids (ids, n) != hash)
        {
          g_autofree char *found = ids_to_string (ids, n);

          if (n_wrong++ < 20)
            g_test_message ("expected %" G_GUINT64_FORMAT " ids, found %u: %s, of: %.200s", n_expected, n, found, quoted);
        }
    }

  g_test_message ("%u strings", n_strings);
  g_assert_cmpuint (n_strings, >=, 10000);
  g_assert_cmpuint (n_wrong, ==, 0);
}

static void
test_decode (void)
{
  static const char text[] = "A <|im_start|>猫 naïve 👩‍👩‍👧\r\n\t 123's";
  static const gint32 odd[] = { 64, 151668, 99999999, -1, 102 };
  guint n;
  g_autofree gint32 *ids = zie_tokenizer_encode (real_tokenizer (), text, -1, &n);
  g_autofree char *same = zie_tokenizer_decode (real_tokenizer (), ids, n);
  g_autofree char *mended = zie_tokenizer_decode (real_tokenizer (), odd, G_N_ELEMENTS (odd));

  g_assert_cmpstr (same, ==, text);
  g_assert_cmpstr (mended, ==, "a</think>\ufffd\ufffd\ufffd");
}

static void
test_not_utf8 (void)
{
  static const struct { const char *bytes, *same_as; } cases[] = {
    { "a\xff z", "a\ufffd z" },
    { "\xe4\xb8", "\ufffd" },                           /* the beginning of a character, at the end */
    { "\xe4\xb8!", "\ufffd!" },
    { "\xf0\x9f\x98\xf0\x9f\x98\x80", "\ufffd\U0001f600" },
    { "\xed\xa0\x80", "\ufffd\ufffd\ufffd" },           /* a surrogate */
    { "\xc0\xaf", "\ufffd\ufffd" },                     /* too long a form */
    { "\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd" }, /* beyond U+10FFFF */
    { "\xc3<|im_end|>", "\ufffd<|im_end|>" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *found = encode_to_string (real_tokenizer (), cases[i].bytes);
      g_autofree char *expected = encode_to_string (real_tokenizer (), cases[i].same_as);

      g_assert_cmpstr (found, ==, expected);
    }
}

static void
test_nul (void)
{
  guint n;
  g_autofree gint32 *ids = zie_tokenizer_encode (real_tokenizer (), "a\0b", 3, &n);
  g_autofree char *found = ids_to_string (ids, n);

  g_assert_cmpstr (found, ==, "64 188 65");
}

/* Texts made to be slow: with anything quadratic in it this takes hours. */
static void
test_long_words (void)
{
  static const char *const units[] = { "a", "ab1", " ", "\n", "\u0301\u0334", "e\u0301", "\u4e00", "<", "<|im_", "'", "\xff" };
  enum { SIZE = 1 << 19 };

  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    {
      g_autoptr(GString) text = g_string_sized_new (SIZE + 16);
      g_autofree gint32 *ids = NULL;
      guint n;

      while (text->len < SIZE)
        g_string_append (text, units[i]);
      ids = zie_tokenizer_encode (real_tokenizer (), text->str, (gssize)text->len, &n);
      g_assert_cmpuint (n, >, 0);
      g_assert_cmpuint (n, <=, text->len * 3);
    }
}

static void
test_prompt_limit (void)
{
  g_autofree char *spaced = g_strnfill (504 * 2, '1'), *longer = NULL;
  g_autofree gint32 *fits = NULL, *cut = NULL, *whole = NULL, *refused = NULL;
  g_autoptr(GError) error = NULL;
  guint n, n_whole;

  spaced[504] = '\0';                     /* a digit is a token */
  fits = zie_prompt_encode (real_tokenizer (), spaced, FALSE, &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 512);

  longer = g_strconcat (spaced, "2", NULL);
  refused = zie_prompt_encode (real_tokenizer (), longer, FALSE, &n, &error);
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_PROMPT_TOO_LONG);
  g_assert_null (refused);
  g_assert_nonnull (strstr (error->message, "513 tokens with the 8 of the template"));
  g_assert_nonnull (strstr (error->message, "at most 512"));

  cut = zie_prompt_encode (real_tokenizer (), longer, TRUE, &n, NULL);
  whole = zie_tokenizer_encode_prompt (real_tokenizer (), longer, &n_whole);
  g_assert_cmpuint (n_whole, ==, 513);
  g_assert_cmpmem (cut, n * sizeof *cut, whole, 512 * sizeof *whole);
}

/* --- a tokenizer of 256 bytes and a few merges --- */

#define MERGES_PAIRS "[[\"a\",\"b\"],[\"ab\",\"c\"],[\"\\u0120\",\"a\"],[\"\\\"\",\"\\\\\"]]"
#define MERGES_STRINGS "[\"a b\",\"ab c\",\"\u0120 a\",\"\\\" \\\\\"]"

/* The byte alphabet as JSON strings with ids; the ids of the merged tokens are 256 to 259. */
static char *
small_json (const char *merges)
{
  GString *json = g_string_new ("{\"version\":\"1.0\",\"truncation\":null,\"added_tokens\":["
    "{\"id\":260,\"content\":\"<|im_start|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
    "\"special\":true},{\"id\":261,\"content\":\"<|im_end|>\",\"special\":true},{\"id\":262,\"content\":\"<|im\"}],"
    "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
    "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]},\"post_processor\":null,"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"byte_fallback\":false,\"ignore_merges\":false,"
    "\"vocab\":{");
  gunichar extra = 256;

  for (guint byte = 0; byte < 256; byte++)
    {
      gboolean is_plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      gunichar c = is_plain ? byte : extra++;

      g_string_append (json, c == '"' || c == '\\' ? "\"\\" : "\"");
      g_string_append_unichar (json, c);
      g_string_append_printf (json, "\":%u,", byte);
    }
  g_string_append_printf (json, "\"ab\":256,\"abc\":257,\"\u0120a\":258,\"\\\"\\\\\":259},\"merges\":%s}}", merges);
  return g_string_free (json, FALSE);
}

static ZieTokenizer *
load_text (const char *text, gsize length, GError **error)
{
  g_autofree char *path = g_build_filename (work_dir, "small.json", NULL);
  g_autoptr(GError) local = NULL;

  g_file_set_contents_full (path, text, (gssize)length, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &local);
  g_assert_no_error (local);
  return zie_tokenizer_load (path, error);
}

static void
test_small (void)
{
  static const char *const merges[] = { MERGES_PAIRS, MERGES_STRINGS };

  for (gsize i = 0; i < G_N_ELEMENTS (merges); i++)
    {
      g_autofree char *json = small_json (merges[i]), *ids = NULL, *longest = NULL;
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieTokenizer) tokenizer = load_text (json, strlen (json), &error);

      g_assert_no_error (error);
      g_assert_cmpuint (zie_tokenizer_get_vocab_size (tokenizer), ==, 263);
      ids = encode_to_string (tokenizer, "abcab ac abab \"\\\n\xc3\xa9");
      g_assert_cmpstr (ids, ==, "257 256 258 99 32 256 256 32 259 10 195 169");
      longest = encode_to_string (tokenizer, "<|im_start|><|im_star<|im<|i");
      g_assert_cmpstr (longest, ==, "260 262 95 115 116 97 114 262 60 124 105");
    }
}

/* What is wrong with each, and what must be said about it. */
static void
test_broken_files (void)
{
  static const struct { const char *from, *to; ZieError code; const char *words; } cases[] = {
    { "\"BPE\"", "\"WordPiece\"", ZIE_ERROR_MODEL_UNSUPPORTED, "model.type is \"WordPiece\", expected \"BPE\"" },
    { "\"byte_fallback\":false", "\"byte_fallback\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "model.byte_fallback is true" },
    { "\"ignore_merges\":false", "\"ignore_merges\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "model.ignore_merges is true" },
    { "\"unk_token\":null", "\"unk_token\":\"<unk>\"", ZIE_ERROR_MODEL_UNSUPPORTED, "model.unk_token is \"<unk>\"" },
    { "\"dropout\":null", "\"dropout\":0.5", ZIE_ERROR_MODEL_UNSUPPORTED, "model.dropout is 0.5" },
    { "\"NFC\"", "\"NFKC\"", ZIE_ERROR_MODEL_UNSUPPORTED, "normalizer.type is \"NFKC\"" },
    { "{\"type\":\"NFC\"}", "null", ZIE_ERROR_MODEL_UNSUPPORTED, "normalizer.type is not set" },
    { "\"Isolated\"", "\"Removed\"", ZIE_ERROR_MODEL_UNSUPPORTED, "pretokenizers.0.behavior" },
    { "p{N}| ?", "p{N}{1,3}| ?", ZIE_ERROR_MODEL_UNSUPPORTED, "pattern.Regex is not Qwen's" },
    { "\"add_prefix_space\":false", "\"add_prefix_space\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "add_prefix_space is true" },
    { "\"post_processor\":null", "\"post_processor\":{\"type\":\"TemplateProcessing\"}", ZIE_ERROR_MODEL_UNSUPPORTED,
      "post_processor.type" },
    { "\"normalized\":false", "\"normalized\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "added_tokens[0]: normalized is true" },
    { "\"lstrip\":false", "\"lstrip\":true", ZIE_ERROR_MODEL_UNSUPPORTED, "added_tokens[0]: lstrip is true" },
    { "<|im_end|>", "<|im_fin|>", ZIE_ERROR_MODEL_UNSUPPORTED, "\"<|im_end|>\" is missing" },
    { "\"content\":\"<|im\"", "\"content\":\"\"", ZIE_ERROR_FILE_CORRUPT, "added_tokens[2]: content has 0 bytes" },
    { "\"content\":\"<|im\"", "\"content\":\"<|im_end|>\"", ZIE_ERROR_FILE_CORRUPT, "\"<|im_end|>\" is there twice" },
    { "\"id\":262", "\"id\":-1", ZIE_ERROR_FILE_CORRUPT, "added_tokens[2]" },
    { "\"id\":262", "\"id\":99999999999", ZIE_ERROR_FILE_CORRUPT, "added_tokens[2]" },
    { "\"added_tokens\":[", "\"other\":[", ZIE_ERROR_FILE_CORRUPT, "added_tokens: expected an array" },
    { "{\"id\":262,\"content\":\"<|im\"}", "7", ZIE_ERROR_FILE_CORRUPT, "added_tokens[2]: expected an object" },
    { "\"vocab\":{", "\"vocabulary\":{", ZIE_ERROR_FILE_CORRUPT, "model.vocab is missing" },
    { "\"merges\":[", "\"margins\":[", ZIE_ERROR_FILE_CORRUPT, "model.merges is missing" },
    { "\"merges\":[", "\"vocab\":[", ZIE_ERROR_FILE_CORRUPT, "twice" },
    { "\"vocab\":{\"", "\"vocab\":[{\"", ZIE_ERROR_FILE_CORRUPT, "at byte" },
    { "\"b\":98,", "", ZIE_ERROR_FILE_CORRUPT, "model.merges" },
    { "\"z\":122,", "", ZIE_ERROR_FILE_CORRUPT, "no token for the single byte 0x7a" },
    { "\"z\":122,", "\"z\":121,", ZIE_ERROR_FILE_CORRUPT, "model.vocab: at byte" },
    { "\"z\":122,", "\"z\":122,\"z\":300,", ZIE_ERROR_FILE_CORRUPT, "there before" },
    { "\"z\":122,", "\"z\":4194304,", ZIE_ERROR_FILE_CORRUPT, "too large" },
    { "\"z\":122,", "\"z\":-122,", ZIE_ERROR_FILE_CORRUPT, "model.vocab" },
    { "\"z\":122,", "\"z\":1.5,", ZIE_ERROR_FILE_CORRUPT, "model.vocab" },
    { "\"z\":122,", "\"z\":\"122\",", ZIE_ERROR_FILE_CORRUPT, "model.vocab" },
    { "\"z\":122,", "\"z\":122,\"\u2581the\":300,", ZIE_ERROR_FILE_CORRUPT, "stands for no byte" },
    { "\"z\":122,", "\"z\":122,\"\":300,", ZIE_ERROR_FILE_CORRUPT, "an empty token" },
    { "[\"ab\",\"c\"]", "[\"ab\",\"c\",\"d\"]", ZIE_ERROR_FILE_CORRUPT, "model.merges" },
    { "[\"ab\",\"c\"]", "[\"ab\"]", ZIE_ERROR_FILE_CORRUPT, "model.merges" },
    { "[\"ab\",\"c\"]", "\"abc\"", ZIE_ERROR_FILE_CORRUPT, "two tokens with a space between" },
    { "[\"ab\",\"c\"]", "\" ab c\"", ZIE_ERROR_FILE_CORRUPT, "model.merges" },
    { "[\"ab\",\"c\"]", "[\"ab\",\"d\"]", ZIE_ERROR_FILE_CORRUPT, "result is not in model.vocab" },
    { "[\"ab\",\"c\"]", "[\"zz\",\"c\"]", ZIE_ERROR_FILE_CORRUPT, "what is not in model.vocab" },
    { "[\"ab\",\"c\"]", "{}", ZIE_ERROR_FILE_CORRUPT, "model.merges" },
    { "\"version\":\"1.0\"", "\"version\":\"\\ud800\"", ZIE_ERROR_FILE_CORRUPT, "at byte" },
    { "\"version\":\"1.0\",", "", 0, NULL },
  };
  g_autofree char *good = small_json (MERGES_PAIRS);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto(GStrv) parts = g_strsplit (good, cases[i].from, 2);
      g_autofree char *bad = g_strconcat (parts[0], cases[i].to, parts[1], NULL);
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieTokenizer) tokenizer = load_text (bad, strlen (bad), &error);

      g_assert_cmpuint (g_strv_length (parts), ==, 2);
      if (cases[i].words == NULL)
        {
          g_assert_no_error (error);
          continue;
        }
      if (tokenizer != NULL)
        g_error ("%s in place of %s was accepted", cases[i].to, cases[i].from);
      g_assert_error (error, ZIE_ERROR, (gint)cases[i].code);
      g_assert_nonnull (strstr (error->message, "small.json"));
      if (strstr (error->message, cases[i].words) == NULL)
        g_error ("\"%s\" says nothing of \"%s\"", error->message, cases[i].words);
    }
}

static void
test_no_file (void)
{
  g_autofree char *missing = g_build_filename (work_dir, "none.json", NULL);
  g_autoptr(GError) none = NULL, folder = NULL, empty = NULL;

  g_assert_null (zie_tokenizer_load (missing, &none));
  g_assert_error (none, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND);
  g_assert_nonnull (strstr (none->message, missing));

  g_assert_null (zie_tokenizer_load (work_dir, &folder));
  g_assert_true (folder->domain == ZIE_ERROR);

  g_assert_null (load_text ("", 0, &empty));
  g_assert_error (empty, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
}

/* Nesting is bounded before anything follows it downwards. */
static void
test_deep_file (void)
{
  static const char *const openings[] = { "[", "{\"a\":", "{\"model\":" };

  for (gsize i = 0; i < G_N_ELEMENTS (openings); i++)
    {
      g_autoptr(GString) text = g_string_new ("{\"model\":");
      g_autoptr(GError) error = NULL;

      while (text->len < 1 << 20)
        g_string_append (text, openings[i]);
      g_assert_null (load_text (text->str, text->len, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT);
    }
}

/* A damaged file is refused with our error, or works; nothing else may happen. */
static void
test_mutations (void)
{
  static const char bits[] = "\"\\{}[]:,0u \xc4\xa0\xff";
  g_autofree char *good = small_json (MERGES_PAIRS);
  gsize length = strlen (good);
  guint n_loaded = 0, n_runs = g_test_thorough () ? 100000 : 1000;

  for (guint run = 0; run < n_runs; run++)
    {
      g_autoptr(GString) bad = g_string_new_len (good, (gssize)length);
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieTokenizer) tokenizer = NULL;

      for (gint edits = g_test_rand_int_range (1, 4); edits > 0 && bad->len > 8; edits--)
        {
          gssize at = g_test_rand_int_range (0, (gint)bad->len - 1), n = g_test_rand_int_range (1, 60);
          g_autofree char *piece = NULL;

          switch (g_test_rand_int_range (0, 5))
            {
            case 0:
              bad->str[at] = (char)g_test_rand_int_range (0, 256);
              break;
            case 1:
              bad->str[at] = bits[g_test_rand_int_range (0, sizeof bits - 1)];
              break;
            case 2:
              g_string_erase (bad, at, MIN (n, (gssize)bad->len - at));
              break;
            case 3:
              piece = g_strndup (bad->str + at, (gsize)n);
              g_string_insert (bad, g_test_rand_int_range (0, (gint)bad->len), piece);
              break;
            default:
              if (g_test_rand_int_range (0, 4) == 0)
                g_string_truncate (bad, (gsize)at);
            }
        }

      tokenizer = load_text (bad->str, bad->len, &error);
      if (tokenizer != NULL)
        {
          guint n;

          n_loaded++;
          g_free (zie_tokenizer_encode_prompt (tokenizer, "abc \"\\ \u732b", &n));
        }
      else
        g_assert_true (error != NULL && error->domain == ZIE_ERROR && error->message[0] != '\0');
    }

  g_test_message ("%u of %u still loaded", n_loaded, n_runs);
  g_assert_cmpuint (n_loaded, >, 0);
  g_assert_cmpuint (n_loaded, <, n_runs);
}

/* U+180E was white space once, and still is to some libraries. */
static void
test_classes (void)
{
  g_assert_cmpint (zie_unicode_class (0x180e), ==, ZIE_CHAR_OTHER);
  g_assert_cmpint (zie_unicode_class (0x3000), ==, ZIE_CHAR_SPACE);
  g_assert_cmpint (zie_unicode_class ('\r'), ==, ZIE_CHAR_NEWLINE);
  g_assert_cmpint (zie_unicode_class (0x4e00), ==, ZIE_CHAR_LETTER);
  g_assert_cmpint (zie_unicode_class (0x2160), ==, ZIE_CHAR_NUMBER);
  g_assert_cmpint (zie_unicode_class (0x301), ==, ZIE_CHAR_OTHER);
  g_assert_cmpint (zie_unicode_class (0x10ffff), ==, ZIE_CHAR_OTHER);
}

int
main (int argc, char **argv)
{
  g_autofree char *small = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  work_dir = g_dir_make_tmp ("zie-tokenizer-XXXXXX", NULL);

  g_test_add_func ("/tokenizer/classes", test_classes);
  g_test_add_func ("/tokenizer/sizes", test_sizes);
  g_test_add_func ("/tokenizer/vectors", test_vectors);
  g_test_add_func ("/tokenizer/golden", test_golden);
  g_test_add_func ("/tokenizer/decode", test_decode);
  g_test_add_func ("/tokenizer/not-utf8", test_not_utf8);
  g_test_add_func ("/tokenizer/nul", test_nul);
  g_test_add_func ("/tokenizer/long-words", test_long_words);
  g_test_add_func ("/tokenizer/prompt/joins-template", test_prompt_joins_template);
  g_test_add_func ("/tokenizer/prompt/limit", test_prompt_limit);
  g_test_add_func ("/tokenizer/file/small", test_small);
  g_test_add_func ("/tokenizer/file/broken", test_broken_files);
  g_test_add_func ("/tokenizer/file/none", test_no_file);
  g_test_add_func ("/tokenizer/file/deep", test_deep_file);
  g_test_add_func ("/tokenizer/file/mutations", test_mutations);
  result = g_test_run ();

  small = g_build_filename (work_dir, "small.json", NULL);
  g_remove (small);
  g_rmdir (work_dir);
  g_free (work_dir);
  return result;
}
