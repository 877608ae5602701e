/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-image.h>

/* What was seen in the pixels so far; zeroed before the first band. */
typedef struct
{
  gsize n_pixels, n_not_finite;
  guint8 min[3], max[3];
} ZiePictureCheck;

gboolean zie_picture_check_is_flat (const ZiePictureCheck *check);

/* N pixels of three floats in -1 … 1 to bytes: y = x / 2 + 1 / 2 clamped, 255 y rounded half to even (spec 7.1). */
void zie_picture_to_rgb8 (const float *pixels, gsize n, guint8 *rgb, ZiePictureCheck *check);

/* IMAGE scaled to WIDTH x HEIGHT (area average down, bilinear up) as planes [3, height, width] in -1 … 1. */
void zie_picture_to_planes (const ZieImage *image, int width, int height, float *planes);

/* The mask's brightness, nearest pixel of each latent element, 1 where it is at least one half, for every channel. */
void zie_picture_to_mask (const ZieImage *mask, int h, int w, int channels, float *out);
