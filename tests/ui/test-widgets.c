/* SPDX-License-Identifier: Apache-2.0 */
/* Widgets by themselves in a window over the whole screen: what hands, eyes and ears get of each. */
#include <adwaita.h>

#include "zis-canvas.h"
#include "zis-compat.h"
#include "zis-job.h"
#include "zis-memory-bar.h"
#include "zis-paintable.h"
#include "zis-parameter-panel.h"
#include "zis-preferences.h"
#include "zis-prompt-panel.h"
#include "zis-recipe.h"
#include "zis-queue-row.h"
#include "zis-queue.h"
#include "zis-session.h"

static void
wait_ms (guint ms)
{
  gint64 end = g_get_monotonic_time () + ms * 1000;

  while (g_get_monotonic_time () < end)
    {
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_usleep (5000);
    }
}

#define wait_for(condition) \
  G_STMT_START \
    { \
      for (int i_ = 0; i_ < 1000 && !(condition); i_++) \
        wait_ms (10); \
      g_assert_true (condition); \
    } \
  G_STMT_END

/* A window over the whole screen, so that its coordinates are the screen's. */
static GtkWindow *
show (GtkWidget *child)
{
  GtkWindow *window = GTK_WINDOW (gtk_window_new ());

  gtk_window_set_child (window, child);
  gtk_window_fullscreen (window);
  gtk_window_present (window);
  wait_for (gtk_window_is_active (window) && gtk_window_is_fullscreen (window) && gtk_widget_get_width (child) > 1000);
  return window;
}

/* What a hand does at the middle of WIDGET: the rest of an xdotool command. */
static void
point (GtkWidget *widget, const char *then)
{
  double x, y;
  g_autofree char *command = NULL;

  gtk_widget_translate_coordinates (widget, GTK_WIDGET (gtk_widget_get_root (widget)), gtk_widget_get_width (widget) / 2.0,
                                    gtk_widget_get_height (widget) / 2.0, &x, &y);
  command = g_strdup_printf ("xdotool mousemove %d %d %s", (int) x, (int) y, then);
  g_assert_true (g_spawn_command_line_async (command, NULL));
}

/* --- the canvas --------------------------------------------------------------------------------------------- */

static GtkGesture *
find_gesture (GtkWidget *widget, GType type)
{
  g_autoptr(GListModel) controllers = gtk_widget_observe_controllers (widget);
  GtkGesture *found = NULL;

  for (guint i = 0; i < g_list_model_get_n_items (controllers); i++)
    {
      g_autoptr(GObject) controller = g_list_model_get_item (controllers, i);

      if (G_OBJECT_TYPE (controller) == type)
        found = GTK_GESTURE (controller);       /* the widget has it */
    }
  g_assert_nonnull (found);
  return found;
}

/* The first finger moves the enlarged picture about; with a second one it is pinched: neither takes the other's fingers. */
static void
test_canvas_gestures (void)
{
  g_autoptr(GtkWidget) canvas = g_object_ref_sink (zis_canvas_new ());

  g_assert_true (gtk_gesture_is_grouped_with (find_gesture (canvas, GTK_TYPE_GESTURE_DRAG), find_gesture (canvas, GTK_TYPE_GESTURE_ZOOM)));
}

/* A double click enlarges, and makes an enlarged picture fit again. */
static void
test_canvas_double_click (void)
{
  GtkWidget *canvas = zis_canvas_new ();
  GtkWindow *window = show (canvas);
  g_autoptr(ZisPaintable) picture = zis_paintable_new (400, 300);

  zis_canvas_set_picture (ZIS_CANVAS (canvas), picture, "A picture");
  point (canvas, "click --repeat 2 --delay 60 1");
  wait_for (zis_canvas_can_pan (ZIS_CANVAS (canvas)));
  wait_ms (1000);
  point (canvas, "click --repeat 2 --delay 60 1");
  wait_for (zis_canvas_get_zoom (ZIS_CANVAS (canvas)) <= 0);
  gtk_window_destroy (window);
}

