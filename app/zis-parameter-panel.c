/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-parameter-panel"

#include "zis-parameter-panel.h"

#include <adwaita.h>
#include <math.h>

#include "zis-compat.h"
#include "zis-job.h"
#include "zis-lora-list.h"
#include "zis-recipe.h"
#include "zis-session.h"

#define PLAN_DELAY_MS 80
#define SHAPE_SIZE 40

struct _ZisParameterPanel
{
  GtkBox parent_instance;

  GtkFlowBox *presets;
  AdwExpanderRow *size_row, *advanced_row;
  GtkSpinButton *width_spin, *height_spin, *images_spin, *steps_spin, *guidance_spin;
  GtkWidget *steps_row, *guidance_row, *swap_button, *advice_revealer;
  GtkEntry *seed_entry;
  GtkToggleButton *lock_button;
  AdwComboRow *noise_row, *sampler_row;
  ZisLoraList *loras_row;
  GtkLabel *advice;

  ZisSession *session;       /* owned */
  ZisRecipe *recipe;         /* owned */
  GPtrArray *buttons;        /* owned array of borrowed ZisPreset buttons */
  GCancellable *planning;    /* owned or NULL */
  guint plan_source;
  char *takes;               /* owned or NULL: what the present size takes, on a line */
  gboolean is_showing;       /* the panel follows the recipe: not a hand on the controls */
};

enum
{
  SIGNAL_PLANNED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisParameterPanel, zis_parameter_panel, GTK_TYPE_BOX)

/* --- presets ------------------------------------------------------------------------------------------------ */

typedef struct
{
  int width, height;
  int largest;               /* the longest side of all presets: shapes keep their proportion to each other */
  GtkLabel *takes;           /* borrowed */
} Preset;

static Preset *
get_preset (ZisParameterPanel *self, guint index)
{
  return g_object_get_data (g_ptr_array_index (self->buttons, index), "preset");
}

/* A picture of the size's shape.  Small sizes stay visible: the square root of the proportion is drawn. */
static void
draw_shape (GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer user_data)
{
  Preset *preset = user_data;
  double longest = MAX (preset->width, preset->height);
  double scale = (SHAPE_SIZE - 4) / longest * (0.45 + 0.55 * longest / preset->largest);
  double w = MAX (4, preset->width * scale), h = MAX (4, preset->height * scale);
  double x = floor ((width - w) / 2), y = floor ((height - h) / 2);
  GdkRGBA color;

  zis_compat_get_color (GTK_WIDGET (area), &color);
  cairo_rectangle (cr, x + 1, y + 1, floor (w) - 2, floor (h) - 2);
  color.alpha = 0.12f;
  gdk_cairo_set_source_rgba (cr, &color);
  cairo_fill_preserve (cr);
  color.alpha = 0.8f;
  gdk_cairo_set_source_rgba (cr, &color);
  cairo_set_line_width (cr, 2);
  cairo_stroke (cr);
}

static void
on_preset_toggled (GtkToggleButton *button, gpointer user_data)
{
  ZisParameterPanel *self = user_data;
  Preset *preset = g_object_get_data (G_OBJECT (button), "preset");

  if (!self->is_showing && gtk_toggle_button_get_active (button))
    zis_recipe_set_size (self->recipe, preset->width, preset->height);
}

