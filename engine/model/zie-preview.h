/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-image.h>

#define ZIE_PREVIEW_MAX_CHANNELS 64

/* A latent seen through a fixed linear map: rgb = (M^T x0 + bias + 1) / 2 at 1/8 of the size (spec section 8). */
typedef struct
{
  int channels;
  float weights[ZIE_PREVIEW_MAX_CHANNELS][3];
  float bias[3];
} ZiePreview;

/* The factors of the Flux latent space, which Z-Image's autoencoder is. */
void zie_preview_init_flux (ZiePreview *self);

/* x0 [channels, h * w] in model space, drawn SCALE times as large by bilinear interpolation.  Any thread. */
ZieImage *zie_preview_render (const ZiePreview *self, const float *x0, int h, int w, int scale);
