/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

/* 8-bit RGB pixels, immutable, reference counted.  Any thread. */
ZIE_API ZieImage *zie_image_new (int width, int height, gsize stride, GBytes *pixels /* transfer full */);
ZIE_API ZieImage *zie_image_ref (ZieImage *self);
ZIE_API void zie_image_unref (ZieImage *self);
ZIE_API int zie_image_get_width (const ZieImage *self);
ZIE_API int zie_image_get_height (const ZieImage *self);
ZIE_API gsize zie_image_get_stride (const ZieImage *self);
ZIE_API GBytes *zie_image_get_pixels (const ZieImage *self);     /* borrowed; R G B bytes, rows of STRIDE */

/* Writes a PNG whose iTXt chunks hold METADATA: "parameters" (the text A1111-style tools read) and "zimage" (our
 * JSON); NULL = none.  The file appears under PATH by rename, whole or not at all.  Blocking: not on a main loop.  Errors: WRITE. */
ZIE_API gboolean zie_image_save_png (const ZieImage *self, const char *path, const ZieRequest *recipe, GError **error);

/* Reads a PNG of any kind (16 bits are rounded to 8, alpha is composed onto white) of at most 8192 × 8192 pixels in
 * all.  Blocking.  Errors: FILE_NOT_FOUND, FILE_CORRUPT, OUT_OF_HOST_MEMORY. */
ZIE_API ZieImage *zie_image_load_png (const char *path, GError **error);

/* Picture size limits: sides from 16 to 8192 in steps of 16. */
#define ZIE_SIZE_STEP 16
#define ZIE_SIZE_MAX 8192

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieImage, zie_image_unref)

G_END_DECLS
