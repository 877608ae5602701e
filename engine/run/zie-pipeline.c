/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-pipeline.h"

#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-plan-private.h"
#include "zie-stages.h"
#include "zie-text-cache.h"

#define PREVIEW_SIDE 512         /* pixels at most, unless a latent has more */

/* One picture in the making. */
typedef struct
{
  ZiePipeline *pipeline;
  int index;                     /* of the picture */
  int h, w;                      /* of the latent */
  int n_steps, first_step;
  gint64 step_start_us;
  double decode_seconds;         /* the plan's, of one picture */
} Picture;

static void
emit (const Picture *p, ZieEvent *event)
{
  p->pipeline->emit (p->pipeline->emit_data, event);
}

static void
on_progress (gpointer data, ZieStage stage, double fraction)
{
  const Picture *p = data;
  emit (p, zie_event_new_stage (p->index, stage, fraction));
}

/* The preview's side is a whole multiple of the latent's, scaled here so that no main loop has to. */
static ZieImage *
render_preview (const Picture *p, const float *x0)
{
  int scale = CLAMP (PREVIEW_SIDE / MAX (p->h, p->w), 1, ZIE_VAE_SCALE);
  return zie_preview_render (&p->pipeline->model->preview, x0, p->h, p->w, scale);
}

static void
on_step (gpointer data, int step, const float *x0)
{
  Picture *p = data;
  gint64 now = g_get_monotonic_time ();
  double seconds = (double)(now - p->step_start_us) / G_USEC_PER_SEC;
  int every = p->pipeline->request->preview_every;
  int done = step + 1 - p->first_step, total = p->n_steps - p->first_step;

  if (every > 0 && (done % every == 0 || done == total))
    emit (p, zie_event_new_preview (p->index, step, render_preview (p, x0)));
  emit (p, zie_event_new_step (p->index, done, total, seconds, seconds * (total - done) + p->decode_seconds));
  p->step_start_us = g_get_monotonic_time ();
}

static void
on_band (gpointer data, int index, int n_bands, int y, int n_rows, const guint8 *rgb)
{
  const Picture *p = data;
  int width = p->pipeline->request->width;
  gsize stride = 3 * (gsize)width;
  GBytes *rows = g_bytes_new (rgb, stride * (gsize)n_rows);

  emit (p, zie_event_new_tile (p->index, index, n_bands, 0, y, zie_image_new (width, n_rows, stride, rows)));
}

/* Noise to pixels, and out. */
static gboolean
make_picture (ZieStages *stages, Picture *picture, double shared[ZIE_N_STAGES], GError **error)
{
  const ZieRequest *request = picture->pipeline->request;
  guint64 seed = request->seed + (guint64)picture->index;
  gsize stride = 3 * (gsize)request->width, size = stride * (gsize)request->height;
  g_autofree guint8 *pixels = g_try_malloc (size);
  double seconds[ZIE_N_STAGES];
  g_auto(ZieRequest) recipe = { 0 };
  ZieImage *image;
  gint64 start;
  gboolean ok;

  if (pixels == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY, "no memory for a picture of %d x %d", request->width, request->height);
      return FALSE;
    }

  memcpy (seconds, shared, sizeof seconds);
  start = picture->step_start_us = g_get_monotonic_time ();
  ok = zie_stages_sample (stages, seed, error);
  seconds[ZIE_STAGE_SAMPLE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;

  start = g_get_monotonic_time ();
  ok = zie_stages_decode (stages, pixels, error);
  seconds[ZIE_STAGE_DECODE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;

  image = zie_image_new (request->width, request->height, stride, g_bytes_new_take (g_steal_pointer (&pixels), size));
  zie_request_copy (&recipe, request);          /* a recipe makes this one picture */
  recipe.seed = seed;
  recipe.n_images = 1;
  emit (picture, zie_event_new_image (picture->index, seed, image, seconds, &recipe));
  return TRUE;
}

/* Text and what follows from it are shared by all pictures of the request. */
static gboolean
prepare (ZieStages *stages, ZiePipeline *self, double seconds[ZIE_N_STAGES], GError **error)
{
  gint64 start = g_get_monotonic_time ();
  gboolean ok;

  zie_text_cache_fetch (self->cache, stages);
  ok = zie_stages_text (stages, error);
  seconds[ZIE_STAGE_TEXT] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;
  zie_text_cache_store (self->cache, stages);

  start = g_get_monotonic_time ();
  ok = zie_stages_refine (stages, error);
  seconds[ZIE_STAGE_REFINE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  return ok;
}

/* The job's memory, and its weights in their places on a device that has memory of its own. */
static gboolean
reserve (ZiePipeline *self, ZieArena *device, ZieArena *host, GError **error)
{
  const ZiePlan *plan = self->plan;
  guint8 *memory, *host_memory;

  if (!plan->has_device_memory)
    {
      memory = zie_arena_store_reserve (self->arena, self->backend, plan->device_arena + plan->host_arena, error);
      host_memory = memory + plan->device_arena;
    }
  else
    {
      /* Exactly what the plan counted: the weights' places may need the rest, and a budget is kept to the byte.  Without
       * pages to be touched, new memory costs little there. */
      if (zie_arena_store_get_size (self->arena) != plan->device_arena)
        zie_arena_store_release (self->arena);
      if (!self->backend->funcs->place (self->backend, &plan->weights, error)
          || !(host_memory = zie_arena_store_reserve (self->host_arena, self->backend, plan->host_arena, error)))
        return FALSE;
      memory = zie_arena_store_reserve (self->arena, self->backend, plan->device_arena, error);
    }
  if (memory == NULL)
    return FALSE;

  zie_arena_init (device, memory, plan->device_arena);
  zie_arena_init (host, host_memory, plan->host_arena);
  return TRUE;
}

/* What stopped the device says more than what its stopping led to. */
static gboolean
check_device (ZiePipeline *self, gboolean ok, GError **error)
{
  GError *local = NULL;

  if (self->backend->funcs->check == NULL || self->backend->funcs->check (self->backend, &local))
    return ok;
  if (error != NULL)
    {
      g_clear_error (error);
      g_propagate_error (error, local);
    }
  else
    g_error_free (local);
  return FALSE;
}

gboolean
zie_pipeline_run (ZiePipeline *self, GError **error)
{
  const ZiePlan *plan = self->plan;
  const ZieRequest *request = self->request;
  Picture picture = { .pipeline = self, .n_steps = request->n_steps,
                      .decode_seconds = plan->stages[ZIE_STAGE_DECODE].seconds / MAX (request->n_images, 1) };
  ZieStageSink sink = { on_progress, on_step, on_band, &picture };
  double seconds[ZIE_N_STAGES] = { 0 };
  ZieArena device, host;
  ZieStages stages;
  ZieOpCtx ctx;
  gboolean ok;

  if (!reserve (self, &device, &host, error))
    return FALSE;
  zie_backend_init_ctx (self->backend, &ctx, &device, &host, plan->compute, self->cancel);

  zie_stages_init (&stages, self->model, request, &ctx, self->feed, &sink);
  picture.h = stages.h;
  picture.w = stages.w;
  picture.first_step = stages.first_step;

  ok = prepare (&stages, self, seconds, error);
  for (picture.index = 0; ok && picture.index < request->n_images; picture.index++)
    ok = make_picture (&stages, &picture, seconds, error);

  zie_stages_clear (&stages);
  self->arena_peak = device.peak + host.peak;
  return check_device (self, ok, error);
}
