/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-download-row"

#include "zis-download-row.h"

#include "zis-compat.h"
#include "zis-model-parts.h"

struct _ZisDownloadRow
{
  AdwPreferencesRow parent_instance;

  GtkLabel *title, *badge, *summary, *facts, *status, *problem_title, *problem_body;
  GtkButton *button, *second_button;
  GtkProgressBar *progress;
  GtkWidget *problem;

  ZisDownload *download;     /* owned */
  GSettings *settings;       /* owned */
};

G_DEFINE_FINAL_TYPE (ZisDownloadRow, zis_download_row, ADW_TYPE_PREFERENCES_ROW)

/* --- what the buttons do ------------------------------------------------------------------------------------ */

static void
fetch (ZisDownloadRow *self)
{
  zis_download_start (self->download, FALSE);
}

static void
repair (ZisDownloadRow *self)
{
  zis_download_start (self->download, TRUE);
}

static void
pause_fetch (ZisDownloadRow *self)
{
  zis_download_pause (self->download);
}

static void
resume (ZisDownloadRow *self)
{
  zis_download_resume (self->download);
}

static void
cancel (ZisDownloadRow *self)
{
  zis_download_cancel (self->download);
}

static void
discard (ZisDownloadRow *self)
{
  zis_download_discard (self->download);
}

static void
use (ZisDownloadRow *self)
{
  zis_model_parts_use_model (self->settings, zis_download_get_path (self->download));
}

/* A verb in each state, and another one that is wanted less. */
static const struct
{
  const char *label, *name;              /* of the first; with the model's name for those who hear it */
  void (*act) (ZisDownloadRow *self);
  const char *second_icon, *second_name;
  void (*second_act) (ZisDownloadRow *self);
} verbs[] = {
  [ZIS_DOWNLOAD_ABSENT] = { N_("_Fetch"), N_("Fetch %s"), fetch, NULL, NULL, NULL },
  [ZIS_DOWNLOAD_BEGUN] = { N_("_Go On"), N_("Go on fetching %s"), fetch, "user-trash-symbolic", N_("Remove what has arrived of %s"), discard },
  [ZIS_DOWNLOAD_BROKEN] = { N_("_Repair"), N_("Repair %s"), repair, NULL, NULL, NULL },
  [ZIS_DOWNLOAD_THERE] = { N_("_Use"), N_("Use %s"), use, "view-refresh-symbolic", N_("Check and repair %s"), repair },
  [ZIS_DOWNLOAD_RUNNING] = { N_("_Pause"), N_("Pause fetching %s"), pause_fetch, "process-stop-symbolic", N_("Stop fetching %s"), cancel },
  [ZIS_DOWNLOAD_PAUSED] = { N_("_Go On"), N_("Go on fetching %s"), resume, "process-stop-symbolic", N_("Stop fetching %s"), cancel },
  [ZIS_DOWNLOAD_FAILED] = { N_("_Try Again"), N_("Try again to fetch %s"), fetch, NULL, NULL, NULL },
};

static void
on_button (ZisDownloadRow *self)
{
  verbs[zis_download_get_state (self->download)].act (self);
}

static void
on_second_button (ZisDownloadRow *self)
{
  verbs[zis_download_get_state (self->download)].second_act (self);
}

/* --- showing ------------------------------------------------------------------------------------------------ */

static gboolean
is_in_use (ZisDownloadRow *self)
{
  g_autofree char *path = g_settings_get_string (self->settings, "model-path");

  return g_str_equal (path, zis_download_get_path (self->download));
}

static void
set_name (GtkButton *button, const char *format, const char *model)
{
  g_auto(GStrv) parts = g_strsplit (format, "%s", 2);
  g_autofree char *name = g_strjoinv (model, parts);

  zis_compat_set_name (GTK_WIDGET (button), name);
  gtk_widget_set_tooltip_text (GTK_WIDGET (button), name);
}

static void
show_buttons (ZisDownloadRow *self, ZisDownloadState state)
{
  const ZieHubModel *model = zis_download_get_model (self->download);
  gboolean is_used = state == ZIS_DOWNLOAD_THERE && is_in_use (self);

  gtk_button_set_label (self->button, is_used ? _("In Use") : _(verbs[state].label));
  gtk_widget_set_sensitive (GTK_WIDGET (self->button), !is_used);
  set_name (self->button, is_used ? _("%s is in use") : _(verbs[state].name), model->name);
  if ((state == ZIS_DOWNLOAD_ABSENT || state == ZIS_DOWNLOAD_BEGUN) && model->is_recommended)
    gtk_widget_add_css_class (GTK_WIDGET (self->button), "suggested-action");
  else
    gtk_widget_remove_css_class (GTK_WIDGET (self->button), "suggested-action");

  gtk_widget_set_visible (GTK_WIDGET (self->second_button), verbs[state].second_act != NULL);
  if (verbs[state].second_act)
    {
      gtk_button_set_icon_name (self->second_button, verbs[state].second_icon);
      set_name (self->second_button, _(verbs[state].second_name), model->name);
    }
}