/* Of the button and of the cell around it: a screen reader may stop at either. */
static void
name_preset (GtkWidget *button, const char *name)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (gtk_widget_get_parent (button)), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static GtkWidget *
make_preset_button (ZisParameterPanel *self, const ZiePreset *from, int largest)
{
  GtkWidget *button = gtk_toggle_button_new (), *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 3);
  GtkWidget *shape = gtk_drawing_area_new (), *takes = gtk_label_new (NULL), *title;
  g_autofree char *size = g_strdup_printf (_("%d × %d"), from->width, from->height);
  Preset *preset = g_new0 (Preset, 1);

  title = gtk_label_new (size);
  preset->width = from->width;
  preset->height = from->height;
  preset->largest = largest;
  preset->takes = GTK_LABEL (takes);
  g_object_set_data_full (G_OBJECT (button), "preset", preset, g_free);

  gtk_drawing_area_set_content_width (GTK_DRAWING_AREA (shape), SHAPE_SIZE);
  gtk_drawing_area_set_content_height (GTK_DRAWING_AREA (shape), SHAPE_SIZE);
  gtk_drawing_area_set_draw_func (GTK_DRAWING_AREA (shape), draw_shape, preset, NULL);
  gtk_widget_add_css_class (title, "numeric");
  gtk_widget_add_css_class (takes, "caption");
  gtk_widget_add_css_class (takes, "dim-label");
  gtk_label_set_ellipsize (GTK_LABEL (takes), PANGO_ELLIPSIZE_END);
  gtk_label_set_wrap (GTK_LABEL (takes), TRUE);
  gtk_label_set_lines (GTK_LABEL (takes), 2);
  gtk_label_set_justify (GTK_LABEL (takes), GTK_JUSTIFY_CENTER);

  gtk_box_append (GTK_BOX (box), shape);
  gtk_box_append (GTK_BOX (box), title);
  gtk_box_append (GTK_BOX (box), takes);
  gtk_button_set_child (GTK_BUTTON (button), box);
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_add_css_class (button, "preset");
  g_signal_connect (button, "toggled", G_CALLBACK (on_preset_toggled), self);

  return button;
}

static void
fill_presets (ZisParameterPanel *self, const ZieModelInfo *info)
{
  GtkFlowBoxChild *child;
  int largest = 1;

  g_ptr_array_set_size (self->buttons, 0);
  while ((child = gtk_flow_box_get_child_at_index (self->presets, 0)) != NULL)
    gtk_flow_box_remove (self->presets, GTK_WIDGET (child));

  for (guint i = 0; i < info->n_presets; i++)
    largest = MAX (largest, MAX (info->presets[i].width, info->presets[i].height));

  for (guint i = 0; i < info->n_presets; i++)
    {
      GtkWidget *button = make_preset_button (self, &info->presets[i], largest);
      g_autofree char *size = g_strdup_printf (_("%d × %d"), info->presets[i].width, info->presets[i].height);

      if (self->buttons->len > 0)
        gtk_toggle_button_set_group (GTK_TOGGLE_BUTTON (button), g_ptr_array_index (self->buttons, 0));
      gtk_flow_box_append (self->presets, button);
      /* The button is what takes the focus, not the cell around it. */
      gtk_widget_set_focusable (gtk_widget_get_parent (button), FALSE);
      name_preset (button, size);
      g_ptr_array_add (self->buttons, button);
    }
}

/* --- plans -------------------------------------------------------------------------------------------------- */

static void
show_plan (ZisParameterPanel *self, guint index, const ZisPlanResult *result)
{
  Preset *preset = get_preset (self, index);
  GtkWidget *button = g_ptr_array_index (self->buttons, index);
  g_autofree char *caption = NULL, *spoken = NULL;

  if (result->plan)
    {
      g_autofree char *memory = g_format_size (zis_plan_get_peak (result->plan));
      g_autofree char *time = zis_format_seconds (zie_plan_get_seconds (result->plan));

      /* Translators: memory and time that a picture will take: “8.1 GB · about 4 s”. */
      caption = g_strdup_printf (_("%s\nabout %s"), memory, time);
      spoken = g_strdup_printf (_("%d × %d, takes %s and about %s"), preset->width, preset->height, memory, time);
    }
  else if (!zis_plan_error_is_memory (result->error))
    {
      caption = g_strdup (_("Not possible"));
      spoken = g_strdup_printf (_("%d × %d, not possible with these settings"), preset->width, preset->height);
    }
  else
    {
      caption = g_strdup (_("Too large here"));
      spoken = g_strdup_printf (_("%d × %d, too large for this machine"), preset->width, preset->height);
    }

  gtk_label_set_text (preset->takes, caption);
  name_preset (button, spoken);
  gtk_widget_set_tooltip_text (button, result->error ? result->error->message : spoken);
}

static char *
describe_plan (const ZisPlanResult *result)
{
  if (result->plan)
    {
      g_autofree char *memory = g_format_size (zis_plan_get_peak (result->plan));
      g_autofree char *time = zis_format_seconds (zie_plan_get_seconds (result->plan));

      /* Translators: memory and time that a picture will take, on a line: “8.1 GB · about 4 s”. */
      return g_strdup_printf (_("%s · about %s"), memory, time);
    }

  return g_strdup (zis_plan_error_is_memory (result->error) ? _("Too large here") : _("Not possible"));
}

