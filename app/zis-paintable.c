/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-paintable"

#include "zis-paintable.h"

#include <math.h>
#include <string.h>

/* Enlarged more than this, a person looks for single pixels. */
#define SMOOTH_UP_TO 4.0

typedef enum
{
  OP_PREVIEW,
  OP_BAND,
  OP_IMAGE,
  OP_VIEW,
} OpKind;

typedef struct
{
  OpKind kind;
  ZieImage *image;           /* owned; not of OP_VIEW */
  int x, y;                  /* of a band */
  int width, height;         /* of a view */
  graphene_rect_t visible;   /* of a view; empty = all */
} Op;

/* What the worker keeps for one paintable.  Only the worker touches it besides `ops` and the reference count. */
typedef struct
{
  GAsyncQueue *ops;          /* owned, of Op */
  int scheduled;             /* atomic: a run of the worker is on its way */
  int in_flight;             /* atomic: runs whose result has not arrived */
  GWeakRef owner;            /* the ZisPaintable */
  GMainContext *context;     /* owned: where its textures go */

  int width, height;         /* of the picture */
  ZieImage *preview;         /* owned or NULL */
  ZieImage *image;           /* owned or NULL: the finished picture */
  guint8 *composite;         /* owned or NULL: preview with bands over it, width × height × 3 */
  int view_width, view_height;
  graphene_rect_t visible;
} Render;

typedef struct
{
  Render *render;            /* owned (an rc box) */
  GdkTexture *base;          /* owned or NULL */
  GdkTexture *detail;        /* owned or NULL */
  graphene_rect_t detail_rect;
} Result;

struct _ZisPaintable
{
  GObject parent_instance;

  int width, height;
  Render *render;            /* owned (an rc box) */
  GdkTexture *base;          /* owned or NULL: the whole picture at the view's size */
  GdkTexture *detail;        /* owned or NULL: the visible part when enlarged */
  graphene_rect_t detail_rect;   /* in picture pixels */
  ZieImage *image;           /* owned or NULL */
  gboolean has_content;
  int view_width, view_height;
  graphene_rect_t visible;
};

