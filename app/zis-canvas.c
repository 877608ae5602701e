/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-canvas"

#include "zis-canvas.h"

#include <math.h>

#include "zis-compat.h"
#include "zis-paintable.h"

#define MARGIN 24
#define ZOOM_STEP 1.25
#define ZOOM_MIN 0.05
#define ZOOM_MAX 32.0
#define PAN_STEP 48
#define DIVIDER_REACH 16

typedef enum
{
  DRAG_NOTHING,              /* then the picture itself may be dragged out */
  DRAG_PICTURE,
  DRAG_DIVIDER,
} Drag;

struct _ZisCanvas
{
  GtkWidget parent_instance;

  ZisPaintable *picture;     /* owned or NULL */
  ZisPaintable *previous;    /* owned or NULL */
  double zoom;               /* screen pixels a picture pixel; 0 = fit */
  double center_x, center_y; /* in picture pixels: what is in the middle of the widget */
  gboolean compare;
  double divider;            /* 0 to 1 of the picture's width */

  double pointer_x, pointer_y;
  double drag_x, drag_y;     /* center at the beginning of a drag */
  double pinch_zoom;
  Drag drag;
};

enum
{
  PROP_0,
  PROP_ZOOM,
  PROP_COMPARE,
  PROP_HAS_PICTURE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (ZisCanvas, zis_canvas, GTK_TYPE_WIDGET)

/* --- geometry ----------------------------------------------------------------------------------------------- */

static double
get_fit_zoom (ZisCanvas *self)
{
  int factor = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  int width = gtk_widget_get_width (GTK_WIDGET (self)), height = gtk_widget_get_height (GTK_WIDGET (self));
  int margin = MIN (width, height) < 420 ? MARGIN / 2 : MARGIN;
  double room_x = MAX (1, width - 2 * margin) * factor;
  double room_y = MAX (1, height - 2 * margin) * factor;

  return MIN (room_x / zis_paintable_get_width (self->picture), room_y / zis_paintable_get_height (self->picture));
}

static double
get_effective_zoom (ZisCanvas *self)
{
  return self->zoom > 0 ? self->zoom : get_fit_zoom (self);
}

/* Where one axis of the picture begins, and how long it is, in the widget's units. */
static void
place_axis (int room, int pixels, double scale, double center, double *at, double *length)
{
  *length = pixels * scale;
  if (*length <= room)
    *at = floor ((room - *length) / 2);
  else
    *at = CLAMP (room / 2.0 - center * scale, room - *length, 0);
}

/* Where the picture is.  Fitted, it covers whole pixels of the screen, so that its texture is drawn 1:1. */
static void
get_picture_rect (ZisCanvas *self, graphene_rect_t *rect)
{
  int factor = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  double scale = get_effective_zoom (self) / factor;
  double x, y, width, height;

  place_axis (gtk_widget_get_width (GTK_WIDGET (self)), zis_paintable_get_width (self->picture), scale, self->center_x, &x, &width);
  place_axis (gtk_widget_get_height (GTK_WIDGET (self)), zis_paintable_get_height (self->picture), scale, self->center_y, &y, &height);
  if (self->zoom <= 0)
    {
      width = MAX (1, floor (width * factor)) / factor;
      height = MAX (1, floor (height * factor)) / factor;
    }
  graphene_rect_init (rect, (float) x, (float) y, (float) width, (float) height);
}

static void
update_view_of (ZisCanvas *self, ZisPaintable *paintable, const graphene_rect_t *rect)
{
  int factor = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  int width = MAX (1, (int) lround ((double) rect->size.width * factor));
  int height = MAX (1, (int) lround ((double) rect->size.height * factor));
  double scale_x = rect->size.width / (double) zis_paintable_get_width (paintable);
  double scale_y = rect->size.height / (double) zis_paintable_get_height (paintable);
  graphene_rect_t widget, shown;

  graphene_rect_init (&widget, 0, 0, (float) gtk_widget_get_width (GTK_WIDGET (self)),
                      (float) gtk_widget_get_height (GTK_WIDGET (self)));
  if (graphene_rect_contains_rect (&widget, rect) || !graphene_rect_intersection (&widget, rect, &shown))
    {
      zis_paintable_set_view (paintable, width, height, NULL);
      return;
    }

  /* Whole pixels of the picture, so that the part lies exactly where the whole would. */
  double x0 = floor ((double) (shown.origin.x - rect->origin.x) / scale_x);
  double y0 = floor ((double) (shown.origin.y - rect->origin.y) / scale_y);
  double x1 = ceil ((double) (shown.origin.x + shown.size.width - rect->origin.x) / scale_x);
  double y1 = ceil ((double) (shown.origin.y + shown.size.height - rect->origin.y) / scale_y);

  x1 = MIN (x1, zis_paintable_get_width (paintable));
  y1 = MIN (y1, zis_paintable_get_height (paintable));
  shown = GRAPHENE_RECT_INIT ((float) x0, (float) y0, (float) (x1 - x0), (float) (y1 - y0));
  zis_paintable_set_view (paintable, width, height, &shown);
}

static void
update_view (ZisCanvas *self)
{
  graphene_rect_t rect;

  gtk_widget_queue_draw (GTK_WIDGET (self));
  if (!self->picture || gtk_widget_get_width (GTK_WIDGET (self)) <= 0)
    return;

  get_picture_rect (self, &rect);
  update_view_of (self, self->picture, &rect);
  if (self->previous && self->compare)
    update_view_of (self, self->previous, &rect);
}

static void
set_center (ZisCanvas *self, double x, double y)
{
  double half_x = gtk_widget_get_width (GTK_WIDGET (self)) * gtk_widget_get_scale_factor (GTK_WIDGET (self)) / get_effective_zoom (self) / 2;
  double half_y = gtk_widget_get_height (GTK_WIDGET (self)) * gtk_widget_get_scale_factor (GTK_WIDGET (self)) / get_effective_zoom (self) / 2;
  double width = zis_paintable_get_width (self->picture), height = zis_paintable_get_height (self->picture);

  self->center_x = half_x * 2 >= width ? width / 2 : CLAMP (x, half_x, width - half_x);
  self->center_y = half_y * 2 >= height ? height / 2 : CLAMP (y, half_y, height - half_y);
  update_view (self);
}

/* Changes the zoom so that what is under (X, Y) stays there. */
static void
zoom_at (ZisCanvas *self, double zoom, double x, double y)
{
  int factor = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  graphene_rect_t rect;
  double old_scale, new_scale, at_x, at_y, fit, old_zoom;

  if (!self->picture)
    return;

  get_picture_rect (self, &rect);
  fit = get_fit_zoom (self);
  old_zoom = get_effective_zoom (self);
  old_scale = get_effective_zoom (self) / factor;
  at_x = (x - (double) rect.origin.x) / old_scale;
  at_y = (y - (double) rect.origin.y) / old_scale;

  self->zoom = CLAMP (zoom, ZOOM_MIN, ZOOM_MAX);
  /* The way out stops at "fit", and ends there or, for a picture smaller than the window, at 100 %. */
  if (self->zoom < old_zoom && self->zoom != 1)
    {
      if (old_zoom > fit * 1.001 && self->zoom <= fit)
        self->zoom = 0;
      else if (self->zoom < MIN (fit, 1))
        self->zoom = fit <= 1 ? 0 : 1;
    }

  new_scale = get_effective_zoom (self) / factor;
  set_center (self, at_x + (gtk_widget_get_width (GTK_WIDGET (self)) / 2.0 - x) / new_scale,
              at_y + (gtk_widget_get_height (GTK_WIDGET (self)) / 2.0 - y) / new_scale);
  gtk_widget_set_cursor_from_name (GTK_WIDGET (self), zis_canvas_can_pan (self) ? "grab" : NULL);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ZOOM]);
}

