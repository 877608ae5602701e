/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-session"

#include "zis-session-private.h"

typedef struct
{
  ZieModel *model;           /* owned */
  ZieEngine *engine;         /* owned */
  ZieRequest request;        /* owned */
  ZieBudget budget;
  int (*sizes)[2];           /* owned */
  guint n_sizes;
} Planning;

static void
planning_free (gpointer data)
{
  Planning *self = data;

  zie_model_unref (self->model);
  /* If the session let go of the engine meanwhile, this is the last reference; it is dropped in the worker by
   * plan_thread() so that the main loop never waits for the engine's thread. */
  g_clear_pointer (&self->engine, zie_engine_unref);
  zie_request_clear (&self->request);
  g_free (self->sizes);
  g_free (self);
}

static void
plan_result_clear (gpointer data)
{
  ZisPlanResult *self = data;

  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_error (&self->error);
}

static void
plan_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Planning *self = data;
  GArray *results = g_array_sized_new (FALSE, TRUE, sizeof (ZisPlanResult), self->n_sizes);
  ZieDevice device;

  g_array_set_clear_func (results, plan_result_clear);
  zie_engine_get_device (self->engine, &device);
  g_clear_pointer (&self->engine, zie_engine_unref);

  for (guint i = 0; i < self->n_sizes && !g_cancellable_is_cancelled (cancellable); i++)
    {
      ZisPlanResult one = { NULL, NULL };

      self->request.width = self->sizes[i][0];
      self->request.height = self->sizes[i][1];
      one.plan = zie_plan_new (self->model, &device, &self->request, &self->budget, &one.error);
      g_array_append_val (results, one);
    }

  g_task_return_pointer (task, results, (GDestroyNotify) g_array_unref);
}

void
zis_session_plan_async (ZisSession *self, const ZieRequest *request, const int (*sizes)[2], guint n_sizes,
                        GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);
  Planning *planning;
  ZieDevice device;

  g_task_set_source_tag (task, zis_session_plan_async);
  if (!self->model || !self->engine)
    {
      g_task_return_new_error (task, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "no model is open");
      return;
    }

  planning = g_new0 (Planning, 1);
  planning->model = zie_model_ref (self->model);
  planning->engine = zie_engine_ref (self->engine);
  zie_request_copy (&planning->request, request);
  planning->sizes = g_memdup2 (sizes, sizeof (*sizes) * n_sizes);
  planning->n_sizes = n_sizes;

  zie_engine_get_device (self->engine, &device);
  if (device.kind == ZIE_BACKEND_CUDA)
    planning->budget.vram = zis_session_get_memory_limit (self);
  else
    planning->budget.ram = zis_session_get_memory_limit (self);

  g_task_set_task_data (task, planning, planning_free);
  g_task_run_in_thread (task, plan_thread);
}

GArray *
zis_session_plan_finish (ZisSession *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

guint64
zis_plan_get_peak (ZiePlan *plan)
{
  guint64 vram = zie_plan_get_vram_peak (plan);

  return vram > 0 ? vram : zie_plan_get_ram_peak (plan);
}

gboolean
zis_plan_error_is_memory (const GError *error)
{
  return g_error_matches (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY)
         || g_error_matches (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
}