enum
{
  PROP_0,
  PROP_IS_COMPLETE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void zis_paintable_paintable_init (GdkPaintableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ZisPaintable, zis_paintable, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (GDK_TYPE_PAINTABLE, zis_paintable_paintable_init))

/* --- the worker --------------------------------------------------------------------------------------------- */

static void
op_free (gpointer data)
{
  Op *op = data;

  g_clear_pointer (&op->image, zie_image_unref);
  g_free (op);
}

static void
render_clear (gpointer data)
{
  Render *self = data;

  g_async_queue_unref (self->ops);
  g_weak_ref_clear (&self->owner);
  g_main_context_unref (self->context);
  g_clear_pointer (&self->preview, zie_image_unref);
  g_clear_pointer (&self->image, zie_image_unref);
  g_free (self->composite);
}

static void
render_unref (Render *self)
{
  g_atomic_rc_box_release_full (self, render_clear);
}

static void
result_free (gpointer data)
{
  Result *self = data;

  g_atomic_int_add (&self->render->in_flight, -1);
  render_unref (self->render);
  g_clear_object (&self->base);
  g_clear_object (&self->detail);
  g_free (self);
}

static const char surface_key[] = "zis-surface";

/* The same pixels for cairo: its renderer copies a texture whenever anything in the window is drawn, be it a cursor that
 * blinks far away. */
static void
attach_surface (GdkTexture *texture, GBytes *bytes, int width, int height)
{
  static const cairo_user_data_key_t key;
  /* Never written to. */
  cairo_surface_t *surface = cairo_image_surface_create_for_data ((guchar *) g_bytes_get_data (bytes, NULL), CAIRO_FORMAT_RGB24,
                                                                  width, height, width * 4);

  cairo_surface_set_user_data (surface, &key, g_bytes_ref (bytes), (cairo_destroy_func_t) g_bytes_unref);
  g_object_set_data_full (G_OBJECT (texture), surface_key, surface, (GDestroyNotify) cairo_surface_destroy);
}

/* RGB rows to the format that neither a texture nor cairo has to convert. */
static GdkTexture *
pixbuf_to_texture (GdkPixbuf *pixbuf)
{
  int width = gdk_pixbuf_get_width (pixbuf), height = gdk_pixbuf_get_height (pixbuf);
  int stride = gdk_pixbuf_get_rowstride (pixbuf);
  const guint8 *src = gdk_pixbuf_read_pixels (pixbuf);
  gsize size = (gsize) width * (gsize) height * 4;
  guint32 *pixels = g_malloc (size);
  g_autoptr(GBytes) bytes = NULL;
  GdkTexture *texture;

  for (int y = 0; y < height; y++)
    {
      const guint8 *row = src + (gsize) y * (gsize) stride;
      guint32 *out = pixels + (gsize) y * (gsize) width;

      for (int x = 0; x < width; x++)
        out[x] = 0xff000000u | (guint32) row[3 * x] << 16 | (guint32) row[3 * x + 1] << 8 | row[3 * x + 2];
    }

  bytes = g_bytes_new_take (pixels, size);
  texture = gdk_memory_texture_new (width, height, GDK_MEMORY_DEFAULT, bytes, (gsize) width * 4);
  attach_surface (texture, bytes, width, height);

  return texture;
}

static GdkTexture *
scale_to_texture (GBytes *bytes, int width, int height, gsize stride, const graphene_rect_t *src,
                  int dest_width, int dest_height, gboolean smooth)
{
  g_autoptr(GdkPixbuf) whole = gdk_pixbuf_new_from_bytes (bytes, GDK_COLORSPACE_RGB, FALSE, 8, width, height, (int) stride);
  g_autoptr(GdkPixbuf) dest = NULL;
  double scale_x = dest_width / (double) src->size.width, scale_y = dest_height / (double) src->size.height;

  if (dest_width == width && dest_height == height && src->size.width >= (float) width)
    return pixbuf_to_texture (whole);

  dest = gdk_pixbuf_new (GDK_COLORSPACE_RGB, FALSE, 8, dest_width, dest_height);
  if (!dest)
    return NULL;
  gdk_pixbuf_scale (whole, dest, 0, 0, dest_width, dest_height, -(double) src->origin.x * scale_x, -(double) src->origin.y * scale_y,
                    scale_x, scale_y, smooth ? GDK_INTERP_BILINEAR : GDK_INTERP_NEAREST);
  return pixbuf_to_texture (dest);
}

GdkTexture *
zis_image_to_texture (ZieImage *image, const graphene_rect_t *src, int width, int height, gboolean smooth)
{
  graphene_rect_t all;

  graphene_rect_init (&all, 0, 0, (float) zie_image_get_width (image), (float) zie_image_get_height (image));
  return scale_to_texture (zie_image_get_pixels (image), zie_image_get_width (image), zie_image_get_height (image),
                           zie_image_get_stride (image), src ? src : &all, width, height, smooth);
}

/* Bands need something under them: the last preview at full size. */
static void
render_start_composite (Render *self)
{
  gsize stride = (gsize) self->width * 3;

  self->composite = g_malloc (stride * (gsize) self->height);
  if (!self->preview)
    {
      memset (self->composite, 0x80, stride * (gsize) self->height);
      return;
    }

  g_autoptr(GdkPixbuf) src = gdk_pixbuf_new_from_bytes (zie_image_get_pixels (self->preview), GDK_COLORSPACE_RGB, FALSE, 8,
                                                        zie_image_get_width (self->preview),
                                                        zie_image_get_height (self->preview),
                                                        (int) zie_image_get_stride (self->preview));
  g_autoptr(GdkPixbuf) dest = gdk_pixbuf_new_from_data (self->composite, GDK_COLORSPACE_RGB, FALSE, 8, self->width,
                                                        self->height, (int) stride, NULL, NULL);

  gdk_pixbuf_scale (src, dest, 0, 0, self->width, self->height, 0, 0,
                    self->width / (double) gdk_pixbuf_get_width (src), self->height / (double) gdk_pixbuf_get_height (src),
                    GDK_INTERP_BILINEAR);
}

static void
render_add_band (Render *self, const Op *op)
{
  int width = MIN (zie_image_get_width (op->image), self->width - op->x);
  int height = MIN (zie_image_get_height (op->image), self->height - op->y);
  const guint8 *src = g_bytes_get_data (zie_image_get_pixels (op->image), NULL);

  if (self->image || op->x < 0 || op->y < 0 || width <= 0 || height <= 0)
    return;
  if (!self->composite)
    render_start_composite (self);

  for (int y = 0; y < height; y++)
    memcpy (self->composite + ((gsize) (op->y + y) * (gsize) self->width + (gsize) op->x) * 3,
            src + (gsize) y * zie_image_get_stride (op->image), (gsize) width * 3);
}

static void
render_take (Render *self, Op *op)
{
  switch (op->kind)
    {
    case OP_PREVIEW:
      if (!self->composite)
        {
          g_clear_pointer (&self->preview, zie_image_unref);
          self->preview = g_steal_pointer (&op->image);
        }
      break;
    case OP_BAND:
      render_add_band (self, op);
      break;
    case OP_IMAGE:
      g_clear_pointer (&self->image, zie_image_unref);
      self->image = g_steal_pointer (&op->image);
      g_clear_pointer (&self->composite, g_free);
      g_clear_pointer (&self->preview, zie_image_unref);
      break;
    case OP_VIEW:
      self->view_width = op->width;
      self->view_height = op->height;
      self->visible = op->visible;
      break;
    }
}

static GdkTexture *
render_draw (Render *self, const graphene_rect_t *rect, int width, int height)
{
  gboolean is_part = rect == &self->visible;
  gboolean smooth = !self->image || !is_part || width <= SMOOTH_UP_TO * (double) rect->size.width;
  graphene_rect_t src = *rect;

  if (self->image)
    return zis_image_to_texture (self->image, &src, width, height, smooth);

  if (self->composite)
    {
      gsize stride = (gsize) self->width * 3;
      g_autoptr(GBytes) bytes = g_bytes_new_static (self->composite, stride * (gsize) self->height);

      return scale_to_texture (bytes, self->width, self->height, stride, &src, width, height, smooth);
    }

  if (self->preview)
    {
      graphene_rect_scale (rect, (float) zie_image_get_width (self->preview) / (float) self->width,
                           (float) zie_image_get_height (self->preview) / (float) self->height, &src);
      return zis_image_to_texture (self->preview, &src, width, height, TRUE);
    }

  return NULL;
}

static gboolean
deliver (gpointer data)
{
  Result *result = data;
  g_autoptr(ZisPaintable) self = g_weak_ref_get (&result->render->owner);

  if (!self)
    return G_SOURCE_REMOVE;

  if (result->base)
    g_set_object (&self->base, result->base);
  g_set_object (&self->detail, result->detail);
  self->detail_rect = result->detail_rect;
  gdk_paintable_invalidate_contents (GDK_PAINTABLE (self));

  return G_SOURCE_REMOVE;
}

/* Runs on the worker.  Takes everything that waits at once: of ten previews only the newest is ever scaled. */
static void
render_run (gpointer data, gpointer user_data)
{
  Render *self = data;
  Result *result;
  GSource *source;
  Op *op;

  g_atomic_int_set (&self->scheduled, 0);
  while ((op = g_async_queue_try_pop (self->ops)) != NULL)
    {
      render_take (self, op);
      op_free (op);
    }

  if (self->view_width <= 0 || self->view_height <= 0)
    {
      g_atomic_int_add (&self->in_flight, -1);
      render_unref (self);
      return;
    }

  result = g_new0 (Result, 1);
  if (self->visible.size.width > 0)
    {
      double scale = self->view_width / (double) self->width;
      int width = (int) ceil ((double) self->visible.size.width * scale);
      int height = (int) ceil ((double) self->visible.size.height * scale);
      graphene_rect_t all;

      /* Beneath the sharp part lies a small version of the whole, for the moment while one pans. */
      graphene_rect_init (&all, 0, 0, (float) self->width, (float) self->height);
      result->base = render_draw (self, &all, MIN (self->width, 512), MAX (1, MIN (self->width, 512) * self->height / self->width));
      result->detail = render_draw (self, &self->visible, MAX (1, width), MAX (1, height));
      result->detail_rect = self->visible;
    }
  else
    {
      graphene_rect_t all;

      graphene_rect_init (&all, 0, 0, (float) self->width, (float) self->height);
      result->base = render_draw (self, &all, self->view_width, self->view_height);
    }

  result->render = self;     /* with the reference of this run */
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, deliver, result, result_free);
  g_source_attach (source, self->context);
  g_source_unref (source);
}

