/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-lora-list"

#include "zis-lora-list.h"

#include <string.h>

#include "zis-compat.h"
#include "zis-recipe.h"

#define STRENGTH_MAX 10.0

struct _ZisLoraList
{
  AdwExpanderRow parent_instance;

  ZisRecipe *recipe;         /* owned */
  GPtrArray *rows;           /* owned; the widgets in it are borrowed, in the order of the recipe */
  GtkWidget *add_row;        /* borrowed from the widget tree */
  gboolean is_showing;       /* the rows follow the recipe: not a hand on the controls */
};

G_DEFINE_FINAL_TYPE (ZisLoraList, zis_lora_list, ADW_TYPE_EXPANDER_ROW)

static char *
get_title (const char *file)
{
  g_autofree char *base = g_path_get_basename (file);

  return g_str_has_suffix (base, ".safetensors") ? g_strndup (base, strlen (base) - strlen (".safetensors")) : g_steal_pointer (&base);
}

static GtkSpinButton *
get_spin (ZisLoraList *self, guint index)
{
  return g_object_get_data (self->rows->pdata[index], "strength");
}

static const char *
get_file (ZisLoraList *self, guint index)
{
  return g_object_get_data (self->rows->pdata[index], "file");
}

/* What the rows say becomes the recipe's, but for row SKIP. */
static void
take (ZisLoraList *self, guint skip)
{
  GVariantBuilder loras = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(sd)"));

  for (guint i = 0; i < self->rows->len; i++)
    if (i != skip)
      g_variant_builder_add (&loras, "(sd)", get_file (self, i), gtk_spin_button_get_value (get_spin (self, i)));
  g_object_set (self->recipe, "loras", g_variant_builder_end (&loras), NULL);
}

static void
on_strength (ZisLoraList *self)
{
  if (!self->is_showing)
    take (self, G_MAXUINT);
}

static void
on_remove (GtkButton *button, gpointer user_data)
{
  ZisLoraList *self = user_data;
  guint index;

  if (g_ptr_array_find (self->rows, gtk_widget_get_ancestor (GTK_WIDGET (button), ADW_TYPE_ACTION_ROW), &index))
    take (self, index);
}

/* --- rows --------------------------------------------------------------------------------------------------- */

static GtkWidget *
make_row (ZisLoraList *self, const char *file)
{
  AdwActionRow *row = ADW_ACTION_ROW (adw_action_row_new ());
  g_autofree char *title = get_title (file), *escaped = g_markup_escape_text (title, -1);
  /* Translators: %s is the name of a LoRA. */
  g_autofree char *strength = g_strdup_printf (_("Strength of %s"), title), *removal = g_strdup_printf (_("Remove %s"), title);
  GtkWidget *spin = gtk_spin_button_new_with_range (-STRENGTH_MAX, STRENGTH_MAX, 0.05);
  GtkWidget *button = gtk_button_new_from_icon_name ("list-remove-symbolic");

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), escaped);
  adw_action_row_set_title_lines (row, 1);
  gtk_widget_set_tooltip_text (GTK_WIDGET (row), file);
  if (g_path_is_absolute (file) && !g_file_test (file, G_FILE_TEST_EXISTS))
    {
      adw_action_row_set_subtitle (row, _("The file is not there"));
      gtk_widget_add_css_class (GTK_WIDGET (row), "error");
    }

  gtk_spin_button_set_digits (GTK_SPIN_BUTTON (spin), 2);
  gtk_editable_set_width_chars (GTK_EDITABLE (spin), 4);
  gtk_widget_set_valign (spin, GTK_ALIGN_CENTER);
  zis_compat_set_name (spin, strength);
  g_signal_connect_swapped (spin, "value-changed", G_CALLBACK (on_strength), self);
  adw_action_row_add_suffix (row, spin);

  gtk_widget_add_css_class (button, "flat");
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  gtk_widget_set_tooltip_text (button, removal);
  zis_compat_set_name (button, removal);
  g_signal_connect (button, "clicked", G_CALLBACK (on_remove), self);
  adw_action_row_add_suffix (row, button);

  g_object_set_data (G_OBJECT (row), "strength", spin);
  g_object_set_data_full (G_OBJECT (row), "file", g_strdup (file), g_free);

  return GTK_WIDGET (row);
}

static gboolean
are_rows_of (ZisLoraList *self, GVariant *loras)
{
  gboolean same = self->rows->len == g_variant_n_children (loras);

  for (guint i = 0; same && i < self->rows->len; i++)
    {
      g_autoptr(GVariant) lora = g_variant_get_child_value (loras, i);
      const char *file;

      g_variant_get (lora, "(&sd)", &file, NULL);
      same = g_str_equal (file, get_file (self, i));
    }

  return same;
}

