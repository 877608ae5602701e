/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-download"

#include "zis-download.h"

#include <math.h>

struct _ZisDownload
{
  GObject parent_instance;

  const ZieHubModel *model;  /* borrowed from the catalogue, which lives longer */
  char *folder, *path;       /* owned */
  GSettings *settings;       /* owned */

  ZieFetch *fetch;           /* owned; NULL: nothing goes on */
  ZieFetchProgress progress; /* of it */
  ZieHubState there;
  guint64 n_bytes;           /* that are there */
  GError *error;             /* owned: why the last one failed */
};

enum
{
  SIGNAL_CHANGED,
  SIGNAL_DONE,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisDownload, zis_download, G_TYPE_OBJECT)

void
zis_download_refresh (ZisDownload *self)
{
  self->there = zie_hub_examine (self->model, self->folder, &self->n_bytes);
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
}

static void
on_fetch (ZieFetch *fetch, gpointer user_data)
{
  ZisDownload *self = user_data;
  gboolean is_done;

  zie_fetch_get_progress (fetch, &self->progress);
  if (self->progress.state < ZIE_FETCH_DONE)
    {
      g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
      return;
    }

  is_done = self->progress.state == ZIE_FETCH_DONE;
  self->error = zie_fetch_get_error (fetch);
  g_clear_pointer (&self->fetch, zie_fetch_unref);
  g_object_ref (self);
  zis_download_refresh (self);
  if (is_done)
    g_signal_emit (self, signals[SIGNAL_DONE], 0);
  g_object_unref (self);
}

void
zis_download_start (ZisDownload *self, gboolean repair)
{
  g_autofree char *source = g_settings_get_string (self->settings, "hub-source");
  g_autofree char *endpoint = g_settings_get_string (self->settings, "hub-endpoint");
  ZieFetchOptions options = { .folder = self->folder, .endpoint = endpoint, .repair = repair };

  if (self->fetch != NULL)
    return;
  g_clear_error (&self->error);
  zie_hub_source_from_name (source, &options.source);
  /* Not every model is everywhere: where there is but one source there is nothing to choose. */
  if (!zie_hub_model_has_source (self->model, options.source) && *endpoint == '\0')
    options.source = ZIE_HUB_HUGGING_FACE;
  self->progress = (ZieFetchProgress) { .seconds_left = -1 };
  self->fetch = zie_fetch_start (self->model, &options, on_fetch, self, &self->error);
  zis_download_refresh (self);
}

void
zis_download_pause (ZisDownload *self)
{
  if (self->fetch)
    zie_fetch_pause (self->fetch);
}

void
zis_download_resume (ZisDownload *self)
{
  if (self->fetch)
    zie_fetch_resume (self->fetch);
}

void
zis_download_cancel (ZisDownload *self)
{
  if (self->fetch)
    zie_fetch_cancel (self->fetch);
}

/* --- removing, which takes a moment for large files --------------------------------------------------------- */

