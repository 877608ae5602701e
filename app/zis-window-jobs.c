/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include "zis-compat.h"
#include "zis-desktop.h"
#include "zis-job.h"
#include "zis-queue-row.h"
#include "zis-queue.h"
#include "zis-session.h"

static void
on_job_paintable (ZisWindow *self)
{
  if (self->is_following && self->job)
    zis_window_set_canvas (self, zis_job_get_paintable (self->job), zis_job_get_title (self->job));
}

static void
on_job_state (ZisWindow *self)
{
  /* Cancelled is answered at once, before the engine has. */
  if (self->job && zis_job_get_state (self->job) == ZIS_JOB_CANCELLING)
    zis_window_leave_job (self);
  zis_window_update_progress (self);
  zis_window_update_actions (self);
}

static void
on_job_plan (ZisWindow *self)
{
  zis_memory_bar_set_job_plan (self->memory_bar, self->job ? zis_job_get_plan (self->job) : NULL);
}

static void
on_job_note (ZisWindow *self)
{
  /* A window that finishes its work in the background shows nothing. */
  if (self->job && zis_job_get_note (self->job) && gtk_widget_get_mapped (GTK_WIDGET (self)))
    zis_window_toast (self, zis_job_get_note (self->job), NULL, NULL);
}

void
zis_window_follow_job (ZisWindow *self, ZisJob *job)
{
  if (job == self->job)
    return;

  if (self->job)
    g_signal_handlers_disconnect_by_data (self->job, self);
  g_set_object (&self->job, job);
  on_job_plan (self);
  if (!job)
    return;

  g_signal_connect_object (job, "notify::status", G_CALLBACK (zis_window_update_progress), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::fraction", G_CALLBACK (zis_window_update_progress), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::paintable", G_CALLBACK (on_job_paintable), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::state", G_CALLBACK (on_job_state), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::plan", G_CALLBACK (on_job_plan), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::note", G_CALLBACK (on_job_note), self, G_CONNECT_SWAPPED);
  gtk_revealer_set_reveal_child (self->strip_revealer, TRUE);
  if (self->is_following)
    zis_window_set_canvas (self, zis_job_get_paintable (job), zis_job_get_title (job));
}

static void
on_queue_changed (ZisWindow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);
  guint n = zis_queue_get_n_jobs (queue);
  g_autofree char *label = g_strdup_printf ("%u", n);
  g_autofree char *spoken = g_strdup_printf (ngettext ("%u picture to make", "%u pictures to make", n), n);

  zis_desktop_keep_awake (G_OBJECT (self), n > 0, _("Pictures are being made"));
  gtk_widget_set_visible (self->queue_button, n > 1);
  if (n <= 1)
    gtk_menu_button_popdown (GTK_MENU_BUTTON (self->queue_button));     /* a list of one says what the canvas says */
  adw_button_content_set_label (self->queue_content, zis_window_is_narrow (self) ? "" : label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->queue_button), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  zis_window_update_progress (self);
  zis_window_update_actions (self);
}

/* 360 pixels are enough for all but comparing, which the menu has too; the panel then covers the button that hides it, and beside its
 * button an error would have three words a line. */
static void
on_narrow (ZisWindow *self)
{
  gtk_orientable_set_orientation (GTK_ORIENTABLE (self->notice_content),
                                  zis_window_is_narrow (self) ? GTK_ORIENTATION_VERTICAL : GTK_ORIENTATION_HORIZONTAL);
  gtk_widget_set_visible (self->compare_button, !zis_window_is_narrow (self));
  gtk_widget_set_visible (self->panel_close_button, zis_window_is_narrow (self));
  on_queue_changed (self);
}

static void
on_job_started (ZisSession *session, ZisJob *job, gpointer user_data)
{
  ZisWindow *self = user_data;

  zis_window_follow_job (self, job);
  on_queue_changed (self);
}

static GtkWidget *
create_queue_row (gpointer item, gpointer user_data)
{
  ZisWindow *self = user_data;

  return zis_queue_row_new (self->session, item);
}

static void
on_picture (ZisSession *session, ZisJob *job, int index, gpointer data, gpointer user_data)
{
  ZisWindow *self = user_data;
  const ZieEvent *event = data;
  ZisPicture *picture;
  const ZieRequest *recipe = event->image.recipe ? event->image.recipe : zis_job_get_request (job);

  picture = zis_gallery_model_add (self->pictures, event->image.image, recipe);
  zis_window_close_old_notice (self);
  if (!self->is_following || job != self->job)
    return;

  g_set_object (&self->shown, picture);
  zis_gallery_select (self->gallery, picture);
  zis_window_set_canvas (self, zis_job_get_paintable (job), zis_picture_get_title (picture));
}

static void
notify_done (ZisWindow *self, ZisJob *job)
{
  g_autoptr(GNotification) notification = NULL;
  g_autoptr(ZisPicture) newest = NULL;
  int n = zis_job_get_n_done (job);
  g_autofree char *title = NULL;

  if (zis_job_get_state (job) == ZIS_JOB_DONE)
    title = g_strdup_printf (ngettext ("Your picture is ready", "Your %d pictures are ready", (gulong) n), n);
  else
    title = g_strdup (_("A picture could not be made"));

  /* Who looks at the window sees it; who listens hears the end of a job and no steps: those are the progress bar's.  An error
   * says itself. */
  if (gtk_window_is_active (GTK_WINDOW (self)))
    {
      if (zis_job_get_state (job) == ZIS_JOB_DONE)
        zis_compat_say (GTK_WIDGET (self), title);
      return;
    }
  if (!g_settings_get_boolean (self->settings, "notify"))
    return;

  notification = g_notification_new (title);
  g_notification_set_body (notification, zis_job_get_title (job));
  newest = n > 0 ? g_list_model_get_item (G_LIST_MODEL (self->pictures), 0) : NULL;
  zis_desktop_notify ("job-done", notification, newest);
}

static void
on_job_ended (ZisSession *session, ZisJob *job, gpointer user_data)
{
  ZisWindow *self = user_data;

  if (zis_job_get_state (job) == ZIS_JOB_FAILED)
    {
      zis_window_set_failed (self, zis_job_get_request (job));
      zis_window_show_error (self, zis_job_get_error (job), ZIS_ERROR_IN_WORK);
    }
  if (zis_job_get_state (job) != ZIS_JOB_CANCELLED)
    notify_done (self, job);
  if (job == self->job)
    {
      if (zis_job_get_state (job) != ZIS_JOB_DONE)
        zis_window_leave_job (self);
      zis_window_follow_job (self, NULL);
    }
  zis_window_update_progress (self);
  zis_window_update_actions (self);

  zis_window_leave_if_idle (self);
}

void
zis_window_setup_jobs (ZisWindow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);

  gtk_list_box_bind_model (self->queue_list, G_LIST_MODEL (queue), create_queue_row, self, NULL);
  g_signal_connect_object (self->split, "notify::" ZIS_COMPAT_SPLIT_COLLAPSED, G_CALLBACK (on_narrow), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->session, "job-started", G_CALLBACK (on_job_started), self, 0);
  g_signal_connect_object (self->session, "picture", G_CALLBACK (on_picture), self, 0);
  g_signal_connect_object (self->session, "job-ended", G_CALLBACK (on_job_ended), self, 0);
  g_signal_connect_object (queue, "items-changed", G_CALLBACK (on_queue_changed), self, G_CONNECT_SWAPPED);
}