static void
make_rows (ZisLoraList *self, GVariant *loras)
{
  AdwExpanderRow *expander = ADW_EXPANDER_ROW (self);
  GVariantIter iter;
  const char *file;

  for (guint i = 0; i < self->rows->len; i++)
    adw_expander_row_remove (expander, self->rows->pdata[i]);
  g_ptr_array_set_size (self->rows, 0);

  /* The button that adds stays last. */
  g_object_ref (self->add_row);
  adw_expander_row_remove (expander, self->add_row);
  g_variant_iter_init (&iter, loras);
  while (g_variant_iter_next (&iter, "(&sd)", &file, NULL))
    {
      GtkWidget *row = make_row (self, file);

      g_ptr_array_add (self->rows, row);
      adw_expander_row_add_row (expander, row);
    }
  adw_expander_row_add_row (expander, self->add_row);
  g_object_unref (self->add_row);
}

static void
show (ZisLoraList *self)
{
  GVariant *loras = zis_recipe_get_loras (self->recipe);
  g_autoptr(GString) names = g_string_new (NULL);

  self->is_showing = TRUE;
  if (!are_rows_of (self, loras))
    make_rows (self, loras);
  for (guint i = 0; i < self->rows->len; i++)
    {
      g_autoptr(GVariant) lora = g_variant_get_child_value (loras, i);
      g_autofree char *title = get_title (get_file (self, i));
      double strength;

      g_variant_get (lora, "(&sd)", NULL, &strength);
      gtk_spin_button_set_value (get_spin (self, i), strength);
      g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", title);
    }
  self->is_showing = FALSE;

  g_autofree char *escaped = g_markup_escape_text (names->str, -1);

  adw_expander_row_set_subtitle (ADW_EXPANDER_ROW (self), escaped);
}

/* --- adding ------------------------------------------------------------------------------------------------- */

static void
add (ZisLoraList *self, GFile *file)
{
  GVariant *loras = zis_recipe_get_loras (self->recipe);
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(sd)"));

  for (gsize i = 0; i < g_variant_n_children (loras); i++)
    {
      g_autoptr(GVariant) lora = g_variant_get_child_value (loras, i);

      g_variant_builder_add_value (&builder, lora);
    }
  g_variant_builder_add (&builder, "(sd)", g_file_peek_path (file), 1.0);
  g_object_set (self->recipe, "loras", g_variant_builder_end (&builder), NULL);
  adw_expander_row_set_expanded (ADW_EXPANDER_ROW (self), TRUE);
}

static void
on_chosen (GFile *file, gpointer user_data)
{
  g_autoptr(ZisLoraList) self = user_data;

  if (file && g_file_peek_path (file))
    add (self, file);
}

static void
on_add (ZisLoraList *self)
{
  const ZisCompatFilter filters[] = { { _("LoRAs"), "safetensors" } };
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  zis_compat_open_file (GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL, _("Add LoRA"), filters, G_N_ELEMENTS (filters), NULL, on_chosen,
                        g_object_ref (self));
}

static gboolean
on_drop (GtkDropTarget *target, const GValue *value, double x, double y, gpointer user_data)
{
  gboolean any = FALSE;

  for (GSList *l = g_value_get_boxed (value); l; l = l->next)
    if (g_file_peek_path (l->data) && g_str_has_suffix (g_file_peek_path (l->data), ".safetensors"))
      {
        add (user_data, l->data);
        any = TRUE;
      }

  return any;
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_lora_list_dispose (GObject *object)
{
  g_clear_object (&ZIS_LORA_LIST (object)->recipe);

  G_OBJECT_CLASS (zis_lora_list_parent_class)->dispose (object);
}

static void
zis_lora_list_finalize (GObject *object)
{
  g_ptr_array_unref (ZIS_LORA_LIST (object)->rows);

  G_OBJECT_CLASS (zis_lora_list_parent_class)->finalize (object);
}

static void
zis_lora_list_class_init (ZisLoraListClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = zis_lora_list_dispose;
  G_OBJECT_CLASS (klass)->finalize = zis_lora_list_finalize;
}

static void
zis_lora_list_init (ZisLoraList *self)
{
  GtkDropTarget *drop = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);
  GtkWidget *image = gtk_image_new_from_icon_name ("list-add-symbolic");

  self->rows = g_ptr_array_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self), _("LoRAs"));

  self->add_row = adw_action_row_new ();
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self->add_row), _("Add LoRA…"));
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (self->add_row), TRUE);
  adw_action_row_add_suffix (ADW_ACTION_ROW (self->add_row), image);
  g_signal_connect_swapped (self->add_row, "activated", G_CALLBACK (on_add), self);
  adw_expander_row_add_row (ADW_EXPANDER_ROW (self), self->add_row);

  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drop));
}

void
zis_lora_list_setup (ZisLoraList *self, ZisRecipe *recipe)
{
  self->recipe = g_object_ref (recipe);
  g_signal_connect_object (recipe, "notify::loras", G_CALLBACK (show), self, G_CONNECT_SWAPPED);
  show (self);
}