/* One thread for all: pictures are shown one at a time, and the engine needs the other cores. */
static GThreadPool *
get_pool (void)
{
  static gsize once;

  if (g_once_init_enter (&once))
    g_once_init_leave (&once, (gsize) g_thread_pool_new (render_run, NULL, 1, FALSE, NULL));

  return (GThreadPool *) once;
}

static void
schedule (ZisPaintable *self, Op *op)
{
  g_async_queue_push (self->render->ops, op);
  if (g_atomic_int_compare_and_exchange (&self->render->scheduled, 0, 1))
    {
      g_atomic_int_inc (&self->render->in_flight);
      g_thread_pool_push (get_pool (), g_atomic_rc_box_acquire (self->render), NULL);
    }
}

/* --- the object --------------------------------------------------------------------------------------------- */

static void
draw_texture (GtkSnapshot *snapshot, GdkTexture *texture, const graphene_rect_t *bounds, gboolean by_cairo)
{
  cairo_surface_t *surface = g_object_get_data (G_OBJECT (texture), surface_key);
  cairo_t *cr;

  if (!by_cairo || !surface)
    {
      gtk_snapshot_append_texture (snapshot, texture, bounds);
      return;
    }

  cr = gtk_snapshot_append_cairo (snapshot, bounds);
  cairo_translate (cr, (double) bounds->origin.x, (double) bounds->origin.y);
  cairo_scale (cr, (double) bounds->size.width / gdk_texture_get_width (texture),
               (double) bounds->size.height / gdk_texture_get_height (texture));
  cairo_set_source_surface (cr, surface, 0, 0);
  cairo_pattern_set_extend (cairo_get_source (cr), CAIRO_EXTEND_PAD);
  cairo_rectangle (cr, 0, 0, gdk_texture_get_width (texture), gdk_texture_get_height (texture));
  cairo_fill (cr);
  cairo_destroy (cr);
}

