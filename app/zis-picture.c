/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-picture"

#include "zis-picture.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

/* "large" of the thumbnail specification, shared with the file manager. */
#define THUMBNAIL_SIZE 256
/* What is shown: the middle square, sharp on screens of twice the density. */
#define SQUARE_SIZE 144

struct _ZisPicture
{
  GObject parent_instance;

  GFile *file;               /* owned */
  gint64 modified;
  char *title;               /* owned */
  gboolean is_saved;
  ZieImage *image;           /* owned or NULL: only until the file holds it */
  ZieRequest *request;       /* owned or NULL */
  GdkTexture *thumbnail;     /* owned or NULL */
  GCancellable *thumbnailing;   /* owned or NULL */
};

enum
{
  PROP_0,
  PROP_TITLE,
  PROP_THUMBNAIL,
  PROP_IS_SAVED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (ZisPicture, zis_picture, G_TYPE_OBJECT)

static void
request_free (gpointer data)
{
  zie_request_clear (data);
  g_free (data);
}

static void
take_request (ZisPicture *self, ZieRequest *request)
{
  if (!request)
    return;

  g_clear_pointer (&self->request, request_free);
  self->request = request;
  if (request->prompt && *request->prompt)
    {
      g_free (self->title);
      self->title = g_strdup (request->prompt);
      g_strdelimit (self->title, "\n\r\t", ' ');
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_TITLE]);
    }
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_picture_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  ZisPicture *self = ZIS_PICTURE (object);

  switch (prop_id)
    {
    case PROP_TITLE: g_value_set_string (value, self->title); break;
    case PROP_THUMBNAIL: g_value_set_object (value, self->thumbnail); break;
    case PROP_IS_SAVED: g_value_set_boolean (value, self->is_saved); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_picture_dispose (GObject *object)
{
  ZisPicture *self = ZIS_PICTURE (object);

  if (self->thumbnailing)
    g_cancellable_cancel (self->thumbnailing);
  g_clear_object (&self->thumbnailing);
  g_clear_object (&self->thumbnail);
  g_clear_object (&self->file);

  G_OBJECT_CLASS (zis_picture_parent_class)->dispose (object);
}

static void
zis_picture_finalize (GObject *object)
{
  ZisPicture *self = ZIS_PICTURE (object);

  g_free (self->title);
  g_clear_pointer (&self->image, zie_image_unref);
  g_clear_pointer (&self->request, request_free);

  G_OBJECT_CLASS (zis_picture_parent_class)->finalize (object);
}

static void
zis_picture_class_init (ZisPictureClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = zis_picture_get_property;
  object_class->dispose = zis_picture_dispose;
  object_class->finalize = zis_picture_finalize;

  properties[PROP_TITLE] = g_param_spec_string ("title", NULL, NULL, NULL, flags);
  properties[PROP_THUMBNAIL] = g_param_spec_object ("thumbnail", NULL, NULL, GDK_TYPE_TEXTURE, flags);
  properties[PROP_IS_SAVED] = g_param_spec_boolean ("is-saved", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
zis_picture_init (ZisPicture *self)
{
}

ZisPicture *
zis_picture_new_for_file (GFile *file, gint64 modified)
{
  ZisPicture *self = g_object_new (ZIS_TYPE_PICTURE, NULL);
  g_autofree char *name = g_file_get_basename (file);

  self->file = g_object_ref (file);
  self->modified = modified;
  self->is_saved = TRUE;
  self->title = g_filename_display_name (name);

  return self;
}

ZisPicture *
zis_picture_new_for_image (ZieImage *image, const ZieRequest *request, GFile *file)
{
  ZisPicture *self = zis_picture_new_for_file (file, g_get_real_time () / G_USEC_PER_SEC);
  ZieRequest *copy = g_new0 (ZieRequest, 1);

  self->is_saved = FALSE;
  self->image = zie_image_ref (image);
  zie_request_copy (copy, request);
  take_request (self, copy);

  return self;
}

void
zis_picture_set_file (ZisPicture *self, GFile *file)
{
  g_return_if_fail (!self->is_saved);
  g_set_object (&self->file, file);
}

GFile *
zis_picture_get_file (ZisPicture *self)
{
  return self->file;
}

gint64
zis_picture_get_modified (ZisPicture *self)
{
  return self->modified;
}

const char *
zis_picture_get_title (ZisPicture *self)
{
  return self->title;
}

gboolean
zis_picture_is_saved (ZisPicture *self)
{
  return self->is_saved;
}

void
zis_picture_set_saved (ZisPicture *self, gint64 modified)
{
  self->modified = modified;
  self->is_saved = TRUE;
  g_clear_pointer (&self->image, zie_image_unref);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_IS_SAVED]);
}

const ZieRequest *
zis_picture_get_request (ZisPicture *self)
{
  return self->request;
}

/* --- reading ------------------------------------------------------------------------------------------------ */

typedef struct
{
  char *path, *uri;          /* owned */
  gint64 modified;
  ZieImage *image;           /* owned or NULL: then there is nothing to read */
  gboolean want_request;
  ZieRequest *request;       /* owned or NULL: what was read */
} Reading;

static void
reading_free (gpointer data)
{
  Reading *self = data;

  g_free (self->path);
  g_free (self->uri);
  g_clear_pointer (&self->image, zie_image_unref);
  g_clear_pointer (&self->request, request_free);
  g_free (self);
}

static Reading *
reading_new (ZisPicture *self)
{
  Reading *reading = g_new0 (Reading, 1);

  reading->path = g_file_get_path (self->file);
  reading->uri = g_file_get_uri (self->file);
  reading->modified = self->modified;
  reading->image = self->image ? zie_image_ref (self->image) : NULL;
  reading->want_request = !self->request;

  return reading;
}

static void
read_request (Reading *self)
{
  ZieRequest *request;

  if (!self->want_request || !self->path)
    return;

  request = g_new0 (ZieRequest, 1);
  zie_request_init (request);
  if (zie_request_from_png (request, self->path, NULL))
    self->request = request;
  else
    request_free (request);
}

static char *
get_thumbnail_path (const char *uri)
{
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_MD5, uri, -1);
  g_autofree char *name = g_strconcat (hash, ".png", NULL);

  return g_build_filename (g_get_user_cache_dir (), "thumbnails", "large", name, NULL);
}

