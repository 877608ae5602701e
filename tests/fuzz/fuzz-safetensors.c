/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "zie-safetensors.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *path = fuzz_file (data, size);
  GError *error = NULL;
  g_autoptr(ZieSafetensors) file = zie_safetensors_open (path, &error);

  if (file == NULL)
    {
      fuzz_check_error (error, path);
      return 0;
    }
  g_assert_no_error (error);
  for (guint i = 0; i < zie_safetensors_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_safetensors_get (file, i);

      g_assert_cmpuint (info->size, <=, size);
      g_assert_true (g_utf8_validate (info->name, -1, NULL));
      g_assert_true (info->n_dims >= 0);
      fuzz_touch (info->data, info->size);
    }
  zie_safetensors_get_meta (file, "modelspec.title");
  return 0;
}
