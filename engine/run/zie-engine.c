/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-engine"

#include "zie-run-private.h"

#include <stdlib.h>
#include <sys/resource.h>

#include <zie/zie-device.h>
#include <zie/zie-error.h>

#include "zie-dump.h"
#include "zie-job-private.h"
#include "zie-model-private.h"
#include "zie-plan-private.h"

#define MAX_DEVICES 16
/* How often a job plans anew when there is less memory than there was. */
#define MAX_STEPS_DOWN 64
/* Each plan after a refusal takes at least this share less than the one before, whatever the driver says is free. */
#define STEP_DOWN 16
/* Where there is no such plan: how often a job waits for the memory of the last one, and how long at first, each time twice as long. */
#define MAX_WAITS 3
#define FIRST_WAIT_US (100 * (gint64)1000)
#define WAIT_SLICE_US 10000
#define IDLE_US (60 * G_USEC_PER_SEC)
#define MAX_IDLE_SECONDS 1e9
#define BACKGROUND_NICE 10
#define MEMORY_SAMPLE_US 10000

struct _ZieEngine
{
  gint ref_count;            /* atomic */
  ZieEngineFuncs funcs;
  ZieDevice device;          /* as found at the start; memory_free is asked again when needed */
  gboolean background;

  ZieThreads *threads;       /* owned */
  ZieBackend *backend;       /* owned; the worker's while it lives */
  ZieArenaStore arena, host_arena;     /* the worker's */
  ZieModel *placed;          /* whose weights the device holds; owned; the worker's */
  ZiePipelineCache cache;    /* the worker's */

  GThread *worker;
  GAsyncQueue *jobs;         /* owned; of ZieJob (transfer full), then the engine itself: the end */
  ZieEventSink events;       /* pushed by the worker alone */

  GMutex lock;               /* of what follows */
  guint64 last_id;
  GQueue unfinished;         /* of ZieJob, borrowed from jobs and from the worker */
  ZieWakeFunc wake;
  gpointer wake_data;
  GDestroyNotify wake_destroy;
};

/* The worker's view of the job it runs. */
typedef struct
{
  ZieEngine *engine;
  ZieJob *job;
  guint64 ram_peak;
  gint64 sampled_us;
} Run;

static void
send_event (ZieEngine *self, guint64 job_id, ZieEvent *event)
{
  event->job_id = job_id;
  event->time_us = g_get_monotonic_time ();
  zie_event_sink_push (&self->events, event);

  g_mutex_lock (&self->lock);
  if (self->wake != NULL)
    self->wake (self->wake_data);
  g_mutex_unlock (&self->lock);
}

static guint64
sample_memory (Run *run)
{
  ZieMemoryUse use = { 0 };

  zie_query_memory (&use);
  run->ram_peak = MAX (run->ram_peak, use.process_anonymous);
  run->sampled_us = g_get_monotonic_time ();
  return use.process_anonymous;
}

static void
on_pipeline_event (gpointer data, ZieEvent *event)
{
  Run *run = data;

  if (event->type == ZIE_EVENT_STEP)
    {
      guint64 used = sample_memory (run);

      if (event->step.ram_used == 0)
        event->step.ram_used = used;
      if (run->engine->backend->funcs->measure != NULL)
        {
          ZieBackendUse use;

          run->engine->backend->funcs->measure (run->engine->backend, &use);
          event->step.vram_used = use.base + use.held;
        }
    }
  else if (g_get_monotonic_time () - run->sampled_us >= MEMORY_SAMPLE_US)
    sample_memory (run);

  send_event (run->engine, run->job->id, event);
}

/* The pipeline, with a dump of its tensors around it where ZIE_DUMP asks for one. */
static gboolean
run_pipeline (ZieEngine *self, guint64 job_id, ZiePipeline *pipeline, GError **error)
{
  g_autoptr(GError) dump_error = NULL;
  gboolean is_dumping = zie_dump_begin_job (job_id, &dump_error);
  gboolean is_done = dump_error == NULL && self->funcs.run (pipeline, error);

  if (is_dumping)
    zie_dump_end (&dump_error);
  if (dump_error == NULL)
    return is_done;

  /* What the pipeline failed of says more than a dump that is missing. */
  if (error != NULL && *error == NULL)
    g_propagate_error (error, g_steal_pointer (&dump_error));
  return FALSE;
}