static void
discard_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  ZisDownload *self = source;
  GError *error = NULL;

  if (zie_hub_discard (self->model, self->folder, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_discarded (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisDownload *self = ZIS_DOWNLOAD (object);

  g_clear_error (&self->error);
  g_task_propagate_boolean (G_TASK (result), &self->error);
  zis_download_refresh (self);
}

void
zis_download_discard (ZisDownload *self)
{
  g_autoptr(GTask) task = NULL;

  if (self->fetch != NULL)
    return;
  task = g_task_new (self, NULL, on_discarded, NULL);
  g_task_set_source_tag (task, zis_download_discard);
  g_task_run_in_thread (task, discard_thread);
}

/* --- what is to be said ------------------------------------------------------------------------------------- */

const ZieHubModel *
zis_download_get_model (ZisDownload *self)
{
  return self->model;
}

const char *
zis_download_get_path (ZisDownload *self)
{
  return self->path;
}

const GError *
zis_download_get_error (ZisDownload *self)
{
  return self->error;
}

ZisDownloadState
zis_download_get_state (ZisDownload *self)
{
  static const ZisDownloadState states[] = {
    [ZIE_HUB_ABSENT] = ZIS_DOWNLOAD_ABSENT,
    [ZIE_HUB_BEGUN] = ZIS_DOWNLOAD_BEGUN,
    [ZIE_HUB_BROKEN] = ZIS_DOWNLOAD_BROKEN,
    [ZIE_HUB_THERE] = ZIS_DOWNLOAD_THERE,
  };

  if (self->fetch)
    return self->progress.state == ZIE_FETCH_PAUSED ? ZIS_DOWNLOAD_PAUSED : ZIS_DOWNLOAD_RUNNING;

  return self->error ? ZIS_DOWNLOAD_FAILED : states[self->there];
}

double
zis_download_get_fraction (ZisDownload *self)
{
  guint64 n = self->fetch ? self->progress.n_bytes : self->n_bytes;
  guint64 total = self->fetch && self->progress.n_total ? self->progress.n_total : self->model->n_bytes;

  return total > 0 ? CLAMP ((double) n / (double) total, 0, 1) : 0;
}

static char *
describe_time_left (double seconds)
{
  int minutes = (int) ceil (seconds / 60);

  if (seconds < 60)
    return g_strdup (_("less than a minute left"));
  if (minutes < 120)
    return g_strdup_printf (ngettext ("%d minute left", "%d minutes left", (gulong) minutes), minutes);

  return g_strdup_printf (ngettext ("%d hour left", "%d hours left", (gulong) (minutes + 30) / 60), (minutes + 30) / 60);
}

static char *
describe_progress (const ZieFetchProgress *progress)
{
  g_autofree char *have = g_format_size (progress->n_bytes), *total = g_format_size (progress->n_total);
  g_autofree char *speed = NULL, *left = NULL;

  /* Translators: sizes: “7.0 GB of 20.7 GB”. */
  g_autofree char *sizes = g_strdup_printf (_("%s of %s"), have, total);

  if (progress->bytes_per_second <= 0 || progress->seconds_left < 0)
    return g_steal_pointer (&sizes);

  speed = g_format_size ((guint64) progress->bytes_per_second);
  left = describe_time_left (progress->seconds_left);
  /* Translators: “7.0 GB of 20.7 GB · 45 MB/s · 5 minutes left”. */
  return g_strdup_printf (_("%s · %s/s · %s"), sizes, speed, left);
}

char *
zis_download_get_status (ZisDownload *self)
{
  if (!self->fetch)
    {
      g_autofree char *have = g_format_size (self->n_bytes), *total = g_format_size (self->model->n_bytes);

      return self->there == ZIE_HUB_BEGUN ? g_strdup_printf (_("%s of %s have arrived"), have, total) : NULL;
    }

  switch (self->progress.state)
    {
    case ZIE_FETCH_CHECKING:
      return g_strdup (_("Checking what is there…"));
    case ZIE_FETCH_ASKING:
      return g_strdup (_("Asking the server…"));
    case ZIE_FETCH_WAITING:
      return g_strdup_printf (_("Trying again soon: %s"), self->progress.message);
    default:
      return describe_progress (&self->progress);
    }
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_download_dispose (GObject *object)
{
  ZisDownload *self = ZIS_DOWNLOAD (object);

  g_clear_pointer (&self->fetch, zie_fetch_unref);
  g_clear_pointer (&self->folder, g_free);
  g_clear_pointer (&self->path, g_free);
  g_clear_object (&self->settings);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (zis_download_parent_class)->dispose (object);
}

static void
zis_download_class_init (ZisDownloadClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = zis_download_dispose;

  signals[SIGNAL_CHANGED] = g_signal_new ("changed", ZIS_TYPE_DOWNLOAD, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_DONE] = g_signal_new ("done", ZIS_TYPE_DOWNLOAD, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
zis_download_init (ZisDownload *self)
{
}

ZisDownload *
zis_download_new (const ZieHubModel *model, const char *folder, GSettings *settings)
{
  ZisDownload *self = g_object_new (ZIS_TYPE_DOWNLOAD, NULL);

  self->model = model;
  self->folder = g_strdup (folder);
  self->path = zie_hub_model_path (model, folder);
  self->settings = g_object_ref (settings);
  zis_download_refresh (self);

  return self;
}
