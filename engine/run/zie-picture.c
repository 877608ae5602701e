/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-picture.h"

/* The average of source interval [from, to) along one axis: the first cell, how many, and the outer cells' weights are
 * computed where they are used; up-scaling samples two neighbours instead. */
static double
sample_box (const guint8 *pixels, gsize stride, int width, int height, int channel, double x0, double x1, double y0, double y1)
{
  double sum = 0, area = 0;

  for (int y = (int)y0; y < height && y < y1; y++)
    for (int x = (int)x0; x < width && x < x1; x++)
      {
        double wx = MIN (x1, x + 1.0) - MAX (x0, (double)x), wy = MIN (y1, y + 1.0) - MAX (y0, (double)y);
        sum += wx * wy * pixels[(gsize)y * stride + 3 * (gsize)x + (gsize)channel];
        area += wx * wy;
      }
  return area > 0 ? sum / area : 0;
}

void
zie_picture_to_planes (const ZieImage *image, int width, int height, float *planes)
{
  int in_width = zie_image_get_width (image), in_height = zie_image_get_height (image);
  gsize stride = zie_image_get_stride (image);
  const guint8 *pixels = g_bytes_get_data (zie_image_get_pixels ((ZieImage *)image), NULL);
  double sx = (double)in_width / width, sy = (double)in_height / height;
  double rx = MAX (sx, 1.0) / 2, ry = MAX (sy, 1.0) / 2;     /* half the box: one source pixel at least, so that scaling up is bilinear */

  for (int k = 0; k < 3; k++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++)
        {
          double cx = (x + 0.5) * sx, cy = (y + 0.5) * sy;
          double v = sample_box (pixels, stride, in_width, in_height, k, MAX (cx - rx, 0), cx + rx, MAX (cy - ry, 0), cy + ry);
          planes[((gsize)k * (gsize)height + (gsize)y) * (gsize)width + (gsize)x] = (float)(v / 127.5 - 1.0);
        }
}

void
zie_picture_to_mask (const ZieImage *mask, int h, int w, int channels, float *out)
{
  int in_width = zie_image_get_width (mask), in_height = zie_image_get_height (mask);
  gsize stride = zie_image_get_stride (mask);
  const guint8 *pixels = g_bytes_get_data (zie_image_get_pixels ((ZieImage *)mask), NULL);

  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      {
        const guint8 *p = pixels + (gsize)((gint64)y * in_height / h) * stride + 3 * (gsize)((gint64)x * in_width / w);
        float v = p[0] + p[1] + p[2] >= 3 * 128 ? 1.0f : 0.0f;
        for (int c = 0; c < channels; c++)
          out[((gsize)c * (gsize)h + (gsize)y) * (gsize)w + (gsize)x] = v;
      }
}
