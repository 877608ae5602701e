/* SPDX-License-Identifier: Apache-2.0 */
/* What the window says of a job for which something out of the ordinary happens, by events that no engine here would send. */
#include <string.h>

#include "zis-application.h"
#include "zis-job.h"
#include "zis-queue.h"
#include "zis-session.h"
#include "zis-window-private.h"

static ZiePlan *
plan_demo (ZisSession *session, int side)
{
  g_auto(ZieRequest) request = { 0 };
  ZieDevice device;
  ZiePlan *plan;

  g_assert_true (zis_session_get_device (session, &device));
  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a red apple");
  request.width = request.height = side;
  plan = zie_plan_new (zis_session_get_model (session), &device, &request, &(ZieBudget) { 0 }, NULL);
  g_assert_nonnull (plan);

  return plan;
}

/* The newest toast says TEXT, and a screen reader with it. */
static void
check_toast (ZisWindow *window, const char *text)
{
  GtkWidget *alert = window->toast ? adw_toast_get_custom_title (window->toast) : NULL;
  GtkWidget *label = alert ? gtk_widget_get_first_child (alert) : NULL;

  g_assert_true (GTK_IS_LABEL (label));
  g_assert_nonnull (strstr (gtk_label_get_text (GTK_LABEL (label)), text));
  g_assert_true (gtk_label_get_wrap (GTK_LABEL (label)));
  g_assert_true (gtk_test_accessible_has_role (GTK_ACCESSIBLE (alert), GTK_ACCESSIBLE_ROLE_ALERT));
}

/* The words of the gauge with PLAN's peak in them. */
static void
check_gauge (ZisWindow *window, const char *words, ZiePlan *plan)
{
  g_autofree char *peak = g_format_size (zis_plan_get_peak (plan));
  g_autofree char *text = g_strdup_printf ("%s %s.", words, peak);

  g_assert_nonnull (strstr (zis_memory_bar_get_text (window->memory_bar), text));
}

static void
check_step_down (ZisWindow *window)
{
  g_autoptr(ZiePlan) large = plan_demo (window->session, 192), small = plan_demo (window->session, 48);
  g_autofree char *peak = g_format_size (zis_plan_get_peak (small));
  ZieEvent event = { .type = ZIE_EVENT_PLAN, .plan = { .plan = small, .reason = (char *) "it went" } };

  zis_job_set_plan (window->job, large);
  check_gauge (window, "The picture that is being made needs", large);
  zis_session_handle_event (window->session, &event);
  check_gauge (window, "The picture that is being made needs", small);
  check_toast (window, peak);
  g_print ("ok: a step down\n");
}

static void
check_redo (ZisWindow *window)
{
  ZieEvent event = { .type = ZIE_EVENT_REDO, .redo = { .stage = ZIE_STAGE_SAMPLE, .reason = (char *) "layers.3" } };

  zis_session_handle_event (window->session, &event);
  check_toast (window, "Painting gave unusable numbers");
  g_print ("ok: a stage again\n");
}

static void
check_error (ZisWindow *window)
{
  g_autoptr(GError) error = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_DEVICE_LOST, "gone");
  GtkAccessible *notice = GTK_ACCESSIBLE (gtk_revealer_get_child (window->notice_revealer));

  zis_window_show_error (window, error, ZIS_ERROR_IN_WORK);
  g_assert_true (gtk_revealer_get_reveal_child (window->notice_revealer));
  g_assert_true (gtk_test_accessible_has_role (notice, GTK_ACCESSIBLE_ROLE_ALERT));
  gtk_test_accessible_assert_property (notice, GTK_ACCESSIBLE_PROPERTY_LABEL, gtk_label_get_text (window->notice_title));
  g_print ("ok: an error\n");
}

static void
on_ended (ZisSession *session, ZisJob *job, gpointer window)
{
  g_assert_null (((ZisWindow *) window)->job);
  g_assert_null (strstr (zis_memory_bar_get_text (((ZisWindow *) window)->memory_bar), "The picture that is being made"));
  g_print ("ok: the gauge tells of the next picture again\n");
  gtk_window_destroy (window);
}

static void
on_model_changed (ZisSession *session, gpointer data)
{
  ZisWindow *window = data;
  g_auto(ZieRequest) request = { 0 };

  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a red apple");
  request.width = request.height = 64;
  g_assert_nonnull (zis_session_generate (session, &request, NULL));
  g_assert_nonnull (window->job);

  /* All before the engine has said a word. */
  check_step_down (window);
  check_redo (window);
  check_error (window);
  g_signal_connect_after (session, "job-ended", G_CALLBACK (on_ended), window);
}

static void
on_activate (GtkApplication *application)
{
  ZisWindow *window = ZIS_WINDOW (gtk_application_get_active_window (application));

  g_settings_set_boolean (window->settings, "notify", FALSE);      /* here is nobody who would show it, and GLib warns */
  g_signal_connect_after (window->session, "model-changed", G_CALLBACK (on_model_changed), window);
}

int
main (int argc, char *argv[])
{
  g_autofree char *demo = zie_model_find_demo (NULL);
  g_autoptr(ZisApplication) application = NULL;

  if (!demo)
    {
      g_print ("skipped: there is no demo model in this tree\n");
      return 77;
    }

  application = zis_application_new ();
  g_signal_connect_after (application, "activate", G_CALLBACK (on_activate), NULL);
  return g_application_run (G_APPLICATION (application), 1, argv);
}
