/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-desktop"

#include "zis-desktop.h"

#include <glib/gstdio.h>

#define ICON_SIZE 128
#define AWAKE_KEY "zis-awake"

gboolean
zis_desktop_is_sandboxed (void)
{
  return g_file_test ("/.flatpak-info", G_FILE_TEST_EXISTS);
}

/* --- staying awake ------------------------------------------------------------------------------------------ */

static void
uninhibit (gpointer cookie)
{
  GApplication *application = g_application_get_default ();

  if (application)
    gtk_application_uninhibit (GTK_APPLICATION (application), GPOINTER_TO_UINT (cookie));
}

void
zis_desktop_keep_awake (GObject *owner, gboolean is_working, const char *reason)
{
  GApplication *application = g_application_get_default ();
  gboolean is_awake = g_object_get_data (owner, AWAKE_KEY) != NULL;
  guint cookie;

  if (is_working == is_awake)
    return;
  if (!is_working)
    {
      g_object_set_data (owner, AWAKE_KEY, NULL);
      return;
    }

  if (!application)
    return;                  /* in tests of single widgets */
  cookie = gtk_application_inhibit (GTK_APPLICATION (application), GTK_IS_WINDOW (owner) ? GTK_WINDOW (owner) : NULL,
                                    GTK_APPLICATION_INHIBIT_SUSPEND, reason);
  if (cookie != 0)           /* 0: this desktop knows nothing of it */
    g_object_set_data_full (owner, AWAKE_KEY, GUINT_TO_POINTER (cookie), uninhibit);
}

/* --- notifications ------------------------------------------------------------------------------------------ */

typedef struct
{
  char *id;                        /* owned */
  GNotification *notification;     /* owned */
} Notice;

static void
notice_free (Notice *self)
{
  g_free (self->id);
  g_object_unref (self->notification);
  g_free (self);
}

static void
send_notice (Notice *self)
{
  GApplication *application = g_application_get_default ();

  g_application_send_notification (application, self->id, self->notification);
  g_application_release (application);
  notice_free (self);
}

/* A portal takes an icon's bytes and no files, a notification service of the old kind a file and no bytes. */
static GIcon *
icon_for_png (GBytes *png)
{
  g_autofree char *folder = NULL, *path = NULL;
  g_autoptr(GFile) file = NULL;

  if (zis_desktop_is_sandboxed ())
    return g_bytes_icon_new (png);

  folder = g_build_filename (g_get_user_cache_dir (), "zimage-studio", NULL);
  path = g_build_filename (folder, "notification.png", NULL);
  g_mkdir_with_parents (folder, 0700);
  if (!g_file_set_contents_full (path, g_bytes_get_data (png, NULL), (gssize) g_bytes_get_size (png), G_FILE_SET_CONTENTS_CONSISTENT,
                                 0600, NULL))
    return g_bytes_icon_new (png);
  file = g_file_new_for_path (path);
  return g_file_icon_new (file);
}

static void
make_icon_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  ZieImage *image = data;
  int width = zie_image_get_width (image), height = zie_image_get_height (image);
  double scale = MIN (1, ICON_SIZE / (double) MAX (width, height));
  g_autoptr(GdkPixbuf) whole = gdk_pixbuf_new_from_bytes (zie_image_get_pixels (image), GDK_COLORSPACE_RGB, FALSE, 8, width, height,
                                                          (int) zie_image_get_stride (image));
  g_autoptr(GdkPixbuf) small = gdk_pixbuf_scale_simple (whole, MAX (1, (int) (width * scale)), MAX (1, (int) (height * scale)),
                                                        GDK_INTERP_BILINEAR);
  g_autoptr(GBytes) png = NULL;
  GError *error = NULL;
  char *data_png;
  gsize size;

  if (!gdk_pixbuf_save_to_buffer (small, &data_png, &size, "png", &error, NULL))
    {
      g_task_return_error (task, error);
      return;
    }

  png = g_bytes_new_take (data_png, size);
  g_task_return_pointer (task, icon_for_png (png), g_object_unref);
}

static void
on_icon (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Notice *self = user_data;
  g_autoptr(GIcon) icon = g_task_propagate_pointer (G_TASK (result), NULL);

  if (icon)
    g_notification_set_icon (self->notification, icon);
  send_notice (self);
}

static void
on_pixels (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZieImage) image = zis_picture_load_finish (ZIS_PICTURE (source), result, NULL);
  g_autoptr(GTask) task = NULL;

  if (!image)
    {
      send_notice (user_data);
      return;
    }

  task = g_task_new (source, NULL, on_icon, user_data);
  g_task_set_source_tag (task, zis_desktop_notify);
  g_task_set_task_data (task, g_steal_pointer (&image), (GDestroyNotify) zie_image_unref);
  g_task_run_in_thread (task, make_icon_thread);
}

void
zis_desktop_notify (const char *id, GNotification *notification, ZisPicture *picture)
{
  Notice *self = g_new0 (Notice, 1);

  self->id = g_strdup (id);
  self->notification = g_object_ref (notification);
  g_application_hold (g_application_get_default ());
  if (picture)
    zis_picture_load_async (picture, NULL, on_pixels, self);
  else
    send_notice (self);
}
