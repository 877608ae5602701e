/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_CANVAS (zis_canvas_get_type ())
G_DECLARE_FINAL_TYPE (ZisCanvas, zis_canvas, ZIS, CANVAS, GtkWidget)

/* Shows one picture: fitted or at a zoom, panned, compared with the one before.  Properties "zoom" (screen pixels for
 * each pixel of the picture; 0 = fit), "compare", "has-picture".  Widget actions: canvas.zoom-in, canvas.zoom-out,
 * canvas.fit, canvas.original. */
GtkWidget *zis_canvas_new (void);

/* NULL shows nothing.  LABEL is what a screen reader says.  Zoom and place stay when the size stays. */
void zis_canvas_set_picture (ZisCanvas *self, ZisPaintable *picture, const char *label);
ZisPaintable *zis_canvas_get_picture (ZisCanvas *self);
/* What "compare" shows on the left; NULL = nothing to compare with. */
void zis_canvas_set_previous (ZisCanvas *self, ZisPaintable *previous);
ZisPaintable *zis_canvas_get_previous (ZisCanvas *self);

double zis_canvas_get_zoom (ZisCanvas *self);
void zis_canvas_set_zoom (ZisCanvas *self, double zoom);
void zis_canvas_zoom_by (ZisCanvas *self, double factor);
gboolean zis_canvas_can_pan (ZisCanvas *self);
gboolean zis_canvas_get_compare (ZisCanvas *self);
void zis_canvas_set_compare (ZisCanvas *self, gboolean compare);

G_END_DECLS