static gboolean
is_preset (ZisParameterPanel *self, int width, int height)
{
  for (guint i = 0; i < self->buttons->len; i++)
    if (get_preset (self, i)->width == width && get_preset (self, i)->height == height)
      return TRUE;

  return FALSE;
}

/* The presets say it themselves. */
static void
show_own_size (ZisParameterPanel *self)
{
  int width = zis_recipe_get_width (self->recipe), height = zis_recipe_get_height (self->recipe);
  g_autofree char *size = g_strdup_printf (_("%d × %d"), width, height);
  g_autofree char *text = g_strdup_printf ("%s%s%s", size, self->takes ? " · " : "", self->takes ? self->takes : "");

  adw_expander_row_set_subtitle (self->size_row, is_preset (self, width, height) ? "" : text);
}

static void
on_planned (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZisParameterPanel) self = user_data;
  g_autoptr(GArray) plans = zis_session_plan_finish (ZIS_SESSION (object), result, NULL);

  if (!plans || g_task_get_cancellable (G_TASK (result)) != self->planning || plans->len != self->buttons->len + 1)
    return;

  for (guint i = 0; i < self->buttons->len; i++)
    show_plan (self, i, &g_array_index (plans, ZisPlanResult, i + 1));

  ZisPlanResult *own = &g_array_index (plans, ZisPlanResult, 0);

  g_free (self->takes);
  self->takes = describe_plan (own);
  show_own_size (self);
  g_signal_emit (self, signals[SIGNAL_PLANNED], 0, own->plan, own->error);
}

static gboolean
plan_now (gpointer user_data)
{
  ZisParameterPanel *self = user_data;
  g_auto(ZieRequest) request;
  g_autofree int (*sizes)[2] = g_malloc_n (self->buttons->len + 1, sizeof *sizes);

  self->plan_source = 0;
  if (self->planning)
    g_cancellable_cancel (self->planning);
  g_clear_object (&self->planning);
  self->planning = g_cancellable_new ();

  zis_recipe_get_request (self->recipe, &request);
  zis_session_prepare (self->session, &request);
  if (*request.prompt == '\0')
    {
      /* A plan needs some prompt; an ordinary one has a few words. */
      g_free (request.prompt);
      request.prompt = g_strdup ("a picture of something");
    }

  sizes[0][0] = request.width;
  sizes[0][1] = request.height;
  for (guint i = 0; i < self->buttons->len; i++)
    {
      sizes[i + 1][0] = get_preset (self, i)->width;
      sizes[i + 1][1] = get_preset (self, i)->height;
    }
  zis_session_plan_async (self->session, &request, (const int (*)[2]) sizes, self->buttons->len + 1, self->planning, on_planned,
                          g_object_ref (self));

  return G_SOURCE_REMOVE;
}

static void
plan_soon (ZisParameterPanel *self)
{
  if (self->plan_source == 0 && zis_session_get_info (self->session))
    self->plan_source = g_timeout_add (PLAN_DELAY_MS, plan_now, self);
}

/* --- recipe ------------------------------------------------------------------------------------------------- */

static void
show_seed (ZisParameterPanel *self)
{
  g_autofree char *seed = g_strdup_printf ("%" G_GUINT64_FORMAT, zis_recipe_get_seed (self->recipe));

  if (g_strcmp0 (seed, gtk_editable_get_text (GTK_EDITABLE (self->seed_entry))) != 0)
    {
      self->is_showing = TRUE;
      gtk_editable_set_text (GTK_EDITABLE (self->seed_entry), seed);
      self->is_showing = FALSE;
    }
}

static void
show_size (ZisParameterPanel *self)
{
  int width = zis_recipe_get_width (self->recipe), height = zis_recipe_get_height (self->recipe);

  self->is_showing = TRUE;
  for (guint i = 0; i < self->buttons->len; i++)
    {
      Preset *preset = get_preset (self, i);

      gtk_toggle_button_set_active (g_ptr_array_index (self->buttons, i),
                                    preset->width == width && preset->height == height);
    }
  gtk_spin_button_set_value (self->width_spin, width);
  gtk_spin_button_set_value (self->height_spin, height);
  self->is_showing = FALSE;
  g_clear_pointer (&self->takes, g_free); /* of the size before */
  show_own_size (self);
  plan_soon (self);
}

