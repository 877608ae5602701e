/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-pipeline.h"

#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-plan-private.h"
#include "zie-redo.h"
#include "zie-stages.h"
#include "zie-text-cache.h"

#define SPARE ((gsize)64 << 20)
#define PREVIEW_SIDE 512         /* pixels at most, unless a latent has more */

/* One picture in the making. */
typedef struct
{
  ZiePipeline *pipeline;
  ZieStages *stages;
  ZieRedo redo;                  /* of what breaks */
  guint shared_redone, redone;   /* bits 1 << ZieStage: of what all pictures have in common, and of this one */
  int index;                     /* of the picture */
  int h, w;                      /* of the latent */
  int n_steps, first_step;
  gint64 step_start_us;
  double *step_seconds;          /* [n_steps], owned; of them n_timed are there */
  guint n_timed;
  double decode_seconds;         /* the plan's, of one picture */
} Picture;

static void
emit (const Picture *p, ZieEvent *event)
{
  p->pipeline->emit (p->pipeline->emit_data, event);
}

static void
on_progress (gpointer data, ZieStage stage, double fraction, int layer, int n_layers)
{
  const Picture *p = data;
  emit (p, zie_event_new_stage (p->index, stage, fraction, layer, n_layers));
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
  if (p->n_timed < (guint)p->n_steps)
    p->step_seconds[p->n_timed++] = seconds;
  emit (p, zie_event_new_step (p->index, done, total, seconds, seconds * (total - done) + p->decode_seconds));
  p->step_start_us = g_get_monotonic_time ();
}

static void
on_band (gpointer data, int index, int n_bands, int x, int y, int width, int height, const guint8 *rgb)
{
  const Picture *p = data;
  gsize stride = 3 * (gsize)width;
  GBytes *rows = g_bytes_new (rgb, stride * (gsize)height);

  emit (p, zie_event_new_tile (p->index, index, n_bands, x, y, zie_image_new (width, height, stride, rows)));
}

/* It broke where numbers have few bits, and is not broken off. */
static gboolean
can_redo (const Picture *p, const GError *error)
{
  const ZiePipeline *pipeline = p->pipeline;

  return g_error_matches (error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE) && pipeline->plan->compute == ZIE_COMPUTE_BF16
         && !zie_op_cancelled (p->stages->ctx);
}

/* STAGE on the job's device; what breaks there is computed again in f32.  What was refined there is sampled there. */
static gboolean
run_stage (Picture *p, ZieStage stage, guint64 seed, guint8 *pixels, GError **error)
{
  ZieOpCtx *ctx = p->stages->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena), host_mark = zie_arena_mark (ctx->host);
  g_autoptr(GError) local = NULL;

  p->n_timed = 0;
  p->step_start_us = g_get_monotonic_time ();
  if (stage != ZIE_STAGE_SAMPLE || !(p->shared_redone & 1u << ZIE_STAGE_REFINE))
    {
      gboolean ok = zie_stages_run (p->stages, stage, seed, pixels, &local);

      if (!zie_model_check_files (p->pipeline->model, error))
        return FALSE;
      if (ok)
        return TRUE;
      if (!can_redo (p, local))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      zie_arena_rewind (ctx->arena, mark);
      zie_arena_rewind (ctx->host, host_mark);
      g_message ("stage %s of picture %d is computed again in f32 on the CPU: %s", zie_stage_name (stage), p->index + 1, local->message);
      emit (p, zie_event_new_redo (p->index, stage, local->message));
    }

  p->n_timed = 0;
  p->step_start_us = g_get_monotonic_time ();
  *(stage < ZIE_STAGE_SAMPLE ? &p->shared_redone : &p->redone) |= 1u << stage;
  return zie_redo_run (&p->redo, p->stages, stage, seed, pixels, error) && zie_model_check_files (p->pipeline->model, error);
}

