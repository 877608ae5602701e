/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-job"

#include <zie/zie-device.h>
#include <zie/zie-error.h>
#include <zie/zie-job.h>

#include "zie-run-private.h"

#define SPARE ((gsize)64 << 20)

/* What the pipeline in place of the real one does with a job: the seed of its request. */
enum
{
  DO_NOTHING,
  DO_STEPS,                  /* n_steps STEP events */
  DO_FAIL,
  DO_FAIL_SILENTLY,
  DO_WAIT_FOR_CANCEL,        /* then CANCELLED */
  DO_FAIL_ONCE_CANCELLED,    /* as an op's garbage would: another error than CANCELLED */
  DO_FINISH_ONCE_CANCELLED,  /* the cancel came too late */
  DO_RESERVE,                /* n_steps MB of arena */
  DO_CACHE,
};

static gint n_allocs, n_frees, n_cache_frees, n_wakes, n_destroys, n_running;   /* atomic */

static void *
fake_alloc (ZieBackend *self, gsize size, GError **error)
{
  g_atomic_int_inc (&n_allocs);
  return g_malloc (16);
}

static void
fake_free (ZieBackend *self, void *memory, gsize size)
{
  g_atomic_int_inc (&n_frees);
  g_free (memory);
}

static void
fake_close (ZieBackend *self)
{
}

static const ZieBackendFuncs backend_funcs = {
  .kind = ZIE_BACKEND_REF, .close = fake_close, .alloc = fake_alloc, .free = fake_free,
};

static ZieBackend *
open_fake (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error)
{
  ZieBackend *self = g_new0 (ZieBackend, 1);

  self->funcs = &backend_funcs;
  self->threads = threads;
  return self;
}

static ZieBackend *
open_nothing (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "no such device");
  return NULL;
}

static void
on_cache_free (gpointer data)
{
  g_atomic_int_inc (&n_cache_frees);
}

static void
wait_for_cancel (ZiePipeline *self)
{
  while (!g_atomic_int_get (self->cancel))
    g_thread_yield ();
}

static gboolean
fake_run (ZiePipeline *self, GError **error)
{
  gsize size;

  g_assert_cmpint (g_atomic_int_add (&n_running, 1), ==, 0);
  self->arena_peak = 1234;

  switch (self->request->seed)
    {
    case DO_STEPS:
      for (int i = 0; i < self->request->n_steps; i++)
        self->emit (self->emit_data, zie_event_new_step (0, i + 1, self->request->n_steps, 0.1, 0.2));
      break;
    case DO_FAIL:
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE, "the picture is one flat colour");
      break;
    case DO_WAIT_FOR_CANCEL:
      wait_for_cancel (self);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_CANCELLED, "cancelled");
      break;
    case DO_FAIL_ONCE_CANCELLED:
      wait_for_cancel (self);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE, "the picture is not a number");
      break;
    case DO_FINISH_ONCE_CANCELLED:
      wait_for_cancel (self);
      break;
    case DO_RESERVE:
      size = (gsize)self->request->n_steps << 20;
      g_assert_nonnull (zie_arena_store_reserve (self->arena, self->backend, size, size / 4 + SPARE, NULL));
      break;
    case DO_CACHE:
      self->cache->data = GINT_TO_POINTER (1);
      self->cache->free = on_cache_free;
      break;
    default:
      break;
    }

  g_atomic_int_add (&n_running, -1);
  return self->request->seed != DO_FAIL && self->request->seed != DO_FAIL_SILENTLY
         && self->request->seed != DO_WAIT_FOR_CANCEL && self->request->seed != DO_FAIL_ONCE_CANCELLED;
}

static const ZieEngineFuncs funcs = { open_fake, fake_run, 60 * G_USEC_PER_SEC };

static ZieEngine *
new_engine (void)
{
  g_autoptr(GError) error = NULL;
  ZieEngine *engine = zie_engine_new_with_funcs (&(ZieEngineOptions) { .n_threads = 1 }, &funcs, &error);

  g_assert_no_error (error);
  return engine;
}

static ZieJob *
enqueue (ZieEngine *engine, guint64 what, int n_steps)
{
  g_auto(ZieRequest) request;

  zie_request_init (&request);
  request.seed = what;
  request.n_steps = n_steps;
  return zie_engine_enqueue (engine, NULL, &request, NULL);
}

/* Waits for JOB and looks through its events: STARTED first unless it never ran, FINISHED once and last.  Returns the
 * error that FINISHED carries. */
static GError *
finish (ZieEngine *engine, ZieJob *job, gboolean expect_started)
{
  GAsyncQueue *events = zie_engine_get_events (engine);
  gboolean is_started = FALSE, is_finished = FALSE;
  GError *error = NULL;

  g_assert_true (zie_job_wait (job, -1));
  while (!is_finished)
    {
      g_autoptr(ZieEvent) event = g_async_queue_try_pop (events);

      g_assert_nonnull (event);
      g_assert_cmpuint (event->job_id, ==, zie_job_get_id (job));
      g_assert_cmpint (event->time_us, >, 0);
      if (event->type == ZIE_EVENT_STARTED)
        is_started = TRUE;
      else if (expect_started)
        g_assert_true (is_started);
      if (event->type == ZIE_EVENT_FINISHED)
        {
          is_finished = TRUE;
          error = g_steal_pointer (&event->finished.error);
          g_assert_cmpuint (event->finished.arena_peak, ==, expect_started ? 1234 : 0);
        }
    }

  g_assert_cmpint (is_started, ==, expect_started);
  return error;
}

