/* SPDX-License-Identifier: Apache-2.0 */

/* A tokenizer.json, plain or packed; one that is taken encodes some text, and back again. */

#include "fuzz.h"

#include <string.h>

#include "zie-tokenizer.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char text[] = "A fox's 2 caf\xc3\xa9s \xe7\x8b\x90\xe7\x8b\xb8<|im_end|>\r\n  \xff\xe2\x82 end";
  const char *path = fuzz_file (data, size);
  GError *error = NULL;
  g_autoptr(ZieTokenizer) tokenizer = zie_tokenizer_load (path, &error);
  g_autofree gint32 *ids = NULL, *prompt_ids = NULL;
  g_autofree char *back = NULL;
  guint n;

  if (tokenizer == NULL)
    {
      fuzz_check_error (error, path);
      return 0;
    }
  ids = zie_tokenizer_encode (tokenizer, text, -1, &n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint ((guint)ids[i], <, zie_tokenizer_get_vocab_size (tokenizer));
  back = zie_tokenizer_decode (tokenizer, ids, n);
  g_assert_true (g_utf8_validate (back, -1, NULL));
  prompt_ids = zie_tokenizer_encode_prompt (tokenizer, "fox", &n);
  return 0;
}
