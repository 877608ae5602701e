/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-picture.h"

G_BEGIN_DECLS

#define ZIS_TYPE_GALLERY_MODEL (zis_gallery_model_get_type ())
G_DECLARE_FINAL_TYPE (ZisGalleryModel, zis_gallery_model, ZIS, GALLERY_MODEL, GObject)

/* A GListModel of ZisPicture, newest first: the files of the pictures folder, and what is on its way there.
 * Signal "save-failed" (ZisPicture, gpointer GError). */
ZisGalleryModel *zis_gallery_model_new (GSettings *settings);

/* Reads the folder that the settings name (again), in the background. */
void zis_gallery_model_open (ZisGalleryModel *self);
GFile *zis_gallery_model_get_folder (ZisGalleryModel *self);

/* Adds a finished picture and saves it in the background (in a folder of this session alone if pictures are not to
 * be kept).  Borrowed. */
ZisPicture *zis_gallery_model_add (ZisGalleryModel *self, ZieImage *image, const ZieRequest *request);
/* Tries again what could not be saved. */
void zis_gallery_model_save_again (ZisGalleryModel *self, ZisPicture *picture);
/* The oldest picture that could not be saved, or NULL; its pixels are in memory alone.  Another folder of the settings is tried by
 * itself.  Borrowed. */
ZisPicture *zis_gallery_model_get_unsaved (ZisGalleryModel *self);
/* It was saved elsewhere, or nobody wants it. */
void zis_gallery_model_forget_unsaved (ZisGalleryModel *self, ZisPicture *picture);
/* Moves the file to the bin and the picture out of the list. */
gboolean zis_gallery_model_trash (ZisGalleryModel *self, ZisPicture *picture, GError **error);
guint zis_gallery_model_find (ZisGalleryModel *self, ZisPicture *picture);
/* Pictures whose saving has not ended; the property "n-saving". */
guint zis_gallery_model_get_n_saving (ZisGalleryModel *self);

/* "a-red-fox-42": a name for a file from prompt and seed, without suffix.  Free with g_free(). */
char *zis_suggest_name (const ZieRequest *request);

G_END_DECLS