static void
test_done (void)
{
  g_autoptr(ZieEngine) engine = new_engine ();
  g_autoptr(ZieJob) job = enqueue (engine, DO_STEPS, 5);
  g_autoptr(GError) error = finish (engine, job, TRUE);

  g_assert_no_error (error);
  g_assert_null (g_async_queue_try_pop (zie_engine_get_events (engine)));
  g_assert_false (zie_job_is_cancelled (job));
}

static void
test_failures (void)
{
  static const struct { guint64 what; gboolean cancel; int code; } cases[] = {
    { DO_FAIL, FALSE, ZIE_ERROR_BROKEN_PICTURE },
    { DO_FAIL_SILENTLY, FALSE, ZIE_ERROR_FAILED },
    { DO_WAIT_FOR_CANCEL, TRUE, ZIE_ERROR_CANCELLED },
    { DO_FAIL_ONCE_CANCELLED, TRUE, ZIE_ERROR_CANCELLED },
    { DO_FINISH_ONCE_CANCELLED, TRUE, -1 },
  };
  g_autoptr(ZieEngine) engine = new_engine ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(ZieJob) job = enqueue (engine, cases[i].what, 1);
      g_autoptr(GError) error = NULL;

      /* Only a job that was seen to start is sure to run. */
      while (cases[i].cancel && g_atomic_int_get (&n_running) == 0)
        g_thread_yield ();
      if (cases[i].cancel)
        zie_job_cancel (job);

      error = finish (engine, job, TRUE);
      if (cases[i].code < 0)
        g_assert_no_error (error);
      else
        g_assert_error (error, ZIE_ERROR, cases[i].code);
    }
}

static void
test_cancel_waiting (void)
{
  g_autoptr(ZieEngine) engine = new_engine ();
  g_autoptr(ZieJob) running = enqueue (engine, DO_WAIT_FOR_CANCEL, 1);
  g_autoptr(ZieJob) waiting = enqueue (engine, DO_STEPS, 1);
  g_autoptr(GError) running_error = NULL;
  g_autoptr(GError) waiting_error = NULL;

  while (g_atomic_int_get (&n_running) == 0)
    g_thread_yield ();
  zie_job_cancel (waiting);
  g_assert_false (zie_job_wait (running, 1000));
  g_assert_false (zie_job_wait (waiting, 0));

  zie_job_cancel (running);
  running_error = finish (engine, running, TRUE);
  g_assert_error (running_error, ZIE_ERROR, ZIE_ERROR_CANCELLED);
  waiting_error = finish (engine, waiting, FALSE);
  g_assert_error (waiting_error, ZIE_ERROR, ZIE_ERROR_CANCELLED);
}

/* The last unref with one job running and many waiting: each ends once, as cancelled, and handles stay good. */
static void
test_shutdown (void)
{
  enum { N = 20 };
  ZieEngine *engine = new_engine ();
  GAsyncQueue *events = g_async_queue_ref (zie_engine_get_events (engine));
  ZieJob *jobs[N];
  guint n_finished[N] = { 0 };
  ZieEvent *event;

  for (guint i = 0; i < N; i++)
    jobs[i] = enqueue (engine, DO_WAIT_FOR_CANCEL, 1);
  zie_engine_unref (engine);

  while ((event = g_async_queue_try_pop (events)) != NULL)
    {
      if (event->type == ZIE_EVENT_FINISHED)
        {
          n_finished[event->job_id - zie_job_get_id (jobs[0])]++;
          g_assert_error (event->finished.error, ZIE_ERROR, ZIE_ERROR_CANCELLED);
        }
      zie_event_free (event);
    }

  for (guint i = 0; i < N; i++)
    {
      g_assert_cmpuint (n_finished[i], ==, 1);
      g_assert_true (zie_job_wait (jobs[i], 0));
      zie_job_cancel (jobs[i]);
      g_assert_true (zie_job_is_cancelled (jobs[i]));
      zie_job_unref (jobs[i]);
    }
  g_async_queue_unref (events);
}

static void
run_one (ZieEngine *engine, guint64 what, int n_steps)
{
  g_autoptr(ZieJob) job = enqueue (engine, what, n_steps);
  g_autoptr(GError) error = finish (engine, job, TRUE);

  g_assert_no_error (error);
}

static void
test_arena_kept (void)
{
  static const struct { int mb; int n_allocs; } cases[] = {
    { 1000, 1 }, { 1000, 1 }, { 990, 1 },     /* fits, is about as large: kept */
    { 1001, 2 },                              /* does not fit */
    { 100, 3 },                               /* would hold ten times what is planned */
    { 60, 3 },
  };
  ZieEngine *engine = new_engine ();

  n_allocs = n_frees = 0;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      run_one (engine, DO_RESERVE, cases[i].mb);
      g_assert_cmpint (g_atomic_int_get (&n_allocs), ==, cases[i].n_allocs);
      g_assert_cmpint (g_atomic_int_get (&n_frees), ==, cases[i].n_allocs - 1);
    }

  zie_engine_unref (engine);
  g_assert_cmpint (n_frees, ==, n_allocs);
}

