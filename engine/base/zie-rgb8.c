/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-rgb8.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Whole pixels, whole vectors. */
#define BLOCK 48

gboolean
zie_rgb8_check_is_flat (const ZieRgb8Check *check)
{
  return check->n_pixels > 1 && memcmp (check->min, check->max, 3) == 0;
}

void
zie_rgb8_check_add (ZieRgb8Check *check, gsize n, gsize n_not_finite, const guint8 min[3], const guint8 max[3])
{
  if (n == 0)
    return;
  if (check->n_pixels == 0)
    memset (check->min, 255, 3);
  check->n_pixels += n;
  check->n_not_finite += n_not_finite;
  for (int i = 0; i < 3; i++)
    {
      check->min[i] = MIN (check->min[i], min[i]);
      check->max[i] = MAX (check->max[i], max[i]);
    }
}

/* N numbers, N at most BLOCK; loops of a fixed length, which compilers turn into vector instructions.  Adding 1.5 * 2^23
 * rounds to the nearest whole number, halves to even, and leaves it in the lowest bits. */
static void
convert_block (const float *pixels, int n, guint8 *bytes, gsize *n_not_finite)
{
  float v[BLOCK];
  gint32 bits[BLOCK];
  int n_broken = 0;

  if (n < BLOCK)
    memset (v, 0, sizeof v);
  memcpy (v, pixels, (gsize)n * sizeof (float));
  for (int i = 0; i < BLOCK; i++)
    n_broken += !(fabsf (v[i]) <= FLT_MAX);
  for (int i = 0; i < BLOCK; i++)
    {
      float y = 0.5f * v[i] + 0.5f;
      y = y > 0.0f ? y : 0.0f;                   /* NaN too */
      y = y < 1.0f ? y : 1.0f;
      v[i] = 255.0f * y + 12582912.0f;
    }
  memcpy (bits, v, sizeof bits);
  for (int i = 0; i < BLOCK; i++)
    bytes[i] = (guint8)(bits[i] & 0xff);
  *n_not_finite += (gsize)n_broken;
}

void
zie_rgb8_from_rows (const float *pixels, gsize n, guint8 *rgb, ZieRgb8Check *check)
{
  guint8 low[BLOCK], high[BLOCK] = { 0 }, bytes[BLOCK], min[3] = { 255, 255, 255 }, max[3] = { 0 };
  gsize total = 3 * n, n_not_finite = 0;

  memset (low, 255, sizeof low);
  for (gsize p = 0; p < total; p += BLOCK)
    {
      int m = (int)MIN (total - p, (gsize)BLOCK);

      convert_block (pixels + p, m, bytes, &n_not_finite);
      for (int i = m; i < BLOCK; i++)            /* behind the end: nothing new */
        bytes[i] = bytes[i % 3];
      for (int i = 0; i < BLOCK; i++)
        low[i] = MIN (low[i], bytes[i]);
      for (int i = 0; i < BLOCK; i++)
        high[i] = MAX (high[i], bytes[i]);
      memcpy (rgb + p, bytes, (gsize)m);
    }
  for (int i = 0; i < BLOCK; i++)
    {
      min[i % 3] = MIN (min[i % 3], low[i]);
      max[i % 3] = MAX (max[i % 3], high[i]);
    }
  zie_rgb8_check_add (check, n, n_not_finite, min, max);
}
