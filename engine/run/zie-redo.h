/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-pipeline.h"

/* What broke in bf16, once more in f32 on the CPU: stages of their own, with an arena of their own beside the job's, opened when they
 * are first needed.  Worker's thread only. */
typedef struct
{
  ZiePipeline *pipeline;         /* borrowed */
  const ZieStageSink *sink;      /* borrowed */
  ZieBackend *backend;           /* the pipeline's, or owned with its threads: a card's loader may be using the pipeline's */
  ZieThreads *threads;
  ZiePlan *plan;                 /* owned; NULL: not open */
  ZieArenaStore memory;
  ZieArena device, host;
  ZieOpCtx ctx;
  ZieStages stages;
  gboolean is_refined;           /* prompts and modulation are there */
} ZieRedo;

void zie_redo_init (ZieRedo *self, ZiePipeline *pipeline, const ZieStageSink *sink);
void zie_redo_clear (ZieRedo *self);

/* Computes STAGE with what MAIN has: embeddings and, for the decode, the latent; the result goes back to MAIN, but for the refined
 * prompts and the modulation, which stay here: sampling goes on here then.  SEED: of a sampling, PIXELS: of a decode.
 * Errors: BROKEN_PICTURE when it breaks here too, OUT_OF_HOST_MEMORY, CANCELLED. */
gboolean zie_redo_run (ZieRedo *self, ZieStages *main, ZieStage stage, guint64 seed, guint8 *pixels, GError **error);
