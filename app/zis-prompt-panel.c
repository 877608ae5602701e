/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-prompt-panel"

#include "zis-prompt-panel.h"

#include <string.h>

#include "zis-recipe.h"
#include "zis-session.h"

#define HISTORY_MAX 100
/* Long enough that fast typing counts once, short enough to feel live. */
#define COUNT_DELAY_MS 60

struct _ZisPromptPanel
{
  GtkBox parent_instance;

  GtkWidget *heading, *count, *history_button, *scroller, *placeholder, *overflow_revealer, *overflow_label, *negative_box;
  GtkTextView *view, *negative_view;
  GtkPopover *history_popover;
  GtkListBox *history_list;

  ZisSession *session;       /* owned */
  ZisRecipe *recipe;         /* owned */
  GSettings *settings;       /* owned */
  GCancellable *counting;    /* owned or NULL: the newest count */
  guint count_source;
  int history_at;            /* -1 = what is being written */
  char *draft;               /* owned or NULL: what was being written before the history was asked */
  gboolean is_recalling;
  gboolean is_showing;       /* the field follows the recipe: between its two edits the text is nobody's wish */
};

G_DEFINE_FINAL_TYPE (ZisPromptPanel, zis_prompt_panel, GTK_TYPE_BOX)

static char *
get_text (GtkTextView *view)
{
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (view);
  GtkTextIter start, end;

  gtk_text_buffer_get_bounds (buffer, &start, &end);
  return gtk_text_buffer_get_text (buffer, &start, &end, FALSE);
}

/* --- tokens ------------------------------------------------------------------------------------------------- */

/* TEXT as it stands in the field; OVERFLOW_AT counts from where it begins without the blanks before it. */
static void
mark_overflow (ZisPromptPanel *self, const char *text, int overflow_at)
{
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (self->view);
  GtkTextIter start, end;
  int n_blanks = 0;

  gtk_text_buffer_get_bounds (buffer, &start, &end);
  gtk_text_buffer_remove_tag_by_name (buffer, "overflow", &start, &end);
  if (overflow_at >= 0)
    {
      while (g_ascii_isspace (text[n_blanks]))
        n_blanks++;
      gtk_text_buffer_get_iter_at_offset (buffer, &start, (int) g_utf8_strlen (text, n_blanks + overflow_at));
      gtk_text_buffer_apply_tag_by_name (buffer, "overflow", &start, &end);
    }
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->overflow_revealer), overflow_at >= 0);
}

static void
on_counted (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZisPromptPanel) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL, *label = NULL, *spoken = NULL;
  int overflow_at;
  int n = zis_session_count_tokens_finish (ZIS_SESSION (object), result, &overflow_at, &error);
  const ZieModelInfo *info = zis_session_get_info (ZIS_SESSION (object));

  if (n < 0 || !info || g_task_get_cancellable (G_TASK (result)) != self->counting)
    return;

  text = get_text (self->view);
  /* Translators: tokens of the prompt / tokens the model can read. */
  label = g_strdup_printf (_("%d / %d"), n, info->max_prompt_ids);
  spoken = g_strdup_printf (_("%d of %d tokens"), n, info->max_prompt_ids);
  gtk_label_set_text (GTK_LABEL (self->count), label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->count), GTK_ACCESSIBLE_PROPERTY_LABEL, spoken, -1);
  if (overflow_at >= 0)
    gtk_widget_add_css_class (self->count, "error");
  else
    gtk_widget_remove_css_class (self->count, "error");
  mark_overflow (self, text, overflow_at);
}

static gboolean
count_now (gpointer user_data)
{
  ZisPromptPanel *self = user_data;
  g_autofree char *text = get_text (self->view);

  self->count_source = 0;
  if (self->counting)
    g_cancellable_cancel (self->counting);
  g_clear_object (&self->counting);
  self->counting = g_cancellable_new ();
  zis_session_count_tokens_async (self->session, g_strstrip (text), self->counting, on_counted, g_object_ref (self));

  return G_SOURCE_REMOVE;
}

static void
count_soon (ZisPromptPanel *self)
{
  if (self->count_source == 0)
    self->count_source = g_timeout_add (COUNT_DELAY_MS, count_now, self);
}

/* --- text and recipe ---------------------------------------------------------------------------------------- */

static void
on_text_changed (GtkTextBuffer *buffer, gpointer user_data)
{
  ZisPromptPanel *self = user_data;
  g_autofree char *text = get_text (self->view);

  if (self->is_showing)
    return;

  gtk_widget_set_visible (self->placeholder, *text == '\0');
  if (!self->is_recalling)
    self->history_at = -1;
  zis_recipe_set_prompt (self->recipe, text);
  count_soon (self);
}

