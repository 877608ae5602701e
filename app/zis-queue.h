/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-types.h"

G_BEGIN_DECLS

#define ZIS_TYPE_QUEUE (zis_queue_get_type ())
G_DECLARE_FINAL_TYPE (ZisQueue, zis_queue, ZIS, QUEUE, GObject)

/* A GListModel of ZisJob: the running one first, then those that wait, in order.  Ended jobs are not in it. */
ZisQueue *zis_queue_new (void);

void zis_queue_append (ZisQueue *self, ZisJob *job);
void zis_queue_remove (ZisQueue *self, ZisJob *job);
/* The running job (or the one being cancelled), or NULL.  Borrowed. */
ZisJob *zis_queue_get_running (ZisQueue *self);
/* The first that waits, or NULL.  Borrowed. */
ZisJob *zis_queue_get_next (ZisQueue *self);
guint zis_queue_get_n_jobs (ZisQueue *self);
guint zis_queue_get_n_waiting (ZisQueue *self);

/* Moves a waiting job by DELTA places; the running job keeps the front.  FALSE when it cannot go there. */
gboolean zis_queue_move (ZisQueue *self, ZisJob *job, int delta);
/* Moves the waiting JOB to where the waiting OTHER is. */
gboolean zis_queue_move_to (ZisQueue *self, ZisJob *job, ZisJob *other);
gboolean zis_queue_can_move (ZisQueue *self, ZisJob *job, int delta);

G_END_DECLS
