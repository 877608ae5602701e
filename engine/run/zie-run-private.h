/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-engine.h>

#include "zie-pipeline.h"

/* What an engine stands on; tests put their own in its place. */
typedef struct
{
  ZieBackend *(*open_backend) (ZieBackendKind kind, int device_index, ZieThreads *threads, GError **error);
  gboolean (*run) (ZiePipeline *pipeline, GError **error);
  gint64 idle_us;            /* after so long without a job the arena and the cache are let go of; below 0: never */
} ZieEngineFuncs;

/* OPTIONS NULL: the defaults. */
ZieEngine *zie_engine_new_with_funcs (const ZieEngineOptions *options, const ZieEngineFuncs *funcs, GError **error);

/* zie_engine_submit() after its checks: MODEL and PLAN may be NULL where the engine's run function does not care. */
ZieJob *zie_engine_enqueue (ZieEngine *self, ZieModel *model, const ZieRequest *request, ZiePlan *plan);