/* --- drawing ------------------------------------------------------------------------------------------------ */

static void
draw_paintable (ZisCanvas *self, ZisPaintable *paintable, GtkSnapshot *snapshot, const graphene_rect_t *rect)
{
  GskRenderer *renderer = gtk_native_get_renderer (gtk_widget_get_native (GTK_WIDGET (self)));

  gtk_snapshot_save (snapshot);
  gtk_snapshot_translate (snapshot, &rect->origin);
  zis_paintable_draw (paintable, snapshot, (double) rect->size.width, (double) rect->size.height, GSK_IS_CAIRO_RENDERER (renderer));
  gtk_snapshot_restore (snapshot);
}

static void
draw_divider (ZisCanvas *self, GtkSnapshot *snapshot, const graphene_rect_t *rect, double x)
{
  const GdkRGBA white = { 1, 1, 1, 0.95f }, black = { 0, 0, 0, 0.35f };
  float at = (float) round (x), middle = rect->origin.y + rect->size.height / 2;
  GskRoundedRect knob;

  gtk_snapshot_append_color (snapshot, &black, &GRAPHENE_RECT_INIT (at - 2, rect->origin.y, 4, rect->size.height));
  gtk_snapshot_append_color (snapshot, &white, &GRAPHENE_RECT_INIT (at - 1, rect->origin.y, 2, rect->size.height));
  gsk_rounded_rect_init_from_rect (&knob, &GRAPHENE_RECT_INIT (at - 5, middle - 18, 10, 36), 5);
  gtk_snapshot_push_rounded_clip (snapshot, &knob);
  gtk_snapshot_append_color (snapshot, &white, &knob.bounds);
  gtk_snapshot_pop (snapshot);
}

