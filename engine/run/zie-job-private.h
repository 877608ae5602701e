/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-job.h>
#include <zie/zie-request.h>

/* What the handle and the worker share.  Model, request and plan are the worker's and are let go of when the job
 * finishes, so that a kept handle does not keep a model open; the rest lives as long as the handle and needs no engine. */
struct _ZieJob
{
  gint ref_count;            /* atomic */
  gint cancelled;            /* atomic; its address is the pipeline's cancel flag */
  guint64 id;
  ZieModel *model;           /* owned */
  ZiePlan *plan;             /* owned */
  ZieRequest request;        /* owned */

  GMutex lock;               /* of is_finished */
  GCond finished;
  gboolean is_finished;
};

/* MODEL and PLAN are referenced (NULL is allowed, for tests), REQUEST is copied. */
ZieJob *zie_job_new (guint64 id, ZieModel *model, const ZieRequest *request, ZiePlan *plan);

/* Lets go of model, request and plan: the worker's last look at them. */
void zie_job_release_inputs (ZieJob *self);

/* Wakes who waits.  Once, after FINISHED was pushed. */
void zie_job_set_finished (ZieJob *self);