static GdkContentProvider *
on_prepare (GtkDragSource *source, double x, double y, gpointer user_data)
{
  return gdk_content_provider_new_typed (G_TYPE_STRING, "a picture");
}

static void
on_drag_begin (GtkDragSource *source, GdkDrag *drag, gpointer has_begun)
{
  *(gboolean *) has_begun = TRUE;
}

/* One that fits is dragged out; with none, a drag does nothing. */
static void
test_canvas_drag_out (void)
{
  GtkWidget *canvas = zis_canvas_new ();
  GtkWindow *window = show (canvas);
  g_autoptr(ZisPaintable) picture = zis_paintable_new (400, 300);
  GtkDragSource *source = gtk_drag_source_new ();
  gboolean has_begun = FALSE;

  point (canvas, "mousedown 1 sleep 0.1 mousemove_relative 40 40 sleep 0.1 mousemove_relative 40 40 mouseup 1");
  wait_ms (600);

  g_signal_connect (source, "prepare", G_CALLBACK (on_prepare), NULL);
  g_signal_connect (source, "drag-begin", G_CALLBACK (on_drag_begin), &has_begun);
  gtk_widget_add_controller (canvas, GTK_EVENT_CONTROLLER (source));
  zis_canvas_set_picture (ZIS_CANVAS (canvas), picture, "A picture");
  point (canvas, "mousedown 1 sleep 0.1 mousemove_relative 40 40 sleep 0.1 mousemove_relative 40 40 sleep 0.1 mouseup 1");
  wait_for (has_begun);
  wait_ms (600);
  gtk_window_destroy (window);
}

/* --- the panels, with the demo model ------------------------------------------------------------------------ */

/* NULL, and the test is skipped, where there is no demo model. */
static ZisSession *
open_demo (GSettings *settings)
{
  g_autofree char *path = zie_model_find_demo (NULL);
  ZisSession *session;

  if (!path)
    {
      g_test_skip ("there is no demo model in this tree");
      return NULL;
    }
  session = zis_session_new (settings);
  zis_session_open (session);
  wait_for (zis_session_get_state (session) == ZIS_SESSION_READY);
  return session;
}

static void
add_widgets (GtkWidget *root, GType type, GPtrArray *found)
{
  if (g_type_is_a (G_OBJECT_TYPE (root), type))
    g_ptr_array_add (found, root);
  for (GtkWidget *child = gtk_widget_get_first_child (root); child; child = gtk_widget_get_next_sibling (child))
    add_widgets (child, type, found);
}

/* All of TYPE below ROOT, borrowed. */
static GPtrArray *
find_widgets (GtkWidget *root, GType type)
{
  GPtrArray *found = g_ptr_array_new ();

  add_widgets (root, type, found);
  g_assert_cmpuint (found->len, >, 0);
  return found;
}

/* Where the mark begins, in characters; -1: there is none. */
static int
get_mark (GtkTextBuffer *buffer)
{
  GtkTextTag *tag = gtk_text_tag_table_lookup (gtk_text_buffer_get_tag_table (buffer), "overflow");
  GtkTextIter at;

  gtk_text_buffer_get_start_iter (buffer, &at);
  if (gtk_text_iter_has_tag (&at, tag))
    return 0;

  return gtk_text_iter_forward_to_tag_toggle (&at, tag) && gtk_text_iter_has_tag (&at, tag) ? gtk_text_iter_get_offset (&at) : -1;
}

