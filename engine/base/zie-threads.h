/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* A fixed pool of threads for one caller at a time.  The caller works too, as thread 0. */
typedef struct _ZieThreads ZieThreads;

/* N_THREADS 0: one per core this process may use (sched_getaffinity).  BACKGROUND: the pool's threads lower their
 * own priority (nice 10); INIT, if given, runs once on every thread of the pool, the caller's included at first use. */
ZieThreads *zie_threads_new (guint n_threads, gboolean background);
void zie_threads_free (ZieThreads *self);
guint zie_threads_get_n (const ZieThreads *self);

/* Runs FUNC (data, item, thread) for every item in [0, n_items), items handed out one by one in rising order to
 * whichever thread is free; returns when all are done.  Once *CANCEL (atomic, may be NULL) is non-zero no further item
 * starts.  No nesting. */
typedef void (*ZieThreadsFunc) (gpointer data, gint64 item, guint thread);
void zie_threads_run (ZieThreads *self, gint64 n_items, const gint *cancel, ZieThreadsFunc func, gpointer data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieThreads, zie_threads_free)
