/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include "zis-application.h"
#include "zis-compat.h"
#include "zis-error-text.h"
#include "zis-job.h"
#include "zis-paintable.h"
#include "zis-queue-row.h"
#include "zis-queue.h"
#include "zis-recipe.h"
#include "zis-session.h"

G_DEFINE_FINAL_TYPE (ZisWindow, zis_window, ADW_TYPE_APPLICATION_WINDOW)

/* --- small things ------------------------------------------------------------------------------------------- */

gboolean
zis_window_is_narrow (ZisWindow *self)
{
  gboolean collapsed;

  g_object_get (self->split, ZIS_COMPAT_SPLIT_COLLAPSED, &collapsed, NULL);
  return collapsed;
}

void
zis_window_show_panel (ZisWindow *self, gboolean shown)
{
  g_object_set (self->split, ZIS_COMPAT_SPLIT_SHOWN, shown, NULL);
}

void
zis_window_toast (ZisWindow *self, const char *text, const char *button, const char *action)
{
  /* Titles are markup by default; prompts and file names are not. */
  g_autofree char *escaped = g_markup_escape_text (text, -1);
  AdwToast *toast = adw_toast_new (escaped);

  if (button)
    {
      adw_toast_set_button_label (toast, button);
      adw_toast_set_action_name (toast, action);
      adw_toast_set_timeout (toast, 10);
    }
  adw_toast_overlay_add_toast (self->toasts, toast);
}

void
zis_window_close_notice (ZisWindow *self)
{
  gtk_revealer_set_reveal_child (self->notice_revealer, FALSE);
}

static void
set_way_out (GtkButton *button, const ZisErrorText *text)
{
  gtk_widget_set_visible (GTK_WIDGET (button), text->button != NULL);
  if (text->button)
    {
      gtk_button_set_label (button, text->button);
      gtk_actionable_set_detailed_action_name (GTK_ACTIONABLE (button), text->action);
    }
}

void
zis_window_show_error (ZisWindow *self, const GError *error)
{
  g_auto(ZisErrorText) text;

  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_CANCELLED) || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  g_debug ("error: %s", error->message);
  zis_error_text_init (&text, error);
  gtk_label_set_text (self->notice_title, text.title);
  gtk_label_set_text (self->notice_body, text.body);
  set_way_out (self->notice_button, &text);
  gtk_revealer_set_reveal_child (self->notice_revealer, TRUE);
}

/* --- what is on the canvas ---------------------------------------------------------------------------------- */

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
    subtitle = g_strdup_printf (_("%d × %d · seed %" G_GUINT64_FORMAT " · %d steps"), request->width, request->height,
                                request->seed, request->n_steps);
  else
    subtitle = g_strdup (self->shown ? "" : zis_session_get_info (self->session) ? zis_session_get_info (self->session)->name : "");

  adw_window_title_set_title (self->title, title);
  adw_window_title_set_subtitle (self->title, subtitle);
  gtk_window_set_title (GTK_WINDOW (self), window_title ? window_title : _("Z-Image Studio"));
}

static void
update_page (ZisWindow *self)
{
  const char *page = "canvas";

  if (!zis_canvas_get_picture (self->canvas))
    page = zis_session_get_state (self->session) == ZIS_SESSION_FAILED ? "problem" : "empty";
  gtk_stack_set_visible_child_name (self->stack, page);
}

static void
update_progress (ZisWindow *self)
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

static void
set_canvas (ZisWindow *self, ZisPaintable *paintable, const char *title)
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

  update_page (self);
  update_progress (self);
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
      zis_window_show_error (self, error);
      return;
    }

  paintable = zis_paintable_new (zie_image_get_width (image), zie_image_get_height (image));
  zis_paintable_set_image (paintable, image);
  g_set_object (&self->shown, picture);
  self->is_following = FALSE;
  set_canvas (self, paintable, zis_picture_get_title (picture));

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
    set_canvas (self, zis_job_get_paintable (running), zis_job_get_title (running));
}

