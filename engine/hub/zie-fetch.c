/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PARALLEL 3
#define DEFAULT_STALL_MS 30000
#define DEFAULT_RETRY_MS 1000
#define DEFAULT_MAX_TRIES 8
#define MAX_PARALLEL 16
#define MAX_LIST_SIZE (8 << 20)
#define TICK_MS 100
#define N_SAMPLES 64             /* of TICK_MS: what speed is measured over */

/* One connection at a time, in a thread of its own.  All fields are guarded by the fetch's lock. */
typedef struct
{
  ZieFetch *fetch;
  GThread *thread;
  GCancellable *cancellable;     /* of the connection; NULL: there is none */
  gint64 last_us;                /* when bytes came last */
  gboolean is_stalled;
  gboolean is_waiting;           /* before another try */
  char *why;                     /* owned: what for */
} Worker;

struct _ZieFetch
{
  gatomicrefcount n_refs;
  ZieHubModel model;             /* sizes and checksums are filled in by the server's list */
  ZieHubSource source;
  char *folder, *path, *staging, *endpoint, *token;
  gboolean repair;
  guint n_parallel, stall_ms, retry_ms, max_tries;

  ZieFetchFunc notify;
  gpointer user_data;
  GMainContext *home;
  GThread *thread;
  int lock_fd;

  GMutex lock;                   /* of everything below */
  GCond changed;
  GSource *pending;              /* a notification on its way */
  gboolean is_paused, is_cancelled;
  gboolean is_over;              /* something failed: the others need not go on */
  gboolean is_whole;             /* the model is there under its name */
  gboolean is_leader_done;
  ZieFetchState phase;           /* CHECKING, ASKING or FETCHING */
  ZieFetchProgress progress;
  GError *error;
  guint64 n_received;
  guint next_file;
  gboolean *is_file_there;
  Worker workers[MAX_PARALLEL];  /* the first is the leader */
  guint64 samples[N_SAMPLES];    /* n_received at the last ticks */
  guint n_samples;
};

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

/* With the lock held. */
static void
queue_notify (ZieFetch *self)
{
  if (self->notify == NULL || self->pending != NULL)
    return;
  self->pending = g_idle_source_new ();
  g_source_set_priority (self->pending, G_PRIORITY_DEFAULT_IDLE);
  g_source_set_callback (self->pending, on_notify, self, NULL);
  g_source_attach (self->pending, self->home);
}

/* --- what workers report and ask --- */

static gboolean
is_ending (const ZieFetch *self)
{
  return self->is_cancelled || self->is_over;
}

static void
on_add (gpointer data, gint64 n_bytes)
{
  ZieFetch *self = ((Worker *)data)->fetch;

  g_mutex_lock (&self->lock);
  self->progress.n_bytes += (guint64)n_bytes;
  g_mutex_unlock (&self->lock);
}

static void
on_receive (gpointer data, gsize n_bytes)
{
  Worker *worker = data;
  ZieFetch *self = worker->fetch;

  g_mutex_lock (&self->lock);
  self->n_received += n_bytes;
  worker->last_us = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
}

static gboolean
on_go_on (gpointer data)
{
  ZieFetch *self = ((Worker *)data)->fetch;
  gboolean goes_on;

  g_mutex_lock (&self->lock);
  while (self->is_paused && !is_ending (self))
    g_cond_wait (&self->changed, &self->lock);
  goes_on = !is_ending (self);
  g_mutex_unlock (&self->lock);
  return goes_on;
}

static gboolean
on_wait (gpointer data, guint delay_ms, const char *why)
{
  Worker *worker = data;
  ZieFetch *self = worker->fetch;
  gint64 end_us = g_get_monotonic_time () + delay_ms * G_TIME_SPAN_MILLISECOND;
  gboolean goes_on;

  g_debug ("wait: delay_ms=%u why=%s", delay_ms, why);
  g_mutex_lock (&self->lock);
  worker->is_waiting = TRUE;
  worker->why = g_strdup (why);
  while (!is_ending (self) && (self->is_paused || g_get_monotonic_time () < end_us))
    if (self->is_paused)
      g_cond_wait (&self->changed, &self->lock);
    else
      g_cond_wait_until (&self->changed, &self->lock, end_us);
  worker->is_waiting = FALSE;
  g_clear_pointer (&worker->why, g_free);
  goes_on = !is_ending (self);
  g_mutex_unlock (&self->lock);
  return goes_on;
}