static void
on_negative_changed (GtkTextBuffer *buffer, gpointer user_data)
{
  ZisPromptPanel *self = user_data;
  g_autofree char *text = get_text (self->negative_view);

  if (self->is_showing)
    return;

  g_object_set (self->recipe, "negative-prompt", text, NULL);
}

static void
show_text (ZisPromptPanel *self, GtkTextView *view, const char *text)
{
  g_autofree char *shown = get_text (view);
  /* The caller's string may be the recipe's own, which changes below. */
  g_autofree char *wanted = g_strdup (text ? text : "");
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (view);
  GtkTextIter start, end;

  if (g_str_equal (shown, wanted))
    return;

  /* As a user's edit, so that Ctrl+Z brings back what was there. */
  self->is_showing = TRUE;
  gtk_text_buffer_begin_user_action (buffer);
  gtk_text_buffer_get_bounds (buffer, &start, &end);
  gtk_text_buffer_delete (buffer, &start, &end);
  gtk_text_buffer_insert (buffer, &end, wanted, -1);
  gtk_text_buffer_end_user_action (buffer);
  self->is_showing = FALSE;

  gtk_text_buffer_get_end_iter (buffer, &end);
  gtk_text_buffer_place_cursor (buffer, &end);
  if (view == self->view)
    on_text_changed (buffer, self);
  else
    on_negative_changed (buffer, self);
}

static void
on_recipe_prompt (ZisPromptPanel *self)
{
  g_autofree char *negative = NULL;

  show_text (self, self->view, zis_recipe_get_prompt (self->recipe));
  g_object_get (self->recipe, "negative-prompt", &negative, NULL);
  show_text (self, self->negative_view, negative);
}

/* --- history ------------------------------------------------------------------------------------------------ */

gboolean
zis_prompt_panel_recall (ZisPromptPanel *self, int delta)
{
  g_auto(GStrv) history = g_settings_get_strv (self->settings, "prompt-history");
  int n = (int) g_strv_length (history), at = self->history_at + delta;
  g_autofree char *current = get_text (self->view);

  /* What stands in the field is already the newest entry: the next older one is meant. */
  if (self->history_at < 0 && delta > 0 && n > 0 && g_str_equal (g_strstrip (current), history[0]))
    at++;
  if (at < -1 || at >= n || (at == -1 && self->history_at < 0))
    return FALSE;

  if (self->history_at < 0)
    {
      g_free (self->draft);
      self->draft = get_text (self->view);
    }
  self->is_recalling = TRUE;
  show_text (self, self->view, at < 0 ? (self->draft ? self->draft : "") : history[at]);
  self->is_recalling = FALSE;
  self->history_at = at;

  return TRUE;
}

void
zis_prompt_panel_remember (ZisPromptPanel *self)
{
  g_auto(GStrv) history = g_settings_get_strv (self->settings, "prompt-history");
  g_autoptr(GPtrArray) kept = g_ptr_array_new ();
  g_autofree char *text = get_text (self->view);

  g_strstrip (text);
  if (*text == '\0')
    return;

  g_ptr_array_add (kept, text);
  for (int i = 0; history[i] && kept->len < HISTORY_MAX; i++)
    if (!g_str_equal (history[i], text))
      g_ptr_array_add (kept, history[i]);
  g_ptr_array_add (kept, NULL);
  g_settings_set_strv (self->settings, "prompt-history", (const char *const *) kept->pdata);
  self->history_at = -1;
}

/* Up on the first line and Down on the last go through the history; elsewhere they move the cursor. */
static gboolean
on_key (GtkEventControllerKey *controller, guint key, guint code, GdkModifierType state, gpointer user_data)
{
  ZisPromptPanel *self = user_data;
  gboolean is_up = key == GDK_KEY_Up || key == GDK_KEY_KP_Up, is_down = key == GDK_KEY_Down || key == GDK_KEY_KP_Down;
  GtkTextBuffer *buffer = gtk_text_view_get_buffer (self->view);
  GtkTextIter at, moved;

  if ((!is_up && !is_down) || (state & (GDK_SHIFT_MASK | GDK_CONTROL_MASK | GDK_ALT_MASK)))
    return GDK_EVENT_PROPAGATE;

  gtk_text_buffer_get_iter_at_mark (buffer, &at, gtk_text_buffer_get_insert (buffer));
  moved = at;
  if (is_up)
    {
      gtk_text_view_backward_display_line (self->view, &moved);
      gtk_text_view_backward_display_line_start (self->view, &at);
      gtk_text_view_backward_display_line_start (self->view, &moved);
    }
  else
    {
      gtk_text_view_forward_display_line (self->view, &moved);
      gtk_text_view_forward_display_line_end (self->view, &at);
      gtk_text_view_forward_display_line_end (self->view, &moved);
    }

  return gtk_text_iter_equal (&at, &moved) && zis_prompt_panel_recall (self, is_up ? 1 : -1) ? GDK_EVENT_STOP
                                                                                             : GDK_EVENT_PROPAGATE;
}

