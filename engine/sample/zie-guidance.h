/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Classifier-free guidance on raw model outputs (spec 5.2). */
typedef struct
{
  float scale;            /* g of pred = pos + g (pos - neg); 0 = off */
  float truncation;       /* off where tin exceeds it; 1 = never */
  float normalization;    /* 0 = off, else ||pred|| is held to this times ||pos|| */
} ZieGuidance;

/* Whether the negative prompt is run at time TIN. */
gboolean zie_guidance_is_active (const ZieGuidance *self, float tin);

/* POS becomes the guided prediction; N values. */
void zie_guidance_apply (const ZieGuidance *self, float *pos, const float *neg, gsize n);