static GCancellable *
on_begin (gpointer data)
{
  Worker *worker = data;
  ZieFetch *self = worker->fetch;
  GCancellable *cancellable = g_cancellable_new ();

  g_mutex_lock (&self->lock);
  worker->cancellable = g_object_ref (cancellable);
  worker->is_stalled = FALSE;
  worker->last_us = g_get_monotonic_time ();
  if (self->is_paused || is_ending (self))
    g_cancellable_cancel (cancellable);
  g_mutex_unlock (&self->lock);
  return cancellable;
}

static gboolean
on_end (gpointer data)
{
  Worker *worker = data;
  ZieFetch *self = worker->fetch;
  gboolean is_stalled;

  g_mutex_lock (&self->lock);
  is_stalled = worker->is_stalled;
  g_clear_object (&worker->cancellable);
  g_mutex_unlock (&self->lock);
  return is_stalled;
}

/* With the lock held: connections end, and waits look again. */
static void
interrupt (ZieFetch *self)
{
  for (guint i = 0; i < MAX_PARALLEL; i++)
    if (self->workers[i].cancellable != NULL)
      g_cancellable_cancel (self->workers[i].cancellable);
  g_cond_broadcast (&self->changed);
}

static ZieHubWork
get_work (Worker *worker)
{
  return (ZieHubWork) { .add = on_add, .receive = on_receive, .go_on = on_go_on, .wait = on_wait, .begin = on_begin, .end = on_end,
                        .data = worker, .retry_ms = worker->fetch->retry_ms, .max_tries = worker->fetch->max_tries };
}

/* --- the work --- */

static void
set_phase (ZieFetch *self, ZieFetchState phase)
{
  g_mutex_lock (&self->lock);
  self->phase = phase;
  queue_notify (self);
  g_mutex_unlock (&self->lock);
}