/* Nothing of the job is to be seen any more: back to the last finished picture. */
static void
leave_job (ZisWindow *self)
{
  if (!self->is_following)
    return;

  self->is_following = FALSE;
  set_canvas (self, self->complete, self->shown ? zis_picture_get_title (self->shown) : NULL);
}

/* --- without a window --------------------------------------------------------------------------------------- */

/* Closed, but not before everything is done and written: a picture that cannot be saved needs somebody to tell. */
void
zis_window_leave_if_idle (ZisWindow *self)
{
  if (self->is_in_background && self->n_exports == 0 && zis_queue_get_n_jobs (zis_session_get_queue (self->session)) == 0
      && zis_gallery_model_get_n_saving (self->pictures) == 0)
    gtk_window_destroy (GTK_WINDOW (self));
}

static void
leave (ZisWindow *self)
{
  self->is_in_background = TRUE;
  gtk_widget_set_visible (GTK_WIDGET (self), FALSE);
  zis_window_leave_if_idle (self);
}

void
zis_window_come_back (ZisWindow *self)
{
  if (self->is_in_background)
    gtk_window_present (GTK_WINDOW (self));      /* and zis_window_map() says that it is no longer in the background */
}

/* --- the queue ---------------------------------------------------------------------------------------------- */

static void
on_job_paintable (ZisWindow *self)
{
  if (self->is_following && self->job)
    set_canvas (self, zis_job_get_paintable (self->job), zis_job_get_title (self->job));
}

static void
on_job_state (ZisWindow *self)
{
  /* Cancelled is answered at once, before the engine has. */
  if (self->job && zis_job_get_state (self->job) == ZIS_JOB_CANCELLING)
    leave_job (self);
  update_progress (self);
  zis_window_update_actions (self);
}

static void
follow_job (ZisWindow *self, ZisJob *job)
{
  if (job == self->job)
    return;

  if (self->job)
    g_signal_handlers_disconnect_by_data (self->job, self);
  g_set_object (&self->job, job);
  if (!job)
    return;

  g_signal_connect_object (job, "notify::status", G_CALLBACK (update_progress), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::fraction", G_CALLBACK (update_progress), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::paintable", G_CALLBACK (on_job_paintable), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::state", G_CALLBACK (on_job_state), self, G_CONNECT_SWAPPED);
  gtk_revealer_set_reveal_child (self->strip_revealer, TRUE);
  if (self->is_following)
    set_canvas (self, zis_job_get_paintable (job), zis_job_get_title (job));
}

static void
on_queue_changed (ZisWindow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);
  guint n = zis_queue_get_n_jobs (queue);
  g_autofree char *label = g_strdup_printf ("%u", n);
  g_autofree char *spoken = g_strdup_printf (ngettext ("%u picture to make", "%u pictures to make", n), n);

  gtk_widget_set_visible (self->queue_button, n > 1);
  adw_button_content_set_label (self->queue_content, zis_window_is_narrow (self) ? "" : label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->queue_button), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  update_progress (self);
  zis_window_update_actions (self);
}

/* 360 pixels are enough for all but this; the menu has it too. */
static void
on_narrow (ZisWindow *self)
{
  gtk_widget_set_visible (self->compare_button, !zis_window_is_narrow (self));
  on_queue_changed (self);
}

static void
on_job_started (ZisSession *session, ZisJob *job, gpointer user_data)
{
  ZisWindow *self = user_data;

  follow_job (self, job);
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
  zis_window_close_notice (self);
  if (!self->is_following || job != self->job)
    return;

  g_set_object (&self->shown, picture);
  zis_gallery_select (self->gallery, picture);
  set_canvas (self, zis_job_get_paintable (job), zis_picture_get_title (picture));
}

