/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-file.h"

/* One text chunk: KEYWORD of 1 to 79 Latin-1 characters, TEXT in UTF-8.  Borrowed. */
typedef struct
{
  const char *keyword, *text;
} ZiePngText;

/* Writes HEIGHT rows of 3 * WIDTH bytes (R G B, sRGB), STRIDE apart, to FILE with TEXTS as iTXt chunks.  The same
 * input gives the same bytes.  Errors: ZIE_ERROR_WRITE.  FILE stays to be committed or cleared. */
gboolean zie_png_write (ZieNewFile *file, int width, int height, gsize stride, const guint8 *pixels,
                        const ZiePngText *texts, guint n_texts, GError **error);

/* The largest picture that is read, in pixels. */
#define ZIE_PNG_MAX_PIXELS ((guint64)8192 * 8192)

/* Any PNG as 8-bit RGB rows of 3 * width bytes (transfer full): grey and palettes become RGB, 16 bits are rounded to
 * 8, alpha is composed onto white.  Errors: FILE_NOT_FOUND, FILE_CORRUPT (also: too large), OUT_OF_HOST_MEMORY. */
GBytes *zie_png_read (const char *path, int *width, int *height, GError **error);

/* The texts of KEYWORDS (N of them) in tEXt, zTXt or iTXt chunks, before or after the picture, whose data is not
 * decoded: TEXTS[i] is UTF-8 (transfer full) or NULL.  Of several with one keyword the first counts. */
gboolean zie_png_read_texts (const char *path, const char *const *keywords, char **texts, guint n, GError **error);
