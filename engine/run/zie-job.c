/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-job"

#include "zie-job-private.h"

#include <zie/zie-model.h>
#include <zie/zie-plan.h>

ZieJob *
zie_job_new (guint64 id, ZieModel *model, const ZieRequest *request, ZiePlan *plan)
{
  ZieJob *self = g_new0 (ZieJob, 1);

  self->ref_count = 1;
  self->id = id;
  self->model = model != NULL ? zie_model_ref (model) : NULL;
  self->plan = plan != NULL ? zie_plan_ref (plan) : NULL;
  zie_request_copy (&self->request, request);
  g_mutex_init (&self->lock);
  g_cond_init (&self->finished);
  return self;
}

void
zie_job_release_inputs (ZieJob *self)
{
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_pointer (&self->model, zie_model_unref);
  zie_request_clear (&self->request);
}

void
zie_job_set_finished (ZieJob *self)
{
  g_mutex_lock (&self->lock);
  g_assert (!self->is_finished);
  self->is_finished = TRUE;
  g_cond_broadcast (&self->finished);
  g_mutex_unlock (&self->lock);
}

/* Any thread. */
ZieJob *
zie_job_ref (ZieJob *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_int_inc (&self->ref_count);
  return self;
}

/* Any thread.  Dropping the handle neither cancels nor hurries the job. */
void
zie_job_unref (ZieJob *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;

  zie_job_release_inputs (self);
  g_cond_clear (&self->finished);
  g_mutex_clear (&self->lock);
  g_free (self);
}

guint64
zie_job_get_id (const ZieJob *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->id;
}

void
zie_job_cancel (ZieJob *self)
{
  g_return_if_fail (self != NULL);

  g_atomic_int_set (&self->cancelled, 1);
}

gboolean
zie_job_is_cancelled (const ZieJob *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return g_atomic_int_get (&self->cancelled) != 0;
}

/* When it returns TRUE, FINISHED is in the engine's event queue.  Any thread but the worker's. */
gboolean
zie_job_wait (ZieJob *self, gint64 timeout_us)
{
  gint64 now = g_get_monotonic_time ();
  gint64 deadline = timeout_us > G_MAXINT64 - now ? G_MAXINT64 : now + timeout_us;
  gboolean is_finished;

  g_return_val_if_fail (self != NULL, FALSE);

  g_mutex_lock (&self->lock);
  while (!self->is_finished)
    if (timeout_us < 0)
      g_cond_wait (&self->finished, &self->lock);
    else if (!g_cond_wait_until (&self->finished, &self->lock, deadline))
      break;
  is_finished = self->is_finished;
  g_mutex_unlock (&self->lock);

  return is_finished;
}