static void
notify_done (ZisWindow *self, ZisJob *job)
{
  g_autoptr(GNotification) notification = NULL;
  int n = zis_job_get_n_done (job);
  g_autofree char *title = NULL;

  if (gtk_window_is_active (GTK_WINDOW (self)) || !g_settings_get_boolean (self->settings, "notify"))
    return;

  if (zis_job_get_state (job) == ZIS_JOB_DONE)
    title = g_strdup_printf (ngettext ("Your picture is ready", "Your %d pictures are ready", (gulong) n), n);
  else
    title = g_strdup (_("A picture could not be made"));
  notification = g_notification_new (title);
  g_notification_set_body (notification, zis_job_get_title (job));
  g_application_send_notification (G_APPLICATION (gtk_window_get_application (GTK_WINDOW (self))), "job-done", notification);
}

static void
on_job_ended (ZisSession *session, ZisJob *job, gpointer user_data)
{
  ZisWindow *self = user_data;

  if (zis_job_get_state (job) == ZIS_JOB_FAILED)
    zis_window_show_error (self, zis_job_get_error (job));
  if (zis_job_get_state (job) != ZIS_JOB_CANCELLED)
    notify_done (self, job);
  if (job == self->job)
    {
      if (zis_job_get_state (job) != ZIS_JOB_DONE)
        leave_job (self);
      follow_job (self, NULL);
    }
  update_progress (self);
  zis_window_update_actions (self);

  zis_window_leave_if_idle (self);
}

/* --- model -------------------------------------------------------------------------------------------------- */

static void
show_problem (ZisWindow *self)
{
  g_auto(ZisErrorText) text;

  zis_error_text_init (&text, zis_session_get_error (self->session));
  adw_status_page_set_title (self->problem_page, text.title);

  /* The description is markup. */
  g_autofree char *escaped = g_markup_escape_text (text.body, -1);

  adw_status_page_set_description (self->problem_page, escaped);
  set_way_out (self->problem_button, &text);
  if (zis_canvas_get_picture (self->canvas))
    zis_window_show_error (self, zis_session_get_error (self->session));
}

static void
on_session_state (ZisWindow *self)
{
  if (zis_session_get_state (self->session) == ZIS_SESSION_FAILED)
    show_problem (self);
  update_page (self);
  update_progress (self);
  zis_window_update_actions (self);
}

static void
on_example (GtkButton *button, gpointer user_data)
{
  ZisWindow *self = user_data;

  zis_recipe_set_prompt (self->recipe, gtk_button_get_label (button));
  zis_prompt_panel_focus (self->prompt_panel);
  gtk_widget_activate_action (GTK_WIDGET (self), "win.generate", NULL);
}

/* The demo model knows a few hundred things: a hint at what they are. */
static void
fill_examples (ZisWindow *self)
{
  const char *const examples[] = { _("a red apple on a blue background"), _("a cat to the left of a rocket"),
                                   "黄色背景上的一只熊猫" };

  for (gsize i = 0; i < G_N_ELEMENTS (examples); i++)
    {
      GtkWidget *button = gtk_button_new_with_label (examples[i]);

      gtk_label_set_ellipsize (GTK_LABEL (gtk_button_get_child (GTK_BUTTON (button))), PANGO_ELLIPSIZE_END);
      gtk_widget_add_css_class (button, "pill");
      gtk_widget_add_css_class (button, "flat");
      g_signal_connect (button, "clicked", G_CALLBACK (on_example), self);
      gtk_box_append (GTK_BOX (self->examples), button);
    }
}

static void
on_model_changed (ZisWindow *self)
{
  const ZieModelInfo *info = zis_session_get_info (self->session);
  g_autofree char *last = g_settings_get_string (self->settings, "last-model");

  /* Another model: its own size and steps.  The same one: what was set last time. */
  zis_recipe_adapt (self->recipe, info, !g_str_equal (last, info->path));
  g_settings_set_string (self->settings, "last-model", info->path);
  gtk_widget_set_visible (self->examples, info->is_demo);
  zis_prompt_panel_update (self->prompt_panel);
  zis_parameter_panel_update (self->parameter_panel);
  update_title (self);
}

