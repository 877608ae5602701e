/* SPDX-License-Identifier: Apache-2.0 */
/* How smooth the window stays: while the demo model generates back to back on the CPU, synthetic previews of 1024 ×
 * 1024 arrive twenty times a second.  A thread asks the main loop for an answer every few milliseconds and writes down
 * how long it took; the distribution is printed.  Also: the time from start to the first frame, from cancel to idle,
 * and (argument --memory N) what N pictures leave in memory. */
#include <stdlib.h>
#include <string.h>

#include "zis-application.h"
#include "zis-canvas.h"
#include "zis-job.h"
#include "zis-paintable.h"
#include "zis-queue.h"
#include "zis-session.h"
#include "zis-window-private.h"

#define SECONDS 20
#define PING_US 4000
#define LIMIT_P95_MS 50.0
#define N_CANCELS 100
#define N_PREVIEWS 8

typedef struct
{
  ZisApplication *application;
  ZisWindow *window;
  gint64 started_at;
  double first_frame_ms;
  GArray *latencies;         /* of double, ms */
  GArray *cancels;           /* of double, ms */
  int is_over;               /* atomic */
  int is_answered;           /* atomic */
  gint64 asked_at;
  guint n_previews, n_pictures;
  ZieImage *previews[N_PREVIEWS];
  gint64 cancelled_at;
  guint previews_timer;
  int n_memory;              /* pictures of the memory run; 0 = none */
  guint64 memory_after_20;
  int exit_status;
} Run;

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double first = *(const double *) a, second = *(const double *) b;

  return first < second ? -1 : first > second;
}

static double
percentile (GArray *values, double p)
{
  return values->len == 0 ? 0 : g_array_index (values, double, MIN (values->len - 1, (guint) (p * values->len)));
}

static void
report (const char *what, GArray *values)
{
  g_array_sort (values, compare_doubles);
  g_print ("%s: n %u, median %.1f, p95 %.1f, p99 %.1f, max %.1f ms\n", what, values->len, percentile (values, 0.5),
           percentile (values, 0.95), percentile (values, 0.99), percentile (values, 1));
}

/* --- latency ------------------------------------------------------------------------------------------------ */

static gboolean
on_ping (gpointer data)
{
  Run *run = data;
  double ms = (double) (g_get_monotonic_time () - run->asked_at) / 1000;

  g_array_append_val (run->latencies, ms);
  g_atomic_int_set (&run->is_answered, 1);

  return G_SOURCE_REMOVE;
}

static gpointer
ping_thread (gpointer data)
{
  Run *run = data;

  while (!g_atomic_int_get (&run->is_over))
    {
      g_atomic_int_set (&run->is_answered, 0);
      run->asked_at = g_get_monotonic_time ();
      g_main_context_invoke_full (NULL, G_PRIORITY_DEFAULT, on_ping, run, NULL);
      while (!g_atomic_int_get (&run->is_answered) && !g_atomic_int_get (&run->is_over))
        g_usleep (200);
      g_usleep (PING_US);
    }

  return NULL;
}

/* --- what the window has to bear ---------------------------------------------------------------------------- */

static void
make_previews (Run *run)
{
  for (int i = 0; i < N_PREVIEWS; i++)
    {
      guint8 *pixels = g_malloc (1024 * 1024 * 3);

      for (int p = 0; p < 1024 * 1024 * 3; p++)
        pixels[p] = (guint8) (p * (i + 3) / 7);
      run->previews[i] = zie_image_new (1024, 1024, 3072, g_bytes_new_take (pixels, 1024 * 1024 * 3));
    }
}

static gboolean
push_preview (gpointer data)
{
  Run *run = data;
  ZieEvent event = { .type = ZIE_EVENT_PREVIEW };
  ZisJob *job = zis_queue_get_running (zis_session_get_queue (run->window->session));

  event.image_index = job ? zis_job_get_image_index (job) : 0;
  event.preview.image = run->previews[run->n_previews++ % N_PREVIEWS];
  zis_session_handle_event (run->window->session, &event);

  return G_SOURCE_CONTINUE;
}

static void
generate (Run *run, int size)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;

  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a red apple on a blue background");
  request.width = request.height = size;
  request.seed = g_random_int ();
  if (!zis_session_generate (run->window->session, &request, &error))
    g_error ("%s", error->message);
  zis_window_follow (run->window);
}

static void
finish (Run *run)
{
  g_atomic_int_set (&run->is_over, 1);
  g_application_quit (G_APPLICATION (run->application));
}

/* --- from cancel to idle ------------------------------------------------------------------------------------ */

static gboolean
cancel_now (gpointer data)
{
  Run *run = data;
  ZisJob *job = zis_queue_get_running (zis_session_get_queue (run->window->session));

  if (job)
    {
      run->cancelled_at = g_get_monotonic_time ();
      zis_session_cancel (run->window->session, job);
    }

  return G_SOURCE_REMOVE;
}

