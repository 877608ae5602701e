/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-gallery-model.h"

G_BEGIN_DECLS

#define ZIS_TYPE_GALLERY (zis_gallery_get_type ())
G_DECLARE_FINAL_TYPE (ZisGallery, zis_gallery, ZIS, GALLERY, GtkWidget)

/* The session strip: thumbnails of all pictures, newest first.  Signal "chosen" (ZisPicture): the user picked it. */
void zis_gallery_setup (ZisGallery *self, ZisGalleryModel *model);

/* The selected picture or NULL.  Borrowed. */
ZisPicture *zis_gallery_get_selected (ZisGallery *self);
/* Selects without "chosen"; NULL selects none. */
void zis_gallery_select (ZisGallery *self, ZisPicture *picture);

G_END_DECLS
