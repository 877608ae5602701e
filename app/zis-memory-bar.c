/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-memory-bar"

#include "zis-memory-bar.h"

#include <math.h>

#include "zis-compat.h"
#include "zis-job.h"
#include "zis-memory-monitor.h"
#include "zis-session.h"

#define BAR_HEIGHT 8

struct _ZisMemoryBar
{
  GtkWidget parent_instance;

  GtkMenuButton *button;
  GtkPopover *popover;
  GtkLabel *title, *need, *plan_title, *plan_why;
  GtkDrawingArea *area;
  GtkGrid *plan_grid;

  ZisSession *session;       /* owned */
  ZisMemoryMonitor *monitor; /* owned */
  ZiePlan *plan;             /* owned or NULL: of what the panel says */
  GError *error;             /* owned or NULL: why there is none */
  ZiePlan *job_plan;         /* owned or NULL: of the picture that is being made, which goes before */
  char *text;                /* owned: the gauge in words */
};

G_DEFINE_FINAL_TYPE (ZisMemoryBar, zis_memory_bar, GTK_TYPE_WIDGET)

static ZiePlan *
get_plan (ZisMemoryBar *self)
{
  return self->job_plan ? self->job_plan : self->plan;
}

static const GError *
get_error (ZisMemoryBar *self)
{
  return self->job_plan ? NULL : self->error;
}

/* --- drawing ------------------------------------------------------------------------------------------------ */

static void
rounded_bar (cairo_t *cr, double x, double y, double width, double height)
{
  double radius = height / 2;

  cairo_new_sub_path (cr);
  cairo_arc (cr, x + width - radius, y + radius, radius, -G_PI / 2, G_PI / 2);
  cairo_arc (cr, x + radius, y + radius, radius, G_PI / 2, 3 * G_PI / 2);
  cairo_close_path (cr);
}

static void
set_color (cairo_t *cr, const GdkRGBA *color, double alpha)
{
  cairo_set_source_rgba (cr, (double) color->red, (double) color->green, (double) color->blue, (double) color->alpha * alpha);
}

/* A minute from left to right, the newest at the right edge; the height is all of the memory. */
static void
draw_trace (ZisMemoryBar *self, cairo_t *cr, int width, double height, const GdkRGBA *color)
{
  ZisMemorySample samples[ZIS_MEMORY_HISTORY];
  guint n = zis_memory_monitor_get_history (self->monitor, samples);
  double step = width / (double) (ZIS_MEMORY_HISTORY - 1);

  if (n < 2)
    return;

  for (guint i = 0; i < n; i++)
    {
      double x = width - (double) (n - 1 - i) * step;
      double part = samples[i].total > 0 ? (double) (samples[i].others + samples[i].ours) / (double) samples[i].total : 0;
      double y = height - CLAMP (part, 0, 1) * (height - 2) - 1;

      if (i == 0)
        cairo_move_to (cr, x, y);
      else
        cairo_line_to (cr, x, y);
    }
  set_color (cr, color, 0.8);
  cairo_set_line_width (cr, 1.5);
  cairo_stroke_preserve (cr);
  cairo_line_to (cr, width, height);
  cairo_line_to (cr, width - (n - 1) * step, height);
  cairo_close_path (cr);
  set_color (cr, color, 0.15);
  cairo_fill (cr);
}

static void
draw_mark (cairo_t *cr, double x, double y, const GdkRGBA *color, gboolean is_limit)
{
  set_color (cr, color, 1);
  cairo_set_line_width (cr, 2);
  if (is_limit)
    {
      const double dash[] = { 2, 2 };

      cairo_set_dash (cr, dash, 2, 0);
    }
  cairo_move_to (cr, x, y - 4);
  cairo_line_to (cr, x, y + BAR_HEIGHT + 2);
  cairo_stroke (cr);
  cairo_set_dash (cr, NULL, 0, 0);
}