/* The first error counts; the others stop for it. */
static void
take_error (ZieFetch *self, GError *error /* transfer full */)
{
  g_mutex_lock (&self->lock);
  if (self->error == NULL && !self->is_cancelled && !g_error_matches (error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
    self->error = g_steal_pointer (&error);
  g_clear_error (&error);
  self->is_over = TRUE;
  interrupt (self);
  g_mutex_unlock (&self->lock);
}

static void
set_total (ZieFetch *self, guint64 n_bytes)
{
  guint64 total = 0;

  for (guint i = 0; i < self->model.n_files; i++)
    total += self->model.files[i].about;
  g_mutex_lock (&self->lock);
  self->progress.n_total = total;
  self->progress.n_bytes = n_bytes;
  g_mutex_unlock (&self->lock);
}

/* Of the model's folder, which is there: a file that is not as it should be is left out, so that nothing takes it for
 * good; what it has of the right beginning is kept. */
static gboolean
set_aside (ZieFetch *self, const ZieHubFile *file, GError **error)
{
  g_autofree char *path = g_build_filename (self->staging, file->path, NULL), *part = g_strconcat (path, ".part", NULL);
  guint64 size;

  zie_hub_has_size (file, path, &size);
  if (size > 0 && size < file->size)
    return zie_hub_move (path, part, error);
  if (unlink (path) != 0 && g_file_test (path, G_FILE_TEST_EXISTS))
    {
      zie_hub_set_write_error (error, path, EACCES);
      return FALSE;
    }
  return TRUE;
}

/* The model's folder is there: *IS_GOOD when nothing is to be done; else it becomes the staging folder without what is bad. */
static gboolean
prepare_repair (ZieFetch *self, gboolean *is_good, GError **error)
{
  ZieHubWork work = get_work (&self->workers[0]);
  g_autofree gboolean *is_bad = g_new0 (gboolean, self->model.n_files);
  guint64 size;

  *is_good = TRUE;
  if ((self->lock_fd = zie_hub_lock (self->path, error)) < 0)
    return FALSE;
  for (guint i = 0; i < self->model.n_files; i++)
    {
      const ZieHubFile *file = &self->model.files[i];
      g_autofree char *path = g_build_filename (self->path, file->path, NULL);
      g_autoptr(GError) local = NULL;

      is_bad[i] = self->repair ? !zie_hub_check_file (file, path, &work, &local) : !zie_hub_has_size (file, path, &size);
      if (local != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      *is_good = *is_good && !is_bad[i];
    }
  if (*is_good)
    return TRUE;

  /* From here on it is no model until it is whole again. */
  if (!zie_hub_discard (&self->model, self->folder, error) || !zie_hub_move (self->path, self->staging, error))
    return FALSE;
  for (guint i = 0; i < self->model.n_files; i++)
    if (is_bad[i] && !set_aside (self, &self->model.files[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
prepare (ZieFetch *self, gboolean *is_good, GError **error)
{
  *is_good = FALSE;
  if (!zie_hub_make_folder (self->folder, error))
    return FALSE;
  if (g_file_test (self->path, G_FILE_TEST_IS_DIR))
    return prepare_repair (self, is_good, error);
  if (!zie_hub_make_folder (self->staging, error))
    return FALSE;
  return (self->lock_fd = zie_hub_lock (self->staging, error)) >= 0;
}

/* The server's list of REPOSITORY.  What it does not answer is left as it is: mirrors often have files and no list. */
static void
ask_repository (ZieFetch *self, guint repository, ZieHubHttp *http)
{
  ZieHubWork work = get_work (&self->workers[0]);
  g_autofree char *url = zie_hub_list_url (self->source, self->endpoint, &self->model.repositories[repository]);
  g_autoptr(GCancellable) cancellable = work.begin (work.data);
  g_auto(ZieHubReply) reply = { NULL };
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_malloc (MAX_LIST_SIZE);
  gsize length = 0;
  gssize n = 1;
  gboolean is_temporary;

  if (zie_hub_http_get (http, url, NULL, cancellable, &reply, &is_temporary, &error))
    while (length < MAX_LIST_SIZE && (n = g_input_stream_read (reply.body, text + length, MAX_LIST_SIZE - length, cancellable, &error)) > 0)
      {
        work.receive (work.data, (gsize)n);
        length += (gsize)n;
      }
  work.end (work.data);

  if (error == NULL && n == 0)
    {
      g_autoptr(JsonNode) list = zie_hub_parse_json (text, length, url, &error);

      if (list != NULL)
        g_debug ("list: url=%s files=%u", url, zie_hub_apply_list (self->source, list, &self->model, repository));
    }
  if (error != NULL)
    g_debug ("list: error=%s", error->message);
}

static gboolean
lacks_facts (const ZieHubModel *model, guint repository)
{
  for (guint i = 0; i < model->n_files; i++)
    if (model->files[i].repository == repository && (model->files[i].size == 0 || (model->files[i].sha256 == NULL && model->files[i].md5 == NULL)))
      return TRUE;
  return FALSE;
}

static void
ask (ZieFetch *self, ZieHubHttp *http)
{
  for (guint i = 0; i < self->model.n_repositories; i++)
    if (lacks_facts (&self->model, i) && on_go_on (&self->workers[0]))
      ask_repository (self, i, http);
}

/* Notes what is there, and whether there is room for the rest. */
static gboolean
look_around (ZieFetch *self, GError **error)
{
  guint64 n_there = 0, n_missing = 0;
  guint n_files = 0;

  for (guint i = 0; i < self->model.n_files; i++)
    {
      ZieHubFile *file = &self->model.files[i];
      g_autofree char *path = g_build_filename (self->staging, file->path, NULL), *part = g_strconcat (path, ".part", NULL);
      guint64 size;

      self->is_file_there[i] = zie_hub_has_size (file, path, &size);
      n_files += self->is_file_there[i];
      if (self->is_file_there[i])
        n_there += file->about = size;
      else
        {
          zie_hub_has_size (file, part, &size);
          n_missing += file->about - MIN (size, file->about);
        }
    }
  set_total (self, n_there);
  g_mutex_lock (&self->lock);
  self->progress.n_files = self->model.n_files;
  self->progress.n_files_done = n_files;
  g_mutex_unlock (&self->lock);
  return zie_hub_check_space (self->staging, n_missing, error);
}

/* The next file to fetch; NULL: there is none. */
static const ZieHubFile *
take_file (ZieFetch *self)
{
  const ZieHubFile *file = NULL;

  g_mutex_lock (&self->lock);
  while (self->next_file < self->model.n_files && self->is_file_there[self->next_file])
    self->next_file++;
  if (self->next_file < self->model.n_files)
    file = &self->model.files[self->next_file++];
  g_mutex_unlock (&self->lock);
  return file;
}

static void
fetch_files (Worker *worker)
{
  ZieFetch *self = worker->fetch;
  ZieHubWork work = get_work (worker);
  g_auto(ZieHubHttp) http = { NULL };
  const ZieHubFile *file;

  zie_hub_http_init (&http, self->endpoint, self->token);
  while (on_go_on (worker) && (file = take_file (self)) != NULL)
    {
      g_autofree char *url = zie_hub_file_url (self->source, self->endpoint, &self->model, file);
      GError *error = NULL;

      if (!zie_hub_fetch_file (file, url, self->staging, &http, &work, &error))
        {
          take_error (self, error);
          return;
        }
      g_mutex_lock (&self->lock);
      self->progress.n_files_done++;
      queue_notify (self);
      g_mutex_unlock (&self->lock);
    }
}

static gpointer
run_worker (gpointer data)
{
  fetch_files (data);
  return NULL;
}

static gboolean
is_all_there (ZieFetch *self)
{
  gboolean is_all;

  g_mutex_lock (&self->lock);
  is_all = !is_ending (self) && self->progress.n_files_done == self->progress.n_files;
  g_mutex_unlock (&self->lock);
  return is_all;
}

static void
lead (ZieFetch *self)
{
  Worker *leader = &self->workers[0];
  GError *error = NULL;
  gboolean is_good;

  if (!prepare (self, &is_good, &error))
    {
      take_error (self, error);
      return;
    }
  if (is_good)
    {
      g_mutex_lock (&self->lock);
      self->progress.n_bytes = self->progress.n_total;
      self->progress.n_files = self->progress.n_files_done = self->model.n_files;
      self->is_whole = TRUE;
      g_mutex_unlock (&self->lock);
      return;
    }

  {
    g_auto(ZieHubHttp) http = { NULL };

    set_phase (self, ZIE_FETCH_ASKING);
    zie_hub_http_init (&http, self->endpoint, self->token);
    ask (self, &http);
  }
  if (!look_around (self, &error))
    {
      take_error (self, error);
      return;
    }

  set_phase (self, ZIE_FETCH_FETCHING);
  for (guint i = 1; i < self->n_parallel; i++)
    self->workers[i].thread = g_thread_new ("fetch-file", run_worker, &self->workers[i]);
  fetch_files (leader);
  for (guint i = 1; i < self->n_parallel; i++)
    g_thread_join (g_steal_pointer (&self->workers[i].thread));

  if (!is_all_there (self))
    return;
  if (!zie_hub_move (self->staging, self->path, &error))
    take_error (self, error);
  else
    self->is_whole = TRUE;             /* nobody else looks before this thread is joined */
}

static gpointer
run_leader (gpointer data)
{
  ZieFetch *self = data;

  lead (self);
  g_mutex_lock (&self->lock);
  self->is_leader_done = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- the watch --- */

/* With the lock held, as all of these. */
static void
watch_stalls (ZieFetch *self)
{
  gint64 now = g_get_monotonic_time ();

  for (guint i = 0; i < MAX_PARALLEL; i++)
    {
      Worker *worker = &self->workers[i];

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
  guint n = MIN (self->n_samples, N_SAMPLES);
  guint64 oldest = self->samples[self->n_samples >= N_SAMPLES ? self->n_samples % N_SAMPLES : 0];

  progress->bytes_per_second = n > 4 ? (double)(self->n_received - oldest) * 1000 / (n * TICK_MS) : 0;
  progress->seconds_left = progress->bytes_per_second > 0 && progress->n_total >= progress->n_bytes
                             ? (double)(progress->n_total - progress->n_bytes) / progress->bytes_per_second : -1;
  self->samples[self->n_samples++ % N_SAMPLES] = self->n_received;
}

/* Waiting is what the whole fetch does only when nobody does anything else. */
static void
describe_state (ZieFetch *self)
{
  ZieFetchProgress *progress = &self->progress;
  const char *why = NULL;
  gboolean is_busy = FALSE;

  for (guint i = 0; i < MAX_PARALLEL; i++)
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
  GThread *leader = g_thread_new ("fetch", run_leader, self);
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
          queue_notify (self);
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
  queue_notify (self);
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
  self->n_parallel = CLAMP (options->n_parallel ? options->n_parallel : DEFAULT_PARALLEL, 1, MIN (model->n_files, MAX_PARALLEL));
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
  for (guint i = 0; i < MAX_PARALLEL; i++)
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
  interrupt (self);
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
  interrupt (self);
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