/* Blanks before the prompt are no part of it: what is too long stays the same words. */
static void
test_prompt_overflow (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisSession) session = open_demo (settings);
  g_autoptr(ZisRecipe) recipe = zis_recipe_new ();
  g_autoptr(GtkWidget) panel = NULL;
  g_autoptr(GPtrArray) views = NULL;
  g_autoptr(GString) text = g_string_new (NULL);
  GtkTextBuffer *buffer;
  int mark;

  if (!session)
    return;

  panel = g_object_ref_sink (g_object_new (ZIS_TYPE_PROMPT_PANEL, NULL));
  zis_prompt_panel_setup (ZIS_PROMPT_PANEL (panel), session, recipe, settings);
  views = find_widgets (panel, GTK_TYPE_TEXT_VIEW);
  buffer = gtk_text_view_get_buffer (views->pdata[0]);
  for (int i = 0; i < 700; i++)
    g_string_append (text, "größer ");
  zis_recipe_set_prompt (recipe, text->str);
  wait_for (get_mark (buffer) > 0);
  mark = get_mark (buffer);

  g_string_prepend (text, " \n\t  ");
  zis_recipe_set_prompt (recipe, text->str);
  wait_for (get_mark (buffer) > 0);
  g_assert_cmpint (get_mark (buffer), ==, mark + 5);

  zis_recipe_set_prompt (recipe, "  a fox");
  wait_ms (500);
  g_assert_cmpint (get_mark (buffer), ==, -1);
  zis_session_close (session);
}

static void
assert_name (gpointer widget, const char *name)
{
  gtk_test_accessible_assert_property (widget, GTK_ACCESSIBLE_PROPERTY_LABEL, name);
  g_assert_false (gtk_test_accessible_has_relation (widget, GTK_ACCESSIBLE_RELATION_LABELLED_BY));    /* which would go before it */
}

/* A size is called by what it is, wherever a screen reader stops: at the button or at the cell around it. */
static void
test_size_names (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisSession) session = open_demo (settings);
  g_autoptr(ZisRecipe) recipe = zis_recipe_new ();
  g_autoptr(GtkWidget) panel = NULL;
  g_autoptr(GPtrArray) cells = NULL;
  const ZieModelInfo *info;

  if (!session)
    return;

  info = zis_session_get_info (session);
  panel = g_object_ref_sink (g_object_new (ZIS_TYPE_PARAMETER_PANEL, NULL));
  zis_parameter_panel_setup (ZIS_PARAMETER_PANEL (panel), session, recipe);
  zis_parameter_panel_update (ZIS_PARAMETER_PANEL (panel));
  cells = find_widgets (panel, GTK_TYPE_FLOW_BOX_CHILD);
  g_assert_cmpuint (cells->len, ==, info->n_presets);
  for (guint i = 0; i < cells->len; i++)
    {
      GtkWidget *button = gtk_flow_box_child_get_child (cells->pdata[i]);
      g_autofree char *size = g_strdup_printf ("%d × %d", info->presets[i].width, info->presets[i].height);

      assert_name (button, size);
      assert_name (cells->pdata[i], size);
    }

  /* With what it takes, when that is known. */
  for (guint i = 0; i < cells->len; i++)
    {
      GtkWidget *button = gtk_flow_box_child_get_child (cells->pdata[i]);

      wait_for (gtk_widget_get_tooltip_text (button));
      assert_name (button, gtk_widget_get_tooltip_text (button));
      assert_name (cells->pdata[i], gtk_widget_get_tooltip_text (button));
    }
  zis_session_close (session);
}

/* Two buttons that both say "Choose…" have names of their own. */
static void
test_choose_names (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisSession) session = zis_session_new (settings);
  g_autoptr(GtkWidget) page = g_object_ref_sink (GTK_WIDGET (zis_preferences_new (settings, session)));
  g_autoptr(GPtrArray) buttons = find_widgets (page, GTK_TYPE_BUTTON), choose = g_ptr_array_new ();

  for (guint i = 0; i < buttons->len; i++)
    if (g_strcmp0 (gtk_button_get_label (buttons->pdata[i]), "Choose…") == 0)
      g_ptr_array_add (choose, buttons->pdata[i]);
  g_assert_cmpuint (choose->len, ==, 2);
  assert_name (choose->pdata[0], "Choose a Model");
  assert_name (choose->pdata[1], "Choose a Folder for Pictures");
}

/* --- the plan ----------------------------------------------------------------------------------------------- */

