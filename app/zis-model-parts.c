/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-model-parts"

#include "zis-model-parts.h"

#include <string.h>

#include "zis-compat.h"

enum
{
  TOKENIZER = ZIE_N_MODEL_PARTS,
  N_PARTS
};

/* In the order of the setting. */
static const struct
{
  const char *title, *choose, *remove;
} parts[N_PARTS] = {
  [ZIE_MODEL_TRANSFORMER] = { N_("Transformer"), N_("Choose a Transformer"), N_("Use the Model’s Own Transformer") },
  [ZIE_MODEL_TEXT_ENCODER] = { N_("Text Encoder"), N_("Choose a Text Encoder"), N_("Use the Model’s Own Text Encoder") },
  [ZIE_MODEL_VAE] = { N_("VAE"), N_("Choose a VAE"), N_("Use the Model’s Own VAE") },
  [TOKENIZER] = { N_("Tokenizer"), N_("Choose a Tokenizer"), N_("Use the Model’s Own Tokenizer") },
};

struct _ZisModelParts
{
  AdwExpanderRow parent_instance;

  AdwActionRow *rows[N_PARTS];         /* borrowed from the widget tree */
  GtkWidget *remove_buttons[N_PARTS];  /* borrowed from the widget tree */

  GSettings *settings;       /* owned */
};

G_DEFINE_FINAL_TYPE (ZisModelParts, zis_model_parts, ADW_TYPE_EXPANDER_ROW)

static char *
get_path (GSettings *settings, guint part)
{
  g_auto(GStrv) paths = g_settings_get_strv (settings, "model-parts");

  return g_strdup (part < g_strv_length (paths) ? paths[part] : "");
}

static void
set_path (GSettings *settings, guint part, const char *path)
{
  g_autoptr(GStrvBuilder) paths = g_strv_builder_new ();
  g_auto(GStrv) all = NULL;
  gboolean is_any = FALSE;

  for (guint i = 0; i < N_PARTS; i++)
    {
      g_autofree char *old = get_path (settings, i);

      g_strv_builder_add (paths, i == part ? path : old);
      is_any |= *(i == part ? path : old) != '\0';
    }
  all = g_strv_builder_end (paths);
  if (!is_any)
    g_settings_reset (settings, "model-parts"); /* the model as a whole again, and in use as such */
  else
    g_settings_set_strv (settings, "model-parts", (const char *const *)all);
}

static void
show (ZisModelParts *self)
{
  guint n = 0;

  for (guint i = 0; i < N_PARTS; i++)
    {
      g_autofree char *path = get_path (self->settings, i);
      g_autofree char *escaped = g_markup_escape_text (path, -1);

      adw_action_row_set_subtitle (self->rows[i], *path ? escaped : _("The model’s own"));
      gtk_widget_set_visible (self->remove_buttons[i], *path != '\0');
      n += *path != '\0';
    }

  g_autofree char *chosen = g_strdup_printf (ngettext ("%u part is chosen by hand", "%u parts are chosen by hand", n), n);

  adw_expander_row_set_subtitle (ADW_EXPANDER_ROW (self), n > 0 ? chosen : _("Single files in place of the model’s own"));
}

typedef struct
{
  ZisModelParts *list;       /* owned */
  guint part;
} Choice;

static void
on_chosen (GFile *file, gpointer user_data)
{
  g_autofree Choice *choice = user_data;
  g_autoptr(ZisModelParts) self = choice->list;

  if (file && g_file_peek_path (file))
    set_path (self->settings, choice->part, g_file_peek_path (file));
}

static guint
get_part_of (ZisModelParts *self, GtkWidget *widget)
{
  GtkWidget *row = gtk_widget_get_ancestor (widget, ADW_TYPE_ACTION_ROW);

  for (guint i = 0; i < N_PARTS; i++)
    if (GTK_WIDGET (self->rows[i]) == row)
      return i;
  g_return_val_if_reached (0);
}