static void
on_planned (ZisParameterPanel *panel, gpointer plan, gpointer error, gpointer user_data)
{
  ZisWindow *self = user_data;

  zis_memory_bar_set_plan (self->memory_bar, plan, error);
}

static void
on_save_failed (ZisGalleryModel *model, ZisPicture *picture, gpointer error, gpointer user_data)
{
  zis_window_show_error (user_data, error);
  zis_window_come_back (user_data);
}

static void
on_chosen (ZisGallery *gallery, ZisPicture *picture, gpointer user_data)
{
  zis_window_show_picture (user_data, picture);
}

static void
on_pictures_changed (ZisWindow *self)
{
  if (g_list_model_get_n_items (G_LIST_MODEL (self->pictures)) > 0)
    gtk_revealer_set_reveal_child (self->strip_revealer, TRUE);
}

static void
on_zoom (ZisWindow *self)
{
  double zoom = zis_canvas_get_zoom (self->canvas);
  g_autofree char *label = zoom > 0 ? g_strdup_printf (_("%d %%"), (int) (zoom * 100 + 0.5)) : g_strdup (_("Fit"));

  gtk_button_set_label (self->zoom_button, label);
}

/* Nothing heavy before the first frame: the model and the folder come after it. */
static gboolean
open_later (gpointer user_data)
{
  ZisWindow *self = user_data;

  if (!self->is_opened)
    {
      self->is_opened = TRUE;
      zis_session_open (self->session);
      zis_gallery_model_open (self->pictures);
    }

  return G_SOURCE_REMOVE;
}

/* --- closing ------------------------------------------------------------------------------------------------ */

void
zis_window_save_state (ZisWindow *self)
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

static void
on_close_answer (const char *id, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;

  if (g_str_equal (id, "stop"))
    zis_session_cancel_all (self->session);
  if (!g_str_equal (id, "cancel"))
    leave (self);
}

static gboolean
zis_window_close_request (GtkWindow *window)
{
  const ZisCompatAnswer answers[] = {
    { "cancel", _("_Keep Open"), ADW_RESPONSE_DEFAULT },
    { "stop", _("_Stop and Close"), ADW_RESPONSE_DESTRUCTIVE },
    { "background", _("_Finish in Background"), ADW_RESPONSE_SUGGESTED },
  };
  ZisWindow *self = ZIS_WINDOW (window);
  guint n = zis_queue_get_n_jobs (zis_session_get_queue (self->session));

  zis_window_save_state (self);
  if (n == 0)
    {
      leave (self);
      return GDK_EVENT_STOP;
    }

  zis_compat_ask (window, ngettext ("A Picture Is Being Made", "Pictures Are Being Made", n),
                  _("They can be finished without a window; a notification tells when they are ready."), answers,
                  G_N_ELEMENTS (answers), on_close_answer, g_object_ref (self));
  return GDK_EVENT_STOP;
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_window_map (GtkWidget *widget)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  GTK_WIDGET_CLASS (zis_window_parent_class)->map (widget);
  self->is_in_background = FALSE;
  if (!self->is_opened)
    g_idle_add_full (G_PRIORITY_LOW, open_later, g_object_ref (self), g_object_unref);
}

static void
zis_window_dispose (GObject *object)
{
  ZisWindow *self = ZIS_WINDOW (object);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  if (self->loading)
    g_cancellable_cancel (self->loading);
  follow_job (self, NULL);
  if (self->session)
    {
      g_signal_handlers_disconnect_by_data (self->session, self);
      g_signal_handlers_disconnect_by_data (zis_session_get_queue (self->session), self);
      zis_session_close (self->session);
    }
  g_clear_object (&self->loading);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->shown);
  g_clear_object (&self->complete);
  g_clear_object (&self->before);
  g_clear_object (&self->pictures);
  g_clear_object (&self->recipe);
  g_clear_object (&self->session);
  g_clear_object (&self->settings);

  G_OBJECT_CLASS (zis_window_parent_class)->dispose (object);
}

