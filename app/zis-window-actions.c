/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-window"

#include "zis-window-private.h"

#include <string.h>

#include "zis-compat.h"
#include "zis-desktop.h"
#include "zis-export.h"
#include "zis-job.h"
#include "zis-model-parts.h"
#include "zis-paintable.h"
#include "zis-queue.h"
#include "zis-recipe.h"
#include "zis-session.h"

#define SMALLER_STEPS 24

/* --- making pictures ---------------------------------------------------------------------------------------- */

static void
generate (ZisWindow *self)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;

  if (!zis_recipe_get_seed_locked (self->recipe))
    zis_recipe_roll_seed (self->recipe);

  zis_recipe_get_request (self->recipe, &request);
  zis_session_prepare (self->session, &request);

  if (!zis_session_generate (self->session, &request, &error))
    {
      zis_window_set_failed (self, &request);
      zis_window_show_error (self, error, ZIS_ERROR_IN_WORK);
      return;
    }

  zis_prompt_panel_remember (self->prompt_panel);
  zis_window_set_failed (self, NULL);
  zis_window_close_old_notice (self);
  zis_window_follow (self);
  if (zis_window_is_narrow (self))
    zis_window_show_panel (self, FALSE);
}

static void
on_generate (GtkWidget *widget, const char *name, GVariant *parameter)
{
  generate (ZIS_WINDOW (widget));
}

static void
on_cancel (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  ZisJob *running = zis_queue_get_running (zis_session_get_queue (self->session));

  if (running)
    zis_session_cancel (self->session, running);
}

static void
on_cancel_all (GtkWidget *widget, const char *name, GVariant *parameter)
{
  zis_session_cancel_all (ZIS_WINDOW (widget)->session);
}

static void
on_follow (GtkWidget *widget, const char *name, GVariant *parameter)
{
  zis_window_follow (ZIS_WINDOW (widget));
}

static void
on_roll_seed (GtkWidget *widget, const char *name, GVariant *parameter)
{
  zis_recipe_roll_seed (ZIS_WINDOW (widget)->recipe);
}

/* The recipe of the picture on the canvas; what this model cannot do is adapted.  A change of preferences is said, the rest
 * if TELL. */
static gboolean
restore_recipe (ZisWindow *self, gboolean tell)
{
  const ZieRequest *request = self->shown ? zis_picture_get_request (self->shown) : NULL;

  if (!request)
    return FALSE;

  zis_recipe_set_request (self->recipe, request);
  if (zis_session_get_info (self->session))
    zis_recipe_adapt (self->recipe, zis_session_get_info (self->session), FALSE);
  if (zis_session_restore (self->session, request))
    {
      const char *text = request->decode == ZIE_DECODE_BLEND
                           ? _("Recipe restored; pictures are now developed in blended tiles, as this one was")
                           : _("Recipe restored; pictures are now developed exactly, as this one was");

      zis_window_toast (self, text, _("Preferences"), "app.preferences");
    }
  else if (tell)
    zis_window_toast (self, _("Recipe restored"), NULL, NULL);

  return TRUE;
}

static void
on_use_recipe (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  if (!restore_recipe (self, TRUE))
    return;

  zis_window_show_panel (self, TRUE);
  zis_prompt_panel_focus (self->prompt_panel);
}

/* The same sentence, another throw of the dice. */
static void
on_vary (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  restore_recipe (self, FALSE);
  zis_recipe_roll_seed (self->recipe);
  g_object_set (self->recipe, "seed-locked", FALSE, NULL);
  generate (self);
}

/* What failed, which need not be what stands in the panel by now. */
static void
restore_failed (ZisWindow *self)
{
  if (!self->has_failed)
    return;

  zis_recipe_set_request (self->recipe, &self->failed);
  if (zis_session_get_info (self->session))
    zis_recipe_adapt (self->recipe, zis_session_get_info (self->session), FALSE);
}

static void
on_retry (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  restore_failed (self);
  if (g_str_equal (name, "win.retry-seed"))
    g_object_set (self->recipe, "seed-locked", FALSE, NULL);
  generate (self);
}

typedef struct
{
  ZisWindow *window;         /* owned */
  int sizes[SMALLER_STEPS][2];
  guint n_sizes;
} Smaller;

static void
on_smaller_planned (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autofree Smaller *smaller = user_data;
  g_autoptr(ZisWindow) self = smaller->window;
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) plans = zis_session_plan_finish (self->session, result, &error);

  if (g_cancellable_is_cancelled (self->cancellable))
    return;

  for (guint i = 0; plans && i < plans->len; i++)
    if (g_array_index (plans, ZisPlanResult, i).plan)
      {
        zis_recipe_set_size (self->recipe, smaller->sizes[i][0], smaller->sizes[i][1]);
        g_object_set (self->recipe, "seed-locked", TRUE, NULL);
        generate (self);
        return;
      }

  zis_window_toast (self, _("No smaller size fits either"), NULL, NULL);
}

