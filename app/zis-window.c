/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include "zis-application.h"
#include "zis-compat.h"
#include "zis-error-text.h"
#include "zis-job.h"
#include "zis-model-parts.h"
#include "zis-queue.h"
#include "zis-recipe.h"
#include "zis-session.h"

#define TOAST_MIN_US (200 * 1000)

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

static gboolean
dismiss_later (gpointer toast)
{
  adw_toast_dismiss (toast);
  return G_SOURCE_REMOVE;
}

/* libadwaita 1.2 uses a toast after it freed it that goes before it was drawn once.  Returns when it goes: then the next one
 * comes. */
static gint64
dismiss (AdwToast *toast, gint64 shown_us)
{
  gint64 now = g_get_monotonic_time (), goes = MAX (now, shown_us + TOAST_MIN_US);

  if (goes == now)
    adw_toast_dismiss (toast);
  else
    g_timeout_add_full (G_PRIORITY_DEFAULT, (guint)((goes - now) / 1000) + 1, dismiss_later, g_object_ref (toast), g_object_unref);
  return goes;
}

void
zis_window_toast (ZisWindow *self, const char *text, const char *button, const char *action)
{
  /* A title of its own: Adwaita's would be cut off in a narrow window, is markup, and is not told to a screen reader. */
  GtkWidget *label = gtk_label_new (text);
  AdwToast *toast = adw_toast_new ("");

  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_widget_add_css_class (label, "heading");
  adw_toast_set_custom_title (toast, zis_compat_alert_new (label, text));

  if (button)
    {
      adw_toast_set_button_label (toast, button);
      adw_toast_set_action_name (toast, action);
      adw_toast_set_timeout (toast, 10);
    }

  /* What is news takes the place of what was; it would else be told when that one's time is over. */
  self->toast_us = self->toast ? dismiss (self->toast, self->toast_us) : g_get_monotonic_time ();
  g_set_object (&self->toast, toast);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

/* What is folded away is not to be heard either. */
static void
on_notice_folded (ZisWindow *self)
{
  gtk_widget_set_visible (GTK_WIDGET (self->notice_revealer), gtk_revealer_get_reveal_child (self->notice_revealer)
                                                               || gtk_revealer_get_child_revealed (self->notice_revealer));
}

void
zis_window_close_notice (ZisWindow *self)
{
  gtk_revealer_set_reveal_child (self->notice_revealer, FALSE);
  zis_window_set_failed (self, NULL);
}

void
zis_window_close_old_notice (ZisWindow *self)
{
  if (!zis_gallery_model_get_unsaved (self->pictures))
    zis_window_close_notice (self);
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

static void
describe_error (ZisWindow *self, ZisErrorText *text, const GError *error, ZisErrorContext context)
{
  if (context == ZIS_ERROR_IN_WORK && zis_session_get_state (self->session) == ZIS_SESSION_FAILED
      && zis_model_parts_are_to_blame (self->settings, error))
    context = ZIS_ERROR_IN_PARTS;
  zis_error_text_init (text, error, context);
}

void
zis_window_set_failed (ZisWindow *self, const ZieRequest *request)
{
  if (self->has_failed)
    zie_request_clear (&self->failed);
  if ((self->has_failed = request != NULL))
    zie_request_copy (&self->failed, request);
}

void
zis_window_show_error (ZisWindow *self, const GError *error, ZisErrorContext context)
{
  g_auto(ZisErrorText) text;

  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_CANCELLED) || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  g_debug ("error: %s", error->message);
  describe_error (self, &text, error, context);
  gtk_label_set_text (self->notice_title, text.title);
  gtk_label_set_text (self->notice_body, text.body);
  set_way_out (self->notice_button, &text);
  self->notice_is_of_saving = context == ZIS_ERROR_IN_KEEPING;
  gtk_widget_set_visible (GTK_WIDGET (self->notice_revealer), TRUE);
  gtk_revealer_set_reveal_child (self->notice_revealer, TRUE);
  zis_compat_announce (gtk_revealer_get_child (self->notice_revealer), text.title);
}

/* --- model -------------------------------------------------------------------------------------------------- */

static void
show_problem (ZisWindow *self)
{
  g_auto(ZisErrorText) text;

  describe_error (self, &text, zis_session_get_error (self->session), ZIS_ERROR_IN_WORK);
  adw_status_page_set_title (self->problem_page, text.title);

  /* The description is markup. */
  g_autofree char *escaped = g_markup_escape_text (text.body, -1);

  adw_status_page_set_description (self->problem_page, escaped);
  set_way_out (self->problem_button, &text);
  if (zis_canvas_get_picture (self->canvas))
    zis_window_show_error (self, zis_session_get_error (self->session), ZIS_ERROR_IN_WORK);
}

static void
on_session_state (ZisWindow *self)
{
  if (zis_session_get_state (self->session) == ZIS_SESSION_FAILED)
    show_problem (self);
  zis_window_update_page (self);
  zis_window_update_progress (self);
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

/* The demo model is not what one came for. */
static void
add_way_to_real_model (ZisWindow *self)
{
  GtkWidget *button = gtk_button_new_with_mnemonic (_("Get the _Real Model…"));

  gtk_actionable_set_action_name (GTK_ACTIONABLE (button), "app.models");
  gtk_widget_set_tooltip_text (button, _("The Demo Model Draws Small Emoji; Z-Image-Turbo Paints Anything"));
  gtk_widget_add_css_class (button, "pill");
  gtk_widget_set_halign (button, GTK_ALIGN_CENTER);
  gtk_widget_set_margin_top (button, 18);
  zis_compat_name_buttons (button);
  gtk_box_append (GTK_BOX (self->examples), button);
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
  add_way_to_real_model (self);
}

static void
on_model_changed (ZisWindow *self)
{
  const ZieModelInfo *info = zis_session_get_info (self->session);
  g_autofree char *last = g_settings_get_string (self->settings, "last-model");

  /* Another model: its own size and steps.  The same one: what was set last time. */
  zis_recipe_adapt (self->recipe, info, !g_str_equal (last, info->path));
  g_settings_set_string (self->settings, "last-model", info->path);
  zis_window_close_notice (self);      /* of a model before it that could not be opened */
  gtk_widget_set_visible (self->examples, info->is_demo);
  zis_prompt_panel_update (self->prompt_panel);
  zis_parameter_panel_update (self->parameter_panel);
  zis_window_update_progress (self);
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
  zis_window_show_error (user_data, error, ZIS_ERROR_IN_KEEPING);
  zis_window_come_back (user_data);
}

/* What could not be saved may be by now, in another folder. */
static void
on_n_saving (ZisWindow *self)
{
  if (zis_gallery_model_get_n_saving (self->pictures) == 0 && self->notice_is_of_saving)
    zis_window_close_old_notice (self);
  zis_window_leave_if_idle (self);
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
  zis_window_follow_job (self, NULL);
  zis_window_set_failed (self, NULL);
  if (self->session)
    {
      g_signal_handlers_disconnect_by_data (self->session, self);
      g_signal_handlers_disconnect_by_data (zis_session_get_queue (self->session), self);
      zis_session_close (self->session);
    }
  g_clear_object (&self->loading);
  g_clear_object (&self->toast);
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
  adw_header_bar_pack_start (self->panel_header, GTK_WIDGET (gtk_builder_get_object (builder, "panel_close_button")));
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
  GET (notice_content);
  GET (progress_label);
  GET (progress_bar);
  GET (notice_button);
  GET (problem_button);
  GET (zoom_button);
  GET (panel_button);
  GET (panel_close_button);
  GET (queue_button);
  GET (compare_button);
  GET (follow_button);
  GET (cancel_button);
  GET (zoom_box);
  GET (examples);
  GET (queue_list);
}

/* Seen before the widgets, of which some swallow Escape; but an open popover or dialog has the first claim on it. */
static gboolean
on_key (GtkEventControllerKey *controller, guint key, guint code, GdkModifierType state, gpointer user_data)
{
  ZisWindow *self = user_data;
  ZisJob *running = zis_queue_get_running (zis_session_get_queue (self->session));
  GtkWidget *focus = gtk_root_get_focus (GTK_ROOT (self));

  if (!running || zis_job_get_state (running) != ZIS_JOB_RUNNING || key != GDK_KEY_Escape || (state & gtk_accelerator_get_default_mod_mask ())
      || (focus && gtk_widget_get_ancestor (focus, GTK_TYPE_POPOVER)) || zis_compat_has_dialog (ADW_APPLICATION_WINDOW (self)))
    return GDK_EVENT_PROPAGATE;

  /* TRUE also of an action that is not enabled, hence the question above. */
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
  zis_compat_name_buttons (GTK_WIDGET (self));
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
  g_object_bind_property (self->split, ZIS_COMPAT_SPLIT_SHOWN, self->panel_button, "active",
                          G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE);
  g_object_bind_property (self->canvas, "compare", self->compare_button, "active", G_BINDING_BIDIRECTIONAL);

  g_signal_connect_object (self->session, "notify::state", G_CALLBACK (on_session_state), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->session, "model-changed", G_CALLBACK (on_model_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "items-changed", G_CALLBACK (on_pictures_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "notify::n-saving", G_CALLBACK (on_n_saving), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->notice_revealer, "notify::child-revealed", G_CALLBACK (on_notice_folded), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->pictures, "save-failed", G_CALLBACK (on_save_failed), self, 0);
  g_signal_connect_object (self->gallery, "chosen", G_CALLBACK (on_chosen), self, 0);
  g_signal_connect_object (self->parameter_panel, "planned", G_CALLBACK (on_planned), self, 0);
  g_signal_connect_object (self->recipe, "notify::prompt", G_CALLBACK (zis_window_update_actions), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::zoom", G_CALLBACK (on_zoom), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->progress_revealer, "notify::child-revealed", G_CALLBACK (zis_window_update_progress), self, G_CONNECT_SWAPPED);

  for (const char *const *key =
           (const char *const[]) { "changed::model-path", "changed::model-parts", "changed::device", NULL };
       *key; key++)
    g_signal_connect_object (self->settings, *key, G_CALLBACK (zis_session_open_soon), self->session,
                             G_CONNECT_SWAPPED);
  for (const char *const *key = (const char *const[]) { "changed::decode", "changed::tile-size", "changed::tile-overlap", NULL }; *key; key++)
    g_signal_connect_object (self->settings, *key, G_CALLBACK (zis_parameter_panel_update), self->parameter_panel,
                             G_CONNECT_SWAPPED);
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
  zis_window_setup_jobs (self);
  zis_prompt_panel_focus (self->prompt_panel);
  on_zoom (self);
  zis_window_update_page (self);
  zis_window_update_progress (self);
  zis_window_update_actions (self);

  return self;
}

ZisSession *
zis_window_get_session (ZisWindow *self)
{
  return self->session;
}
