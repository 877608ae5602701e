/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-preferences"

#include "zis-preferences.h"

#include "zis-compat.h"
#include "zis-model-parts.h"
#include "zis-desktop.h"
#include "zis-session.h"

#define MIB_PER_GB (1e9 / (1024 * 1024))

struct _ZisPreferences
{
  AdwPreferencesPage parent_instance;

  AdwActionRow *model_row, *folder_row;
  AdwComboRow *device_row, *preview_row, *decode_row, *style_row;
  GtkWidget *model_reset, *model_button, *folder_button, *keep_switch, *notify_switch;
  GtkAdjustment *limit_adjustment, *tile_adjustment, *overlap_adjustment;
  GtkWidget *tile_row, *overlap_row;

  GSettings *settings;       /* owned */
  ZisSession *session;       /* owned */
  GStrv device_ids;          /* owned: "auto", "cpu:0" … in the order of the row */
  gboolean is_showing;
};

G_DEFINE_FINAL_TYPE (ZisPreferences, zis_preferences, ADW_TYPE_PREFERENCES_PAGE)

/* Steps between previews, in the order of the row. */
static const guint preview_steps[] = { 0, 1, 2, 4 };

static gboolean
preview_to_row (GValue *value, GVariant *variant, gpointer user_data)
{
  guint at = 1;

  for (guint i = 0; i < G_N_ELEMENTS (preview_steps); i++)
    if (preview_steps[i] == g_variant_get_uint32 (variant))
      at = i;
  g_value_set_uint (value, at);

  return TRUE;
}

static GVariant *
row_to_preview (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_uint32 (preview_steps[MIN (g_value_get_uint (value), G_N_ELEMENTS (preview_steps) - 1)]);
}

static gboolean
decode_to_row (GValue *value, GVariant *variant, gpointer user_data)
{
  ZieDecode decode = ZIE_DECODE_EXACT;

  zie_decode_from_name (g_variant_get_string (variant, NULL), &decode);
  g_value_set_uint (value, decode);
  return TRUE;
}

static GVariant *
row_to_decode (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_string (zie_decode_name (g_value_get_uint (value) == ZIE_DECODE_BLEND ? ZIE_DECODE_BLEND : ZIE_DECODE_EXACT));
}

/* The engine takes multiples of 8. */
static gboolean
pixels_to_value (GValue *value, GVariant *variant, gpointer user_data)
{
  g_value_set_double (value, g_variant_get_uint32 (variant));
  return TRUE;
}

static GVariant *
value_to_pixels (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_uint32 ((guint32) (g_value_get_double (value) / 8 + 0.5) * 8);
}

/* Tiles are of blending alone. */
static void
on_decode (ZisPreferences *self)
{
  gboolean is_blend = adw_combo_row_get_selected (self->decode_row) == ZIE_DECODE_BLEND;

  gtk_widget_set_visible (self->tile_row, is_blend);
  gtk_widget_set_visible (self->overlap_row, is_blend);
}

static const char *const styles[] = { "system", "light", "dark" };

static gboolean
style_to_row (GValue *value, GVariant *variant, gpointer user_data)
{
  for (guint i = 0; i < G_N_ELEMENTS (styles); i++)
    if (g_str_equal (styles[i], g_variant_get_string (variant, NULL)))
      g_value_set_uint (value, i);

  return TRUE;
}

static GVariant *
row_to_style (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_string (styles[MIN (g_value_get_uint (value), G_N_ELEMENTS (styles) - 1)]);
}

static gboolean
limit_to_value (GValue *value, GVariant *variant, gpointer user_data)
{
  g_value_set_double (value, g_variant_get_uint32 (variant) / MIB_PER_GB);
  return TRUE;
}

static GVariant *
value_to_limit (const GValue *value, const GVariantType *type, gpointer user_data)
{
  return g_variant_new_uint32 ((guint32) (g_value_get_double (value) * MIB_PER_GB + 0.5));
}