static void
zis_window_class_init (ZisWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (ZIS_TYPE_CANVAS);
  g_type_ensure (ZIS_TYPE_GALLERY);
  g_type_ensure (ZIS_TYPE_MEMORY_BAR);
  g_type_ensure (ZIS_TYPE_PARAMETER_PANEL);
  g_type_ensure (ZIS_TYPE_PROMPT_PANEL);

  G_OBJECT_CLASS (klass)->dispose = zis_window_dispose;
  widget_class->map = zis_window_map;
  GTK_WINDOW_CLASS (klass)->close_request = zis_window_close_request;

  gtk_widget_class_set_template_from_resource (widget_class, ZIS_COMPAT_FRAME);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, split);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, toasts);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, panel_header);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, header);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, panel_slot);
  gtk_widget_class_bind_template_child (widget_class, ZisWindow, stage_slot);
  zis_window_install_actions (widget_class);
}

#define GET(name) self->name = (gpointer) gtk_builder_get_object (builder, #name)

static void
take_content (ZisWindow *self)
{
  g_autoptr(GtkBuilder) builder = gtk_builder_new_from_resource (ZIS_RESOURCE_PATH "/zis-content.ui");

  adw_header_bar_set_title_widget (self->panel_header, GTK_WIDGET (gtk_builder_get_object (builder, "panel_title")));
  adw_header_bar_set_title_widget (self->header, GTK_WIDGET (gtk_builder_get_object (builder, "title")));
  adw_header_bar_pack_start (self->header, GTK_WIDGET (gtk_builder_get_object (builder, "header_start")));
  adw_header_bar_pack_end (self->header, GTK_WIDGET (gtk_builder_get_object (builder, "header_end")));
  adw_bin_set_child (self->panel_slot, GTK_WIDGET (gtk_builder_get_object (builder, "panel")));
  adw_bin_set_child (self->stage_slot, GTK_WIDGET (gtk_builder_get_object (builder, "stage")));

  GET (prompt_panel);
  GET (parameter_panel);
  GET (memory_bar);
  GET (canvas);
  GET (gallery);
  GET (title);
  GET (empty_page);
  GET (problem_page);
  GET (queue_content);
  GET (stack);
  GET (notice_revealer);
  GET (progress_revealer);
  GET (strip_revealer);
  GET (notice_title);
  GET (notice_body);
  GET (progress_label);
  GET (progress_bar);
  GET (notice_button);
  GET (problem_button);
  GET (zoom_button);
  GET (panel_button);
  GET (queue_button);
  GET (compare_button);
  GET (follow_button);
  GET (cancel_button);
  GET (zoom_box);
  GET (examples);
  GET (queue_list);
}

/* Seen before the widgets, of which some swallow Escape; but an open popover has the first claim on it. */
static gboolean
on_key (GtkEventControllerKey *controller, guint key, guint code, GdkModifierType state, gpointer user_data)
{
  GtkWidget *focus = gtk_root_get_focus (GTK_ROOT (user_data));

  if (key != GDK_KEY_Escape || (state & gtk_accelerator_get_default_mod_mask ())
      || (focus && gtk_widget_get_ancestor (focus, GTK_TYPE_POPOVER)))
    return GDK_EVENT_PROPAGATE;

  return gtk_widget_activate_action (user_data, "win.cancel", NULL) ? GDK_EVENT_STOP : GDK_EVENT_PROPAGATE;
}

static void
zis_window_init (ZisWindow *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_key), self);
  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  gtk_widget_add_controller (GTK_WIDGET (self), keys);
  self->cancellable = g_cancellable_new ();
  take_content (self);
}