/* The largest picture of the same shape that fits: what the planner allows, tried from large to small. */
static void
on_use_smaller_size (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  g_auto(ZieRequest) request = { 0 };
  Smaller *smaller = g_new0 (Smaller, 1);

  restore_failed (self);
  zis_recipe_get_request (self->recipe, &request);
  zis_session_prepare (self->session, &request);
  for (int i = 1; i <= SMALLER_STEPS; i++)
    {
      int width = request.width * (SMALLER_STEPS + 1 - i) / (SMALLER_STEPS + 1) / ZIE_SIZE_STEP * ZIE_SIZE_STEP;
      int height = request.height * (SMALLER_STEPS + 1 - i) / (SMALLER_STEPS + 1) / ZIE_SIZE_STEP * ZIE_SIZE_STEP;

      if (width < ZIE_SIZE_STEP || height < ZIE_SIZE_STEP)
        break;
      smaller->sizes[smaller->n_sizes][0] = width;
      smaller->sizes[smaller->n_sizes++][1] = height;
    }
  smaller->window = g_object_ref (self);
  zis_session_plan_async (self->session, &request, (const int (*)[2]) smaller->sizes, smaller->n_sizes, self->cancellable,
                          on_smaller_planned, smaller);
}

/* --- saving and copying ------------------------------------------------------------------------------------- */

typedef struct
{
  ZisWindow *window;         /* owned */
  ZieImage *image;           /* owned */
  ZisPicture *picture;       /* owned or NULL: which it is */
  ZieRequest recipe;         /* owned */
  gboolean has_recipe;
  GFile *file;               /* owned or NULL */
} Save;

static void ask_where (Save *save, const char *name, GFile *folder);

static void
save_free (Save *self)
{
  g_object_unref (self->window);
  zie_image_unref (self->image);
  g_clear_object (&self->picture);
  if (self->has_recipe)
    zie_request_clear (&self->recipe);
  g_clear_object (&self->file);
  g_free (self);
}

static void
on_exported (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Save *save = user_data;
  g_autoptr(GError) error = NULL;

  if (zis_export_finish (result, &error))
    {
      g_autofree char *name = g_file_get_basename (save->file);
      g_autofree char *text = g_strdup_printf (_("Saved as “%s”"), name);

      zis_window_toast (save->window, text, NULL, NULL);
      if (save->picture)
        zis_gallery_model_forget_unsaved (save->window->pictures, save->picture);
      if (save->window->notice_is_of_saving)
        zis_window_close_old_notice (save->window);
    }
  else
    {
      zis_window_show_error (save->window, error, ZIS_ERROR_IN_SAVING);
      zis_window_come_back (save->window);
    }
  save->window->n_exports--;
  zis_window_leave_if_idle (save->window);
  save_free (save);
}

static void
on_save_chosen (GFile *file, gpointer user_data)
{
  Save *save = user_data;
  ZisWindow *self = save->window;
  g_autofree char *last_type = g_settings_get_string (self->settings, "save-type");

  if (!file)
    {
      save_free (save);
      return;
    }

  g_set_object (&save->file, file);
  if (!zis_export_knows (file))
    {
      /* A name without a kind: as last time, and with that kind's ending.  In a sandbox the file that was chosen is the only one that
       * may be written; and what has the longer name is not written over unasked. */
      g_autofree char *name = g_file_get_basename (file), *full = g_strdup_printf ("%s.%s", name, last_type);
      g_autoptr(GFile) folder = g_file_get_parent (file), longer = g_file_get_child (folder, full);

      if (!zis_desktop_is_sandboxed () && g_file_query_exists (longer, NULL))
        {
          ask_where (save, full, folder);
          return;
        }
      if (!zis_desktop_is_sandboxed ())
        g_set_object (&save->file, longer);
    }
  else
    {
      const char *dot = strrchr (g_file_peek_path (file) ? g_file_peek_path (file) : ".png", '.');
      g_autofree char *type = g_ascii_strdown (dot + 1, -1);
      g_autoptr(GFile) folder = g_file_get_parent (file);

      g_settings_set_string (self->settings, "save-type", type);
      if (folder && g_file_peek_path (folder))
        g_settings_set_string (self->settings, "save-folder", g_file_peek_path (folder));
    }
  self->n_exports++;
  zis_export_async (save->image, save->has_recipe ? &save->recipe : NULL, save->file, last_type, NULL, on_exported, save);
}

