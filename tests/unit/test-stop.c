/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-stop"

/* A device that is ahead of the host: a job that is stopped while numbers are on their way back gets none of them.  Whichever
 * way back it is, nothing is made of what did not come: no picture, no rows, and no embeddings that the next job would find. */

#include <string.h>

#include <zie/zie.h>

#include "tiny-model.h"
#include "zie-pipeline.h"

static void (*real_download) (ZieOpCtx *ctx, void *host, const ZieTensor *src);
static gint stop;
static int n_downloads, stop_at;     /* which way back is the last; 0: none */

static void
download (ZieOpCtx *ctx, void *host, const ZieTensor *src)
{
  if (++n_downloads == stop_at)
    g_atomic_int_set (&stop, 1);
  if (zie_op_cancelled (ctx))
    memset (host, 0x41, (gsize)(src->rows * src->cols) * sizeof (float));
  else
    real_download (ctx, host, src);
}

typedef struct
{
  guint n_late;                      /* events with pixels after the stop */
  GBytes *pixels;                    /* of the picture */
} Seen;

static void
on_event (gpointer data, ZieEvent *event)
{
  Seen *seen = data;

  if (event->type == ZIE_EVENT_IMAGE)
    {
      g_clear_pointer (&seen->pixels, g_bytes_unref);
      seen->pixels = g_bytes_ref (zie_image_get_pixels (event->image.image));
    }
  if (g_atomic_int_get (&stop))
    seen->n_late += event->type == ZIE_EVENT_IMAGE || event->type == ZIE_EVENT_TILE || event->type == ZIE_EVENT_PREVIEW;
  zie_event_free (event);
}

typedef struct
{
  ZieBackend *backend;
  ZieModel *model;
  ZiePlan *plan;
  ZieRequest request;
  ZieArenaStore arena, host_arena;
} Fixture;

static gboolean
run (Fixture *f, ZiePipelineCache *cache, int at, Seen *seen, GError **error)
{
  ZiePipeline pipeline = { .backend = f->backend, .model = f->model, .plan = f->plan, .request = &f->request, .cancel = &stop,
                           .emit = on_event, .emit_data = seen, .arena = &f->arena, .host_arena = &f->host_arena, .cache = cache };

  *seen = (Seen) { 0 };
  n_downloads = 0;
  stop_at = at;
  g_atomic_int_set (&stop, 0);
  return zie_pipeline_run (&pipeline, error);
}

static void
test_downloads (void)
{
  Fixture f = { .host_arena = { .is_host = TRUE } };
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = tiny_model_new (3);
  ZieThreads *threads = zie_threads_new (2, FALSE);
  ZieDevice device;
  ZiePipelineCache cache = { NULL, NULL };
  g_autoptr(GBytes) whole = NULL;
  Seen seen;
  int n;

  f.backend = zie_backend_open (ZIE_BACKEND_CPU, 0, threads, &error);
  g_assert_no_error (error);
  real_download = f.backend->ops.download;
  f.backend->ops.download = download;
  f.model = zie_model_open (folder, &error);
  g_assert_no_error (error);
  zie_request_init (&f.request);
  zie_model_init_request (f.model, &f.request);
  g_free (f.request.prompt);
  f.request.prompt = g_strdup ("stop");
  f.request.width = f.request.height = 64;
  f.request.n_steps = 2;
  f.request.guidance = 2;
  f.request.preview_every = 1;
  device = (ZieDevice) { .kind = ZIE_BACKEND_CPU, .n_threads = zie_threads_get_n (threads) };
  f.plan = zie_plan_new (f.model, &device, &f.request, NULL, &error);
  g_assert_no_error (error);

  g_assert_true (run (&f, NULL, 0, &seen, &error));
  whole = g_steal_pointer (&seen.pixels);
  n = n_downloads;
  g_assert_cmpint (n, >=, 5);                    /* two prompts, two steps, one band */

  for (int i = 1; i <= n; i++)
    {
      gboolean is_done = run (&f, &cache, i, &seen, &error);

      g_assert_false (is_done);
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_cmpuint (seen.n_late, ==, 0);
      g_assert_null (seen.pixels);

      is_done = run (&f, &cache, 0, &seen, &error);
      g_assert_no_error (error);
      g_assert_true (is_done);
      g_assert_true (g_bytes_equal (seen.pixels, whole));
      g_bytes_unref (seen.pixels);
      if (cache.free != NULL)
        cache.free (cache.data);
      cache = (ZiePipelineCache) { NULL, NULL };
    }

  zie_arena_store_release (&f.arena);
  zie_arena_store_release (&f.host_arena);
  zie_request_clear (&f.request);
  zie_plan_unref (f.plan);
  zie_model_unref (f.model);
  zie_backend_free (f.backend);
  zie_threads_free (threads);
  tiny_model_remove (g_steal_pointer (&folder));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stop/downloads", test_downloads);
  return g_test_run ();
}
