/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include "zie-redo.h"

#include <string.h>

#include <zie/zie-error.h>

#include "zie-plan-private.h"

#define MAX_DEVICES 16

void
zie_redo_init (ZieRedo *self, ZiePipeline *pipeline, const ZieStageSink *sink)
{
  *self = (ZieRedo) { .pipeline = pipeline, .sink = sink };
}

void
zie_redo_clear (ZieRedo *self)
{
  if (self->plan != NULL)
    zie_stages_clear (&self->stages);
  zie_arena_store_release (&self->memory);
  g_clear_pointer (&self->plan, zie_plan_unref);
  if (self->backend != self->pipeline->backend)
    g_clear_pointer (&self->backend, zie_backend_free);
  self->backend = NULL;
  g_clear_pointer (&self->threads, zie_threads_free);
}

/* A backend that computes in f32 in this machine's memory: the job's own if it is one. */
static gboolean
open_backend (ZieRedo *self, GError **error)
{
  ZieBackend *main = self->pipeline->backend;

  if (main->funcs->place == NULL && main->act == ZIE_DTYPE_F32)
    {
      self->backend = main;
      return TRUE;
    }
  self->threads = zie_threads_new (main->threads ? zie_threads_get_n (main->threads) : 0, TRUE);
  self->backend = zie_backend_open (ZIE_BACKEND_CPU, 0, self->threads, error);
  return self->backend != NULL;
}

/* What is free now: the job's memory is held meanwhile, beside a card with all that is locked for it, and a budget holds for both. */
static void
find_memory (const ZieRedo *self, ZieDevice *device, ZieBudget *budget)
{
  const ZiePlan *plan = self->pipeline->plan;
  ZieDevice devices[MAX_DEVICES];
  guint n = zie_list_devices (devices, MAX_DEVICES);

  *device = (ZieDevice) { .kind = self->backend->funcs->kind };
  for (guint i = 0; i < n; i++)
    if (devices[i].kind == self->backend->funcs->kind)
      *device = devices[i];
  device->n_threads = self->backend->threads ? zie_threads_get_n (self->backend->threads) : 1;

  *budget = (ZieBudget) { 0 };
  if (plan->budget.ram > 0)
    {
      guint64 held = plan->has_device_memory ? plan->ram_peak : plan->host_arena + plan->device_arena;

      budget->ram = plan->budget.ram > held ? plan->budget.ram - held : 1;         /* 0 would be no limit */
    }
}

static gboolean
open_stages (ZieRedo *self, GError **error)
{
  ZiePipeline *pipeline = self->pipeline;
  ZieRequest request = *pipeline->request;       /* borrowed strings */
  g_autoptr(ZiePlan) plan = NULL;
  ZieDevice device;
  ZieBudget budget;
  guint8 *memory;

  if (self->backend == NULL && !open_backend (self, error))
    return FALSE;
  find_memory (self, &device, &budget);
  request.compute = ZIE_COMPUTE_F32;
  if (!(plan = zie_plan_new_for_feed (pipeline->model, &device, &request, &budget, pipeline->feed, error))
      || !(memory = zie_arena_store_reserve (&self->memory, self->backend, plan->device_arena + plan->host_arena, 0, error)))
    return FALSE;

  zie_arena_init (&self->device, memory, plan->device_arena);
  zie_arena_init (&self->host, memory + plan->device_arena, plan->host_arena);
  zie_backend_init_ctx (self->backend, &self->ctx, &self->device, &self->host, ZIE_COMPUTE_F32, pipeline->cancel);
  zie_model_watch_files (pipeline->model, &self->ctx);
  zie_stages_init (&self->stages, pipeline->model, pipeline->request, &self->ctx, pipeline->feed, self->sink);
  self->stages.cut = plan->decode.cut;
  self->plan = g_steal_pointer (&plan);
  return TRUE;
}

static void
copy_embeds (ZieStages *to, const ZieStages *from)
{
  for (int p = 0; p < from->n_prompts; p++)
    memcpy (to->embeds[p], from->embeds[p], (gsize)from->n_ids[p] * (gsize)from->model->text_encoder.config.dim * sizeof (float));
}

static void
copy_latent (ZieStages *to, const ZieStages *from)
{
  memcpy (to->x, from->x, (gsize)from->model->vae.config.latent_channels * (gsize)from->h * (gsize)from->w * sizeof (float));
}

gboolean
zie_redo_run (ZieRedo *self, ZieStages *main, ZieStage stage, guint64 seed, guint8 *pixels, GError **error)
{
  if (self->plan == NULL && !open_stages (self, error))
    {
      g_prefix_error (error, "the %s stage broke in bf16 and cannot be computed again in f32 on the CPU: ", zie_stage_name (stage));
      return FALSE;
    }

  if (stage != ZIE_STAGE_TEXT)
    copy_embeds (&self->stages, main);
  if (stage == ZIE_STAGE_DECODE)
    copy_latent (&self->stages, main);
  if ((stage == ZIE_STAGE_SAMPLE && !self->is_refined && !zie_stages_refine (&self->stages, error))
      || !zie_stages_run (&self->stages, stage, seed, pixels, error))
    {
      if (error == NULL || g_error_matches (*error, ZIE_ERROR, ZIE_ERROR_BROKEN_PICTURE))
        g_prefix_error (error, "in f32 as in bf16: ");
      return FALSE;
    }

  self->is_refined |= stage == ZIE_STAGE_REFINE || stage == ZIE_STAGE_SAMPLE;
  if (stage == ZIE_STAGE_TEXT)
    copy_embeds (main, &self->stages);
  if (stage == ZIE_STAGE_SAMPLE)
    copy_latent (main, &self->stages);
  return TRUE;
}