static GdkPixbuf *
read_cached (Reading *self)
{
  g_autofree char *path = get_thumbnail_path (self->uri);
  g_autoptr(GdkPixbuf) pixbuf = gdk_pixbuf_new_from_file (path, NULL);
  const char *modified = pixbuf ? gdk_pixbuf_get_option (pixbuf, "tEXt::Thumb::MTime") : NULL;

  if (!modified || g_ascii_strtoll (modified, NULL, 10) != self->modified)
    return NULL;

  return g_steal_pointer (&pixbuf);
}

/* A cache: what cannot be written there is made again next time. */
static void
write_cached (Reading *self, GdkPixbuf *pixbuf)
{
  g_autofree char *path = get_thumbnail_path (self->uri);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *part = g_strdup_printf ("%s.%u.part", path, g_random_int ());
  g_autofree char *modified = g_strdup_printf ("%" G_GINT64_FORMAT, self->modified);

  g_mkdir_with_parents (folder, 0700);
  if (gdk_pixbuf_save (pixbuf, part, "png", NULL, "tEXt::Thumb::URI", self->uri, "tEXt::Thumb::MTime", modified,
                       "tEXt::Software", "Z-Image Studio", NULL))
    {
      g_chmod (part, 0600);
      if (g_rename (part, path) == 0)
        return;
    }
  g_unlink (part);
}

static GdkPixbuf *
scale_down (GdkPixbuf *whole)
{
  int width = gdk_pixbuf_get_width (whole), height = gdk_pixbuf_get_height (whole);
  double scale = MIN (1, THUMBNAIL_SIZE / (double) MAX (width, height));

  return gdk_pixbuf_scale_simple (whole, MAX (1, (int) (width * scale)), MAX (1, (int) (height * scale)), GDK_INTERP_BILINEAR);
}

static GdkTexture *
crop_to_square (GdkPixbuf *pixbuf)
{
  int width = gdk_pixbuf_get_width (pixbuf), height = gdk_pixbuf_get_height (pixbuf), side = MIN (width, height);
  g_autoptr(GdkPixbuf) middle = gdk_pixbuf_new_subpixbuf (pixbuf, (width - side) / 2, (height - side) / 2, side, side);
  g_autoptr(GdkPixbuf) square = gdk_pixbuf_scale_simple (middle, SQUARE_SIZE, SQUARE_SIZE, GDK_INTERP_BILINEAR);

  return gdk_texture_new_for_pixbuf (square);
}