static void
restore_state (ZisWindow *self)
{
  gtk_window_set_default_size (GTK_WINDOW (self), g_settings_get_int (self->settings, "window-width"),
                               g_settings_get_int (self->settings, "window-height"));
  if (g_settings_get_boolean (self->settings, "window-maximized"))
    gtk_window_maximize (GTK_WINDOW (self));
  zis_window_show_panel (self, g_settings_get_boolean (self->settings, "show-panel"));
  zis_recipe_load (self->recipe, self->settings);
}

static void
connect_everything (ZisWindow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);

  g_object_bind_property (self->split, ZIS_COMPAT_SPLIT_SHOWN, self->panel_button, "active",
                          G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE);
  g_signal_connect_object (self->split, "notify::" ZIS_COMPAT_SPLIT_COLLAPSED, G_CALLBACK (on_narrow), self, G_CONNECT_SWAPPED);
  g_object_bind_property (self->canvas, "compare", self->compare_button, "active", G_BINDING_BIDIRECTIONAL);
  gtk_list_box_bind_model (self->queue_list, G_LIST_MODEL (queue), create_queue_row, self, NULL);

  g_signal_connect_object (self->session, "notify::state", G_CALLBACK (on_session_state), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->session, "model-changed", G_CALLBACK (on_model_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->session, "job-started", G_CALLBACK (on_job_started), self, 0);
  g_signal_connect_object (self->session, "picture", G_CALLBACK (on_picture), self, 0);
  g_signal_connect_object (self->session, "job-ended", G_CALLBACK (on_job_ended), self, 0);
  g_signal_connect_object (queue, "items-changed", G_CALLBACK (on_queue_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "items-changed", G_CALLBACK (on_pictures_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "notify::n-saving", G_CALLBACK (zis_window_leave_if_idle), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "save-failed", G_CALLBACK (on_save_failed), self, 0);
  g_signal_connect_object (self->gallery, "chosen", G_CALLBACK (on_chosen), self, 0);
  g_signal_connect_object (self->parameter_panel, "planned", G_CALLBACK (on_planned), self, 0);
  g_signal_connect_object (self->recipe, "notify::prompt", G_CALLBACK (zis_window_update_actions), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::zoom", G_CALLBACK (on_zoom), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->progress_revealer, "notify::child-revealed", G_CALLBACK (update_progress), self, G_CONNECT_SWAPPED);

  g_signal_connect_object (self->settings, "changed::model-path", G_CALLBACK (zis_session_open), self->session, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->settings, "changed::device", G_CALLBACK (zis_session_open), self->session, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->settings, "changed::memory-limit", G_CALLBACK (zis_parameter_panel_update), self->parameter_panel,
                           G_CONNECT_SWAPPED);
  g_signal_connect_object (self->settings, "changed::output-folder", G_CALLBACK (zis_gallery_model_open), self->pictures,
                           G_CONNECT_SWAPPED);
}

ZisWindow *
zis_window_new (ZisApplication *application, GSettings *settings)
{
  ZisWindow *self = g_object_new (ZIS_TYPE_WINDOW, "application", application, NULL);

  self->settings = g_object_ref (settings);
  self->session = zis_session_new (settings);
  self->recipe = zis_recipe_new ();
  self->pictures = zis_gallery_model_new (settings);
  restore_state (self);

  zis_prompt_panel_setup (self->prompt_panel, self->session, self->recipe, settings);
  zis_parameter_panel_setup (self->parameter_panel, self->session, self->recipe);
  zis_memory_bar_setup (self->memory_bar, self->session);
  zis_gallery_setup (self->gallery, self->pictures);
  fill_examples (self);
  connect_everything (self);
  zis_window_setup_dnd (self);
  on_zoom (self);
  update_page (self);
  update_progress (self);
  zis_window_update_actions (self);

  return self;
}

ZisSession *
zis_window_get_session (ZisWindow *self)
{
  return self->session;
}
