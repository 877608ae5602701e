/* SPDX-License-Identifier: Apache-2.0 */

/* A tokenizer: tokenizer.json, plain or packed, a GGUF file, and the input as each of the two files beside a vocab.json.  One that is taken
 * encodes some text, and back again. */

#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "zie-tokenizer.h"

static const char *const beside[] = { "merges.txt", "tokenizer_config.json" };
static char *folders[G_N_ELEMENTS (beside)];

static void
clean_up (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (beside); i++)
    {
      static const char *const names[] = { "vocab.json", "merges.txt", "tokenizer_config.json" };

      for (guint k = 0; k < G_N_ELEMENTS (names); k++)
        {
          g_autofree char *path = g_build_filename (folders[i], names[k], NULL);
          remove (path);
        }
      rmdir (folders[i]);
    }
}

static void
write_file (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  FILE *file = fopen (path, "wb");

  if (file == NULL || fputs (text, file) < 0 || fclose (file) != 0)
    fuzz_fail ("%s: cannot be written", path);
}

/* vocab.json with each byte and "ab"; the first folder has the input as merges.txt, the second as tokenizer_config.json. */
static void
set_up (const char *input)
{
  g_autoptr(GString) vocab = g_string_new ("{\"ab\": 256");
  gunichar extra = 256;

  for (guint byte = 0; byte < 256; byte++)
    {
      gboolean is_plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      gunichar letter = is_plain ? byte : extra++;

      g_string_append (vocab, letter == '"' || letter == '\\' ? ", \"\\" : ", \"");
      g_string_append_unichar (vocab, letter);
      g_string_append_printf (vocab, "\": %u", byte);
    }
  g_string_append_c (vocab, '}');
  for (guint i = 0; i < G_N_ELEMENTS (beside); i++)
    {
      g_autofree char *link = NULL;

      if ((folders[i] = g_dir_make_tmp ("zie-fuzz-XXXXXX", NULL)) == NULL)
        fuzz_fail ("no temporary folder");
      link = g_build_filename (folders[i], beside[i], NULL);
      write_file (folders[i], "vocab.json", vocab->str);
      write_file (folders[i], beside[1 - i],
                  i == 1 ? "a b\n" : "{\"added_tokens_decoder\": {\"257\": {\"content\": \"<|im_start|>\"}, \"258\": {\"content\": \"<|im_end|>\"}}}");
      if (symlink (input, link) != 0)
        fuzz_fail ("no links in the temporary folder");
    }
  atexit (clean_up);
}

/* ABOUT: what a message has to name. */
static void
load (const char *path, const char *about)
{
  static const char text[] = "A fox's 2 caf\xc3\xa9s \xe7\x8b\x90\xe7\x8b\xb8<|im_end|>\r\n  \xff\xe2\x82 end";
  GError *error = NULL;
  g_autoptr(ZieTokenizer) tokenizer = zie_tokenizer_load (path, &error);
  g_autofree gint32 *ids = NULL, *prompt_ids = NULL;
  g_autofree char *back = NULL;
  guint n;

  if (tokenizer == NULL)
    {
      fuzz_check_error (error, about);
      return;
    }
  ids = zie_tokenizer_encode (tokenizer, text, -1, &n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint ((guint)ids[i], <, zie_tokenizer_get_vocab_size (tokenizer));
  back = zie_tokenizer_decode (tokenizer, ids, n);
  g_assert_true (g_utf8_validate (back, -1, NULL));
  prompt_ids = zie_tokenizer_encode_prompt (tokenizer, "fox", &n);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *path = fuzz_file (data, size);

  if (folders[0] == NULL)
    set_up (path);

  load (path, "/proc/self/fd/");           /* as vocab.json it has nothing beside it */
  for (guint i = 0; i < G_N_ELEMENTS (beside); i++)
    {
      g_autofree char *vocab = g_build_filename (folders[i], "vocab.json", NULL);
      load (vocab, folders[i]);
    }
  return 0;
}
