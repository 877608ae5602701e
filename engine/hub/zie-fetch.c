/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-fetch-private.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_PARALLEL 3
#define DEFAULT_STALL_MS 30000
#define DEFAULT_RETRY_MS 1000
#define DEFAULT_MAX_TRIES 8
#define TICK_MS 100

static const char *const state_names[ZIE_N_FETCH_STATES] = { "checking", "asking", "fetching", "waiting", "paused", "done", "failed", "cancelled" };

const char *
zie_fetch_state_name (ZieFetchState state)
{
  return state_names[state];
}

/* --- notifications --- */

static gboolean
on_notify (gpointer user_data)
{
  ZieFetch *self = zie_fetch_ref (user_data);      /* who is called may let go of it */

  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->pending, g_source_unref);
  g_mutex_unlock (&self->lock);

  self->notify (self, self->user_data);
  zie_fetch_unref (self);
  return G_SOURCE_REMOVE;
}

void
zie_fetch_queue_notify (ZieFetch *self)
{
  if (self->notify == NULL || self->pending != NULL)
    return;
  self->pending = g_idle_source_new ();
  g_source_set_priority (self->pending, G_PRIORITY_DEFAULT_IDLE);
  g_source_set_callback (self->pending, on_notify, self, NULL);
  g_source_attach (self->pending, self->home);
}

/* --- the watch --- */

/* With the lock held, as all of these. */
static void
watch_stalls (ZieFetch *self)
{
  gint64 now = g_get_monotonic_time ();

  for (guint i = 0; i < ZIE_FETCH_MAX_PARALLEL; i++)
    {
      ZieFetchWorker *worker = &self->workers[i];

      if (worker->cancellable != NULL && !worker->is_stalled && now - worker->last_us > self->stall_ms * G_TIME_SPAN_MILLISECOND)
        {
          worker->is_stalled = TRUE;
          g_cancellable_cancel (worker->cancellable);
        }
    }
}

static void
measure_speed (ZieFetch *self)
{
  ZieFetchProgress *progress = &self->progress;
  guint n = MIN (self->n_samples, ZIE_FETCH_N_SAMPLES);
  guint64 oldest = self->samples[self->n_samples >= ZIE_FETCH_N_SAMPLES ? self->n_samples % ZIE_FETCH_N_SAMPLES : 0];

  progress->bytes_per_second = n > 4 ? (double)(self->n_received - oldest) * 1000 / (n * TICK_MS) : 0;
  progress->seconds_left = progress->bytes_per_second > 0 && progress->n_total >= progress->n_bytes
                             ? (double)(progress->n_total - progress->n_bytes) / progress->bytes_per_second : -1;
  self->samples[self->n_samples++ % ZIE_FETCH_N_SAMPLES] = self->n_received;
}

/* Waiting is what the whole fetch does only when nobody does anything else. */
static void
describe_state (ZieFetch *self)
{
  ZieFetchProgress *progress = &self->progress;
  const char *why = NULL;
  gboolean is_busy = FALSE;

  for (guint i = 0; i < ZIE_FETCH_MAX_PARALLEL; i++)
    {
      is_busy = is_busy || self->workers[i].cancellable != NULL;
      why = self->workers[i].is_waiting && why == NULL ? self->workers[i].why : why;
    }
  progress->state = self->is_paused ? ZIE_FETCH_PAUSED : why != NULL && !is_busy ? ZIE_FETCH_WAITING : self->phase;
  progress->message[0] = '\0';
  if (progress->state == ZIE_FETCH_WAITING && strlen (why) < sizeof progress->message)
    g_strlcpy (progress->message, why, sizeof progress->message);
  else if (progress->state == ZIE_FETCH_WAITING)                        /* not cut within a letter */
    g_strlcpy (progress->message, why, (gsize)(g_utf8_find_prev_char (why, why + sizeof progress->message) - why) + 1);
  if (progress->state != ZIE_FETCH_FETCHING)
    {
      progress->bytes_per_second = 0;
      progress->seconds_left = -1;
    }
  if (self->is_paused)
    self->n_samples = 0;
}

static void
describe_end (ZieFetch *self)
{
  ZieFetchProgress *progress = &self->progress;

  progress->state = self->is_whole ? ZIE_FETCH_DONE : self->error != NULL ? ZIE_FETCH_FAILED : ZIE_FETCH_CANCELLED;
  progress->bytes_per_second = 0;
  progress->seconds_left = progress->state == ZIE_FETCH_DONE ? 0 : -1;
  progress->message[0] = '\0';
}