/* What the engine would say, for people: why a distilled model is best left as it is.  Free with g_free(); NULL: it is. */
static char *
get_advice (ZisParameterPanel *self, const ZieModelInfo *info)
{
  int steps = zis_recipe_get_steps (self->recipe);

  if (!info->is_distilled)
    return NULL;
  if (steps < info->default_steps)
    return g_strdup_printf (ngettext ("This model was taught to paint in %d step. With fewer, pictures stay unfinished.",
                                      "This model was taught to paint in %d steps. With fewer, pictures stay unfinished.",
                                      (gulong) info->default_steps), info->default_steps);
  if (steps > info->default_steps)
    return g_strdup_printf (ngettext ("This model was taught to paint in %d step. More take longer and make pictures harsher, not better.",
                                      "This model was taught to paint in %d steps. More take longer and make pictures harsher, not better.",
                                      (gulong) info->default_steps), info->default_steps);
  if (zis_recipe_get_sampler (self->recipe) != ZIE_SAMPLER_EULER)
    /* Translators: %s is the name of a sampler, “Euler”. */
    return g_strdup_printf (_("This model was taught to paint with %s. Other samplers seldom make its pictures better."),
                            zie_sampler_title (ZIE_SAMPLER_EULER));

  return NULL;
}

static void
show_advice (ZisParameterPanel *self)
{
  const ZieModelInfo *info = zis_session_get_info (self->session);
  g_autofree char *text = info ? get_advice (self, info) : NULL;

  if (text)
    gtk_label_set_text (self->advice, text);
  gtk_revealer_set_reveal_child (GTK_REVEALER (self->advice_revealer), text != NULL);
}

static void
fill_samplers (ZisParameterPanel *self)
{
  g_autoptr(GtkStringList) titles = gtk_string_list_new (NULL);

  for (int i = 0; i < ZIE_N_SAMPLERS; i++)
    gtk_string_list_append (titles, zie_sampler_title ((ZieSampler) i));
  adw_combo_row_set_model (self->sampler_row, G_LIST_MODEL (titles));
}

static void
on_size_spin (ZisParameterPanel *self)
{
  int width = gtk_spin_button_get_value_as_int (self->width_spin), height = gtk_spin_button_get_value_as_int (self->height_spin);

  if (self->is_showing)
    return;

  /* Typed sizes snap to what the model can make. */
  width = MAX (ZIE_SIZE_STEP, (width + ZIE_SIZE_STEP / 2) / ZIE_SIZE_STEP * ZIE_SIZE_STEP);
  height = MAX (ZIE_SIZE_STEP, (height + ZIE_SIZE_STEP / 2) / ZIE_SIZE_STEP * ZIE_SIZE_STEP);
  zis_recipe_set_size (self->recipe, width, height);
  show_size (self);
}

static void
on_swap (ZisParameterPanel *self)
{
  zis_recipe_set_size (self->recipe, zis_recipe_get_height (self->recipe), zis_recipe_get_width (self->recipe));
}

static void
on_seed_typed (ZisParameterPanel *self)
{
  const char *text = gtk_editable_get_text (GTK_EDITABLE (self->seed_entry));
  guint64 seed;
  gboolean ok = g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &seed, NULL);

  if (ok)
    gtk_widget_remove_css_class (GTK_WIDGET (self->seed_entry), "error");
  else
    gtk_widget_add_css_class (GTK_WIDGET (self->seed_entry), "error");
  gtk_accessible_update_state (GTK_ACCESSIBLE (self->seed_entry), GTK_ACCESSIBLE_STATE_INVALID,
                               ok ? GTK_ACCESSIBLE_INVALID_FALSE : GTK_ACCESSIBLE_INVALID_TRUE, -1);

  if (self->is_showing || !ok)
    return;

  zis_recipe_set_seed (self->recipe, seed);
  /* Who types a seed wants that one. */
  g_object_set (self->recipe, "seed-locked", TRUE, NULL);
}