static void
ask_where (Save *save, const char *name, GFile *folder)
{
  guint n_filters;
  const ZisCompatFilter *filters = zis_export_get_filters (&n_filters);

  zis_compat_save_file (GTK_WINDOW (save->window), _("Save Picture"), name, filters, n_filters, folder, on_save_chosen, save);
}

/* Asks where to, and saves there: IMAGE, which is PICTURE (NULL: one without a recipe). */
static void
save_as (ZisWindow *self, ZieImage *image, ZisPicture *picture)
{
  const ZieRequest *recipe = picture ? zis_picture_get_request (picture) : NULL;
  g_autofree char *base = recipe ? zis_suggest_name (recipe) : g_strdup (_("picture"));
  g_autofree char *type = g_settings_get_string (self->settings, "save-type");
  g_autofree char *folder_path = g_settings_get_string (self->settings, "save-folder");
  g_autofree char *suggested = g_strdup_printf ("%s.%s", base, type);
  g_autoptr(GFile) folder = *folder_path ? g_file_new_for_path (folder_path) : NULL;
  Save *save = g_new0 (Save, 1);

  save->window = g_object_ref (self);
  save->image = zie_image_ref (image);
  save->picture = picture ? g_object_ref (picture) : NULL;
  if ((save->has_recipe = recipe != NULL))
    zie_request_copy (&save->recipe, recipe);
  ask_where (save, suggested, folder);
}

static ZieImage *
get_shown_image (ZisWindow *self)
{
  ZisPaintable *paintable = zis_canvas_get_picture (self->canvas);
  ZieImage *image = paintable ? zis_paintable_get_image (paintable) : NULL;

  return image ? image : self->complete ? zis_paintable_get_image (self->complete) : NULL;
}

static void
on_save (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  ZieImage *image = get_shown_image (self);

  if (image)
    save_as (self, image, self->shown);
}

static void
on_unsaved_loaded (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieImage) image = zis_picture_load_finish (ZIS_PICTURE (object), result, &error);

  if (image)
    save_as (self, image, ZIS_PICTURE (object));
  else
    zis_window_show_error (self, error, ZIS_ERROR_IN_OPENING);
}

/* The picture that could not be kept, which need not be the one that is shown by now. */
static void
on_save_unsaved (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  ZisPicture *picture = zis_gallery_model_get_unsaved (self->pictures);

  if (picture)
    zis_picture_load_async (picture, self->cancellable, on_unsaved_loaded, g_object_ref (self));
}

static void
on_desktop_failed (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_autoptr(GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, g_variant_get_string (parameter, NULL));

  zis_window_show_error (ZIS_WINDOW (widget), error, ZIS_ERROR_IN_DESKTOP);
}

static void
on_copy (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  ZieImage *image = get_shown_image (self);
  g_autoptr(GdkTexture) texture = NULL;

  if (!image)
    return;

  texture = gdk_memory_texture_new (zie_image_get_width (image), zie_image_get_height (image), GDK_MEMORY_R8G8B8,
                                    zie_image_get_pixels (image), zie_image_get_stride (image));
  gdk_clipboard_set_texture (gtk_widget_get_clipboard (widget), texture);
  zis_window_toast (self, _("Picture copied"), NULL, NULL);
}

/* --- files -------------------------------------------------------------------------------------------------- */

static void
on_open_chosen (GFile *file, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;

  if (file)
    zis_window_open_file (self, file);
}

static void
on_open (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  const ZisCompatFilter filters[] = { { _("PNG pictures"), "png" } };

  zis_compat_open_file (GTK_WINDOW (self), _("Open Picture"), filters, G_N_ELEMENTS (filters),
                        zis_gallery_model_get_folder (self->pictures), on_open_chosen, g_object_ref (self));
}

static void
on_show_in_folder (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  if (self->shown && zis_picture_is_saved (self->shown))
    zis_compat_show_in_folder (GTK_WINDOW (self), zis_picture_get_file (self->shown));
}