static gboolean
says (GtkWidget *root, const char *words)
{
  g_autoptr(GPtrArray) labels = find_widgets (root, GTK_TYPE_LABEL);

  for (guint i = 0; i < labels->len; i++)
    if (strstr (gtk_label_get_text (labels->pdata[i]), words))
      return TRUE;

  return FALSE;
}

static ZiePlan *
plan_for (ZisSession *session, ZieDecode decode, double flops)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;
  ZieDevice device;
  ZiePlan *plan;

  g_assert_true (zis_session_get_device (session, &device));
  device.flops_f32 = device.flops_bf16 = flops;
  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a fox");
  request.width = request.height = 256;
  request.decode = decode;
  request.tile_size = decode == ZIE_DECODE_BLEND ? 128 : 0;
  plan = zie_plan_new (zis_session_get_model (session), &device, &request, NULL, &error);
  g_assert_no_error (error);
  return plan;
}

/* In one piece, although that comes in bands; in bands, here because it takes long; in tiles, as was asked. */
static void
test_plan_words (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisSession) session = open_demo (settings);
  g_autoptr(ZiePlan) whole = NULL, bands = NULL, tiles = NULL;
  g_autofree char *n_bands = NULL, *n_tiles = NULL;
  g_autoptr(GPtrArray) popovers = NULL;
  ZisMemoryBar *bar;
  GtkWindow *window;

  if (!session)
    return;

  bar = g_object_new (ZIS_TYPE_MEMORY_BAR, NULL);
  zis_memory_bar_setup (bar, session);
  window = show (GTK_WIDGET (bar));
  whole = plan_for (session, ZIE_DECODE_EXACT, 1e13);
  bands = plan_for (session, ZIE_DECODE_EXACT, 1e9);
  tiles = plan_for (session, ZIE_DECODE_BLEND, 1e13);
  g_assert_cmpint (zie_plan_get_n_bands (whole), >, 1);
  n_bands = g_strdup_printf ("in %d bands, one after the other", zie_plan_get_n_bands (bands));
  n_tiles = g_strdup_printf ("in %d tiles that are blended into each other, as the preferences say", zie_plan_get_n_bands (tiles));

  zis_memory_bar_set_plan (bar, whole, NULL);
  zis_memory_bar_show_plan (bar);
  wait_for (says (GTK_WIDGET (bar), "in one piece."));
  zis_memory_bar_set_plan (bar, bands, NULL);
  wait_for (says (GTK_WIDGET (bar), n_bands));
  zis_memory_bar_set_plan (bar, tiles, NULL);
  wait_for (says (GTK_WIDGET (bar), n_tiles));

  popovers = find_widgets (GTK_WIDGET (bar), GTK_TYPE_POPOVER);
  gtk_popover_popdown (popovers->pdata[0]);
  wait_for (!gtk_widget_get_mapped (popovers->pdata[0]));
  gtk_window_destroy (window);
  zis_session_close (session);
}

/* --- about -------------------------------------------------------------------------------------------------- */

/* What others made is named, with its licence: THIRD-PARTY.md. */
static void
test_about (void)
{
  static const char *const words[] = { "Fluent Emoji", "Emojibase", "CLDR", "Qwen3", "avx_mathfun", "zlib licence", "oneDNN", "CUDA Toolkit",
                                       "Unicode licence", "libsoup" };
  GtkWindow *window = show (gtk_label_new ("below"));
  GListModel *toplevels = gtk_window_get_toplevels ();

  zis_compat_show_about (window);
  wait_ms (300);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      gboolean is_said = FALSE;

      for (guint j = 0; j < g_list_model_get_n_items (toplevels) && !is_said; j++)
        {
          g_autoptr(GtkWidget) toplevel = g_list_model_get_item (toplevels, j);

          is_said = says (toplevel, words[i]);
        }
      if (!is_said)
        g_error ("About does not say \"%s\"", words[i]);
    }
  while (g_list_model_get_n_items (toplevels) > 0)
    {
      g_autoptr(GtkWindow) toplevel = g_list_model_get_item (toplevels, g_list_model_get_n_items (toplevels) - 1);

      gtk_window_destroy (toplevel);
    }
}