static void
start_cancel (Run *run)
{
  generate (run, 256);
  g_timeout_add (20 + g_random_int_range (0, 300), cancel_now, run);
}

static gboolean
end_smooth (gpointer data)
{
  Run *run = data;

  g_clear_handle_id (&run->previews_timer, g_source_remove);
  g_atomic_int_set (&run->is_over, 1);
  run->cancels = g_array_new (FALSE, FALSE, sizeof (double));
  zis_session_cancel_all (run->window->session);

  return G_SOURCE_REMOVE;
}

static void
on_job_ended (ZisSession *session, ZisJob *job, gpointer data)
{
  Run *run = data;
  ZieMemoryUse use = { 0 };

  if (zis_job_get_state (job) == ZIS_JOB_FAILED)
    g_error ("%s", zis_job_get_error (job)->message);
  run->n_pictures++;

  if (run->n_memory > 0)
    {
      zie_query_memory (&use);
      if (run->n_pictures == 20)
        run->memory_after_20 = use.process_anonymous;
      if (run->n_pictures % 20 == 0)
        g_print ("after %u pictures: %.1f MB\n", run->n_pictures, (double) use.process_anonymous / 1e6);
      if (run->n_pictures < (guint) run->n_memory)
        {
          generate (run, 64);
          return;
        }
      if (run->n_memory > 20 && (double) use.process_anonymous > 1.05 * (double) run->memory_after_20)
        run->exit_status = EXIT_FAILURE;
      finish (run);
      return;
    }

  if (!run->cancels)
    {
      generate (run, 256);
      return;
    }

  if (run->cancelled_at > 0 && zis_job_get_state (job) == ZIS_JOB_CANCELLED)
    {
      double ms = (double) (g_get_monotonic_time () - run->cancelled_at) / 1000;

      g_array_append_val (run->cancels, ms);
    }
  run->cancelled_at = 0;
  if (run->cancels->len < N_CANCELS)
    start_cancel (run);
  else
    finish (run);
}

static void
on_ready (ZisSession *session, gpointer data)
{
  Run *run = data;

  g_signal_connect (session, "job-ended", G_CALLBACK (on_job_ended), run);
  if (run->n_memory > 0)
    {
      generate (run, 64);
      return;
    }

  generate (run, 256);
  run->previews_timer = g_timeout_add (50, push_preview, run);
  g_timeout_add_seconds (SECONDS, end_smooth, run);
  g_thread_unref (g_thread_new ("ping", ping_thread, run));
}

static gboolean
on_first_tick (GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
  Run *run = data;

  run->first_frame_ms = (double) (g_get_monotonic_time () - run->started_at) / 1000;
  return G_SOURCE_REMOVE;
}

static void
on_activate (GApplication *application, gpointer data)
{
  Run *run = data;

  run->window = ZIS_WINDOW (gtk_application_get_active_window (GTK_APPLICATION (application)));
  g_settings_set_boolean (run->window->settings, "notify", FALSE);      /* here is nobody who would show it, and GLib warns */
  gtk_widget_add_tick_callback (GTK_WIDGET (run->window), on_first_tick, run, NULL);
  g_signal_connect (run->window->session, "model-changed", G_CALLBACK (on_ready), run);
}

int
main (int argc, char *argv[])
{
  g_autofree char *demo = zie_model_find_demo (NULL);
  Run run = { .started_at = g_get_monotonic_time () };

  if (!demo)
    {
      g_print ("skipped: there is no demo model in this tree\n");
      return 77;
    }
  if (argc == 3 && g_str_equal (argv[1], "--memory"))
    run.n_memory = atoi (argv[2]);

  make_previews (&run);
  run.latencies = g_array_new (FALSE, FALSE, sizeof (double));
  run.started_at = g_get_monotonic_time ();
  run.application = zis_application_new ();
  g_signal_connect_after (run.application, "activate", G_CALLBACK (on_activate), &run);
  g_application_run (G_APPLICATION (run.application), 1, argv);

  g_print ("first frame after %.0f ms\n", run.first_frame_ms);
  if (run.n_memory == 0)
    {
      report ("main loop latency", run.latencies);
      report ("cancel to idle", run.cancels);
      g_print ("previews %u\n", run.n_previews);
      if (percentile (run.latencies, 0.95) > LIMIT_P95_MS)
        run.exit_status = EXIT_FAILURE;
    }
  g_object_unref (run.application);
  for (int i = 0; i < N_PREVIEWS; i++)
    zie_image_unref (run.previews[i]);
  g_array_unref (run.latencies);
  g_clear_pointer (&run.cancels, g_array_unref);

  return run.exit_status;
}
