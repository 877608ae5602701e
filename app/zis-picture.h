/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_PICTURE (zis_picture_get_type ())
G_DECLARE_FINAL_TYPE (ZisPicture, zis_picture, ZIS, PICTURE, GObject)

/* A finished picture of this or an earlier session: a file, or on its way to one.  Properties "title", "thumbnail"
 * (a GdkTexture, there after zis_picture_want_thumbnail()), "is-saved". */
ZisPicture *zis_picture_new_for_file (GFile *file, gint64 modified /* s since 1970 */);
/* FILE is where it will be saved. */
ZisPicture *zis_picture_new_for_image (ZieImage *image, const ZieRequest *request, GFile *file);

GFile *zis_picture_get_file (ZisPicture *self);
/* Another place for what could not be saved where it should be. */
void zis_picture_set_file (ZisPicture *self, GFile *file);
gint64 zis_picture_get_modified (ZisPicture *self);
const char *zis_picture_get_title (ZisPicture *self);
gboolean zis_picture_is_saved (ZisPicture *self);
/* The file holds it now: the pixels in memory are let go. */
void zis_picture_set_saved (ZisPicture *self, gint64 modified);
/* The recipe, or NULL while it is not known (or there is none).  Borrowed. */
const ZieRequest *zis_picture_get_request (ZisPicture *self);

/* Rows come and go: only what is on the screen keeps a thumbnail. */
void zis_picture_want_thumbnail (ZisPicture *self);
void zis_picture_drop_thumbnail (ZisPicture *self);

/* The pixels; the recipe is known afterwards.  Returns a reference. */
void zis_picture_load_async (ZisPicture *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
ZieImage *zis_picture_load_finish (ZisPicture *self, GAsyncResult *result, GError **error);

G_END_DECLS
