/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-event.h>

/* Constructors: job_id and time_us are filled in by whoever sends the event. */
ZieEvent *zie_event_new_started (void);
ZieEvent *zie_event_new_stage (int image_index, ZieStage stage, double fraction, int layer, int n_layers);
ZieEvent *zie_event_new_step (int image_index, int index, int total, double seconds, double seconds_left);
ZieEvent *zie_event_new_preview (int image_index, int step, ZieImage *image /* transfer full */);
ZieEvent *zie_event_new_tile (int image_index, int index, int total, int x, int y, ZieImage *image /* transfer full */);
/* RECIPE: of this one picture; copied.  STAGE_SECONDS: what each stage took for it; the steps' times are the caller's to add. */
ZieEvent *zie_event_new_image (int image_index, guint64 seed, ZieImage *image /* transfer full */,
                               const double stage_seconds[ZIE_N_STAGES], const ZieRequest *recipe);
ZieEvent *zie_event_new_plan (ZiePlan *plan /* referenced */, gboolean is_host, const char *reason);
ZieEvent *zie_event_new_redo (int image_index, ZieStage stage, const char *reason);
ZieEvent *zie_event_new_finished (GError *error /* transfer full, NULL = done */, double seconds, guint64 arena_peak,
                                  guint64 ram_peak);

#define ZIE_N_CONFLATED 3

/* The worker's end of the event queue.  Of the conflated kinds (STAGE, STEP, PREVIEW) at most one of a job waits in
 * the queue: a newer one takes the older one's place at the tail, so what is left is always a subsequence of what was
 * pushed.  The consumer simply pops.  One pushing thread. */
typedef struct
{
  GAsyncQueue *queue;                        /* owned reference */
  guint64 job_id;                            /* of the pending events */
  ZieEvent *pending[ZIE_N_CONFLATED];        /* last pushed of each kind: maybe popped and freed, never dereferenced */
} ZieEventSink;

void zie_event_sink_init (ZieEventSink *self);
void zie_event_sink_clear (ZieEventSink *self);
void zie_event_sink_push (ZieEventSink *self, ZieEvent *event /* transfer full */);