static void
zis_canvas_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  ZisCanvas *self = ZIS_CANVAS (widget);
  graphene_rect_t rect;
  GskRoundedRect outline;
  GdkRGBA color;

  if (!self->picture)
    return;

  get_picture_rect (self, &rect);
  zis_compat_get_color (widget, &color);

  if (zis_paintable_is_empty (self->picture))
    {
      color.alpha *= 0.07f;
      gtk_snapshot_append_color (snapshot, &color, &rect);
    }
  draw_paintable (self, self->picture, snapshot, &rect);

  if (self->compare && self->previous)
    {
      double x = (double) rect.origin.x + self->divider * (double) rect.size.width;
      graphene_rect_t left;

      graphene_rect_init (&left, rect.origin.x, rect.origin.y, (float) x - rect.origin.x, rect.size.height);
      gtk_snapshot_push_clip (snapshot, &left);
      draw_paintable (self, self->previous, snapshot, &rect);
      gtk_snapshot_pop (snapshot);
      draw_divider (self, snapshot, &rect, x);
    }

  zis_compat_get_color (widget, &color);
  color.alpha *= 0.12f;
  gsk_rounded_rect_init_from_rect (&outline, &rect, 0);
  gtk_snapshot_append_border (snapshot, &outline, (float[4]) { 1, 1, 1, 1 }, (GdkRGBA[4]) { color, color, color, color });
}

static void
zis_canvas_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                    int *minimum_baseline, int *natural_baseline)
{
  *minimum = 160;
  *natural = 480;
}

static void
zis_canvas_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  update_view (ZIS_CANVAS (widget));
}

/* --- hands -------------------------------------------------------------------------------------------------- */

static void
on_motion (GtkEventControllerMotion *controller, double x, double y, gpointer user_data)
{
  ZisCanvas *self = user_data;

  self->pointer_x = x;
  self->pointer_y = y;
}

static gboolean
on_scroll (GtkEventControllerScroll *controller, double dx, double dy, gpointer user_data)
{
  ZisCanvas *self = user_data;
  GdkModifierType state = gtk_event_controller_get_current_event_state (GTK_EVENT_CONTROLLER (controller));
  gboolean is_touchpad = gtk_event_controller_scroll_get_unit (controller) == GDK_SCROLL_UNIT_SURFACE;

  if (!self->picture)
    return GDK_EVENT_PROPAGATE;

  if (is_touchpad && !(state & GDK_CONTROL_MASK))
    {
      double scale = get_effective_zoom (self) / gtk_widget_get_scale_factor (GTK_WIDGET (self));

      set_center (self, self->center_x + dx / scale, self->center_y + dy / scale);
    }
  else
    zoom_at (self, get_effective_zoom (self) * pow (ZOOM_STEP, is_touchpad ? -dy / 30 : -dy), self->pointer_x,
             self->pointer_y);

  return GDK_EVENT_STOP;
}

