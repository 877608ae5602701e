/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "zie-gguf.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char *const keys[] = { "general.architecture", "general.alignment", "tokenizer.ggml.tokens", "a", "list", "comfy.gguf.orig_shape.w" };
  const char *path = fuzz_file (data, size);
  GError *error = NULL;
  g_autoptr(ZieGguf) file = zie_gguf_open (path, &error);

  if (file == NULL)
    {
      fuzz_check_error (error, path);
      return 0;
    }
  g_assert_no_error (error);
  for (guint i = 0; i < zie_gguf_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_gguf_get (file, i);

      g_assert_cmpuint (info->size, <=, size);
      fuzz_touch (info->data, info->size);
    }
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autofree char *text = zie_gguf_get_meta (file, keys[i]);
      g_assert_true (text == NULL || g_utf8_validate (text, -1, NULL));
    }
  return 0;
}
