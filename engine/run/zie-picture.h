/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-image.h>

/* IMAGE scaled to WIDTH x HEIGHT (area average down, bilinear up) as planes [3, height, width] in -1 … 1. */
void zie_picture_to_planes (const ZieImage *image, int width, int height, float *planes);

/* The mask's brightness, nearest pixel of each latent element, 1 where it is at least one half, for every channel. */
void zie_picture_to_mask (const ZieImage *mask, int h, int w, int channels, float *out);