static void
on_lock (ZisParameterPanel *self)
{
  gtk_button_set_icon_name (GTK_BUTTON (self->lock_button),
                            gtk_toggle_button_get_active (self->lock_button) ? "changes-prevent-symbolic" : "changes-allow-symbolic");
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_parameter_panel_dispose (GObject *object)
{
  ZisParameterPanel *self = ZIS_PARAMETER_PANEL (object);

  g_clear_handle_id (&self->plan_source, g_source_remove);
  if (self->planning)
    g_cancellable_cancel (self->planning);
  g_clear_object (&self->planning);
  g_clear_object (&self->session);
  g_clear_object (&self->recipe);
  g_clear_pointer (&self->buttons, g_ptr_array_unref);
  g_clear_pointer (&self->takes, g_free);

  G_OBJECT_CLASS (zis_parameter_panel_parent_class)->dispose (object);
}

static void
zis_parameter_panel_class_init (ZisParameterPanelClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (ZIS_TYPE_LORA_LIST);

  G_OBJECT_CLASS (klass)->dispose = zis_parameter_panel_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-parameter-panel.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, presets);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, size_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, advanced_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, width_spin);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, height_spin);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, images_spin);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, steps_spin);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, guidance_spin);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, steps_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, guidance_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, swap_button);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, seed_entry);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, lock_button);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, noise_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, sampler_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, loras_row);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, advice);
  gtk_widget_class_bind_template_child (widget_class, ZisParameterPanel, advice_revealer);

  signals[SIGNAL_PLANNED] = g_signal_new ("planned", ZIS_TYPE_PARAMETER_PANEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 2, G_TYPE_POINTER, G_TYPE_POINTER);
}

static void
zis_parameter_panel_init (ZisParameterPanel *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  self->buttons = g_ptr_array_new ();
}

void
zis_parameter_panel_setup (ZisParameterPanel *self, ZisSession *session, ZisRecipe *recipe)
{
  const GBindingFlags both = G_BINDING_BIDIRECTIONAL | G_BINDING_SYNC_CREATE;

  self->session = g_object_ref (session);
  self->recipe = g_object_ref (recipe);

  g_object_bind_property (recipe, "steps", self->steps_spin, "value", both);
  g_object_bind_property (recipe, "n-images", self->images_spin, "value", both);
  g_object_bind_property (recipe, "guidance", self->guidance_spin, "value", both);
  g_object_bind_property (recipe, "noise", self->noise_row, "selected", both);
  fill_samplers (self);
  g_object_bind_property (recipe, "sampler", self->sampler_row, "selected", both);
  zis_lora_list_setup (self->loras_row, recipe);
  g_object_bind_property (recipe, "seed-locked", self->lock_button, "active", both);

  g_signal_connect_object (recipe, "notify::width", G_CALLBACK (show_size), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::height", G_CALLBACK (show_size), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::seed", G_CALLBACK (show_seed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::steps", G_CALLBACK (show_advice), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::steps", G_CALLBACK (plan_soon), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::sampler", G_CALLBACK (show_advice), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::sampler", G_CALLBACK (plan_soon), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::loras", G_CALLBACK (plan_soon), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::n-images", G_CALLBACK (plan_soon), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (recipe, "notify::guidance", G_CALLBACK (plan_soon), self, G_CONNECT_SWAPPED);
  g_signal_connect_swapped (self->width_spin, "value-changed", G_CALLBACK (on_size_spin), self);
  g_signal_connect_swapped (self->height_spin, "value-changed", G_CALLBACK (on_size_spin), self);
  g_signal_connect_swapped (self->swap_button, "clicked", G_CALLBACK (on_swap), self);
  g_signal_connect_swapped (self->seed_entry, "changed", G_CALLBACK (on_seed_typed), self);
  g_signal_connect_swapped (self->lock_button, "toggled", G_CALLBACK (on_lock), self);
  on_lock (self);
  show_seed (self);
  show_size (self);
}

void
zis_parameter_panel_update (ZisParameterPanel *self)
{
  const ZieModelInfo *info = zis_session_get_info (self->session);

  if (!info)
    return;

  if (info->max_side > 0)
    {
      self->is_showing = TRUE;
      gtk_adjustment_set_upper (gtk_spin_button_get_adjustment (self->width_spin), info->max_side);
      gtk_adjustment_set_upper (gtk_spin_button_get_adjustment (self->height_spin), info->max_side);
      self->is_showing = FALSE;
    }
  gtk_widget_set_visible (self->guidance_row, !info->is_distilled);
  fill_presets (self, info);
  show_size (self);
  show_advice (self);
  plan_soon (self);
}
