/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-preview.h"

#include <string.h>

static const float flux_weights[16][3] = {
  { -0.0346f, 0.0244f, 0.0681f },  { 0.0034f, 0.0210f, 0.0687f },   { 0.0275f, -0.0668f, -0.0433f }, { -0.0174f, 0.0160f, 0.0617f },
  { 0.0859f, 0.0721f, 0.0329f },   { 0.0004f, 0.0383f, 0.0115f },   { 0.0405f, 0.0861f, 0.0915f },   { -0.0236f, -0.0185f, -0.0259f },
  { -0.0245f, 0.0250f, 0.1180f },  { 0.1008f, 0.0755f, -0.0421f },  { -0.0515f, 0.0201f, 0.0011f },  { 0.0428f, -0.0012f, -0.0036f },
  { 0.0817f, 0.0765f, 0.0749f },   { -0.1264f, -0.0522f, -0.1103f }, { -0.0280f, -0.0881f, -0.0499f }, { -0.1262f, -0.0982f, -0.0778f },
};
static const float flux_bias[3] = { -0.0329f, -0.0718f, -0.0851f };

void
zie_preview_init_flux (ZiePreview *self)
{
  *self = (ZiePreview) { .channels = 16 };
  memcpy (self->weights, flux_weights, sizeof flux_weights);
  memcpy (self->bias, flux_bias, sizeof flux_bias);
}

/* [h * w, 3] in 0 … 1, unclamped. */
static void
project (const ZiePreview *self, const float *x0, gsize n, float *rgb)
{
  for (gsize p = 0; p < n; p++)
    for (int k = 0; k < 3; k++)
      {
        float sum = self->bias[k];
        for (int c = 0; c < self->channels; c++)
          sum += self->weights[c][k] * x0[(gsize)c * n + p];
        rgb[3 * p + k] = 0.5f * sum + 0.5f;
      }
}

/* Where output pixel I of SCALE times N samples: two neighbours and the second one's share. */
static float
sample_at (int i, int scale, int n, int *a, int *b)
{
  float at = ((float)i + 0.5f) / (float)scale - 0.5f;
  float low = CLAMP (at, 0.0f, (float)(n - 1));

  *a = (int)low;
  *b = MIN (*a + 1, n - 1);
  return low - (float)*a;
}

static guint8
to_byte (float v)
{
  if (!(v > 0.0f))                                 /* NaN too */
    return 0;
  return v >= 1.0f ? 255 : (guint8)(v * 255.0f + 0.5f);
}

ZieImage *
zie_preview_render (const ZiePreview *self, const float *x0, int h, int w, int scale)
{
  gsize width = (gsize)w * scale, height = (gsize)h * scale;
  g_autofree float *rgb = g_new (float, 3 * (gsize)h * w);
  guint8 *pixels = g_malloc (3 * width * height);

  project (self, x0, (gsize)h * w, rgb);
  for (gsize y = 0; y < height; y++)
    {
      int y0, y1;
      float fy = sample_at ((int)y, scale, h, &y0, &y1);

      for (gsize x = 0; x < width; x++)
        {
          int x0i, x1i;
          float fx = sample_at ((int)x, scale, w, &x0i, &x1i);

          for (int k = 0; k < 3; k++)
            {
              float top = rgb[3 * ((gsize)y0 * w + x0i) + k] * (1 - fx) + rgb[3 * ((gsize)y0 * w + x1i) + k] * fx;
              float bottom = rgb[3 * ((gsize)y1 * w + x0i) + k] * (1 - fx) + rgb[3 * ((gsize)y1 * w + x1i) + k] * fx;
              pixels[3 * (y * width + x) + k] = to_byte (top * (1 - fy) + bottom * fy);
            }
        }
    }

  return zie_image_new ((int)width, (int)height, 3 * width, g_bytes_new_take (pixels, 3 * width * height));
}