static void
draw_gauge (GtkDrawingArea *area, cairo_t *cr, int width, int height, gpointer user_data)
{
  ZisMemoryBar *self = user_data;
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (self->monitor);
  double y = height - BAR_HEIGHT - 3, total = (double) sample->total;
  GdkRGBA accent, text;

  zis_compat_get_color (GTK_WIDGET (area), &accent);
  zis_compat_get_color (GTK_WIDGET (self->title), &text);

  rounded_bar (cr, 0, y, width, BAR_HEIGHT);
  set_color (cr, &text, 0.12);
  cairo_fill (cr);
  if (total <= 0)
    return;

  double others = round (width * CLAMP ((double) sample->others / total, 0, 1));     /* a sharp edge */
  double ours = width * CLAMP ((double) sample->ours / total, 0, 1);
  guint64 peak = get_plan (self) ? zis_plan_get_peak (get_plan (self)) : 0;
  guint64 limit = zis_session_get_memory_limit (self->session);

  draw_trace (self, cr, width, y - 5, &accent);

  cairo_save (cr);
  rounded_bar (cr, 0, y, width, BAR_HEIGHT);
  cairo_clip (cr);
  if (peak > 0)
    {
      cairo_rectangle (cr, others + 1, y, width * CLAMP ((double) peak / total, 0, 1), BAR_HEIGHT);
      set_color (cr, &accent, 0.35);
      cairo_fill (cr);
    }
  /* Each 3:1 against the bar's ground, which is seen between them. */
  cairo_rectangle (cr, 0, y, others - 1, BAR_HEIGHT);
  set_color (cr, &text, 0.65);
  cairo_fill (cr);
  cairo_rectangle (cr, others + 1, y, MAX (ours - 1, ours > 0 ? 2 : 0), BAR_HEIGHT);
  set_color (cr, &accent, 1);
  cairo_fill (cr);
  cairo_restore (cr);

  if (peak > 0)
    draw_mark (cr, CLAMP (others + width * (double) peak / total, 1, width - 1), y, &accent, FALSE);
  if (limit > 0)
    draw_mark (cr, CLAMP (others + width * (double) limit / total, 1, width - 1), y, &text, TRUE);
}

/* --- words -------------------------------------------------------------------------------------------------- */

static char *
describe (ZisMemoryBar *self)
{
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (self->monitor);
  GString *text = g_string_new (NULL);
  guint64 limit = zis_session_get_memory_limit (self->session);
  g_autofree char *total = g_format_size (sample->total), *others = g_format_size (sample->others);
  g_autofree char *ours = g_format_size (sample->ours);

  if (sample->total == 0)
    g_string_append (text, sample->is_vram ? _("How much graphics memory there is, is not known here.")
                                           : _("How much memory there is, is not known here."));
  else if (sample->is_vram && !sample->is_known && sample->is_ours_known)
    g_string_append_printf (text, _("Graphics memory: %s in all, %s used by Z-Image Studio; what other programs use is not known, "
                                    "because the driver’s library (NVML) is not there."), total, ours);
  else if (!sample->is_known)
    g_string_append_printf (text, _("Graphics memory: %s in all; who uses it is not known, because the driver’s library (NVML) is not there."),
                            total);
  else if (sample->is_vram && !sample->is_ours_known)
    g_string_append_printf (text, _("Graphics memory: %s in all, %s in use; how much of that by Z-Image Studio, is not known."), total,
                            others);
  else if (sample->is_vram)
    g_string_append_printf (text, _("Graphics memory: %s in all, %s used by other programs, %s by Z-Image Studio."), total,
                            others, ours);
  else
    g_string_append_printf (text, _("Memory: %s in all, %s used by other programs, %s by Z-Image Studio."), total, others,
                            ours);

  if (get_plan (self))
    {
      g_autofree char *peak = g_format_size (zis_plan_get_peak (get_plan (self)));

      g_string_append_c (text, ' ');
      g_string_append_printf (text, self->job_plan ? _("The picture that is being made needs %s.")
                                                   : _("This picture needs %s."), peak);
    }
  else if (get_error (self))
    {
      g_string_append_c (text, ' ');
      g_string_append (text, _("This picture does not fit."));
    }

  if (limit > 0)
    {
      g_autofree char *allowed = g_format_size (limit);

      g_string_append_c (text, ' ');
      g_string_append_printf (text, _("The limit is %s."), allowed);
    }

  return g_string_free (text, FALSE);
}

