/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-cancel"

#include <stdlib.h>

#include <zie/zie.h>

#ifdef __SANITIZE_ADDRESS__     /* all is five times slower, and no figure is meant */
#define N_ROUNDS 25
#else
#define N_ROUNDS 100
#endif
#define N_STEPS 2

/* Sanitizers make everything several times slower; what is measured then is they. */
#if defined(__SANITIZE_ADDRESS__)
#define MAX_P99_US 2000000
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MAX_P99_US 2000000
#endif
#endif
#ifndef MAX_P99_US
#define MAX_P99_US 100000
#endif

static int
compare_times (const void *a, const void *b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return (x > y) - (x < y);
}

/* Empties the queue; every job ends with one FINISHED, which is its last event. */
static GError *
take_finished (GAsyncQueue *events, guint64 job_id)
{
  GError *error = NULL;
  guint n_finished = 0;
  ZieEvent *event;

  while ((event = g_async_queue_try_pop (events)) != NULL)
    {
      g_assert_cmpuint (event->job_id, ==, job_id);
      g_assert_cmpuint (n_finished, ==, 0);
      if (event->type == ZIE_EVENT_FINISHED)
        {
          n_finished++;
          error = g_steal_pointer (&event->finished.error);
        }
      zie_event_free (event);
    }

  g_assert_cmpuint (n_finished, ==, 1);
  return error;
}

/* Runs the job and cancels it DELAY after it was submitted (< 0: never); the time from there to its end. */
static gint64
run_once (ZieEngine *engine, ZieModel *model, const ZieRequest *request, gint64 delay, gboolean *was_cancelled)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) result = NULL;
  g_autoptr(ZieJob) job = zie_engine_submit (engine, model, request, NULL, &error);
  gint64 start = g_get_monotonic_time ();

  g_assert_no_error (error);
  if (delay >= 0 && !zie_job_wait (job, delay))
    {
      start = g_get_monotonic_time ();
      zie_job_cancel (job);
    }

  g_assert_true (zie_job_wait (job, -1));
  start = g_get_monotonic_time () - start;

  result = take_finished (zie_engine_get_events (engine), zie_job_get_id (job));
  *was_cancelled = g_error_matches (result, ZIE_ERROR, ZIE_ERROR_CANCELLED);
  if (!*was_cancelled)
    g_assert_no_error (result);
  return start;
}

/* Cancelled at moments spread over the whole job: every stage is hit. */
static void
test_latency (void)
{
  g_autofree char *path = zie_model_find_demo (NULL);
  g_autoptr(ZieModel) model = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(ZieRequest) request;
  gint64 times[N_ROUNDS], whole;
  gboolean was_cancelled;
  guint n = 0;

  zie_request_init (&request);
  if (path == NULL)
    {
      g_test_skip ("the demo model is not here");
      return;
    }

  model = zie_model_open (path, &error);
  g_assert_no_error (error);
  engine = zie_engine_new (NULL, &error);
  g_assert_no_error (error);

  zie_model_init_request (model, &request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a red apple on a blue background");
  request.width = request.height = 256;
  request.n_steps = N_STEPS;
  request.preview_every = 1;

  whole = run_once (engine, model, &request, -1, &was_cancelled);
  g_assert_false (was_cancelled);
  whole = MIN (whole, run_once (engine, model, &request, -1, &was_cancelled));

  /* A job that ends before its moment comes does not count; on a busy machine that may be some. */
  for (int i = 0; n < N_ROUNDS && i < 3 * N_ROUNDS; i++)
    {
      gint64 time = run_once (engine, model, &request, whole * (i % N_ROUNDS) / N_ROUNDS, &was_cancelled);

      if (was_cancelled)
        times[n++] = time;
    }

  g_assert_cmpuint (n, ==, N_ROUNDS);
  qsort (times, n, sizeof times[0], compare_times);
  g_test_message ("job %.0f ms; %u cancelled: median %.1f ms, p99 %.1f ms, longest %.1f ms", (double)whole / 1e3, n,
                  (double)times[n / 2] / 1e3, (double)times[(n * 99 + 99) / 100 - 1] / 1e3, (double)times[n - 1] / 1e3);
  g_assert_cmpint (times[(n * 99 + 99) / 100 - 1], <=, MAX_P99_US);
}

/* The last reference is dropped in the middle of a picture: it returns as fast, and the job has ended. */
static void
test_engine_goes (void)
{
  g_autofree char *path = zie_model_find_demo (NULL);
  g_autoptr(ZieModel) model = NULL;
  g_autoptr(ZieJob) job = NULL;
  g_auto(ZieRequest) request;
  ZieEngine *engine;
  gint64 start;

  zie_request_init (&request);
  if (path == NULL)
    {
      g_test_skip ("the demo model is not here");
      return;
    }

  model = zie_model_open (path, NULL);
  engine = zie_engine_new (NULL, NULL);
  zie_model_init_request (model, &request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a cat");
  request.width = request.height = 256;
  request.n_steps = 1000;

  job = zie_engine_submit (engine, model, &request, NULL, NULL);
  g_assert_nonnull (job);
  zie_job_wait (job, 50000);

  start = g_get_monotonic_time ();
  zie_engine_unref (engine);
  g_test_message ("the engine left in %.1f ms", (double)(g_get_monotonic_time () - start) / 1e3);
  g_assert_true (zie_job_wait (job, 0));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cancel/latency", test_latency);
  g_test_add_func ("/cancel/engine-goes", test_engine_goes);
  return g_test_run ();
}