/* --- model and folder --------------------------------------------------------------------------------------- */

static void
show_model (ZisPreferences *self)
{
  g_autofree char *path = g_settings_get_string (self->settings, "model-path");

  adw_action_row_set_subtitle (self->model_row, *path ? path : _("The demo model that ships with the program"));
  gtk_widget_set_visible (self->model_reset, *path != '\0');
}

static void
show_folder (ZisPreferences *self)
{
  g_autofree char *path = g_settings_get_string (self->settings, "output-folder");

  adw_action_row_set_subtitle (self->folder_row, *path ? path : zis_desktop_is_sandboxed () ? _("A folder of the program’s own")
                                                 : _("Z-Image Studio in your pictures"));
}

static GtkWindow *
get_window (ZisPreferences *self)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  return GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL;
}

static void
on_model_chosen (GFile *folder, gpointer user_data)
{
  g_autoptr(ZisPreferences) self = user_data;

  if (!folder || !g_file_peek_path (folder))
    return;
  zis_model_parts_use_model (self->settings, g_file_peek_path (folder));
}

static void
on_model_button (ZisPreferences *self)
{
  zis_compat_choose_folder (get_window (self), _("Choose the Folder of a Model"), NULL, on_model_chosen, g_object_ref (self));
}

static void
on_model_reset (ZisPreferences *self)
{
  zis_model_parts_use_model (self->settings, "");
}

static void
on_folder_chosen (GFile *folder, gpointer user_data)
{
  g_autoptr(ZisPreferences) self = user_data;

  if (folder && g_file_peek_path (folder))
    g_settings_set_string (self->settings, "output-folder", g_file_peek_path (folder));
}

static void
on_folder_button (ZisPreferences *self)
{
  zis_compat_choose_folder (get_window (self), _("Choose a Folder for Pictures"), NULL, on_folder_chosen, g_object_ref (self));
}

/* --- devices ------------------------------------------------------------------------------------------------ */

static void
fill_devices (ZisPreferences *self)
{
  g_autoptr(GtkStringList) names = gtk_string_list_new (NULL);
  g_autoptr(GStrvBuilder) ids = g_strv_builder_new ();
  g_autofree char *current = g_settings_get_string (self->settings, "device");
  const ZieDevice *devices;
  guint n, selected = 0;

  self->is_showing = TRUE;
  g_strv_builder_add (ids, "auto");
  gtk_string_list_append (names, _("Automatic"));

  devices = zis_session_get_devices (self->session, &n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *id = g_strdup_printf ("%s:%d", zie_backend_kind_name (devices[i].kind), devices[i].index);
      g_autofree char *name = devices[i].kind == ZIE_BACKEND_REF ? g_strdup (_("Reference (slow, for checking)"))
                                                                 : g_strdup (devices[i].name);

      if (g_str_equal (id, current))
        selected = i + 1;
      g_strv_builder_add (ids, id);
      gtk_string_list_append (names, name);
    }

  /* One that is not there (any more) is shown as what it is, so that another can be chosen, "Automatic" among them. */
  if (selected == 0 && *current && !g_str_equal (current, "auto"))
    {
      /* Translators: a graphics card that was chosen and is gone: “cuda:1 (not there)”. */
      g_autofree char *name = g_strdup_printf (_("%s (not there)"), current);

      selected = n + 1;
      g_strv_builder_add (ids, current);
      gtk_string_list_append (names, name);
    }

  g_clear_pointer (&self->device_ids, g_strfreev);
  self->device_ids = g_strv_builder_end (ids);
  adw_combo_row_set_model (self->device_row, G_LIST_MODEL (names));
  adw_combo_row_set_selected (self->device_row, selected);
  self->is_showing = FALSE;
}