/* --- the queue ---------------------------------------------------------------------------------------------- */

static GtkWidget *
create_row (gpointer job, gpointer session)
{
  return zis_queue_row_new (session, job);
}

static void
press (const char *keys)
{
  g_autofree char *command = g_strdup_printf ("xdotool key %s", keys);

  g_assert_true (g_spawn_command_line_async (command, NULL));
}

static ZisJob *
get_job (ZisQueue *queue, guint position)
{
  g_autoptr(ZisJob) job = g_list_model_get_item (G_LIST_MODEL (queue), position);

  return job;      /* the queue holds it */
}

/* Which row has the focus, itself or in it; -1: none. */
static int
get_focused_row (GtkWindow *window)
{
  GtkWidget *focus = gtk_window_get_focus (window);
  GtkWidget *row = focus ? gtk_widget_get_ancestor (focus, GTK_TYPE_LIST_BOX_ROW) : NULL;

  return row ? gtk_list_box_row_get_index (GTK_LIST_BOX_ROW (row)) : -1;
}

/* Who moves a row with the keyboard can move it on. */
static void
test_queue_focus (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisSession) session = zis_session_new (settings);
  ZisQueue *queue = zis_session_get_queue (session);
  GtkListBox *list = GTK_LIST_BOX (gtk_list_box_new ());
  g_autoptr(GPtrArray) buttons = NULL;
  g_auto(ZieRequest) request = { 0 };
  ZisJob *moved = NULL;
  GtkWindow *window;

  zie_request_init (&request);
  for (int i = 0; i < 4; i++)
    {
      g_free (request.prompt);
      request.prompt = g_strdup_printf ("a fox with %d hats", i);
      moved = zis_session_generate (session, &request, NULL);
      g_assert_nonnull (moved);
    }
  gtk_list_box_bind_model (list, G_LIST_MODEL (queue), create_row, session, NULL);
  window = show (GTK_WIDGET (list));

  gtk_widget_grab_focus (GTK_WIDGET (gtk_list_box_get_row_at_index (list, 3)));
  press ("alt+Up alt+Up");
  wait_for (get_job (queue, 1) == moved);
  g_assert_cmpint (get_focused_row (window), ==, 1);
  press ("alt+Down");
  wait_for (get_job (queue, 2) == moved);
  g_assert_cmpint (get_focused_row (window), ==, 2);

  /* By its buttons, the focus stays on the button as long as it can do something. */
  buttons = find_widgets (GTK_WIDGET (gtk_list_box_get_row_at_index (list, 2)), GTK_TYPE_BUTTON);
  gtk_widget_grab_focus (buttons->pdata[0]);
  press ("space");
  wait_for (get_job (queue, 1) == moved);
  g_assert_true (GTK_IS_BUTTON (gtk_window_get_focus (window)));
  press ("space");
  wait_for (get_job (queue, 0) == moved);
  g_assert_cmpint (get_focused_row (window), ==, 0);
  g_assert_true (GTK_IS_LIST_BOX_ROW (gtk_window_get_focus (window)));

  gtk_window_destroy (window);
  zis_session_close (session);
}

int
main (int argc, char *argv[])
{
  gtk_test_init (&argc, &argv, NULL);
  adw_init ();
  g_test_add_func ("/widgets/canvas/gestures", test_canvas_gestures);
  g_test_add_func ("/widgets/canvas/double-click", test_canvas_double_click);
  g_test_add_func ("/widgets/canvas/drag-out", test_canvas_drag_out);
  g_test_add_func ("/widgets/prompt/overflow", test_prompt_overflow);
  g_test_add_func ("/widgets/names/sizes", test_size_names);
  g_test_add_func ("/widgets/names/choose", test_choose_names);
  g_test_add_func ("/widgets/plan/words", test_plan_words);
  g_test_add_func ("/widgets/about", test_about);
  g_test_add_func ("/widgets/queue/focus", test_queue_focus);
  return g_test_run ();
}