/* What the engine holds for its next job goes back to the system, but for the weights' host copies where those are kept: they are
 * the placed model's. */
static void
release_memory (ZieEngine *self, gboolean keep_host_copies)
{
  zie_arena_store_release (&self->arena);
  zie_arena_store_release (&self->host_arena);
  if (self->backend->funcs->release != NULL)
    self->backend->funcs->release (self->backend, keep_host_copies);
  if (!keep_host_copies)
    g_clear_pointer (&self->placed, zie_model_unref);
}

/* The device reads MODEL's files until other weights take their place. */
static void
hold (ZieEngine *self, ZieModel *model)
{
  if (self->backend->funcs->place != NULL && self->placed == NULL)
    self->placed = zie_model_ref (model);
}

/* The job goes on by SMALLER. */
static void
change_plan (ZieEngine *self, ZieJob *job, ZiePlan **plan, ZiePlan *smaller /* transfer full */, gboolean is_host, const char *reason)
{
  guint64 from = is_host ? (*plan)->ram_peak : (*plan)->vram_peak, to = is_host ? smaller->ram_peak : smaller->vram_peak;

  g_message ("memory %s went: %.2f GiB are planned for instead of %.2f (%s)", is_host ? "of the host" : "of the device",
             (double)to / 0x1p30, (double)from / 0x1p30, reason);
  send_event (self, job->id, zie_event_new_plan (smaller, is_host, reason));
  zie_plan_unref (*plan);
  *plan = smaller;
}

/* For what is there now, within LIMIT. */
static ZiePlan *
plan_anew (ZieEngine *self, ZieJob *job, const ZiePlan *old, const ZieBudget *limit, GError **error)
{
  ZieDevice device;
  ZiePlan *plan;

  zie_engine_get_device (self, &device);
  plan = zie_plan_new (job->model, &device, &job->request, limit, error);
  if (plan != NULL)
    plan->budget = old->budget;
  return plan;
}

static guint64
least (guint64 budget, guint64 limit)
{
  return budget > 0 ? MIN (budget, limit) : limit;
}

static void
wait_unless_cancelled (ZieJob *job, gint64 us)
{
  gint64 end = g_get_monotonic_time () + us;

  while (g_get_monotonic_time () < end && !zie_job_is_cancelled (job))
    g_usleep (WAIT_SLICE_US);
}

/* What was refused may be back in a moment: the same plan again, where it fits what is free then.  FALSE: it never did, or there was
 * no try left, or the job was cancelled. */
static gboolean
wait_for_memory (ZieEngine *self, ZieJob *job, ZiePlan **plan, const ZieBudget *limit, guint *n_waits)
{
  const ZieBudget same = { least (limit->vram, (*plan)->vram_peak), least (limit->ram, (*plan)->ram_peak) };

  while (*n_waits < MAX_WAITS)
    {
      ZiePlan *again;

      wait_unless_cancelled (job, FIRST_WAIT_US << (*n_waits)++);
      if (zie_job_is_cancelled (job))
        return FALSE;
      if ((again = plan_anew (self, job, *plan, &same, NULL)) == NULL)
        continue;
      zie_plan_unref (*plan);
      *plan = again;
      return TRUE;
    }
  return FALSE;
}

/* Another program took memory after the plan was made: the next one is made for what is there now, and for less than the last one, so
 * that it ends where a driver says that more is free than it gives; where there is no smaller plan, the last one gets another chance.
 * *LIMIT is what the plan was made within, and goes down with it.  FALSE: no plan fits that; *ERROR is the refusal's, or the planner's
 * where nothing fits what is said to be free. */