static void
on_history_row (GtkListBox *list, GtkListBoxRow *row, gpointer user_data)
{
  ZisPromptPanel *self = user_data;
  const char *text = g_object_get_data (G_OBJECT (row), "prompt");

  gtk_popover_popdown (self->history_popover);
  show_text (self, self->view, text);
  zis_prompt_panel_focus (self);
}

static void
fill_history (ZisPromptPanel *self)
{
  g_auto(GStrv) history = g_settings_get_strv (self->settings, "prompt-history");
  GtkListBoxRow *row;

  while ((row = gtk_list_box_get_row_at_index (self->history_list, 0)) != NULL)
    gtk_list_box_remove (self->history_list, GTK_WIDGET (row));

  for (int i = 0; history[i]; i++)
    {
      GtkWidget *label = gtk_label_new (history[i]), *line = gtk_list_box_row_new ();

      gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
      gtk_label_set_lines (GTK_LABEL (label), 2);
      gtk_label_set_wrap (GTK_LABEL (label), TRUE);
      gtk_label_set_xalign (GTK_LABEL (label), 0);
      gtk_label_set_max_width_chars (GTK_LABEL (label), 32);
      gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (line), label);
      gtk_accessible_update_property (GTK_ACCESSIBLE (line), GTK_ACCESSIBLE_PROPERTY_LABEL, history[i], -1);
      g_object_set_data_full (G_OBJECT (line), "prompt", g_strdup (history[i]), g_free);
      gtk_list_box_append (self->history_list, line);
    }
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_prompt_panel_dispose (GObject *object)
{
  ZisPromptPanel *self = ZIS_PROMPT_PANEL (object);

  g_clear_handle_id (&self->count_source, g_source_remove);
  if (self->counting)
    g_cancellable_cancel (self->counting);
  g_clear_object (&self->counting);
  g_clear_object (&self->session);
  g_clear_object (&self->recipe);
  g_clear_object (&self->settings);
  g_clear_pointer (&self->draft, g_free);

  G_OBJECT_CLASS (zis_prompt_panel_parent_class)->dispose (object);
}

static void
zis_prompt_panel_class_init (ZisPromptPanelClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_prompt_panel_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-prompt-panel.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, heading);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, count);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, history_button);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, history_popover);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, history_list);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, scroller);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, placeholder);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, overflow_revealer);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, overflow_label);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, negative_box);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, view);
  gtk_widget_class_bind_template_child (widget_class, ZisPromptPanel, negative_view);
}

static void
zis_prompt_panel_init (ZisPromptPanel *self)
{
  const GdkRGBA over = { 0.88f, 0.11f, 0.14f, 0.22f };
  GtkEventController *keys = gtk_event_controller_key_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  self->history_at = -1;

  gtk_text_buffer_create_tag (gtk_text_view_get_buffer (self->view), "overflow", "background-rgba", &over, "underline",
                              PANGO_UNDERLINE_ERROR, NULL);
  gtk_text_buffer_set_enable_undo (gtk_text_view_get_buffer (self->view), TRUE);

  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect (keys, "key-pressed", G_CALLBACK (on_key), self);
  gtk_widget_add_controller (GTK_WIDGET (self->view), keys);
  g_signal_connect (self->history_list, "row-activated", G_CALLBACK (on_history_row), self);
  g_signal_connect_swapped (self->history_popover, "show", G_CALLBACK (fill_history), self);
}

void
zis_prompt_panel_setup (ZisPromptPanel *self, ZisSession *session, ZisRecipe *recipe, GSettings *settings)
{
  self->session = g_object_ref (session);
  self->recipe = g_object_ref (recipe);
  self->settings = g_object_ref (settings);

  on_recipe_prompt (self);
  gtk_widget_set_visible (self->placeholder, *zis_recipe_get_prompt (recipe) == '\0');
  g_signal_connect (gtk_text_view_get_buffer (self->view), "changed", G_CALLBACK (on_text_changed), self);
  g_signal_connect (gtk_text_view_get_buffer (self->negative_view), "changed", G_CALLBACK (on_negative_changed), self);
  g_signal_connect_object (recipe, "notify::prompt", G_CALLBACK (on_recipe_prompt), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::negative-prompt", G_CALLBACK (on_recipe_prompt), self, G_CONNECT_SWAPPED);
}

void
zis_prompt_panel_focus (ZisPromptPanel *self)
{
  gtk_widget_grab_focus (GTK_WIDGET (self->view));
}

void
zis_prompt_panel_update (ZisPromptPanel *self)
{
  const ZieModelInfo *info = zis_session_get_info (self->session);

  gtk_widget_set_visible (self->negative_box, info && !info->is_distilled);
  if (info)
    count_soon (self);
  else
    gtk_label_set_text (GTK_LABEL (self->count), "");
}
