/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-hub-private.h"

/* What zie-fetch.c, the fetch as its owner sees it, and zie-fetch-work.c, which does it, share. */
#define ZIE_FETCH_MAX_PARALLEL 16
#define ZIE_FETCH_N_SAMPLES 64             /* ticks that speed is measured over */

/* One connection at a time, in a thread of its own.  All fields are guarded by the fetch's lock. */
typedef struct
{
  ZieFetch *fetch;
  GThread *thread;
  GCancellable *cancellable;     /* of the connection; NULL: there is none */
  gint64 last_us;                /* when bytes came last */
  gboolean is_stalled;
  gboolean is_waiting;           /* before another try */
  char *why;                     /* owned: what for */
} ZieFetchWorker;

struct _ZieFetch
{
  gatomicrefcount n_refs;
  ZieHubModel model;             /* sizes and checksums are filled in by the server's list */
  ZieHubSource source;
  char *folder, *path, *staging, *endpoint, *token;
  gboolean repair;
  guint n_parallel, stall_ms, retry_ms, max_tries;

  ZieFetchFunc notify;
  gpointer user_data;
  GMainContext *home;
  GThread *thread;
  int lock_fd;

  GMutex lock;                   /* of everything below */
  GCond changed;
  GSource *pending;              /* a notification on its way */
  gboolean is_paused, is_cancelled;
  gboolean is_over;              /* something failed: the others need not go on */
  gboolean is_whole;             /* the model is there under its name */
  gboolean is_leader_done;
  ZieFetchState phase;           /* CHECKING, ASKING or FETCHING */
  ZieFetchProgress progress;
  GError *error;
  guint64 n_received;
  guint next_file;
  gboolean *is_file_there;
  ZieFetchWorker workers[ZIE_FETCH_MAX_PARALLEL];  /* the first is the leader */
  guint64 samples[ZIE_FETCH_N_SAMPLES];    /* n_received at the last ticks */
  guint n_samples;
};

/* zie-fetch.c: the owner is told soon.  With the lock held. */
void zie_fetch_queue_notify (ZieFetch *self);

/* zie-fetch-work.c */

/* With the lock held: connections end, and waits look again. */
void zie_fetch_interrupt (ZieFetch *self);

/* The leading thread, of a ZieFetch. */
gpointer zie_fetch_lead (gpointer data);