static gboolean
step_down (ZieEngine *self, ZieJob *job, ZiePlan **plan, ZieBudget *limit, guint *n_waits, GError **error)
{
  gboolean is_host = g_error_matches (*error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  guint64 refused = is_host ? (*plan)->ram_peak : (*plan)->vram_peak, less = refused - refused / STEP_DOWN;
  ZieBudget smaller_limit = *limit;
  ZiePlan *smaller;

  release_memory (self, TRUE);
  if (is_host)
    smaller_limit.ram = least (limit->ram, less);
  else
    smaller_limit.vram = least (limit->vram, less);
  if ((smaller = plan_anew (self, job, *plan, &smaller_limit, NULL)) == NULL)
    {
      g_autoptr(ZiePlan) possible = NULL;
      g_autoptr(GError) local = NULL;

      if (wait_for_memory (self, job, plan, limit, n_waits))
        {
          g_message ("the same plan is tried again: %s", (*error)->message);
          g_clear_error (error);
          return TRUE;
        }
      if ((possible = plan_anew (self, job, *plan, &(*plan)->budget, &local)) == NULL)
        {
          g_clear_error (error);
          g_propagate_error (error, g_steal_pointer (&local));
        }
      return FALSE;
    }
  g_assert ((is_host ? smaller->ram_peak : smaller->vram_peak) < refused);
  *limit = smaller_limit;
  change_plan (self, job, plan, smaller, is_host, (*error)->message);
  g_clear_error (error);
  return TRUE;
}

/* A job may wait for long, and what the host's memory cannot hold it is not refused but swaps, or ends: it is planned anew before it
 * begins.  FALSE: there is no plan for what is there. */
static gboolean
check_host (ZieEngine *self, ZieJob *job, ZiePlan **plan, GError **error)
{
  ZieDevice device;
  ZiePlan *smaller;

  zie_engine_get_device (self, &device);
  if (zie_plan_fits_host (*plan, &device))
    return TRUE;
  if ((smaller = plan_anew (self, job, *plan, &(*plan)->budget, error)) == NULL)
    return FALSE;
  change_plan (self, job, plan, smaller, TRUE, "other programs took memory while the job waited");
  return TRUE;
}

/* Memory was refused that a smaller plan may do without.  Of the host's, what is refused before a stage began: later it is no part of the
 * plan, and what was computed would be lost. */
static gboolean
can_step_down (const ZiePipeline *pipeline, const GError *error)
{
  return g_error_matches (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY)
         || (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY) && !pipeline->has_begun);
}

/* Runs JOB; NULL = done.  A job that was cancelled before its turn is not started; what fails after a cancel fails
 * because of it (ops leave garbage then), so it counts as cancelled. */
