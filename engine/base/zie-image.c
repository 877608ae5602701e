/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include <zie/zie-image.h>

struct _ZieImage
{
  int width, height;
  gsize stride;
  GBytes *pixels;        /* owned */
  gatomicrefcount ref_count;
};

ZieImage *
zie_image_new (int width, int height, gsize stride, GBytes *pixels)
{
  ZieImage *self;

  g_return_val_if_fail (width > 0 && height > 0 && pixels != NULL, NULL);
  g_return_val_if_fail (stride >= 3 * (gsize)width, NULL);
  g_return_val_if_fail (g_bytes_get_size (pixels) >= stride * (gsize)(height - 1) + 3 * (gsize)width, NULL);

  self = g_new (ZieImage, 1);
  *self = (ZieImage) { .width = width, .height = height, .stride = stride, .pixels = pixels };
  g_atomic_ref_count_init (&self->ref_count);
  return self;
}

ZieImage *
zie_image_ref (ZieImage *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
zie_image_unref (ZieImage *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_bytes_unref (self->pixels);
  g_free (self);
}

int
zie_image_get_width (const ZieImage *self)
{
  return self->width;
}

int
zie_image_get_height (const ZieImage *self)
{
  return self->height;
}

gsize
zie_image_get_stride (const ZieImage *self)
{
  return self->stride;
}

GBytes *
zie_image_get_pixels (const ZieImage *self)
{
  return self->pixels;
}
