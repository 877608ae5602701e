/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-models-page"

#include "zis-models-page.h"

#include <zie/zie-model.h>

#include "zis-compat.h"
#include "zis-download-row.h"
#include "zis-model-parts.h"

struct _ZisModelsPage
{
  AdwPreferencesPage parent_instance;

  AdwPreferencesGroup *found_group, *fetch_group;
  AdwActionRow *choose_row;
  AdwComboRow *source_row;
  AdwEntryRow *endpoint_row;
  ZisModelParts *parts_row;
  GtkSpinner *spinner;

  ZisModels *models;         /* owned */
  GSettings *settings;       /* owned */
  GPtrArray *found;          /* owned: of ZieModelCandidate */
  GPtrArray *rows;           /* owned; the widgets in it are borrowed, in the order of FOUND */
  GCancellable *looking;     /* owned or NULL */
};

G_DEFINE_FINAL_TYPE (ZisModelsPage, zis_models_page, ADW_TYPE_PREFERENCES_PAGE)

/* --- what is here ------------------------------------------------------------------------------------------- */

/* What the setting says for MODEL: the demo model is nobody's folder. */
static const char *
path_of (const ZieModelCandidate *model)
{
  return g_str_equal (model->place, "demo") ? "" : model->path;
}

static const char *
name_of (const ZieModelCandidate *model)
{
  return g_str_equal (model->place, "demo") ? _("Demo Model") : model->name;
}

static void
on_use (GtkButton *button, gpointer user_data)
{
  ZisModelsPage *self = user_data;
  const ZieModelCandidate *model = g_object_get_data (G_OBJECT (button), "model");

  zis_model_parts_use_model (self->settings, path_of (model));
}

static char *
describe (const ZieModelCandidate *model)
{
  g_autofree char *size = g_format_size (model->n_bytes);

  if (model->missing)
    return g_strdup_printf (_("Cannot be used: %s"), model->missing);
  if (g_str_equal (model->place, "demo"))
    return g_strdup_printf (_("Comes with the program · %s"), size);

  /* Translators: what it weighs, where it was found, its folder: “12.3 GB · ComfyUI · /home/…”. */
  return g_strdup_printf (_("%s · %s · %s"), size, _(model->place), model->path);
}

/* The mark of the one in use, or the button that makes it so. */
static void
show_row (ZisModelsPage *self, guint index)
{
  const ZieModelCandidate *model = self->found->pdata[index];
  AdwActionRow *row = self->rows->pdata[index];
  GtkWidget *button = g_object_get_data (G_OBJECT (row), "button");
  g_autofree char *used = g_settings_get_string (self->settings, "model-path");
  gboolean is_used = g_str_equal (used, path_of (model)) && !zis_model_parts_are_picked (self->settings);
  g_autofree char *name = g_strdup_printf (is_used ? _("%s is in use") : _("Use %s"), name_of (model));

  if (!button)
    return;
  gtk_widget_set_sensitive (button, !is_used);
  gtk_button_set_label (GTK_BUTTON (button), is_used ? _("In Use") : _("Use"));
  zis_compat_set_name (button, name);
}

static void
add_row (ZisModelsPage *self, const ZieModelCandidate *model)
{
  AdwActionRow *row = ADW_ACTION_ROW (adw_action_row_new ());
  g_autofree char *text = describe (model), *escaped = g_markup_escape_text (text, -1), *title = g_markup_escape_text (name_of (model), -1);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_action_row_set_subtitle (row, escaped);
  adw_action_row_set_subtitle_lines (row, 3);
  if (model->missing)
    {
      GtkWidget *image = gtk_image_new_from_icon_name ("dialog-warning-symbolic");

      gtk_widget_add_css_class (image, "warning");
      adw_action_row_add_suffix (row, image);
    }
  else
    {
      GtkWidget *button = gtk_button_new ();

      gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
      g_object_set_data (G_OBJECT (button), "model", (gpointer) model);
      g_object_set_data (G_OBJECT (row), "button", button);
      g_signal_connect (button, "clicked", G_CALLBACK (on_use), self);
      adw_action_row_add_suffix (row, button);
    }
  g_ptr_array_add (self->rows, row);
  adw_preferences_group_add (self->found_group, GTK_WIDGET (row));
}

static void
show_found (ZisModelsPage *self)
{
  for (guint i = 0; self->found && i < self->found->len; i++)
    show_row (self, i);
}

static void
look_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_pointer (task, zie_model_find_all (), (GDestroyNotify) g_ptr_array_unref);
}

static void
on_looked (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisModelsPage *self = ZIS_MODELS_PAGE (object);
  GPtrArray *found = g_task_propagate_pointer (G_TASK (result), NULL);

  if (!found)
    return;      /* a newer look, or nobody looks any more */

  for (guint i = 0; i < self->rows->len; i++)
    adw_preferences_group_remove (self->found_group, self->rows->pdata[i]);
  g_ptr_array_set_size (self->rows, 0);
  g_clear_pointer (&self->found, g_ptr_array_unref);
  self->found = found;
  for (guint i = 0; i < found->len; i++)
    add_row (self, found->pdata[i]);

  /* Last, whatever was found. */
  g_object_ref (self->choose_row);
  adw_preferences_group_remove (self->found_group, GTK_WIDGET (self->choose_row));
  adw_preferences_group_add (self->found_group, GTK_WIDGET (self->choose_row));
  g_object_unref (self->choose_row);
  gtk_spinner_stop (self->spinner);
  show_found (self);
}

