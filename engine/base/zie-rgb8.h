/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What was seen in the pixels so far; zeroed before the first of them. */
typedef struct
{
  gsize n_pixels, n_not_finite;
  guint8 min[3], max[3];
} ZieRgb8Check;

gboolean zie_rgb8_check_is_flat (const ZieRgb8Check *check);

/* N pixels of three floats in -1 … 1 to bytes: y = x / 2 + 1 / 2 clamped, 255 y rounded half to even (spec 7.1). */
void zie_rgb8_from_rows (const float *pixels, gsize n, guint8 *rgb, ZieRgb8Check *check);

/* What another place saw in N further pixels. */
void zie_rgb8_check_add (ZieRgb8Check *check, gsize n, gsize n_not_finite, const guint8 min[3], const guint8 max[3]);
