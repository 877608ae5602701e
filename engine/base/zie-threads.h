/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* A fixed pool of threads for one caller at a time.  The caller works too, as thread 0. */
typedef struct _ZieThreads ZieThreads;

/* N_THREADS 0: zie_threads_count_cores().  BACKGROUND: the pool's threads (not the caller) lower their own priority
 * (nice 10). */
ZieThreads *zie_threads_new (guint n_threads, gboolean background);
void zie_threads_free (ZieThreads *self);      /* joins them; not during a run; NULL is nothing */
guint zie_threads_get_n (const ZieThreads *self);

/* Runs FUNC (data, item, thread) for every item in [0, n_items), items handed out one by one in rising order to
 * whichever thread is free; returns when all are done.  Once *CANCEL (atomic, may be NULL) is non-zero no further item
 * starts.  No nesting. */
typedef void (*ZieThreadsFunc) (gpointer data, gint64 item, guint thread);
void zie_threads_run (ZieThreads *self, gint64 n_items, const gint *cancel, ZieThreadsFunc func, gpointer data);

/* Cores this process may use: its affinity mask, hardware threads of a core counted once, at most its control group's
 * CPU quota rounded up.  At least 1; read once.  Any thread. */
guint zie_threads_count_cores (void);

/* Exposed for tests: CPUs that the text of a cpu.max file allows, rounded up; 0 = no limit or not understood. */
guint zie_threads_parse_cpu_max (const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieThreads, zie_threads_free)
