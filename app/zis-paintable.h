/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_PAINTABLE (zis_paintable_get_type ())
G_DECLARE_FINAL_TYPE (ZisPaintable, zis_paintable, ZIS, PAINTABLE, GObject)

/* A picture that grows: previews, refined step by step, then finished bands over the last preview, then the picture.
 * A GdkPaintable whose intrinsic size is the finished picture's from the beginning, so that nothing ever jumps.
 *
 * All scaling happens on one worker thread for all paintables; the main loop only swaps textures that already have
 * the size of the screen.  Main thread only, as far as callers go.  Property "is-complete". */
ZisPaintable *zis_paintable_new (int width, int height);

/* IMAGE is referenced.  A preview may have any size; of several that wait, only the newest is shown. */
void zis_paintable_push_preview (ZisPaintable *self, ZieImage *image);
void zis_paintable_push_band (ZisPaintable *self, ZieImage *image, int x, int y);
void zis_paintable_set_image (ZisPaintable *self, ZieImage *image);

/* The finished picture, or NULL.  Borrowed. */
ZieImage *zis_paintable_get_image (ZisPaintable *self);
gboolean zis_paintable_is_empty (ZisPaintable *self);
int zis_paintable_get_width (ZisPaintable *self);
int zis_paintable_get_height (ZisPaintable *self);

/* The size, in pixels of the screen, at which the whole picture is shown, and the visible part of it in the picture's
 * own pixels (NULL: all of it) when it is enlarged.  Textures follow as soon as the worker has made them. */
void zis_paintable_set_view (ZisPaintable *self, int width, int height, const graphene_rect_t *visible);

/* What a snapshot draws.  BY_CAIRO: for GTK's cairo renderer, at no cost where only something else is drawn anew. */
void zis_paintable_draw (ZisPaintable *self, GtkSnapshot *snapshot, double width, double height, gboolean by_cairo);

/* Waits until everything pushed has become a texture: for tests. */
void zis_paintable_flush (ZisPaintable *self);

/* Scales SRC (in pixels of IMAGE) to WIDTH × HEIGHT, averaging when it shrinks; SMOOTH FALSE keeps pixels as squares
 * when it grows.  Any thread.  Returns a texture (transfer full). */
GdkTexture *zis_image_to_texture (ZieImage *image, const graphene_rect_t *src, int width, int height, gboolean smooth);

G_END_DECLS