/* One sentence for each thing that a person can do something about; the hub's own, precise one stands below it. */
static const char *
describe_problem (const GError *error)
{
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_WRITE))
    return _("The files cannot be kept: free some space on the disk, or mend the folder’s permissions.");
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND))
    return _("The server does not have this model: choose another source below.");
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST))
    return _("The address of the mirror cannot be used: correct it below.");
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT))
    return _("A file arrived damaged: try again, or choose another source below.");

  return _("The download stopped. What has arrived stays: try again when the network is back.");
}

static void
show (ZisDownloadRow *self)
{
  ZisDownloadState state = zis_download_get_state (self->download);
  gboolean is_going = state == ZIS_DOWNLOAD_RUNNING || state == ZIS_DOWNLOAD_PAUSED;
  g_autofree char *status = zis_download_get_status (self->download);

  show_buttons (self, state);
  gtk_widget_set_visible (GTK_WIDGET (self->progress), is_going || state == ZIS_DOWNLOAD_BEGUN);
  gtk_progress_bar_set_fraction (self->progress, zis_download_get_fraction (self->download));
  if (state == ZIS_DOWNLOAD_BROKEN)
    gtk_label_set_text (self->status, _("Files are missing or damaged."));
  else if (state == ZIS_DOWNLOAD_PAUSED && status)
    {
      g_autofree char *paused = g_strdup_printf (_("Paused · %s"), status);
      gtk_label_set_text (self->status, paused);
    }
  else
    gtk_label_set_text (self->status, status ? status : "");
  gtk_widget_set_visible (GTK_WIDGET (self->status), *gtk_label_get_text (self->status) != '\0');

  gtk_widget_set_visible (self->problem, state == ZIS_DOWNLOAD_FAILED);
  if (state == ZIS_DOWNLOAD_FAILED)
    {
      const GError *error = zis_download_get_error (self->download);

      gtk_label_set_text (self->problem_title, describe_problem (error));
      gtk_label_set_text (self->problem_body, error->message);
    }
}

static void
show_facts (ZisDownloadRow *self)
{
  const ZieHubModel *model = zis_download_get_model (self->download);
  g_autofree char *size = g_format_size (model->n_bytes);
  g_autofree char *facts = NULL;

  gtk_label_set_text (self->title, model->name);
  gtk_label_set_text (self->summary, _(model->summary));
  gtk_widget_set_visible (GTK_WIDGET (self->badge), model->is_recommended);
  /* Translators: what a model weighs, its licence, and a link to its page: “20.7 GB · Licence: Apache-2.0 · About”. */
  facts = g_markup_printf_escaped (_("%s · Licence: <a href=\"%s\">%s</a> · <a href=\"%s\">About this model</a>"), size, model->licence_url,
                                   model->licence, model->page);
  if (!zie_hub_model_has_source (model, ZIE_HUB_MODELSCOPE))
    {
      /* Translators: after the facts about a model; a name of a site. */
      g_autofree char *only = g_strdup_printf (_("only at %s"), zie_hub_source_title (ZIE_HUB_HUGGING_FACE));
      g_autofree char *more = g_strdup_printf ("%s · %s", facts, only);

      gtk_label_set_markup (self->facts, more);
    }
  else
    gtk_label_set_markup (self->facts, facts);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self), model->name);
  zis_compat_set_name (GTK_WIDGET (self), model->name);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_download_row_dispose (GObject *object)
{
  ZisDownloadRow *self = ZIS_DOWNLOAD_ROW (object);

  g_clear_object (&self->download);
  g_clear_object (&self->settings);

  G_OBJECT_CLASS (zis_download_row_parent_class)->dispose (object);
}

static void
zis_download_row_class_init (ZisDownloadRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_download_row_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-download-row.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, title);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, badge);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, summary);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, facts);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, status);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, problem);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, problem_title);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, problem_body);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, button);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, second_button);
  gtk_widget_class_bind_template_child (widget_class, ZisDownloadRow, progress);
}

static void
zis_download_row_init (ZisDownloadRow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  g_signal_connect_swapped (self->button, "clicked", G_CALLBACK (on_button), self);
  g_signal_connect_swapped (self->second_button, "clicked", G_CALLBACK (on_second_button), self);
}

GtkWidget *
zis_download_row_new (ZisDownload *download, GSettings *settings)
{
  ZisDownloadRow *self = g_object_new (ZIS_TYPE_DOWNLOAD_ROW, NULL);

  self->download = g_object_ref (download);
  self->settings = g_object_ref (settings);
  show_facts (self);
  show (self);
  g_signal_connect_object (download, "changed", G_CALLBACK (show), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::model-path", G_CALLBACK (show), self, G_CONNECT_SWAPPED);

  return GTK_WIDGET (self);
}
