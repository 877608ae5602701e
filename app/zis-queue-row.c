/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-queue-row"

#include "zis-queue-row.h"

#include "zis-job.h"
#include "zis-queue.h"
#include "zis-session.h"

struct _ZisQueueRow
{
  GtkListBoxRow parent_instance;

  GtkLabel *title, *detail;
  GtkProgressBar *progress;
  GtkWidget *up_button, *down_button, *remove_button;
  ZisSession *session;       /* owned */
  ZisJob *job;               /* owned */
};

G_DEFINE_FINAL_TYPE (ZisQueueRow, zis_queue_row, GTK_TYPE_LIST_BOX_ROW)

typedef enum
{
  FOCUS_ELSEWHERE,
  FOCUS_ROW,
  FOCUS_UP,
  FOCUS_DOWN,
} Focus;

static Focus
get_focus (ZisQueueRow *self)
{
  GtkWidget *focus = gtk_root_get_focus (gtk_widget_get_root (GTK_WIDGET (self)));

  if (!focus || (focus != GTK_WIDGET (self) && !gtk_widget_is_ancestor (focus, GTK_WIDGET (self))))
    return FOCUS_ELSEWHERE;

  return focus == self->up_button ? FOCUS_UP : focus == self->down_button ? FOCUS_DOWN : FOCUS_ROW;
}

static void
set_focus (ZisQueueRow *self, Focus focus)
{
  GtkWidget *button = focus == FOCUS_UP ? self->up_button : focus == FOCUS_DOWN ? self->down_button : NULL;

  gtk_widget_grab_focus (button && gtk_widget_is_sensitive (button) ? button : GTK_WIDGET (self));
}

static ZisQueueRow *
find_row (GtkListBox *list, ZisJob *job)
{
  GtkListBoxRow *row;

  for (int i = 0; (row = gtk_list_box_get_row_at_index (list, i)) != NULL; i++)
    if (ZIS_QUEUE_ROW (row)->job == job)
      return ZIS_QUEUE_ROW (row);

  return NULL;
}

/* The list makes the rows anew whose places change: this one is gone, and the one for its job takes over the focus. */
static void
move (ZisQueueRow *self, int delta)
{
  GtkWidget *list = gtk_widget_get_parent (GTK_WIDGET (self));
  g_autoptr(ZisJob) job = g_object_ref (self->job);
  Focus focus = get_focus (self);
  ZisQueueRow *row;

  if (zis_queue_move (zis_session_get_queue (self->session), job, delta) && focus != FOCUS_ELSEWHERE
      && (row = find_row (GTK_LIST_BOX (list), job)) != NULL)
    set_focus (row, focus);
}

static void
on_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisQueueRow *self = ZIS_QUEUE_ROW (widget);

  if (g_str_equal (name, "row.up"))
    move (self, -1);
  else if (g_str_equal (name, "row.down"))
    move (self, 1);
  else
    zis_session_cancel (self->session, self->job);
}

static void
update (ZisQueueRow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);
  gboolean is_running = zis_job_get_state (self->job) == ZIS_JOB_RUNNING;

  gtk_label_set_text (self->title, zis_job_get_title (self->job));
  gtk_widget_set_visible (GTK_WIDGET (self->progress), is_running);
  gtk_widget_set_visible (self->up_button, !is_running);
  gtk_widget_set_visible (self->down_button, !is_running);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "row.up", zis_queue_can_move (queue, self->job, -1));
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "row.down", zis_queue_can_move (queue, self->job, 1));

  if (is_running)
    gtk_label_set_text (self->detail, zis_job_get_status (self->job));
  else
    {
      g_autofree char *detail = NULL;

      g_object_get (self->job, "detail", &detail, NULL);
      gtk_label_set_text (self->detail, detail);
    }
}

/* --- drag and drop ------------------------------------------------------------------------------------------ */

static GdkContentProvider *
on_drag_prepare (GtkDragSource *source, double x, double y, gpointer user_data)
{
  ZisQueueRow *self = user_data;

  if (zis_job_get_state (self->job) != ZIS_JOB_WAITING)
    return NULL;

  return gdk_content_provider_new_typed (ZIS_TYPE_JOB, self->job);
}

static void
on_drag_begin (GtkDragSource *source, GdkDrag *drag, gpointer user_data)
{
  GdkPaintable *paintable = gtk_widget_paintable_new (GTK_WIDGET (user_data));

  gtk_drag_source_set_icon (source, paintable, 0, 0);
  g_object_unref (paintable);
}

static gboolean
on_drop (GtkDropTarget *target, const GValue *value, double x, double y, gpointer user_data)
{
  ZisQueueRow *self = user_data;

  return zis_queue_move_to (zis_session_get_queue (self->session), g_value_get_object (value), self->job);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_queue_row_dispose (GObject *object)
{
  ZisQueueRow *self = ZIS_QUEUE_ROW (object);

  g_clear_object (&self->session);
  g_clear_object (&self->job);

  G_OBJECT_CLASS (zis_queue_row_parent_class)->dispose (object);
}

static void
zis_queue_row_class_init (ZisQueueRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_queue_row_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-queue-row.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, title);
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, detail);
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, progress);
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, up_button);
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, down_button);
  gtk_widget_class_bind_template_child (widget_class, ZisQueueRow, remove_button);
  gtk_widget_class_install_action (widget_class, "row.up", NULL, on_action);
  gtk_widget_class_install_action (widget_class, "row.down", NULL, on_action);
  gtk_widget_class_install_action (widget_class, "row.remove", NULL, on_action);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Up, GDK_ALT_MASK, "row.up", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Down, GDK_ALT_MASK, "row.down", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Delete, 0, "row.remove", NULL);
}

static void
zis_queue_row_init (ZisQueueRow *self)
{
  GtkDragSource *drag = gtk_drag_source_new ();
  GtkDropTarget *drop = gtk_drop_target_new (ZIS_TYPE_JOB, GDK_ACTION_MOVE);

  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_drag_source_set_actions (drag, GDK_ACTION_MOVE);
  g_signal_connect (drag, "prepare", G_CALLBACK (on_drag_prepare), self);
  g_signal_connect (drag, "drag-begin", G_CALLBACK (on_drag_begin), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drag));
  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drop));
}

GtkWidget *
zis_queue_row_new (ZisSession *session, ZisJob *job)
{
  ZisQueueRow *self = g_object_new (ZIS_TYPE_QUEUE_ROW, NULL);

  self->session = g_object_ref (session);
  self->job = g_object_ref (job);
  g_object_bind_property (job, "fraction", self->progress, "fraction", G_BINDING_SYNC_CREATE);
  g_signal_connect_object (job, "notify::state", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::status", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (zis_session_get_queue (session), "items-changed", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, zis_job_get_title (job), -1);
  update (self);

  return GTK_WIDGET (self);
}