static void
update (ZisMemoryBar *self)
{
  const ZisMemorySample *sample = zis_memory_monitor_get_sample (self->monitor);
  g_autofree char *text = describe (self);
  g_autofree char *free_size = g_format_size (sample->total - MIN (sample->total, sample->others + sample->ours));
  g_autofree char *title = NULL, *need = NULL;

  if (sample->is_known)
    /* Translators: free memory of the graphics card, or of the computer. */
    title = g_strdup_printf (sample->is_vram ? _("Graphics memory: %s free") : _("Memory: %s free"), free_size);
  else
    title = g_strdup (sample->is_vram ? _("Graphics memory") : _("Memory"));
  gtk_label_set_text (self->title, title);

  if (get_plan (self))
    {
      g_autofree char *peak = g_format_size (zis_plan_get_peak (get_plan (self)));

      /* Translators: what the picture will take of the memory. */
      need = g_strdup_printf (_("needs %s"), peak);
    }
  else if (get_error (self))
    need = g_strdup (_("does not fit"));
  gtk_label_set_text (self->need, need ? need : "");
  if (get_error (self))
    gtk_widget_add_css_class (GTK_WIDGET (self->need), "error");
  else
    gtk_widget_remove_css_class (GTK_WIDGET (self->need), "error");

  if (g_strcmp0 (text, self->text) != 0)
    {
      g_free (self->text);
      self->text = g_steal_pointer (&text);
      gtk_accessible_update_property (GTK_ACCESSIBLE (self->button), GTK_ACCESSIBLE_PROPERTY_LABEL, self->text, -1);
    }
  gtk_widget_queue_draw (GTK_WIDGET (self->area));
}

/* --- the plan ----------------------------------------------------------------------------------------------- */

static const char *
stage_title (ZieStage stage)
{
  static const char *const titles[ZIE_N_STAGES] = { N_("Read the prompt"), N_("Prepare"), N_("Paint"), N_("Develop") };

  return _(titles[stage]);
}

static const char *
placement_text (ZiePlacement placement)
{
  switch (placement)
    {
    case ZIE_PLACEMENT_RESIDENT: return _("stays in memory");
    case ZIE_PLACEMENT_STREAMED: return _("streamed, because not all fits at once");
    default: return _("read from the file");
    }
}

/* The work memory, and how the picture is cut when it is developed.  Free with g_free(). */
static char *
describe_work (ZiePlan *plan)
{
  g_autofree char *arena = g_format_size (zie_plan_get_arena_size (plan));
  ZieDecodeCut cut = zie_plan_get_decode_cut (plan);
  int n = zie_plan_get_n_bands (plan);

  /* Of one piece there is a message of its own, so that no language has to say it with a number. */
  if (cut == ZIE_DECODE_CUT_WHOLE || n == 1)
    return g_strdup_printf (_("%s of work memory are set aside once, before the first step, and used by all stages in turn. "
                              "The picture is developed in one piece."), arena);
  if (cut == ZIE_DECODE_CUT_TILES)
    return g_strdup_printf (_("%s of work memory are set aside once, before the first step, and used by all stages in turn. "
                              "The picture is developed in %d tiles that are blended into each other, as the preferences say."),
                            arena, n);

  return g_strdup_printf (_("%s of work memory are set aside once, before the first step, and used by all stages in turn. "
                            "The picture is developed in %d bands, one after the other."), arena, n);
}

static void
add_cell (ZisMemoryBar *self, int column, int row, const char *text, const char *css_class)
{
  GtkWidget *label = gtk_label_new (text);

  gtk_label_set_xalign (GTK_LABEL (label), column == 0 ? 0 : 1);
  gtk_widget_set_hexpand (label, column == 0);
  if (css_class)
    gtk_widget_add_css_class (label, css_class);
  gtk_grid_attach (self->plan_grid, label, column, row, 1, 1);
}

static void
fill_plan (ZisMemoryBar *self)
{
  ZiePlan *plan = get_plan (self);
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->plan_grid))) != NULL)
    gtk_grid_remove (self->plan_grid, child);
  gtk_widget_set_visible (GTK_WIDGET (self->plan_grid), plan != NULL);

  if (!plan)
    {
      gtk_label_set_text (self->plan_title, get_error (self) ? _("This picture does not fit") : _("No plan yet"));
      gtk_label_set_text (self->plan_why, get_error (self) ? get_error (self)->message : self->text);
      return;
    }

  g_autofree char *peak = g_format_size (zis_plan_get_peak (plan));
  g_autofree char *time = zis_format_seconds (zie_plan_get_seconds (plan));
  g_autofree char *title = g_strdup_printf (self->job_plan ? _("The picture that is being made takes %s and about %s")
                                                           : _("This picture takes %s and about %s"), peak, time);
  g_autofree char *why = describe_work (plan);

  gtk_label_set_text (self->plan_title, title);
  add_cell (self, 0, 0, _("Stage"), "dim-label");
  add_cell (self, 1, 0, _("Weights"), "dim-label");
  add_cell (self, 2, 0, _("Work memory"), "dim-label");
  add_cell (self, 3, 0, _("Time"), "dim-label");
  for (int i = 0; i < ZIE_N_STAGES; i++)
    {
      const ZieStagePlan *stage = zie_plan_get_stage (plan, i);
      g_autofree char *weights = g_format_size (stage->weights), *work = g_format_size (stage->arena);
      g_autofree char *seconds = zis_format_seconds (stage->seconds);
      g_autofree char *placed = g_strdup_printf ("%s\n%s", stage_title (i), placement_text (stage->placement));

      add_cell (self, 0, i + 1, placed, NULL);
      add_cell (self, 1, i + 1, weights, "numeric");
      add_cell (self, 2, i + 1, work, "numeric");
      add_cell (self, 3, i + 1, seconds, "numeric");
    }

  gtk_label_set_text (self->plan_why, why);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_memory_bar_dispose (GObject *object)
{
  ZisMemoryBar *self = ZIS_MEMORY_BAR (object);
  GtkWidget *child;

  if (self->monitor)
    {
      zis_memory_monitor_set_running (self->monitor, FALSE);
      g_signal_handlers_disconnect_by_data (self->monitor, self);
    }
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))) != NULL)
    gtk_widget_unparent (child);
  g_clear_object (&self->monitor);
  g_clear_object (&self->session);
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_pointer (&self->job_plan, zie_plan_unref);
  g_clear_error (&self->error);
  g_clear_pointer (&self->text, g_free);

  G_OBJECT_CLASS (zis_memory_bar_parent_class)->dispose (object);
}