static void
on_trash (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  g_autoptr(ZisPicture) picture = self->shown ? g_object_ref (self->shown) : NULL;
  guint position = picture ? zis_gallery_model_find (self->pictures, picture) : GTK_INVALID_LIST_POSITION;
  g_autoptr(GError) error = NULL;
  g_autoptr(ZisPicture) next = NULL;
  gboolean was_saved = picture && zis_picture_is_saved (picture);

  if (position == GTK_INVALID_LIST_POSITION)
    return;
  if (!zis_gallery_model_trash (self->pictures, picture, &error))
    {
      zis_window_show_error (self, error, ZIS_ERROR_IN_BIN);
      return;
    }

  /* It may have been the last that was not saved. */
  if (self->notice_is_of_saving)
    zis_window_close_old_notice (self);
  zis_window_toast (self, was_saved ? _("Moved to the bin") : _("The picture is gone: it had not been saved"), NULL, NULL);
  next = g_list_model_get_item (G_LIST_MODEL (self->pictures), position);
  if (!next && position > 0)
    next = g_list_model_get_item (G_LIST_MODEL (self->pictures), position - 1);
  zis_gallery_select (self->gallery, next);
  if (next)
    zis_window_show_picture (self, next);
  else
    zis_window_update_actions (self);
}

static void
on_step_picture (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);
  ZisPicture *selected = zis_gallery_get_selected (self->gallery);
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->pictures));
  guint position = selected ? zis_gallery_model_find (self->pictures, selected) : GTK_INVALID_LIST_POSITION;
  gboolean is_older = g_str_equal (name, "win.older");
  g_autoptr(ZisPicture) picture = NULL;

  if (position == GTK_INVALID_LIST_POSITION)
    position = 0;
  else if (is_older ? position + 1 < n : position > 0)
    position = is_older ? position + 1 : position - 1;
  else
    return;

  picture = g_list_model_get_item (G_LIST_MODEL (self->pictures), position);
  if (picture)
    {
      zis_gallery_select (self->gallery, picture);
      zis_window_show_picture (self, picture);
    }
}

/* --- model -------------------------------------------------------------------------------------------------- */

static void
on_model_chosen (GFile *folder, gpointer user_data)
{
  g_autoptr(ZisWindow) self = user_data;

  if (folder && g_file_peek_path (folder))
    {
      zis_window_close_notice (self);
      zis_model_parts_use_model (self->settings, g_file_peek_path (folder));
    }
}

static void
on_choose_model (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_compat_choose_folder (GTK_WINDOW (self), _("Choose the Folder of a Model"), NULL, on_model_chosen, g_object_ref (self));
}

static void
on_use_demo (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_window_close_notice (self);
  zis_model_parts_use_model (self->settings, "");
  zis_session_open_soon (self->session); /* though it may be what the settings said before */
}

static void
on_use_own_parts (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_window_close_notice (self);
  g_settings_reset (self->settings, "model-parts");
}

static void
on_restart_engine (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_window_close_notice (self);
  zis_session_open (self->session);
}

/* --- view --------------------------------------------------------------------------------------------------- */

