/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

/* What a fetch does: a leading thread looks at what is there, asks for the server's list, and brings files with others beside it. */

#include "zie-fetch-private.h"

#include <errno.h>
#include <unistd.h>

#define MAX_LIST_SIZE (8 << 20)

/* --- what workers report and ask --- */

static gboolean
is_ending (const ZieFetch *self)
{
  return self->is_cancelled || self->is_over;
}

static void
on_add (gpointer data, gint64 n_bytes)
{
  ZieFetch *self = ((ZieFetchWorker *)data)->fetch;

  g_mutex_lock (&self->lock);
  self->progress.n_bytes += (guint64)n_bytes;
  g_mutex_unlock (&self->lock);
}

static void
on_receive (gpointer data, gsize n_bytes)
{
  ZieFetchWorker *worker = data;
  ZieFetch *self = worker->fetch;

  g_mutex_lock (&self->lock);
  self->n_received += n_bytes;
  worker->last_us = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
}

static gboolean
on_go_on (gpointer data)
{
  ZieFetch *self = ((ZieFetchWorker *)data)->fetch;
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
  ZieFetchWorker *worker = data;
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
  ZieFetchWorker *worker = data;
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
  ZieFetchWorker *worker = data;
  ZieFetch *self = worker->fetch;
  gboolean is_stalled;

  g_mutex_lock (&self->lock);
  is_stalled = worker->is_stalled;
  g_clear_object (&worker->cancellable);
  g_mutex_unlock (&self->lock);
  return is_stalled;
}

void
zie_fetch_interrupt (ZieFetch *self)
{
  for (guint i = 0; i < ZIE_FETCH_MAX_PARALLEL; i++)
    if (self->workers[i].cancellable != NULL)
      g_cancellable_cancel (self->workers[i].cancellable);
  g_cond_broadcast (&self->changed);
}

static ZieHubWork
get_work (ZieFetchWorker *worker)
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
  zie_fetch_queue_notify (self);
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
  zie_fetch_interrupt (self);
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
fetch_files (ZieFetchWorker *worker)
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
      zie_fetch_queue_notify (self);
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
  ZieFetchWorker *leader = &self->workers[0];
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

gpointer
zie_fetch_lead (gpointer data)
{
  ZieFetch *self = data;

  lead (self);
  g_mutex_lock (&self->lock);
  self->is_leader_done = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  return NULL;
}