static void
on_choose (GtkButton *button, gpointer user_data)
{
  const ZisCompatFilter weights[] = { { _("safetensors"), "safetensors" }, { "GGUF", "gguf" } };
  const ZisCompatFilter tokenizers[] = { { _("Tokenizers"), "json" }, { "GGUF", "gguf" } };
  ZisModelParts *self = user_data;
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));
  Choice *choice = g_new0 (Choice, 1);

  choice->list = g_object_ref (self);
  choice->part = get_part_of (self, GTK_WIDGET (button));
  zis_compat_open_file (GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL, _(parts[choice->part].choose),
                        choice->part == TOKENIZER ? tokenizers : weights, 2, NULL, on_chosen, choice);
}

static void
on_remove (GtkButton *button, gpointer user_data)
{
  ZisModelParts *self = user_data;

  set_path (self->settings, get_part_of (self, GTK_WIDGET (button)), "");
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_model_parts_dispose (GObject *object)
{
  g_clear_object (&ZIS_MODEL_PARTS (object)->settings);

  G_OBJECT_CLASS (zis_model_parts_parent_class)->dispose (object);
}

static void
zis_model_parts_class_init (ZisModelPartsClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = zis_model_parts_dispose;
}

static void
add_row (ZisModelParts *self, guint part)
{
  AdwActionRow *row = ADW_ACTION_ROW (adw_action_row_new ());
  GtkWidget *choose = gtk_button_new_with_label (_("Choose…"));
  GtkWidget *remove_button = gtk_button_new_from_icon_name ("edit-clear-symbolic");

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), _(parts[part].title));
  adw_action_row_set_subtitle_lines (row, 2);

  gtk_widget_add_css_class (remove_button, "flat");
  gtk_widget_set_valign (remove_button, GTK_ALIGN_CENTER);
  gtk_widget_set_tooltip_text (remove_button, _(parts[part].remove));
  zis_compat_set_name (remove_button, _(parts[part].remove));
  g_signal_connect (remove_button, "clicked", G_CALLBACK (on_remove), self);
  adw_action_row_add_suffix (row, remove_button);

  gtk_widget_set_valign (choose, GTK_ALIGN_CENTER);
  zis_compat_set_name (choose, _(parts[part].choose));
  g_signal_connect (choose, "clicked", G_CALLBACK (on_choose), self);
  adw_action_row_add_suffix (row, choose);

  self->rows[part] = row;
  self->remove_buttons[part] = remove_button;
  adw_expander_row_add_row (ADW_EXPANDER_ROW (self), GTK_WIDGET (row));
}

static void
zis_model_parts_init (ZisModelParts *self)
{
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self), _("Parts by Hand"));
  for (guint i = 0; i < N_PARTS; i++)
    add_row (self, i);
}

void
zis_model_parts_setup (ZisModelParts *self, GSettings *settings)
{
  self->settings = g_object_ref (settings);
  g_signal_connect_object (settings, "changed::model-parts", G_CALLBACK (show), self, G_CONNECT_SWAPPED);
  show (self);
  adw_expander_row_set_expanded (ADW_EXPANDER_ROW (self), zis_model_parts_are_picked (settings));
}

gboolean
zis_model_parts_are_picked (GSettings *settings)
{
  g_auto(GStrv) paths = g_settings_get_strv (settings, "model-parts");

  for (char **path = paths; *path; path++)
    if (**path != '\0')
      return TRUE;

  return FALSE;
}

gboolean
zis_model_parts_are_to_blame (GSettings *settings, const GError *error)
{
  g_auto(GStrv) paths = g_settings_get_strv (settings, "model-parts");
  g_autofree char *model = g_settings_get_string (settings, "model-path");

  for (char **path = paths; *path; path++)
    if (**path != '\0' && strstr (error->message, *path))
      return TRUE;

  return zis_model_parts_are_picked (settings) && (*model == '\0' || !strstr (error->message, model));
}

void
zis_model_parts_use_model (GSettings *settings, const char *path)
{
  g_auto(GStrv) paths = g_settings_get_strv (settings, "model-parts");

  if (*paths)
    g_settings_reset (settings, "model-parts");
  g_settings_set_string (settings, "model-path", path);
}