static void
on_zoom (GtkWidget *widget, const char *name, GVariant *parameter)
{
  static const char *const pairs[][2] = {
    { "win.zoom-in", "canvas.zoom-in" }, { "win.zoom-out", "canvas.zoom-out" },
    { "win.zoom-fit", "canvas.fit" }, { "win.zoom-original", "canvas.original" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (g_str_equal (name, pairs[i][0]))
      gtk_widget_activate_action (GTK_WIDGET (ZIS_WINDOW (widget)->canvas), pairs[i][1], NULL);
}

static void
on_compare (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_canvas_set_compare (self->canvas, !zis_canvas_get_compare (self->canvas));
}

static void
on_toggle_panel (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (self->panel_button),
                                !gtk_toggle_button_get_active (GTK_TOGGLE_BUTTON (self->panel_button)));
}

static void
on_focus_prompt (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_window_show_panel (self, TRUE);
  zis_prompt_panel_focus (self->prompt_panel);
}

static void
on_show_plan (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  zis_window_show_panel (self, TRUE);
  zis_memory_bar_show_plan (self->memory_bar);
}

static void
on_show_queue (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  if (gtk_widget_get_visible (self->queue_button))
    gtk_menu_button_popup (GTK_MENU_BUTTON (self->queue_button));
}

static void
on_fullscreen (GtkWidget *widget, const char *name, GVariant *parameter)
{
  ZisWindow *self = ZIS_WINDOW (widget);

  if (gtk_window_is_fullscreen (GTK_WINDOW (self)))
    gtk_window_unfullscreen (GTK_WINDOW (self));
  else
    gtk_window_fullscreen (GTK_WINDOW (self));
}

/* GTK would build it with each window, before the first frame. */
static void
on_show_shortcuts (GtkWidget *widget, const char *name, GVariant *parameter)
{
  GtkApplicationWindow *window = GTK_APPLICATION_WINDOW (widget);

  if (!gtk_application_window_get_help_overlay (window))
    {
      g_autoptr(GtkBuilder) builder = gtk_builder_new_from_resource (ZIS_RESOURCE_PATH "/zis-shortcuts.ui");

      gtk_application_window_set_help_overlay (window, GTK_SHORTCUTS_WINDOW (gtk_builder_get_object (builder, "shortcuts")));
    }
  gtk_window_present (GTK_WINDOW (gtk_application_window_get_help_overlay (window)));
}

static void
on_close_notice (GtkWidget *widget, const char *name, GVariant *parameter)
{
  zis_window_close_notice (ZIS_WINDOW (widget));
}

/* --- all of them -------------------------------------------------------------------------------------------- */

static const struct
{
  const char *name;
  GtkWidgetActionActivateFunc activate;
  const char *parameter;     /* type of it, or NULL */
} actions[] = {
  { "win.generate", on_generate },
  { "win.cancel", on_cancel },
  { "win.cancel-all", on_cancel_all },
  { "win.follow", on_follow },
  { "win.roll-seed", on_roll_seed },
  { "win.use-recipe", on_use_recipe },
  { "win.vary", on_vary },
  { "win.retry", on_retry },
  { "win.retry-seed", on_retry },
  { "win.use-smaller-size", on_use_smaller_size },
  { "win.save", on_save },
  { "win.save-unsaved", on_save_unsaved },
  { "win.copy", on_copy },
  { "win.save-report", zis_window_save_report },
  { "win.open", on_open },
  { "win.show-in-folder", on_show_in_folder },
  { "win.trash", on_trash },
  { "win.desktop-failed", on_desktop_failed, "s" },
  { "win.older", on_step_picture },
  { "win.newer", on_step_picture },
  { "win.choose-model", on_choose_model },
  { "win.use-demo", on_use_demo },
  { "win.use-own-parts", on_use_own_parts },
  { "win.restart-engine", on_restart_engine },
  { "win.zoom-in", on_zoom },
  { "win.zoom-out", on_zoom },
  { "win.zoom-fit", on_zoom },
  { "win.zoom-original", on_zoom },
  { "win.compare", on_compare },
  { "win.toggle-panel", on_toggle_panel },
  { "win.focus-prompt", on_focus_prompt },
  { "win.show-plan", on_show_plan },
  { "win.show-queue", on_show_queue },
  { "win.fullscreen", on_fullscreen },
  { "win.show-shortcuts", on_show_shortcuts },
  { "win.close-notice", on_close_notice },
};

void
zis_window_install_actions (GtkWidgetClass *widget_class)
{
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    gtk_widget_class_install_action (widget_class, actions[i].name, actions[i].parameter, actions[i].activate);
}

void
zis_window_update_actions (ZisWindow *self)
{
  ZisQueue *queue = zis_session_get_queue (self->session);
  ZisJob *running = zis_queue_get_running (queue);
  GtkWidget *widget = GTK_WIDGET (self);
  gboolean has_prompt = *zis_recipe_get_prompt (self->recipe) != '\0';
  gboolean has_image = get_shown_image (self) != NULL;
  gboolean has_recipe = self->shown && zis_picture_get_request (self->shown);
  gboolean in_list = self->shown && zis_gallery_model_find (self->pictures, self->shown) != GTK_INVALID_LIST_POSITION;
  gboolean is_saved = self->shown && zis_picture_is_saved (self->shown);
  gboolean can_compare = zis_canvas_get_previous (self->canvas) != NULL;

  gtk_widget_action_set_enabled (widget, "win.generate", has_prompt && zis_session_get_state (self->session) != ZIS_SESSION_FAILED);
  gtk_widget_action_set_enabled (widget, "win.cancel", running && zis_job_get_state (running) == ZIS_JOB_RUNNING);
  gtk_widget_action_set_enabled (widget, "win.cancel-all", zis_queue_get_n_jobs (queue) > 0);
  gtk_widget_action_set_enabled (widget, "win.follow", running && !self->is_following);
  gtk_widget_action_set_enabled (widget, "win.save", has_image);
  gtk_widget_action_set_enabled (widget, "win.copy", has_image);
  gtk_widget_action_set_enabled (widget, "win.save-report", zis_session_has_report (self->session));
  gtk_widget_action_set_enabled (widget, "win.use-recipe", has_recipe);
  gtk_widget_action_set_enabled (widget, "win.vary", has_recipe || has_prompt);
  gtk_widget_action_set_enabled (widget, "win.trash", in_list);
  gtk_widget_action_set_enabled (widget, "win.show-in-folder", is_saved);
  gtk_widget_action_set_enabled (widget, "win.compare", can_compare);
  gtk_widget_set_sensitive (self->compare_button, can_compare);
}
