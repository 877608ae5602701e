/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

static void
mark_target (ZisWindow *self, gboolean is_target)
{
  if (is_target)
    gtk_widget_add_css_class (GTK_WIDGET (self->stage_slot), "drop-target");
  else
    gtk_widget_remove_css_class (GTK_WIDGET (self->stage_slot), "drop-target");
}

/* A dropped picture is shown and its recipe offered. */
static gboolean
on_drop (GtkDropTarget *target, const GValue *value, double x, double y, gpointer user_data)
{
  GSList *files = g_value_get_boxed (value);

  mark_target (user_data, FALSE);      /* "leave" does not come after a drop */
  if (!files)
    return FALSE;

  zis_window_open_file (user_data, files->data);
  return TRUE;
}

static GdkDragAction
on_enter (GtkDropTarget *target, double x, double y, gpointer user_data)
{
  mark_target (user_data, TRUE);
  return GDK_ACTION_COPY;
}

static void
on_leave (GtkDropTarget *target, gpointer user_data)
{
  mark_target (user_data, FALSE);
}

/* The picture on the canvas leaves as its file.  Enlarged, a drag moves it about instead. */
static GdkContentProvider *
on_drag_prepare (GtkDragSource *source, double x, double y, gpointer user_data)
{
  ZisWindow *self = user_data;

  if (self->is_following || !self->shown || !zis_picture_is_saved (self->shown) || zis_canvas_can_pan (self->canvas)
      || zis_canvas_get_compare (self->canvas))
    return NULL;

  return gdk_content_provider_new_typed (G_TYPE_FILE, zis_picture_get_file (self->shown));
}

static void
on_drag_begin (GtkDragSource *source, GdkDrag *drag, gpointer user_data)
{
  ZisWindow *self = user_data;
  g_autoptr(GdkTexture) thumbnail = NULL;

  g_object_get (self->shown, "thumbnail", &thumbnail, NULL);
  if (thumbnail)
    gtk_drag_source_set_icon (source, GDK_PAINTABLE (thumbnail), gdk_texture_get_width (thumbnail) / 2,
                              gdk_texture_get_height (thumbnail) / 2);
}

void
zis_window_setup_dnd (ZisWindow *self)
{
  GtkDropTarget *drop = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);
  GtkDragSource *drag = gtk_drag_source_new ();

  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  g_signal_connect (drop, "enter", G_CALLBACK (on_enter), self);
  g_signal_connect (drop, "leave", G_CALLBACK (on_leave), self);
  gtk_widget_add_controller (GTK_WIDGET (self->stage_slot), GTK_EVENT_CONTROLLER (drop));

  g_signal_connect (drag, "prepare", G_CALLBACK (on_drag_prepare), self);
  g_signal_connect (drag, "drag-begin", G_CALLBACK (on_drag_begin), self);
  gtk_widget_add_controller (GTK_WIDGET (self->canvas), GTK_EVENT_CONTROLLER (drag));
}