/* Of an arena that a job left, what it did not touch is no memory that the next could have besides what is free. */
static void
test_untouched_arena (void)
{
  g_autoptr(ZieEngine) engine = new_engine ();
  ZieDevice device;

  zie_engine_get_device (engine, &device);
  if (device.memory_total == 0)
    {
      g_test_skip ("nothing is known of this machine's memory");
      return;
    }
  run_one (engine, DO_RESERVE, (int)(device.memory_total >> 20));
  zie_engine_get_device (engine, &device);
  g_assert_cmpuint (device.memory_free, <, device.memory_total);
}

static void
test_cache_freed_once (void)
{
  ZieEngine *engine = new_engine ();

  n_cache_frees = 0;
  run_one (engine, DO_CACHE, 1);
  run_one (engine, DO_NOTHING, 1);
  g_assert_cmpint (g_atomic_int_get (&n_cache_frees), ==, 0);
  zie_engine_unref (engine);
  g_assert_cmpint (n_cache_frees, ==, 1);
}

static void
test_idle_lets_go (void)
{
  static const ZieEngineFuncs hasty = { open_fake, fake_run, 1000 };
  g_autoptr(ZieEngine) engine = zie_engine_new_with_funcs (&(ZieEngineOptions) { .n_threads = 1 }, &hasty, NULL);

  n_allocs = n_frees = n_cache_frees = 0;
  run_one (engine, DO_RESERVE, 10);
  run_one (engine, DO_CACHE, 1);
  while (g_atomic_int_get (&n_cache_frees) == 0 || g_atomic_int_get (&n_frees) < g_atomic_int_get (&n_allocs))
    g_thread_yield ();
  run_one (engine, DO_RESERVE, 10);
}

static void
on_wake (gpointer data)
{
  g_atomic_int_inc (&n_wakes);
}

static void
on_destroy (gpointer data)
{
  g_atomic_int_inc (&n_destroys);
}

/* One call for each push: STARTED, 3 STEPs, FINISHED; none after the function was taken away. */
static void
test_wake (void)
{
  ZieEngine *engine = new_engine ();

  n_wakes = n_destroys = 0;
  zie_engine_set_wake (engine, on_wake, NULL, on_destroy);
  run_one (engine, DO_STEPS, 3);
  g_assert_cmpint (g_atomic_int_get (&n_wakes), ==, 5);

  zie_engine_set_wake (engine, NULL, NULL, NULL);
  g_assert_cmpint (n_destroys, ==, 1);
  run_one (engine, DO_STEPS, 3);
  g_assert_cmpint (g_atomic_int_get (&n_wakes), ==, 5);

  zie_engine_set_wake (engine, on_wake, NULL, on_destroy);
  zie_engine_unref (engine);
  g_assert_cmpint (n_destroys, ==, 2);
}

static void
test_no_device (void)
{
  static const ZieEngineFuncs none = { open_nothing, fake_run, G_USEC_PER_SEC };
  g_autoptr(GError) error = NULL;

  g_assert_null (zie_engine_new_with_funcs (NULL, &none, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE);
}

#define N_SUBMITTERS 4
#define N_EACH 50

static gpointer
submit_many (gpointer engine)
{
  for (int i = 0; i < N_EACH; i++)
    zie_job_unref (enqueue (engine, DO_STEPS, 2));

  return NULL;
}

/* Handles are dropped at once: the engine keeps the jobs.  They run one at a time, in the order of their ids. */
static void
test_many_submitters (void)
{
  g_autoptr(ZieEngine) engine = new_engine ();
  GThread *threads[N_SUBMITTERS];
  guint64 last = 0;

  for (guint i = 0; i < N_SUBMITTERS; i++)
    threads[i] = g_thread_new ("submit", submit_many, engine);

  while (last < N_SUBMITTERS * N_EACH)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      g_assert_cmpuint (event->job_id, ==, last + 1);
      if (event->type == ZIE_EVENT_FINISHED)
        last++;
    }

  for (guint i = 0; i < N_SUBMITTERS; i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/job/done", test_done);
  g_test_add_func ("/job/failures", test_failures);
  g_test_add_func ("/job/cancel-waiting", test_cancel_waiting);
  g_test_add_func ("/job/shutdown", test_shutdown);
  g_test_add_func ("/job/arena-kept", test_arena_kept);
  g_test_add_func ("/job/untouched-arena", test_untouched_arena);
  g_test_add_func ("/job/cache-freed-once", test_cache_freed_once);
  g_test_add_func ("/job/idle-lets-go", test_idle_lets_go);
  g_test_add_func ("/job/wake", test_wake);
  g_test_add_func ("/job/no-device", test_no_device);
  g_test_add_func ("/job/many-submitters", test_many_submitters);
  return g_test_run ();
}