/* Reads the headers of many files: in a worker. */
static void
look (ZisModelsPage *self)
{
  g_autoptr(GTask) task = NULL;

  if (self->looking)
    g_cancellable_cancel (self->looking);
  g_clear_object (&self->looking);
  self->looking = g_cancellable_new ();
  gtk_spinner_start (self->spinner);
  task = g_task_new (self, self->looking, on_looked, NULL);
  g_task_set_source_tag (task, look);
  g_task_run_in_thread (task, look_thread);
}

static void
on_folder_chosen (GFile *folder, gpointer user_data)
{
  g_autoptr(ZisModelsPage) self = user_data;

  if (!folder || !g_file_peek_path (folder))
    return;
  zis_model_parts_use_model (self->settings, g_file_peek_path (folder));
}

static void
on_choose (ZisModelsPage *self)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  zis_compat_choose_folder (GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL, _("Choose the Folder of a Model"), NULL, on_folder_chosen,
                            g_object_ref (self));
}

/* --- what can be fetched ------------------------------------------------------------------------------------ */

static void
fill_fetch_group (ZisModelsPage *self)
{
  const GError *error = zis_models_get_error (self->models);

  if (error)
    {
      g_autofree char *escaped = g_markup_escape_text (error->message, -1);
      adw_preferences_group_set_description (self->fetch_group, escaped);
    }
  for (guint i = 0; i < zis_models_get_n (self->models); i++)
    adw_preferences_group_add (self->fetch_group, zis_download_row_new (zis_models_get (self->models, i), self->settings));
}

static gboolean
source_to_row (GValue *value, GVariant *variant, gpointer user_data)
{
  ZieHubSource source = ZIE_HUB_HUGGING_FACE;

  zie_hub_source_from_name (g_variant_get_string (variant, NULL), &source);
  g_value_set_uint (value, source);
  return TRUE;
}

static GVariant *
row_to_source (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_string (zie_hub_source_name ((ZieHubSource) MIN (g_value_get_uint (value), ZIE_N_HUB_SOURCES - 1)));
}

static void
fill_sources (ZisModelsPage *self)
{
  g_autoptr(GtkStringList) names = gtk_string_list_new (NULL);
  g_autofree char *endpoint = g_settings_get_string (self->settings, "hub-endpoint");

  for (int i = 0; i < ZIE_N_HUB_SOURCES; i++)
    gtk_string_list_append (names, zie_hub_source_title ((ZieHubSource) i));
  adw_combo_row_set_model (self->source_row, G_LIST_MODEL (names));
  g_settings_bind_with_mapping (self->settings, "hub-source", self->source_row, "selected", G_SETTINGS_BIND_DEFAULT, source_to_row,
                                row_to_source, NULL, NULL);
  gtk_editable_set_text (GTK_EDITABLE (self->endpoint_row), endpoint);
}

static void
on_endpoint_applied (ZisModelsPage *self)
{
  g_autofree char *text = g_strstrip (g_strdup (gtk_editable_get_text (GTK_EDITABLE (self->endpoint_row))));

  g_settings_set_string (self->settings, "hub-endpoint", text);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_models_page_dispose (GObject *object)
{
  ZisModelsPage *self = ZIS_MODELS_PAGE (object);

  if (self->looking)
    g_cancellable_cancel (self->looking);
  g_clear_object (&self->looking);
  g_clear_object (&self->models);
  g_clear_object (&self->settings);

  G_OBJECT_CLASS (zis_models_page_parent_class)->dispose (object);
}

static void
zis_models_page_finalize (GObject *object)
{
  ZisModelsPage *self = ZIS_MODELS_PAGE (object);

  g_clear_pointer (&self->rows, g_ptr_array_unref);
  g_clear_pointer (&self->found, g_ptr_array_unref);

  G_OBJECT_CLASS (zis_models_page_parent_class)->finalize (object);
}

static void
zis_models_page_class_init (ZisModelsPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (ZIS_TYPE_MODEL_PARTS);

  G_OBJECT_CLASS (klass)->dispose = zis_models_page_dispose;
  G_OBJECT_CLASS (klass)->finalize = zis_models_page_finalize;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-models-page.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, found_group);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, fetch_group);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, choose_row);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, source_row);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, endpoint_row);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, parts_row);
  gtk_widget_class_bind_template_child (widget_class, ZisModelsPage, spinner);
}

static void
zis_models_page_init (ZisModelsPage *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  self->rows = g_ptr_array_new ();
}

AdwPreferencesPage *
zis_models_page_new (ZisModels *models, GSettings *settings)
{
  ZisModelsPage *self = g_object_new (ZIS_TYPE_MODELS_PAGE, NULL);

  self->models = g_object_ref (models);
  self->settings = g_object_ref (settings);
  zis_models_refresh (models);
  fill_fetch_group (self);
  fill_sources (self);
  g_signal_connect_swapped (self->choose_row, "activated", G_CALLBACK (on_choose), self);
  g_signal_connect_swapped (self->endpoint_row, "apply", G_CALLBACK (on_endpoint_applied), self);
  zis_model_parts_setup (self->parts_row, settings);
  g_signal_connect_object (settings, "changed::model-path", G_CALLBACK (show_found), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::model-parts", G_CALLBACK (show_found), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (models, "installed", G_CALLBACK (look), self, G_CONNECT_SWAPPED);
  look (self);

  return ADW_PREFERENCES_PAGE (self);
}