static void
on_device (ZisPreferences *self)
{
  guint selected = adw_combo_row_get_selected (self->device_row);

  if (!self->is_showing && selected < g_strv_length (self->device_ids))
    g_settings_set_string (self->settings, "device", self->device_ids[selected]);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_preferences_dispose (GObject *object)
{
  ZisPreferences *self = ZIS_PREFERENCES (object);

  g_clear_object (&self->settings);
  g_clear_object (&self->session);
  g_clear_pointer (&self->device_ids, g_strfreev);

  G_OBJECT_CLASS (zis_preferences_parent_class)->dispose (object);
}

static void
zis_preferences_class_init (ZisPreferencesClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_preferences_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-preferences.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, model_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, folder_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, device_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, preview_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, style_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, decode_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, tile_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, overlap_row);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, tile_adjustment);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, overlap_adjustment);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, model_reset);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, model_button);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, folder_button);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, keep_switch);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, notify_switch);
  gtk_widget_class_bind_template_child (widget_class, ZisPreferences, limit_adjustment);
}

static void
zis_preferences_init (ZisPreferences *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  /* Both say "Choose…", and what a button says goes before a name that the template gives it. */
  zis_compat_set_name (self->model_button, _("Choose a Model"));
  zis_compat_set_name (self->folder_button, _("Choose a Folder for Pictures"));
}

AdwPreferencesPage *
zis_preferences_new (GSettings *settings, ZisSession *session)
{
  ZisPreferences *self = g_object_new (ZIS_TYPE_PREFERENCES, NULL);

  self->settings = g_object_ref (settings);
  self->session = g_object_ref (session);

  g_settings_bind (settings, "keep-pictures", self->keep_switch, "active", G_SETTINGS_BIND_DEFAULT);
  g_settings_bind (settings, "notify", self->notify_switch, "active", G_SETTINGS_BIND_DEFAULT);
  g_settings_bind_with_mapping (settings, "preview-every", self->preview_row, "selected", G_SETTINGS_BIND_DEFAULT,
                                preview_to_row, row_to_preview, NULL, NULL);
  g_settings_bind_with_mapping (settings, "style", self->style_row, "selected", G_SETTINGS_BIND_DEFAULT, style_to_row,
                                row_to_style, NULL, NULL);
  g_settings_bind_with_mapping (settings, "memory-limit", self->limit_adjustment, "value", G_SETTINGS_BIND_DEFAULT,
                                limit_to_value, value_to_limit, NULL, NULL);

  g_signal_connect_swapped (self->decode_row, "notify::selected", G_CALLBACK (on_decode), self);
  g_settings_bind_with_mapping (settings, "decode", self->decode_row, "selected", G_SETTINGS_BIND_DEFAULT, decode_to_row,
                                row_to_decode, NULL, NULL);
  g_settings_bind_with_mapping (settings, "tile-size", self->tile_adjustment, "value", G_SETTINGS_BIND_DEFAULT, pixels_to_value,
                                value_to_pixels, NULL, NULL);
  g_settings_bind_with_mapping (settings, "tile-overlap", self->overlap_adjustment, "value", G_SETTINGS_BIND_DEFAULT, pixels_to_value,
                                value_to_pixels, NULL, NULL);
  on_decode (self);

  show_model (self);
  show_folder (self);
  fill_devices (self);
  g_signal_connect_object (settings, "changed::model-path", G_CALLBACK (show_model), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::output-folder", G_CALLBACK (show_folder), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (session, "model-changed", G_CALLBACK (fill_devices), self, G_CONNECT_SWAPPED);
  g_signal_connect_swapped (self->device_row, "notify::selected", G_CALLBACK (on_device), self);
  g_signal_connect_swapped (self->model_button, "clicked", G_CALLBACK (on_model_button), self);
  g_signal_connect_swapped (self->model_reset, "clicked", G_CALLBACK (on_model_reset), self);
  g_signal_connect_swapped (self->folder_button, "clicked", G_CALLBACK (on_folder_button), self);

  return ADW_PREFERENCES_PAGE (self);
}
