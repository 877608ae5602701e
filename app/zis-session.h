/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

typedef enum
{
  ZIS_SESSION_CLOSED,        /* nothing was asked for yet */
  ZIS_SESSION_LOADING,
  ZIS_SESSION_READY,
  ZIS_SESSION_FAILED,        /* no model, or no device: zis_session_get_error() */
} ZisSessionState;

#define ZIS_TYPE_SESSION (zis_session_get_type ())
G_DECLARE_FINAL_TYPE (ZisSession, zis_session, ZIS, SESSION, GObject)

/* The only owner of ZieEngine and ZieModel; turns the engine's events into changes of ZisJobs.
 *
 * Property "state".  Signals:
 *   "model-changed" ()                                  after a model was opened
 *   "job-started" (ZisJob)                              it is the one being made now
 *   "picture" (ZisJob, int index, gpointer ZieEvent)    a picture is finished (borrowed event of type IMAGE); once each
 *   "job-ended" (ZisJob)                                done, cancelled or failed; it has left the queue */
ZisSession *zis_session_new (GSettings *settings);

/* Opens (again) the model and device that the settings name, in a worker.  Waiting jobs stay; a running job ends. */
void zis_session_open (ZisSession *self);
/* The same in the main loop's next turn, once for all settings that are changed until then. */
void zis_session_open_soon (ZisSession *self);

/* Ends all jobs, with "job-ended" for each, and waits for the engine's worker: some ten milliseconds.  Whoever shows
 * the session calls it before going, so that nothing ends under its widgets while they are taken apart. */
void zis_session_close (ZisSession *self);

ZisSessionState zis_session_get_state (ZisSession *self);
const GError *zis_session_get_error (ZisSession *self);
/* NULL unless READY.  Borrowed. */
const ZieModelInfo *zis_session_get_info (ZisSession *self);
gboolean zis_session_get_device (ZisSession *self, ZieDevice *device);
/* The engine, or NULL where none is open; to be let go of on a worker, where it may be the last to do so. */
ZieEngine *zis_session_ref_engine (ZisSession *self);
/* All devices found when the model was opened; N may be 0.  Borrowed. */
const ZieDevice *zis_session_get_devices (ZisSession *self, guint *n_devices);
ZisQueue *zis_session_get_queue (ZisSession *self);
/* NULL unless a model is open.  Borrowed. */
ZieModel *zis_session_get_model (ZisSession *self);
/* What the job that runs and the last ones were planned to take and took, the newest first, as text without prompts and paths.
 * Free with g_free(). */
char *zis_session_get_report (ZisSession *self);
gboolean zis_session_has_report (ZisSession *self);
/* The limit of the settings, in bytes; 0 = none. */
guint64 zis_session_get_memory_limit (ZisSession *self);

/* What the preferences and the model say of every request: previews, decoding, the model's name. */
void zis_session_prepare (ZisSession *self, ZieRequest *request);

/* The other way round: what the recipe REQUEST says of developing becomes the preferences'.  TRUE if that was another kind. */
gboolean zis_session_restore (ZisSession *self, const ZieRequest *request);

/* Checks REQUEST and queues it.  Returns a borrowed job, or NULL and why it cannot be made. */
ZisJob *zis_session_generate (ZisSession *self, const ZieRequest *request, GError **error);
void zis_session_cancel (ZisSession *self, ZisJob *job);
void zis_session_cancel_all (ZisSession *self);

/* Ids of TEXT in the model's template, and the byte offset where the model's limit is passed (-1: it is not).
 * Returns ids or -1. */
void zis_session_count_tokens_async (ZisSession *self, const char *text, GCancellable *cancellable,
                                     GAsyncReadyCallback callback, gpointer user_data);
int zis_session_count_tokens_finish (ZisSession *self, GAsyncResult *result, int *overflow_at, GError **error);

/* What requests would take here. */
typedef struct
{
  ZiePlan *plan;             /* owned, or NULL */
  GError *error;             /* owned: why there is no plan */
} ZisPlanResult;

/* Plans for N_SIZES sizes of REQUEST (width, height pairs). */
void zis_session_plan_async (ZisSession *self, const ZieRequest *request, const int (*sizes)[2], guint n_sizes,
                             GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
/* An array of ZisPlanResult (transfer full), or NULL. */
GArray *zis_session_plan_finish (ZisSession *self, GAsyncResult *result, GError **error);

/* Whether it is for want of memory, and not of something else, that there is no plan. */
gboolean zis_plan_error_is_memory (const GError *error);

/* The peak that counts on the device: VRAM if the plan uses any, else RAM. */
guint64 zis_plan_get_peak (ZiePlan *plan);

/* What the event source calls; tests call it with events of their own.  job_id 0 means the running job. */
void zis_session_handle_event (ZisSession *self, ZieEvent *event);

G_END_DECLS
