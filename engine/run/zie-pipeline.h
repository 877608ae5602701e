/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-model.h>
#include <zie/zie-plan.h>
#include <zie/zie-request.h>

#include "zie-arena-store.h"
#include "zie-event-private.h"
#include "zie-stages.h"

/* What a pipeline keeps from one job to the next (prompt embeddings, prepared weights): a slot that the engine owns and
 * never looks into.  The pipeline fills both fields at its first use; the engine calls FREE (DATA) when it idles for
 * long and before it closes the backend.  Worker's thread only. */
typedef struct
{
  gpointer data;
  GDestroyNotify free;
} ZiePipelineCache;

/* One job on its way from prompt to pictures.  Everything is borrowed for the length of the call. */
typedef struct
{
  ZieBackend *backend;
  ZieModel *model;
  ZiePlan *plan;
  const ZieRequest *request;     /* validated */
  const gint *cancel;            /* atomic; fits ZieOpCtx.cancel */
  void (*emit) (gpointer data, ZieEvent *event /* transfer full; job_id, time_us and step.ram_used are filled by emit */);
  gpointer emit_data;
  ZieArenaStore *arena;          /* the job's memory comes from here */
  ZieArenaStore *host_arena;     /* and, where the device has memory of its own, its part in host memory */
  ZiePipelineCache *cache;       /* may be NULL */
  const ZieFeed *feed;           /* a replay's, or NULL */
  int n_made;                    /* in and out: pictures that have left; called again after a failure it goes on with the next */
  guint64 arena_peak;            /* out: high-water mark of the arena */
  gboolean has_begun;            /* out: it has the memory that was planned */
} ZiePipeline;

/* Makes the pictures of the request that are missing; emits STAGE, STEP, PREVIEW, TILE and IMAGE (STARTED and FINISHED are the engine's).
 * FALSE with CANCELLED once *cancel is set. */
gboolean zie_pipeline_run (ZiePipeline *self, GError **error);
