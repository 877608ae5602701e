/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

typedef enum
{
  ZIS_JOB_WAITING,
  ZIS_JOB_RUNNING,
  ZIS_JOB_CANCELLING,        /* the user said stop; the engine has not answered yet */
  ZIS_JOB_DONE,
  ZIS_JOB_CANCELLED,
  ZIS_JOB_FAILED,
} ZisJobState;

#define ZIS_TYPE_JOB (zis_job_get_type ())
G_DECLARE_FINAL_TYPE (ZisJob, zis_job, ZIS, JOB, GObject)

/* One job's visible state.  Events of the engine alter it through zis_job_handle_event(); widgets bind to its
 * properties "state", "title", "detail", "status", "fraction", "paintable", "plan" and "note". */
ZisJob *zis_job_new (const ZieRequest *request /* copied */);

const ZieRequest *zis_job_get_request (ZisJob *self);
ZisJobState zis_job_get_state (ZisJob *self);
void zis_job_set_state (ZisJob *self, ZisJobState state);
/* Waiting, running or on its way to an end. */
gboolean zis_job_is_active (ZisJob *self);

const char *zis_job_get_title (ZisJob *self);
const char *zis_job_get_status (ZisJob *self);
double zis_job_get_fraction (ZisJob *self);
/* The picture being made: one paintable for each of the request's pictures, so that nothing shown ever changes
 * under a reader's eyes.  Borrowed. */
ZisPaintable *zis_job_get_paintable (ZisJob *self);
int zis_job_get_image_index (ZisJob *self);
/* Pictures finished so far. */
int zis_job_get_n_done (ZisJob *self);
/* Something out of the ordinary that whoever waits should know, as a sentence: a step down to less memory, a stage that is computed
 * again.  NULL: nothing.  Notified for each. */
const char *zis_job_get_note (ZisJob *self);

/* Expected share of each stage, for the progress bar; from the plan. */
void zis_job_set_stage_seconds (ZisJob *self, const double seconds[ZIE_N_STAGES]);
/* The plan by which it is made, the last one after a step down: what the memory gauge marks.  May be NULL.  Property "plan" (a
 * pointer). */
void zis_job_set_plan (ZisJob *self, ZiePlan *plan);
ZiePlan *zis_job_get_plan (ZisJob *self);

void zis_job_handle_event (ZisJob *self, const ZieEvent *event);

/* Why it failed; NULL unless FAILED. */
const GError *zis_job_get_error (ZisJob *self);
void zis_job_fail (ZisJob *self, const GError *error);

/* "about 4 s", "1 min 20 s": a duration for people.  Free with g_free(). */
char *zis_format_seconds (double seconds);

G_END_DECLS