static gpointer
run_fetch (gpointer data)
{
  ZieFetch *self = data;
  GThread *leader = g_thread_new ("fetch", zie_fetch_lead, self);
  gint64 next_us = g_get_monotonic_time ();

  g_mutex_lock (&self->lock);
  while (!self->is_leader_done)
    {
      if (g_get_monotonic_time () >= next_us)
        {
          next_us = g_get_monotonic_time () + TICK_MS * G_TIME_SPAN_MILLISECOND;
          watch_stalls (self);
          measure_speed (self);
          describe_state (self);
          zie_fetch_queue_notify (self);
        }
      g_cond_wait_until (&self->changed, &self->lock, next_us);
    }
  g_mutex_unlock (&self->lock);

  g_thread_join (leader);
  if (!self->is_whole && self->lock_fd >= 0)
    zie_hub_tidy (&self->model, self->folder);
  if (self->lock_fd >= 0)
    close (self->lock_fd);
  g_mutex_lock (&self->lock);
  describe_end (self);
  zie_fetch_queue_notify (self);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- the public side --- */

ZieFetch *
zie_fetch_start (const ZieHubModel *model, const ZieFetchOptions *options, ZieFetchFunc notify, gpointer user_data, GError **error)
{
  const char *token = options->token != NULL ? options->token : options->source == ZIE_HUB_HUGGING_FACE ? g_getenv ("HF_TOKEN") : NULL;
  g_autofree char *endpoint = zie_hub_get_endpoint (options->source, options->endpoint, error);
  ZieFetch *self;

  if (endpoint == NULL)
    return NULL;
  if (!zie_hub_model_has_source (model, options->source))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%s is not at %s; take the other source, %s", model->id,
                   zie_hub_source_title (options->source),
                   zie_hub_source_name (options->source == ZIE_HUB_MODELSCOPE ? ZIE_HUB_HUGGING_FACE : ZIE_HUB_MODELSCOPE));
      return NULL;
    }

  self = g_new0 (ZieFetch, 1);
  g_atomic_ref_count_init (&self->n_refs);
  zie_hub_model_copy (&self->model, model);
  self->source = options->source;
  self->endpoint = g_steal_pointer (&endpoint);
  self->token = g_strdup (token);
  self->folder = g_canonicalize_filename (options->folder, NULL);
  self->path = zie_hub_model_path (model, self->folder);
  self->staging = zie_hub_staging_path (model, self->folder);
  self->repair = options->repair;
  self->n_parallel = CLAMP (options->n_parallel ? options->n_parallel : DEFAULT_PARALLEL, 1,
                            MIN (model->n_files, ZIE_FETCH_MAX_PARALLEL));
  self->stall_ms = options->stall_ms ? options->stall_ms : DEFAULT_STALL_MS;
  self->retry_ms = options->retry_ms ? options->retry_ms : DEFAULT_RETRY_MS;
  self->max_tries = options->max_tries ? options->max_tries : DEFAULT_MAX_TRIES;
  self->notify = notify;
  self->user_data = user_data;
  self->home = g_main_context_ref_thread_default ();
  self->lock_fd = -1;
  self->phase = ZIE_FETCH_CHECKING;
  self->progress.seconds_left = -1;
  self->progress.n_files = model->n_files;
  self->progress.n_total = model->n_bytes;
  self->is_file_there = g_new0 (gboolean, model->n_files);
  for (guint i = 0; i < ZIE_FETCH_MAX_PARALLEL; i++)
    self->workers[i].fetch = self;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->thread = g_thread_new ("fetch-watch", run_fetch, self);
  return self;
}

ZieFetch *
zie_fetch_ref (ZieFetch *self)
{
  g_atomic_ref_count_inc (&self->n_refs);
  return self;
}

void
zie_fetch_unref (ZieFetch *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->n_refs))
    return;
  zie_fetch_cancel (self);
  g_thread_join (self->thread);
  if (self->pending != NULL)
    {
      g_source_destroy (self->pending);
      g_source_unref (self->pending);
    }
  g_main_context_unref (self->home);
  zie_hub_model_clear (&self->model);
  g_free (self->is_file_there);
  g_free (self->folder);
  g_free (self->path);
  g_free (self->staging);
  g_free (self->endpoint);
  g_free (self->token);
  g_clear_error (&self->error);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

void
zie_fetch_pause (ZieFetch *self)
{
  g_mutex_lock (&self->lock);
  self->is_paused = TRUE;
  zie_fetch_interrupt (self);
  g_mutex_unlock (&self->lock);
}

void
zie_fetch_resume (ZieFetch *self)
{
  g_mutex_lock (&self->lock);
  self->is_paused = FALSE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

void
zie_fetch_cancel (ZieFetch *self)
{
  g_mutex_lock (&self->lock);
  if (!self->is_leader_done)
    self->is_cancelled = TRUE;
  zie_fetch_interrupt (self);
  g_mutex_unlock (&self->lock);
}

void
zie_fetch_get_progress (ZieFetch *self, ZieFetchProgress *progress)
{
  g_mutex_lock (&self->lock);
  *progress = self->progress;
  g_mutex_unlock (&self->lock);
}

GError *
zie_fetch_get_error (ZieFetch *self)
{
  GError *error;

  g_mutex_lock (&self->lock);
  error = self->error != NULL && self->progress.state == ZIE_FETCH_FAILED ? g_error_copy (self->error) : NULL;
  g_mutex_unlock (&self->lock);
  return error;
}

const char *
zie_fetch_get_path (ZieFetch *self)
{
  return self->path;
}

guint64
zie_fetch_get_n_received (ZieFetch *self)
{
  guint64 n;

  g_mutex_lock (&self->lock);
  n = self->n_received;
  g_mutex_unlock (&self->lock);
  return n;
}
