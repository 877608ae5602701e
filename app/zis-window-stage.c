/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include <inttypes.h>

#include "zis-job.h"
#include "zis-paintable.h"
#include "zis-queue.h"
#include "zis-session.h"

/* The one line that says what is shown: header bar and window title. */
static void
update_title (ZisWindow *self)
{
  const ZieRequest *request = self->shown ? zis_picture_get_request (self->shown) : NULL;
  ZisJob *running = zis_queue_get_running (zis_session_get_queue (self->session));
  g_autofree char *subtitle = NULL, *window_title = NULL;
  const char *title = _("Z-Image Studio");

  if (self->is_following && self->job)
    title = zis_job_get_title (self->job);
  else if (self->shown)
    title = zis_picture_get_title (self->shown);

  if (running && zis_job_get_state (running) == ZIS_JOB_RUNNING)
    {
      subtitle = g_strdup (zis_job_get_status (running));
      /* Translators: window title while work runs: “Step 3 of 8 · 4 s left – Z-Image Studio”. */
      window_title = g_strdup_printf (_("%s – Z-Image Studio"), subtitle);
    }
  else if (request)
    subtitle = g_strdup_printf (ngettext ("%d × %d · seed %" PRIu64 " · %d step", "%d × %d · seed %" PRIu64 " · %d steps",
                                          (gulong) request->n_steps),
                                request->width, request->height, request->seed, request->n_steps);
  else
    subtitle = g_strdup (self->shown ? "" : zis_session_get_info (self->session) ? _(zis_session_get_info (self->session)->name) : "");

  adw_window_title_set_title (self->title, title);
  adw_window_title_set_subtitle (self->title, subtitle);
  gtk_window_set_title (GTK_WINDOW (self), window_title ? window_title : _("Z-Image Studio"));
}

void
zis_window_update_page (ZisWindow *self)
{
  const char *page = "canvas";

  if (!zis_canvas_get_picture (self->canvas))
    page = zis_session_get_state (self->session) == ZIS_SESSION_FAILED ? "problem" : "empty";
  gtk_stack_set_visible_child_name (self->stack, page);
}

void
zis_window_update_progress (ZisWindow *self)
{
  ZisJob *running = zis_queue_get_running (zis_session_get_queue (self->session));
  gboolean is_shown = running && zis_job_get_state (running) == ZIS_JOB_RUNNING;

  if (is_shown)
    {
      gtk_label_set_text (self->progress_label, zis_job_get_status (running));
      gtk_progress_bar_set_fraction (self->progress_bar, zis_job_get_fraction (running));
    }
  gtk_widget_set_visible (self->follow_button, is_shown && !self->is_following);
  gtk_revealer_set_reveal_child (self->progress_revealer, is_shown);
  gtk_widget_set_visible (GTK_WIDGET (self->progress_revealer), is_shown || gtk_revealer_get_child_revealed (self->progress_revealer));
  gtk_widget_set_visible (self->zoom_box, !is_shown && zis_canvas_get_picture (self->canvas)
                                            && g_str_equal (gtk_stack_get_visible_child_name (self->stack), "canvas"));
  update_title (self);
}

void
zis_window_set_canvas (ZisWindow *self, ZisPaintable *paintable, const char *title)
{
  g_autofree char *label = title ? g_strdup_printf (_("Picture: %s"), title) : NULL;

  zis_canvas_set_picture (self->canvas, paintable, label);

  /* Finished pictures take the place of the one before; what is being made is compared with the last finished. */
  if (paintable && zis_paintable_get_image (paintable) && paintable != self->complete)
    {
      g_set_object (&self->before, self->complete);
      g_set_object (&self->complete, paintable);
    }
  zis_canvas_set_previous (self->canvas, paintable == self->complete ? self->before : self->complete);

  zis_window_update_page (self);
  zis_window_update_progress (self);
  zis_window_update_actions (self);
}

static void
on_picture_loaded (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;
  ZisPicture *picture = ZIS_PICTURE (object);
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieImage) image = zis_picture_load_finish (picture, result, &error);
  g_autoptr(ZisPaintable) paintable = NULL;

  if (g_task_get_cancellable (G_TASK (result)) != self->loading)
    return;
  g_clear_object (&self->loading);

  if (!image)
    {
      zis_window_show_error (self, error, ZIS_ERROR_IN_OPENING);
      return;
    }

  paintable = zis_paintable_new (zie_image_get_width (image), zie_image_get_height (image));
  zis_paintable_set_image (paintable, image);
  g_set_object (&self->shown, picture);
  self->is_following = FALSE;
  zis_window_set_canvas (self, paintable, zis_picture_get_title (picture));

  if (!zis_gallery_get_selected (self->gallery) && zis_picture_get_request (picture))
    zis_window_toast (self, _("This picture carries its recipe"), _("Use Recipe"), "win.use-recipe");
  else if (!zis_gallery_get_selected (self->gallery))
    zis_window_toast (self, _("This picture has no recipe"), NULL, NULL);
}

void
zis_window_show_picture (ZisWindow *self, ZisPicture *picture)
{
  if (self->loading)
    g_cancellable_cancel (self->loading);
  g_clear_object (&self->loading);
  self->loading = g_cancellable_new ();
  zis_picture_load_async (picture, self->loading, on_picture_loaded, g_object_ref (self));
}

void
zis_window_open_file (ZisWindow *self, GFile *file)
{
  g_autoptr(ZisPicture) picture = zis_picture_new_for_file (file, 0);

  zis_gallery_select (self->gallery, NULL);
  zis_window_show_picture (self, picture);
}

void
zis_window_follow (ZisWindow *self)
{
  ZisJob *running = zis_queue_get_running (zis_session_get_queue (self->session));

  if (self->loading)
    g_cancellable_cancel (self->loading);
  g_clear_object (&self->loading);
  self->is_following = TRUE;
  if (running)
    zis_window_set_canvas (self, zis_job_get_paintable (running), zis_job_get_title (running));
}

/* Nothing of the job is to be seen any more: back to the last finished picture. */
void
zis_window_leave_job (ZisWindow *self)
{
  if (!self->is_following)
    return;

  self->is_following = FALSE;
  zis_window_set_canvas (self, self->complete, self->shown ? zis_picture_get_title (self->shown) : NULL);
}
