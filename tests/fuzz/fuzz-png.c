/* SPDX-License-Identifier: Apache-2.0 */

/* A PNG: its picture and its texts.  Chunks get right checksums after each mutation, or libpng would look at few. */

#include "fuzz.h"

#include <string.h>

#include "zie-png.h"

#define SIGNATURE_SIZE 8
#define MAX_PIXELS (512 * 512)       /* larger ones are left to tests/unit/test-png.c: they only take time here */

static guint32
read_u32 (const uint8_t *p)
{
  return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | p[3];
}

#ifdef FUZZ                    /* there is a libFuzzer to mutate with */
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static guint32
crc (const uint8_t *p, size_t size)
{
  guint32 sum = 0xffffffff;

  for (size_t i = 0; i < size; i++)
    {
      sum ^= p[i];
      for (int k = 0; k < 8; k++)
        sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
    }
  return ~sum;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  size_t at = SIGNATURE_SIZE;

  size = LLVMFuzzerMutate (data, size, max_size);
  while (at + 12 <= size)
    {
      guint32 length = read_u32 (data + at);
      guint32 sum;

      if (length > size - at - 12)
        break;
      sum = GUINT32_TO_BE (crc (data + at + 4, length + 4));
      memcpy (data + at + 8 + length, &sum, 4);
      at += 12 + (size_t)length;
    }
  return size;
}

#endif

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char *const keywords[] = { "parameters", "zimage", "Comment" };
  char *texts[G_N_ELEMENTS (keywords)] = { NULL };
  const char *path = fuzz_file (data, size);
  GError *error = NULL;
  int width = 0, height = 0;

  if (zie_png_read_texts (path, keywords, texts, G_N_ELEMENTS (keywords), &error))
    for (guint i = 0; i < G_N_ELEMENTS (keywords); i++)
      {
        g_assert_true (texts[i] == NULL || g_utf8_validate (texts[i], -1, NULL));
        g_free (texts[i]);
      }
  else
    fuzz_check_error (g_steal_pointer (&error), path);

  if (size >= 24 && (guint64)read_u32 (data + 16) * read_u32 (data + 20) > MAX_PIXELS)
    return 0;
  {
    g_autoptr(GBytes) pixels = zie_png_read (path, &width, &height, &error);

    if (pixels == NULL)
      fuzz_check_error (error, path);
    else
      {
        g_assert_cmpuint (g_bytes_get_size (pixels), ==, (gsize)width * (gsize)height * 3);
        fuzz_touch (g_bytes_get_data (pixels, NULL), g_bytes_get_size (pixels));
      }
  }
  return 0;
}
