/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-device.h>

G_BEGIN_DECLS

typedef struct
{
  ZieBackendKind backend;
  int device_index;
  int n_threads;             /* 0 = one per core that this process may use */
  gboolean background;       /* compute threads at lower priority, so that a desktop stays smooth */
  double idle_seconds;       /* after so long without a job all memory of the device but its context goes back, while host copies of
                                weights stay, so that the next job begins soon; 0 = 60, below 0 = never */
} ZieEngineOptions;

/* One worker thread and any number of waiting jobs.  All functions: any thread. */
ZIE_API ZieEngine *zie_engine_new (const ZieEngineOptions *options, GError **error);
ZIE_API ZieEngine *zie_engine_ref (ZieEngine *self);
ZIE_API void zie_engine_unref (ZieEngine *self);        /* the last one cancels what runs and joins the worker */
/* Times each op of the device from the next job on, or stops that; fills ROWS with what was timed so far, slowest first, and
 * returns how many (0 where the device has no such clock).  Not while a job runs. */
ZIE_API guint zie_engine_profile (ZieEngine *self, gboolean on, ZieProfileRow *rows, guint max_rows);
ZIE_API void zie_engine_get_device (ZieEngine *self, ZieDevice *device);

/* The queue that ZieEvents leave by; borrowed.  The consumer frees each event. */
ZIE_API GAsyncQueue *zie_engine_get_events (ZieEngine *self);

/* WAKE is called on the worker after each push: it must only poke a main loop, never block. */
typedef void (*ZieWakeFunc) (gpointer user_data);
ZIE_API void zie_engine_set_wake (ZieEngine *self, ZieWakeFunc wake, gpointer user_data, GDestroyNotify destroy);

/* Validates, plans (PLAN NULL) and queues; REQUEST is copied, MODEL and PLAN are referenced.  Returns the job
 * (transfer full), or NULL and why it cannot be run. */
ZIE_API ZieJob *zie_engine_submit (ZieEngine *self, ZieModel *model, const ZieRequest *request,
                                   ZiePlan *plan, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieEngine, zie_engine_unref)

G_END_DECLS
