/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include "zis-background.h"
#include "zis-compat.h"
#include "zis-job.h"
#include "zis-queue.h"
#include "zis-recipe.h"
#include "zis-session.h"

static void
save_state (ZisWindow *self)
{
  int width, height;
  gboolean panel;

  gtk_window_get_default_size (GTK_WINDOW (self), &width, &height);
  g_settings_set_int (self->settings, "window-width", width);
  g_settings_set_int (self->settings, "window-height", height);
  g_settings_set_boolean (self->settings, "window-maximized", gtk_window_is_maximized (GTK_WINDOW (self)));
  g_object_get (self->split, ZIS_COMPAT_SPLIT_SHOWN, &panel, NULL);
  if (!zis_window_is_narrow (self))
    g_settings_set_boolean (self->settings, "show-panel", panel);
  zis_recipe_save (self->recipe, self->settings);
}

/* Closed, but not before everything is done and written: a picture that cannot be saved needs somebody to tell. */
void
zis_window_leave_if_idle (ZisWindow *self)
{
  if (self->is_in_background && self->n_exports == 0 && zis_queue_get_n_jobs (zis_session_get_queue (self->session)) == 0
      && zis_gallery_model_get_n_saving (self->pictures) == 0)
    gtk_window_destroy (GTK_WINDOW (self));
}

static gboolean
leave_if_still_idle (gpointer user_data)
{
  zis_window_leave_if_idle (user_data);
  return G_SOURCE_REMOVE;
}

/* Not at once: a question that was answered does not outlive its window. */
static void
leave (ZisWindow *self)
{
  self->is_in_background = TRUE;
  gtk_widget_set_visible (GTK_WIDGET (self), FALSE);
  g_idle_add_full (G_PRIORITY_DEFAULT_IDLE, leave_if_still_idle, g_object_ref (self), g_object_unref);
}

void
zis_window_come_back (ZisWindow *self)
{
  if (self->is_in_background)
    gtk_window_present (GTK_WINDOW (self));      /* and zis_window_map() says that it is no longer in the background */
}

/* A desktop may say no to work without a window. */
static void
on_background (gboolean is_allowed, gpointer user_data)
{
  ZisWindow *self = user_data;

  if (is_allowed || !self->is_in_background)
    return;
  zis_window_come_back (self);
  zis_window_toast (self, _("The system allows no work in the background"), NULL, NULL);
}

static void
on_unsaved_answer (const char *id, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;

  if (g_str_equal (id, "discard"))
    leave (self);
}

/* What could not be saved is in memory alone. */
static void
leave_or_ask (ZisWindow *self)
{
  const ZisCompatAnswer answers[] = {
    { "cancel", _("_Keep Open"), ADW_RESPONSE_DEFAULT },
    { "discard", _("_Close Without Saving"), ADW_RESPONSE_DESTRUCTIVE },
  };

  if (!zis_gallery_model_get_unsaved (self->pictures))
    leave (self);
  else
    zis_compat_ask (GTK_WINDOW (self), _("A Picture Is Not Saved"),
                    _("It could not be written to the folder of your pictures, and is lost when the window closes."), answers,
                    G_N_ELEMENTS (answers), on_unsaved_answer, g_object_ref (self));
}

static void
on_close_answer (const char *id, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;

  if (g_str_equal (id, "stop"))
    zis_session_cancel_all (self->session);
  if (g_str_equal (id, "background"))
    zis_background_ask (_("Pictures are being made"), self->cancellable, on_background, self);
  if (!g_str_equal (id, "cancel"))
    leave_or_ask (self);
}

gboolean
zis_window_close_request (GtkWindow *window)
{
  const ZisCompatAnswer answers[] = {
    { "cancel", _("_Keep Open"), ADW_RESPONSE_DEFAULT },
    { "stop", _("_Stop and Close"), ADW_RESPONSE_DESTRUCTIVE },
    { "background", _("_Finish in Background"), ADW_RESPONSE_SUGGESTED },
  };
  ZisWindow *self = ZIS_WINDOW (window);
  ZisQueue *queue = zis_session_get_queue (self->session);
  ZisJob *running = zis_queue_get_running (queue);
  guint n = zis_queue_get_n_jobs (queue);

  /* What was cancelled is over, though the engine may need a moment to say so. */
  if (running && zis_job_get_state (running) == ZIS_JOB_CANCELLING)
    n--;
  save_state (self);
  if (n == 0)
    {
      leave_or_ask (self);
      return GDK_EVENT_STOP;
    }

  zis_compat_ask (window, ngettext ("A Picture Is Being Made", "Pictures Are Being Made", n),
                  _("They can be finished without a window; a notification tells when they are ready."), answers,
                  G_N_ELEMENTS (answers), on_close_answer, g_object_ref (self));
  return GDK_EVENT_STOP;
}