void
zis_paintable_draw (ZisPaintable *self, GtkSnapshot *snapshot, double width, double height, gboolean by_cairo)
{
  graphene_rect_t bounds;

  graphene_rect_init (&bounds, 0, 0, (float) width, (float) height);
  if (self->base)
    draw_texture (snapshot, self->base, &bounds, by_cairo);

  if (self->detail)
    {
      graphene_rect_scale (&self->detail_rect, (float) (width / self->width), (float) (height / self->height), &bounds);
      draw_texture (snapshot, self->detail, &bounds, by_cairo);
    }
}

static void
zis_paintable_snapshot (GdkPaintable *paintable, GdkSnapshot *snapshot, double width, double height)
{
  zis_paintable_draw (ZIS_PAINTABLE (paintable), snapshot, width, height, FALSE);
}

static int
zis_paintable_get_intrinsic_width (GdkPaintable *paintable)
{
  return ZIS_PAINTABLE (paintable)->width;
}

static int
zis_paintable_get_intrinsic_height (GdkPaintable *paintable)
{
  return ZIS_PAINTABLE (paintable)->height;
}

static double
zis_paintable_get_intrinsic_aspect_ratio (GdkPaintable *paintable)
{
  ZisPaintable *self = ZIS_PAINTABLE (paintable);

  return self->width / (double) self->height;
}