static gboolean
is_near_divider (ZisCanvas *self, double x)
{
  graphene_rect_t rect;

  if (!self->compare || !self->previous || !self->picture)
    return FALSE;

  get_picture_rect (self, &rect);
  return fabs (x - (double) rect.origin.x - self->divider * (double) rect.size.width) <= DIVIDER_REACH;
}

static void
on_drag_begin (GtkGestureDrag *gesture, double x, double y, gpointer user_data)
{
  ZisCanvas *self = user_data;

  gtk_widget_grab_focus (GTK_WIDGET (self));
  self->drag = is_near_divider (self, x) ? DRAG_DIVIDER : zis_canvas_can_pan (self) ? DRAG_PICTURE : DRAG_NOTHING;
  self->drag_x = self->center_x;
  self->drag_y = self->center_y;

  /* The pinch has the same state: to deny this finger would be to deny it that, too. */
  if (self->drag != DRAG_NOTHING)
    gtk_gesture_set_state (GTK_GESTURE (gesture), GTK_EVENT_SEQUENCE_CLAIMED);
}

static void
set_divider (ZisCanvas *self, double divider)
{
  self->divider = CLAMP (divider, 0, 1);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
on_drag_update (GtkGestureDrag *gesture, double dx, double dy, gpointer user_data)
{
  ZisCanvas *self = user_data;
  graphene_rect_t rect;
  double x, y, scale;

  if (self->drag == DRAG_NOTHING || !self->picture)
    return;

  if (self->drag == DRAG_DIVIDER)
    {
      get_picture_rect (self, &rect);
      gtk_gesture_drag_get_start_point (gesture, &x, &y);
      set_divider (self, (x + dx - (double) rect.origin.x) / (double) rect.size.width);
    }
  else
    {
      scale = get_effective_zoom (self) / gtk_widget_get_scale_factor (GTK_WIDGET (self));
      set_center (self, self->drag_x - dx / scale, self->drag_y - dy / scale);
    }
}

static void
on_pinch_begin (GtkGesture *gesture, GdkEventSequence *sequence, gpointer user_data)
{
  ZisCanvas *self = user_data;

  self->pinch_zoom = self->picture ? get_effective_zoom (self) : 0;
  gtk_gesture_set_state (gesture, GTK_EVENT_SEQUENCE_CLAIMED);    /* two fingers drag nothing out */
}

static void
on_pinch (GtkGestureZoom *gesture, double scale, gpointer user_data)
{
  ZisCanvas *self = user_data;
  double x, y;

  if (self->pinch_zoom > 0 && gtk_gesture_get_bounding_box_center (GTK_GESTURE (gesture), &x, &y))
    zoom_at (self, self->pinch_zoom * scale, x, y);
}

static void
on_pressed (GtkGestureClick *gesture, int n_press, double x, double y, gpointer user_data)
{
  ZisCanvas *self = user_data;

  if (n_press == 2 && self->picture)
    {
      if (self->zoom > 0)
        zis_canvas_set_zoom (self, 0);
      else
        zoom_at (self, MAX (1, get_fit_zoom (self) * 2), x, y);
    }
}

static gboolean
pan_by_key (GtkWidget *widget, GVariant *args, gpointer unused)
{
  ZisCanvas *self = ZIS_CANVAS (widget);
  int dx, dy;

  g_variant_get (args, "(ii)", &dx, &dy);
  if (zis_canvas_can_pan (self))
    {
      double scale = get_effective_zoom (self) / gtk_widget_get_scale_factor (widget);

      set_center (self, self->center_x + dx * PAN_STEP / scale, self->center_y + dy * PAN_STEP / scale);
      return GDK_EVENT_STOP;
    }
  if (self->compare && self->previous && dx != 0)
    {
      set_divider (self, self->divider + dx * 0.05);
      return GDK_EVENT_STOP;
    }

  return GDK_EVENT_PROPAGATE;
}

static void
on_zoom_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisCanvas *self = ZIS_CANVAS (widget);

  if (g_str_equal (name, "canvas.zoom-in"))
    zis_canvas_zoom_by (self, ZOOM_STEP);
  else if (g_str_equal (name, "canvas.zoom-out"))
    zis_canvas_zoom_by (self, 1 / ZOOM_STEP);
  else
    zis_canvas_set_zoom (self, g_str_equal (name, "canvas.original") ? 1 : 0);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_canvas_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  ZisCanvas *self = ZIS_CANVAS (object);

  switch (prop_id)
    {
    case PROP_ZOOM: g_value_set_double (value, self->zoom); break;
    case PROP_COMPARE: g_value_set_boolean (value, self->compare); break;
    case PROP_HAS_PICTURE: g_value_set_boolean (value, self->picture != NULL); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_canvas_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  ZisCanvas *self = ZIS_CANVAS (object);

  switch (prop_id)
    {
    case PROP_ZOOM: zis_canvas_set_zoom (self, g_value_get_double (value)); break;
    case PROP_COMPARE: zis_canvas_set_compare (self, g_value_get_boolean (value)); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
follow (ZisCanvas *self, ZisPaintable **field, ZisPaintable *paintable)
{
  if (*field)
    g_signal_handlers_disconnect_by_data (*field, self);
  g_set_object (field, paintable);
  if (paintable)
    g_signal_connect_object (paintable, "invalidate-contents", G_CALLBACK (gtk_widget_queue_draw), self, G_CONNECT_SWAPPED);
}

static void
zis_canvas_dispose (GObject *object)
{
  ZisCanvas *self = ZIS_CANVAS (object);

  follow (self, &self->picture, NULL);
  follow (self, &self->previous, NULL);

  G_OBJECT_CLASS (zis_canvas_parent_class)->dispose (object);
}

static void
add_pan_keys (GtkWidgetClass *class, guint key, guint keypad_key, int dx, int dy)
{
  gtk_widget_class_add_binding (class, key, 0, pan_by_key, "(ii)", dx, dy);
  gtk_widget_class_add_binding (class, keypad_key, 0, pan_by_key, "(ii)", dx, dy);
}

static void
zis_canvas_class_init (ZisCanvasClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  const GParamFlags flags = G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = zis_canvas_get_property;
  object_class->set_property = zis_canvas_set_property;
  object_class->dispose = zis_canvas_dispose;
  widget_class->snapshot = zis_canvas_snapshot;
  widget_class->measure = zis_canvas_measure;
  widget_class->size_allocate = zis_canvas_size_allocate;

  properties[PROP_ZOOM] = g_param_spec_double ("zoom", NULL, NULL, 0, ZOOM_MAX, 0, flags | G_PARAM_READWRITE);
  properties[PROP_COMPARE] = g_param_spec_boolean ("compare", NULL, NULL, FALSE, flags | G_PARAM_READWRITE);
  properties[PROP_HAS_PICTURE] = g_param_spec_boolean ("has-picture", NULL, NULL, FALSE, flags | G_PARAM_READABLE);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  gtk_widget_class_set_css_name (widget_class, "canvas");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
  gtk_widget_class_install_action (widget_class, "canvas.zoom-in", NULL, on_zoom_action);
  gtk_widget_class_install_action (widget_class, "canvas.zoom-out", NULL, on_zoom_action);
  gtk_widget_class_install_action (widget_class, "canvas.fit", NULL, on_zoom_action);
  gtk_widget_class_install_action (widget_class, "canvas.original", NULL, on_zoom_action);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_plus, 0, "canvas.zoom-in", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_equal, 0, "canvas.zoom-in", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_minus, 0, "canvas.zoom-out", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_0, 0, "canvas.fit", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_1, 0, "canvas.original", NULL);
  add_pan_keys (widget_class, GDK_KEY_Left, GDK_KEY_KP_Left, -1, 0);
  add_pan_keys (widget_class, GDK_KEY_Right, GDK_KEY_KP_Right, 1, 0);
  add_pan_keys (widget_class, GDK_KEY_Up, GDK_KEY_KP_Up, 0, -1);
  add_pan_keys (widget_class, GDK_KEY_Down, GDK_KEY_KP_Down, 0, 1);
}

static void
zis_canvas_init (ZisCanvas *self)
{
  GtkWidget *widget = GTK_WIDGET (self);
  GtkEventController *controller;
  GtkGesture *gesture, *drag;

  self->divider = 0.5;
  gtk_widget_set_focusable (widget, TRUE);
  gtk_widget_set_overflow (widget, GTK_OVERFLOW_HIDDEN);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Picture"), -1);

  controller = gtk_event_controller_motion_new ();
  g_signal_connect (controller, "motion", G_CALLBACK (on_motion), self);
  gtk_widget_add_controller (widget, controller);

  controller = gtk_event_controller_scroll_new (GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);
  g_signal_connect (controller, "scroll", G_CALLBACK (on_scroll), self);
  gtk_widget_add_controller (widget, controller);

  drag = gtk_gesture_drag_new ();
  g_signal_connect (drag, "drag-begin", G_CALLBACK (on_drag_begin), self);
  g_signal_connect (drag, "drag-update", G_CALLBACK (on_drag_update), self);
  gtk_widget_add_controller (widget, GTK_EVENT_CONTROLLER (drag));

  gesture = gtk_gesture_zoom_new ();
  g_signal_connect (gesture, "begin", G_CALLBACK (on_pinch_begin), self);
  g_signal_connect (gesture, "scale-changed", G_CALLBACK (on_pinch), self);
  gtk_widget_add_controller (widget, GTK_EVENT_CONTROLLER (gesture));
  gtk_gesture_group (gesture, drag);        /* a finger that drags is one of the two that may pinch */

  gesture = gtk_gesture_click_new ();
  g_signal_connect (gesture, "pressed", G_CALLBACK (on_pressed), self);
  gtk_widget_add_controller (widget, GTK_EVENT_CONTROLLER (gesture));

  g_signal_connect (self, "notify::scale-factor", G_CALLBACK (update_view), NULL);
}

GtkWidget *
zis_canvas_new (void)
{
  return g_object_new (ZIS_TYPE_CANVAS, NULL);
}

void
zis_canvas_set_picture (ZisCanvas *self, ZisPaintable *picture, const char *label)
{
  gboolean same_size = picture && self->picture && zis_paintable_get_width (picture) == zis_paintable_get_width (self->picture)
                       && zis_paintable_get_height (picture) == zis_paintable_get_height (self->picture);

  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, label ? label : _("Picture"), -1);
  if (picture == self->picture)
    return;

  follow (self, &self->picture, picture);
  if (!same_size)
    {
      self->zoom = 0;
      gtk_widget_set_cursor (GTK_WIDGET (self), NULL);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ZOOM]);
    }
  update_view (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HAS_PICTURE]);
}