/* Noise to pixels, and out. */
static gboolean
make_picture (Picture *picture, double shared[ZIE_N_STAGES], GError **error)
{
  const ZieRequest *request = picture->pipeline->request;
  guint64 seed = request->seed + (guint64)picture->index;
  gsize stride = 3 * (gsize)request->width, size = stride * (gsize)request->height;
  g_autofree guint8 *pixels = g_try_malloc (size);
  double seconds[ZIE_N_STAGES];
  guint n_timed;
  g_auto(ZieRequest) recipe = { 0 };
  ZieEvent *event;
  ZieImage *image;
  gint64 start;
  gboolean ok;

  picture->redone = picture->shared_redone;
  if (pixels == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY, "no memory for a picture of %d x %d", request->width, request->height);
      return FALSE;
    }

  memcpy (seconds, shared, sizeof seconds);
  start = g_get_monotonic_time ();
  ok = run_stage (picture, ZIE_STAGE_SAMPLE, seed, NULL, error);
  seconds[ZIE_STAGE_SAMPLE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;

  n_timed = picture->n_timed;
  start = g_get_monotonic_time ();
  ok = run_stage (picture, ZIE_STAGE_DECODE, 0, pixels, error);
  seconds[ZIE_STAGE_DECODE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;

  image = zie_image_new (request->width, request->height, stride, g_bytes_new_take (g_steal_pointer (&pixels), size));
  zie_request_copy (&recipe, request);          /* a recipe makes this one picture */
  recipe.seed = seed;
  recipe.n_images = 1;
  recipe.redone = picture->redone;
  event = zie_event_new_image (picture->index, seed, image, seconds, &recipe);
  event->image.n_steps = n_timed;
  event->image.step_seconds = g_memdup2 (picture->step_seconds, n_timed * sizeof (double));
  emit (picture, event);
  return TRUE;
}

/* Text and what follows from it are shared by all pictures of the request. */
static gboolean
prepare (Picture *picture, double seconds[ZIE_N_STAGES], GError **error)
{
  ZiePipelineCache *cache = picture->pipeline->cache;
  gint64 start = g_get_monotonic_time ();
  gboolean ok;

  zie_text_cache_fetch (cache, picture->stages);
  ok = run_stage (picture, ZIE_STAGE_TEXT, 0, NULL, error);
  seconds[ZIE_STAGE_TEXT] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  if (!ok)
    return FALSE;
  if (picture->shared_redone == 0)               /* else the next job would not say how it came by them */
    zie_text_cache_store (cache, picture->stages);

  start = g_get_monotonic_time ();
  ok = run_stage (picture, ZIE_STAGE_REFINE, 0, NULL, error);
  seconds[ZIE_STAGE_REFINE] = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  return ok;
}

/* What the last job's memory may be larger than this one's: prompts of other lengths change it by a few MB, and those jobs should not pay
 * for fresh pages.  A budget is kept to the byte. */
static gsize
spare (const ZiePlan *plan, gsize size)
{
  if (plan->budget.ram > 0)
    return 0;
  return plan->has_device_memory ? ZIE_SPARE_LOCKED : size / 4 + SPARE;
}

/* The job's memory, and its weights in their places on a device that has memory of its own. */
static gboolean
reserve (ZiePipeline *self, ZieArena *device, ZieArena *host, GError **error)
{
  const ZiePlan *plan = self->plan;
  guint8 *memory, *host_memory;
  gsize size = plan->device_arena + plan->host_arena;

  if (!plan->has_device_memory)
    {
      memory = zie_arena_store_reserve (self->arena, self->backend, size, spare (plan, size), error);
      host_memory = memory + plan->device_arena;
    }
  else
    {
      /* Exactly what the plan counted: the weights' places may need the rest, and a budget is kept to the byte.  Without
       * pages to be touched, new memory costs little there. */
      if (zie_arena_store_get_size (self->arena) != plan->device_arena)
        zie_arena_store_release (self->arena);
      if (!self->backend->funcs->place (self->backend, &plan->weights, error)
          || !(host_memory = zie_arena_store_reserve (self->host_arena, self->backend, plan->host_arena,
                                                      spare (plan, plan->host_arena), error)))
        return FALSE;
      memory = zie_arena_store_reserve (self->arena, self->backend, plan->device_arena, 0, error);
    }
  if (memory == NULL)
    return FALSE;

  zie_arena_init (device, memory, plan->device_arena);
  zie_arena_init (host, host_memory, plan->host_arena);
  return TRUE;
}

/* What stopped the device, or a file that went away, says more than what that led to. */
static gboolean
check_causes (ZiePipeline *self, gboolean ok, GError **error)
{
  GError *local = NULL;

  if (zie_model_check_files (self->model, &local)
      && (self->backend->funcs->check == NULL || self->backend->funcs->check (self->backend, &local)))
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
                      .index = CLAMP (self->n_made, 0, MAX (request->n_images, 1) - 1),      /* what all is prepared for now */
                      .decode_seconds = plan->stages[ZIE_STAGE_DECODE].seconds / MAX (request->n_images, 1) };
  ZieStageSink sink = { on_progress, on_step, on_band, &picture };
  double seconds[ZIE_N_STAGES] = { 0 };
  ZieArena device, host;
  ZieStages stages;
  ZieOpCtx ctx;
  gboolean ok;

  self->has_begun = FALSE;
  if (!reserve (self, &device, &host, error))
    return check_causes (self, FALSE, error);
  self->has_begun = TRUE;
  zie_backend_init_ctx (self->backend, &ctx, &device, &host, plan->compute, self->cancel);
  zie_model_watch_files (self->model, &ctx);

  zie_stages_init (&stages, self->model, request, &ctx, self->feed, &sink);
  stages.cut = plan->decode.cut;
  picture.stages = &stages;
  picture.h = stages.h;
  picture.w = stages.w;
  picture.first_step = stages.first_step;
  picture.step_seconds = g_new0 (double, (gsize)request->n_steps);
  zie_redo_init (&picture.redo, self, &sink);

  ok = prepare (&picture, seconds, error);
  while (ok && self->n_made < request->n_images)
    {
      picture.index = self->n_made;
      if ((ok = make_picture (&picture, seconds, error)))
        self->n_made++;
    }

  zie_redo_clear (&picture.redo);
  zie_stages_clear (&stages);
  g_free (picture.step_seconds);
  self->arena_peak = device.peak + host.peak;
  return check_causes (self, ok, error);
}