static void
thumbnail_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Reading *self = data;
  g_autoptr(GdkPixbuf) whole = NULL, small = NULL;
  GError *error = NULL;

  if (g_task_return_error_if_cancelled (task))
    return;

  if (self->image)
    {
      whole = gdk_pixbuf_new_from_bytes (zie_image_get_pixels (self->image), GDK_COLORSPACE_RGB, FALSE, 8,
                                         zie_image_get_width (self->image), zie_image_get_height (self->image),
                                         (int) zie_image_get_stride (self->image));
      small = scale_down (whole);
    }
  else if (!(small = read_cached (self)))
    {
      if (!(whole = gdk_pixbuf_new_from_file (self->path, &error)))
        {
          g_task_return_error (task, error);
          return;
        }
      small = scale_down (whole);
      write_cached (self, small);
    }

  read_request (self);
  g_task_return_pointer (task, crop_to_square (small), g_object_unref);
}

static void
on_thumbnail (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisPicture *self = ZIS_PICTURE (object);
  Reading *reading = g_task_get_task_data (G_TASK (result));
  g_autoptr(GdkTexture) texture = g_task_propagate_pointer (G_TASK (result), NULL);

  if (g_task_get_cancellable (G_TASK (result)) != self->thumbnailing)
    return;

  g_clear_object (&self->thumbnailing);
  take_request (self, g_steal_pointer (&reading->request));
  if (texture)
    {
      g_set_object (&self->thumbnail, texture);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_THUMBNAIL]);
    }
}

void
zis_picture_want_thumbnail (ZisPicture *self)
{
  g_autoptr(GTask) task = NULL;

  if (self->thumbnail || self->thumbnailing)
    return;

  self->thumbnailing = g_cancellable_new ();
  task = g_task_new (self, self->thumbnailing, on_thumbnail, NULL);
  g_task_set_source_tag (task, zis_picture_want_thumbnail);
  g_task_set_priority (task, G_PRIORITY_LOW);
  g_task_set_task_data (task, reading_new (self), reading_free);
  g_task_run_in_thread (task, thumbnail_thread);
}

void
zis_picture_drop_thumbnail (ZisPicture *self)
{
  if (self->thumbnailing)
    g_cancellable_cancel (self->thumbnailing);
  g_clear_object (&self->thumbnailing);
  if (self->thumbnail)
    {
      g_clear_object (&self->thumbnail);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_THUMBNAIL]);
    }
}

/* What is not on this computer (a camera, a server, dropped by a browser) is fetched into a file of our own. */
static char *
fetch (const char *uri, GCancellable *cancellable, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_uri (uri), copy = NULL;
  g_autoptr(GFileIOStream) stream = NULL;

  copy = g_file_new_tmp ("zimage-studio-XXXXXX.png", &stream, error);
  if (!copy)
    return NULL;
  if (!g_file_copy (file, copy, G_FILE_COPY_OVERWRITE, cancellable, NULL, NULL, error))
    {
      g_file_delete (copy, NULL, NULL);
      g_prefix_error (error, "%s: ", uri);
      return NULL;
    }

  return g_file_get_path (copy);
}

static void
load_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Reading *self = data;
  GError *error = NULL;
  gboolean is_fetched = !self->image && !self->path;
  ZieImage *image = NULL;

  if (is_fetched)
    self->path = fetch (self->uri, cancellable, &error);
  if (self->image)
    image = zie_image_ref (self->image);
  else if (self->path)
    image = zie_image_load_png (self->path, &error);
  if (image)
    read_request (self);
  if (is_fetched && self->path)
    g_unlink (self->path);

  if (!image)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_return_pointer (task, image, (GDestroyNotify) zie_image_unref);
}

void
zis_picture_load_async (ZisPicture *self, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, zis_picture_load_async);
  g_task_set_task_data (task, reading_new (self), reading_free);
  g_task_run_in_thread (task, load_thread);
}

ZieImage *
zis_picture_load_finish (ZisPicture *self, GAsyncResult *result, GError **error)
{
  Reading *reading = g_task_get_task_data (G_TASK (result));
  ZieImage *image = g_task_propagate_pointer (G_TASK (result), error);

  take_request (self, g_steal_pointer (&reading->request));

  return image;
}