static GdkPaintableFlags
zis_paintable_get_flags (GdkPaintable *paintable)
{
  return GDK_PAINTABLE_STATIC_SIZE;
}

static void
zis_paintable_paintable_init (GdkPaintableInterface *iface)
{
  iface->snapshot = zis_paintable_snapshot;
  iface->get_intrinsic_width = zis_paintable_get_intrinsic_width;
  iface->get_intrinsic_height = zis_paintable_get_intrinsic_height;
  iface->get_intrinsic_aspect_ratio = zis_paintable_get_intrinsic_aspect_ratio;
  iface->get_flags = zis_paintable_get_flags;
}

static void
zis_paintable_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_IS_COMPLETE: g_value_set_boolean (value, ZIS_PAINTABLE (object)->image != NULL); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_paintable_finalize (GObject *object)
{
  ZisPaintable *self = ZIS_PAINTABLE (object);

  g_clear_pointer (&self->render, render_unref);
  g_clear_object (&self->base);
  g_clear_object (&self->detail);
  g_clear_pointer (&self->image, zie_image_unref);

  G_OBJECT_CLASS (zis_paintable_parent_class)->finalize (object);
}

static void
zis_paintable_class_init (ZisPaintableClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = zis_paintable_get_property;
  object_class->finalize = zis_paintable_finalize;

  properties[PROP_IS_COMPLETE] = g_param_spec_boolean ("is-complete", NULL, NULL, FALSE,
                                                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
zis_paintable_init (ZisPaintable *self)
{
  self->render = g_atomic_rc_box_new0 (Render);
  self->render->ops = g_async_queue_new_full (op_free);
  self->render->context = g_main_context_ref_thread_default ();
  g_weak_ref_init (&self->render->owner, self);
}

ZisPaintable *
zis_paintable_new (int width, int height)
{
  ZisPaintable *self = g_object_new (ZIS_TYPE_PAINTABLE, NULL);

  self->width = self->render->width = MAX (1, width);
  self->height = self->render->height = MAX (1, height);

  return self;
}

static void
push_image (ZisPaintable *self, OpKind kind, ZieImage *image, int x, int y)
{
  Op *op = g_new0 (Op, 1);

  op->kind = kind;
  op->image = zie_image_ref (image);
  op->x = x;
  op->y = y;
  self->has_content = TRUE;
  schedule (self, op);
}

void
zis_paintable_push_preview (ZisPaintable *self, ZieImage *image)
{
  push_image (self, OP_PREVIEW, image, 0, 0);
}

void
zis_paintable_push_band (ZisPaintable *self, ZieImage *image, int x, int y)
{
  push_image (self, OP_BAND, image, x, y);
}

void
zis_paintable_set_image (ZisPaintable *self, ZieImage *image)
{
  g_clear_pointer (&self->image, zie_image_unref);
  self->image = zie_image_ref (image);
  push_image (self, OP_IMAGE, image, 0, 0);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_IS_COMPLETE]);
}

ZieImage *
zis_paintable_get_image (ZisPaintable *self)
{
  return self->image;
}

gboolean
zis_paintable_is_empty (ZisPaintable *self)
{
  return !self->has_content;
}

int
zis_paintable_get_width (ZisPaintable *self)
{
  return self->width;
}

int
zis_paintable_get_height (ZisPaintable *self)
{
  return self->height;
}

void
zis_paintable_set_view (ZisPaintable *self, int width, int height, const graphene_rect_t *visible)
{
  graphene_rect_t part = visible ? *visible : GRAPHENE_RECT_INIT (0, 0, 0, 0);
  Op *op;

  if (width == self->view_width && height == self->view_height && graphene_rect_equal (&part, &self->visible))
    return;

  self->view_width = width;
  self->view_height = height;
  self->visible = part;

  op = g_new0 (Op, 1);
  op->kind = OP_VIEW;
  op->width = width;
  op->height = height;
  op->visible = part;
  schedule (self, op);
}

void
zis_paintable_flush (ZisPaintable *self)
{
  while (g_atomic_int_get (&self->render->in_flight) > 0)
    g_main_context_iteration (NULL, FALSE);
}