static GError *
run_job (ZieEngine *self, Run *run, guint64 *arena_peak)
{
  ZieJob *job = run->job;
  ZiePipeline pipeline = {
    .backend = self->backend,
    .model = job->model,
    .plan = job->plan,
    .request = &job->request,
    .cancel = &job->cancelled,
    .emit = on_pipeline_event,
    .emit_data = run,
    .arena = &self->arena,
    .host_arena = &self->host_arena,
    .cache = &self->cache,
  };
  g_autoptr(ZiePlan) plan = job->plan ? zie_plan_ref (job->plan) : NULL;
  ZieBudget limit = plan ? plan->budget : (ZieBudget) { 0 };
  g_autoptr(GError) error = NULL;
  guint n_waits = 0;
  gboolean is_done;

  if (zie_job_is_cancelled (job))
    return g_error_new (ZIE_ERROR, ZIE_ERROR_CANCELLED, "the job was cancelled before it began");

  if (self->backend->funcs->place != NULL && self->placed != job->model)     /* a device reads weights until other ones take their place */
    {
      if (self->backend->funcs->release != NULL)
        self->backend->funcs->release (self->backend, FALSE);
      g_clear_pointer (&self->placed, zie_model_unref);
    }
  hold (self, job->model);

  send_event (self, job->id, zie_event_new_started ());
  if (plan != NULL && !check_host (self, job, &plan, &error))
    return g_steal_pointer (&error);
  pipeline.plan = plan;
  is_done = run_pipeline (self, job->id, &pipeline, &error);
  for (int i = 0; i < MAX_STEPS_DOWN && plan != NULL && can_step_down (&pipeline, error) && !zie_job_is_cancelled (job)
                  && step_down (self, job, &plan, &limit, &n_waits, &error); i++)
    {
      hold (self, job->model);
      pipeline.plan = plan;
      is_done = run_pipeline (self, job->id, &pipeline, &error);
    }
  *arena_peak = pipeline.arena_peak;
  if (is_done)
    return NULL;

  if (zie_job_is_cancelled (job) && !g_error_matches (error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
    {
      g_debug ("job=%" G_GUINT64_FORMAT " failed while being cancelled: %s", job->id, error ? error->message : "no reason");
      return g_error_new (ZIE_ERROR, ZIE_ERROR_CANCELLED, "the job was cancelled");
    }
  if (error == NULL)
    return g_error_new (ZIE_ERROR, ZIE_ERROR_FAILED, "the pipeline failed without saying why");

  return g_steal_pointer (&error);
}

static void
measure_device (ZieEngine *self, ZieEvent *finished)
{
  const ZieBackendFuncs *funcs = self->backend->funcs;
  ZieBackendUse use;

  if (funcs->measure == NULL)
    return;
  funcs->measure (self->backend, &use);
  finished->finished.vram_peak = use.base + use.held_peak;
  /* What is locked is no anonymous memory. */
  finished->finished.ram_locked = use.locked;
  finished->finished.ram_peak += use.locked + zie_arena_store_get_size (&self->host_arena);
  finished->finished.bytes_loaded = use.loaded;
  finished->finished.bytes_streamed = use.streamed;
  if (funcs->get_free != NULL)
    finished->finished.vram_free = funcs->get_free (self->backend);
}

/* From the queue to FINISHED.  The job leaves the list of those that the last unref cancels before anyone learns
 * of its end. */
static void
take_job (ZieEngine *self, ZieJob *job /* transfer full */)
{
  Run run = { .engine = self, .job = job };
  gint64 start = g_get_monotonic_time ();
  guint64 arena_peak = 0;
  ZieEvent *finished;
  GError *error;
  double seconds;

  sample_memory (&run);
  error = run_job (self, &run, &arena_peak);
  sample_memory (&run);
  seconds = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  g_debug ("job=%" G_GUINT64_FORMAT " end=%s seconds=%.3f arena_peak=%" G_GUINT64_FORMAT, job->id,
           error == NULL ? "done" : error->message, seconds, arena_peak);

  zie_job_release_inputs (job);

  g_mutex_lock (&self->lock);
  g_queue_remove (&self->unfinished, job);
  g_mutex_unlock (&self->lock);

  finished = zie_event_new_finished (error, seconds, arena_peak, run.ram_peak);
  measure_device (self, finished);
  send_event (self, job->id, finished);
  zie_job_set_finished (job);
  zie_job_unref (job);
}

static void
drop_cache (ZieEngine *self)
{
  if (self->cache.free != NULL)
    self->cache.free (self->cache.data);
  self->cache = (ZiePipelineCache) { NULL, NULL };
}

/* Nobody but the engine has a reference to the model whose weights it holds. */
static gboolean
is_placed_in_vain (const ZieEngine *self)
{
  return self->placed != NULL && g_atomic_int_get (&self->placed->ref_count) == 1;
}

/* The next job or the end.  After a long wait the device's memory goes back; host copies of weights go too, now or later, once the
 * model was closed. */
static gpointer
next_item (ZieEngine *self)
{
  gboolean is_released = FALSE;
  gpointer item;

  while (self->funcs.idle_us >= 0 && (!is_released || self->placed != NULL))
    {
      if ((item = g_async_queue_timeout_pop (self->jobs, (guint64)self->funcs.idle_us)) != NULL)
        return item;
      if (is_released && !is_placed_in_vain (self))
        continue;
      g_debug ("idle: arena=%" G_GSIZE_FORMAT " released", zie_arena_store_get_size (&self->arena));
      release_memory (self, !is_placed_in_vain (self));
      drop_cache (self);
      is_released = TRUE;
    }
  return g_async_queue_pop (self->jobs);
}

static gpointer
worker_main (gpointer data)
{
  ZieEngine *self = data;
  gpointer item;

  /* On Linux this lowers the calling thread alone; the pool's threads do the same for themselves.  Not allowed or not
   * known: then the desktop shares the cores evenly, which is no error. */
  if (self->background && setpriority (PRIO_PROCESS, 0, BACKGROUND_NICE) != 0)
    g_debug ("the worker keeps its priority");

  while ((item = next_item (self)) != self)
    take_job (self, item);

  drop_cache (self);
  release_memory (self, FALSE);
  return NULL;
}

/* Facts of the device that was opened; of a backend that the list does not have, its kind alone. */
static void
find_device (ZieDevice *device, ZieBackendKind kind, int index)
{
  ZieDevice devices[MAX_DEVICES];
  guint n = zie_list_devices (devices, MAX_DEVICES);

  for (guint i = 0; i < n; i++)
    if (devices[i].kind == kind && devices[i].index == index)
      {
        *device = devices[i];
        return;
      }

  *device = (ZieDevice) { .kind = kind, .index = index };
  g_strlcpy (device->name, zie_backend_kind_name (kind), sizeof device->name);
}

static void
engine_free (ZieEngine *self)
{
  if (self->wake_destroy != NULL)
    self->wake_destroy (self->wake_data);

  g_clear_pointer (&self->backend, zie_backend_free);
  g_clear_pointer (&self->threads, zie_threads_free);
  g_clear_pointer (&self->jobs, g_async_queue_unref);
  zie_event_sink_clear (&self->events);
  g_mutex_clear (&self->lock);
  g_free (self);
}

ZieEngine *
zie_engine_new_with_funcs (const ZieEngineOptions *options, const ZieEngineFuncs *funcs, GError **error)
{
  const ZieEngineOptions defaults = { .backend = ZIE_BACKEND_AUTO };
  ZieEngine *self = g_new0 (ZieEngine, 1);

  if (options == NULL)
    options = &defaults;

  self->ref_count = 1;
  self->funcs = *funcs;
  if (options->idle_seconds != 0)
    self->funcs.idle_us = options->idle_seconds < 0 ? -1 : (gint64)(MIN (options->idle_seconds, MAX_IDLE_SECONDS) * G_USEC_PER_SEC);
  self->background = options->background;
  self->jobs = g_async_queue_new ();
  zie_event_sink_init (&self->events);
  g_mutex_init (&self->lock);
  g_queue_init (&self->unfinished);

  self->threads = zie_threads_new ((guint)MAX (options->n_threads, 0), options->background);
  if (!(self->backend = funcs->open_backend (options->backend, options->device_index, self->threads, error)))
    {
      engine_free (self);
      return NULL;
    }

  self->host_arena.is_host = TRUE;
  find_device (&self->device, self->backend->funcs->kind, self->backend->index);
  self->device.n_threads = zie_threads_get_n (self->threads);
  self->worker = g_thread_new ("zie-worker", worker_main, self);
  return self;
}

/* OPTIONS NULL: the defaults.  Errors: BACKEND_UNAVAILABLE. */
ZieEngine *
zie_engine_new (const ZieEngineOptions *options, GError **error)
{
  static const ZieEngineFuncs funcs = { zie_backend_open, zie_pipeline_run, IDLE_US };

  return zie_engine_new_with_funcs (options, &funcs, error);
}

ZieEngine *
zie_engine_ref (ZieEngine *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_int_inc (&self->ref_count);
  return self;
}

/* The last one returns when the worker has ended, after at most one slice of work: every job has had its FINISHED by
 * then, to be read by whoever holds a reference to the event queue.  Not from the wake function. */
void
zie_engine_unref (ZieEngine *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;

  g_assert (g_thread_self () != self->worker);

  g_mutex_lock (&self->lock);
  for (GList *l = self->unfinished.head; l != NULL; l = l->next)
    zie_job_cancel (l->data);
  g_mutex_unlock (&self->lock);

  g_async_queue_push (self->jobs, self);
  g_thread_join (self->worker);
  engine_free (self);
}

/* A snapshot for plans: memory that the engine holds for its next job counts as free.  Quick enough for every keystroke: only
 * what is free is asked for, the rest does not change. */
void
zie_engine_get_device (ZieEngine *self, ZieDevice *device)
{
  const ZieBackendFuncs *funcs;
  ZieMemoryUse use = { 0 };
  ZieBackendUse books = { 0 };
  guint64 is_free = 0;
  gsize arena;

  g_return_if_fail (self != NULL);
  g_return_if_fail (device != NULL);

  funcs = self->backend->funcs;
  arena = zie_arena_store_get_size (&self->arena);
  zie_query_memory (&use);
  if (funcs->measure != NULL)
    funcs->measure (self->backend, &books);
  *device = self->device;
  if (funcs->get_free != NULL)
    is_free = funcs->get_free (self->backend);
  else if (use.ram_total > 0 && device->memory_total == use.ram_total)
    device->memory_free = use.ram_available;
  else
    find_device (device, self->device.kind, self->device.index);
  if (self->device.host_free > 0)
    device->host_held = zie_arena_store_get_size (&self->host_arena);
  if (device->host_free > 0 && use.ram_available > 0)          /* what is locked for weights and arena is there for the next plan */
    device->host_free = use.ram_available + books.locked + device->host_held;
  device->n_threads = self->device.n_threads;
  if (is_free > 0)                               /* a driver that does not say: what was free at the start, when nothing was held */
    device->memory_free = is_free + arena + (funcs->get_held != NULL ? funcs->get_held (self->backend) : 0);
  /* Pages of this machine's memory are taken when they are first touched: those that were not are free already. */
  if (funcs->get_free == NULL)
    device->memory_free += MIN (arena, use.process_anonymous);
  device->memory_free += device->memory_base;    /* it is open: what that takes is not free any more, but ours */
  device->memory_free = MIN (device->memory_free, device->memory_total);
  device->memory_held = MIN (books.base + books.held, device->memory_free);
}

GAsyncQueue *
zie_engine_get_events (ZieEngine *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->events.queue;
}

/* Once it returns, the function set before runs no more and its DESTROY has been called.  Not from a wake function. */
void
zie_engine_set_wake (ZieEngine *self, ZieWakeFunc wake, gpointer user_data, GDestroyNotify destroy)
{
  GDestroyNotify old_destroy;
  gpointer old_data;

  g_return_if_fail (self != NULL);

  g_mutex_lock (&self->lock);
  old_destroy = self->wake_destroy;
  old_data = self->wake_data;
  self->wake = wake;
  self->wake_data = user_data;
  self->wake_destroy = destroy;
  g_mutex_unlock (&self->lock);

  if (old_destroy != NULL)
    old_destroy (old_data);
}

ZieJob *
zie_engine_enqueue (ZieEngine *self, ZieModel *model, const ZieRequest *request, ZiePlan *plan)
{
  ZieJob *job;

  /* Number and place in the queue are given together, so that jobs run in the order of their ids. */
  g_mutex_lock (&self->lock);
  job = zie_job_new (++self->last_id, model, request, plan);
  g_queue_push_tail (&self->unfinished, job);
  g_async_queue_push (self->jobs, zie_job_ref (job));
  g_mutex_unlock (&self->lock);

  return job;
}

/* A PLAN that is given must have been made for this model, this request and this engine's device. */
ZieJob *
zie_engine_submit (ZieEngine *self, ZieModel *model, const ZieRequest *request, ZiePlan *plan, GError **error)
{
  g_autoptr(ZiePlan) own_plan = NULL;

  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (model != NULL, NULL);
  g_return_val_if_fail (request != NULL, NULL);

  if (!zie_model_check_files (model, error) || !zie_request_validate (request, model, error))
    return NULL;

  if (plan == NULL)
    {
      ZieDevice device;

      zie_engine_get_device (self, &device);
      if (!(own_plan = zie_plan_new (model, &device, request, NULL, error)))
        return NULL;
      plan = own_plan;
    }

  return zie_engine_enqueue (self, model, request, plan);
}

static int
slowest_first (const void *a, const void *b)
{
  double x = ((const ZieProfileRow *)a)->seconds, y = ((const ZieProfileRow *)b)->seconds;

  return (x < y) - (x > y);
}

guint
zie_engine_profile (ZieEngine *self, gboolean on, ZieProfileRow *rows, guint max_rows)
{
  guint n;

  g_return_val_if_fail (self != NULL, 0);

  if (self->backend->funcs->profile == NULL)
    return 0;
  n = self->backend->funcs->profile (self->backend, on, rows, max_rows);
  qsort (rows, n, sizeof *rows, slowest_first);
  return n;
}