static void
zis_memory_bar_map (GtkWidget *widget)
{
  GTK_WIDGET_CLASS (zis_memory_bar_parent_class)->map (widget);
  zis_memory_monitor_set_running (ZIS_MEMORY_BAR (widget)->monitor, TRUE);
}

static void
zis_memory_bar_unmap (GtkWidget *widget)
{
  zis_memory_monitor_set_running (ZIS_MEMORY_BAR (widget)->monitor, FALSE);
  GTK_WIDGET_CLASS (zis_memory_bar_parent_class)->unmap (widget);
}

static void
zis_memory_bar_class_init (ZisMemoryBarClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_memory_bar_dispose;
  widget_class->map = zis_memory_bar_map;
  widget_class->unmap = zis_memory_bar_unmap;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-memory-bar.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, button);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, popover);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, title);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, need);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, area);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, plan_title);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, plan_grid);
  gtk_widget_class_bind_template_child (widget_class, ZisMemoryBar, plan_why);
}

static void
zis_memory_bar_init (ZisMemoryBar *self)
{
  self->monitor = zis_memory_monitor_new ();
  gtk_widget_init_template (GTK_WIDGET (self));
  /* GTK 4.8 centres what is in a menu button. */
  gtk_widget_set_halign (gtk_widget_get_parent (gtk_menu_button_get_child (self->button)), GTK_ALIGN_FILL);
  gtk_drawing_area_set_draw_func (self->area, draw_gauge, self, NULL);
}

static void
on_model_changed (ZisMemoryBar *self)
{
  ZieDevice device;

  if (zis_session_get_device (self->session, &device))
    zis_memory_monitor_set_device (self->monitor, &device);
}

void
zis_memory_bar_setup (ZisMemoryBar *self, ZisSession *session)
{
  self->session = g_object_ref (session);
  zis_memory_monitor_set_session (self->monitor, session);
  g_signal_connect_swapped (self->monitor, "sampled", G_CALLBACK (update), self);
  g_signal_connect_swapped (self->popover, "show", G_CALLBACK (fill_plan), self);
  g_signal_connect_object (session, "model-changed", G_CALLBACK (on_model_changed), self, G_CONNECT_SWAPPED);
  update (self);
}

static void
update_plan (ZisMemoryBar *self)
{
  update (self);
  if (gtk_widget_get_mapped (GTK_WIDGET (self->popover)))
    fill_plan (self);
}

void
zis_memory_bar_set_plan (ZisMemoryBar *self, ZiePlan *plan, const GError *error)
{
  if (plan)
    zie_plan_ref (plan);
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_error (&self->error);
  self->plan = plan;
  self->error = zis_plan_error_is_memory (error) ? g_error_copy (error) : NULL;     /* the gauge is of memory */
  update_plan (self);
}

void
zis_memory_bar_set_job_plan (ZisMemoryBar *self, ZiePlan *plan)
{
  if (plan)
    zie_plan_ref (plan);
  g_clear_pointer (&self->job_plan, zie_plan_unref);
  self->job_plan = plan;
  update_plan (self);
}

void
zis_memory_bar_show_plan (ZisMemoryBar *self)
{
  gtk_menu_button_popup (self->button);
}

const char *
zis_memory_bar_get_text (ZisMemoryBar *self)
{
  return self->text;
}