ZisPaintable *
zis_canvas_get_picture (ZisCanvas *self)
{
  return self->picture;
}

void
zis_canvas_set_previous (ZisCanvas *self, ZisPaintable *previous)
{
  if (previous == self->previous)
    return;

  follow (self, &self->previous, previous);
  if (!previous)
    zis_canvas_set_compare (self, FALSE);
  update_view (self);
}

ZisPaintable *
zis_canvas_get_previous (ZisCanvas *self)
{
  return self->previous;
}

double
zis_canvas_get_zoom (ZisCanvas *self)
{
  return self->zoom;
}

void
zis_canvas_set_zoom (ZisCanvas *self, double zoom)
{
  if (!self->picture)
    return;

  if (zoom > 0)
    {
      zoom_at (self, zoom, gtk_widget_get_width (GTK_WIDGET (self)) / 2.0, gtk_widget_get_height (GTK_WIDGET (self)) / 2.0);
      return;
    }

  self->zoom = 0;
  gtk_widget_set_cursor (GTK_WIDGET (self), NULL);
  update_view (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_ZOOM]);
}

void
zis_canvas_zoom_by (ZisCanvas *self, double factor)
{
  if (self->picture)
    zis_canvas_set_zoom (self, get_effective_zoom (self) * factor);
}

gboolean
zis_canvas_can_pan (ZisCanvas *self)
{
  graphene_rect_t rect;

  if (!self->picture || self->zoom <= 0)
    return FALSE;

  get_picture_rect (self, &rect);
  return (double) rect.size.width > gtk_widget_get_width (GTK_WIDGET (self))
         || (double) rect.size.height > gtk_widget_get_height (GTK_WIDGET (self));
}

gboolean
zis_canvas_get_compare (ZisCanvas *self)
{
  return self->compare;
}

void
zis_canvas_set_compare (ZisCanvas *self, gboolean compare)
{
  if (self->compare == compare)
    return;

  self->compare = compare;
  update_view (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_COMPARE]);
}
