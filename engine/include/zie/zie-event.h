/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

typedef enum
{
  ZIE_EVENT_STARTED,     /* the worker took the job */
  ZIE_EVENT_STAGE,       /* progress inside a stage; conflated */
  ZIE_EVENT_STEP,        /* a step ended; conflated */
  ZIE_EVENT_PREVIEW,     /* conflated: only the newest of a job waits in the queue */
  ZIE_EVENT_TILE,        /* a finished band of the picture; never dropped */
  ZIE_EVENT_IMAGE,       /* a finished picture, each once; never dropped */
  ZIE_EVENT_PLAN,        /* there is less memory than there was: by a smaller plan the job goes on with the picture that is missing; never dropped */
  ZIE_EVENT_REDO,        /* a stage gave numbers that are not finite: it is computed again in f32 on the CPU; never dropped */
  ZIE_EVENT_FINISHED,    /* exactly one a job, always its last */
} ZieEventType;

struct _ZieEvent
{
  ZieEventType type;
  guint64 job_id;
  gint64 time_us;        /* g_get_monotonic_time() */
  int image_index;       /* which picture of the request */
  union
  {
    struct { ZieStage stage; double fraction; int layer, n_layers; } stage;   /* layer of n_layers is done; 0 of 0: not said */
    struct { int index, total; double seconds, seconds_left; guint64 vram_used, ram_used; } step;
    struct { int step; ZieImage *image; } preview;
    struct { int index, total, x, y; ZieImage *image; } tile;
    struct { guint64 seed; ZieImage *image; double stage_seconds[ZIE_N_STAGES]; ZieRequest *recipe; double *step_seconds; guint n_steps; } image;
    struct { ZiePlan *plan; char *reason; gboolean is_host; } plan;          /* is_host: it is the host's memory that went */
    struct { ZieStage stage; char *reason; } redo;
    /* error NULL = done.  ram_peak: what the process had of the host's memory at most, weights that are mapped not counted; of that, ram_locked
     * are copies of weights that stay for the next job.  On a device with memory of its own, else 0: vram_peak, what was held of it at most, the context counted;
     * vram_free, what its driver says is free at the end (0: it does not say); weights that went over, to stay and through slots. */
    struct { GError *error; double seconds; guint64 arena_peak, ram_peak, ram_locked, vram_peak, vram_free, bytes_loaded, bytes_streamed; } finished;
  };
};

ZIE_API void zie_event_free (ZieEvent *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieEvent, zie_event_free)

G_END_DECLS
