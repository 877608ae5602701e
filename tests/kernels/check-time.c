/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "check"

#include "check-private.h"

#include <stdio.h>

#define BENCH_US 200000

/* The longest that an op may go on after it was cancelled: one slice of work (zie-ops.h). */
#define SLICE_US 50000
#define CANCEL_TRIES 6

typedef struct
{
  gint64 delay;                         /* microseconds from the start to the flag */
  gint cancel;                          /* atomic */
  gint64 when;                          /* the flag was set; read after the thread was joined */
} Canceller;

static gpointer
cancel_later (gpointer data)
{
  Canceller *self = data;

  g_usleep ((gulong)self->delay);
  self->when = g_get_monotonic_time ();
  g_atomic_int_set (&self->cancel, 1);
  return NULL;
}

/* How long CALL goes on after it was cancelled DELAY microseconds from its start; *IS_DONE: it had ended before. */
static gint64
cancel_once (ZieOpCtx *ctx, CheckCall call, gpointer data, gint64 delay, gboolean *is_done)
{
  Canceller canceller = { .delay = delay };
  GThread *thread;
  gint64 end;

  ctx->cancel = &canceller.cancel;
  thread = g_thread_new ("cancel", cancel_later, &canceller);
  call (ctx, data);
  end = g_get_monotonic_time ();
  g_thread_join (thread);
  *is_done = end <= canceller.when;
  return end - canceller.when;
}

/* Other programs only ever make a wait longer, so the best of a few tries counts. */
void
check_cancel (Check *check, CheckCall call, gpointer data, gsize planned)
{
  static const gint64 delays[] = { 3000, 11000, 29000, 47000, 71000, 113000, 187000 };
  gboolean is_done = FALSE;
  gint64 longest = 0;
  CheckMemory memory;

  check_memory_init (&memory, check, check->backend, planned);
  for (guint i = 0; i < G_N_ELEMENTS (delays) && !is_done; i++)
    {
      gint64 best = G_MAXINT64;

      for (int t = 0; t < CANCEL_TRIES && best > SLICE_US && !is_done; t++)
        best = MIN (best, cancel_once (&memory.ctx, call, data, delays[i], &is_done));
      if (is_done)
        break;
      longest = MAX (longest, best);
      if (best > SLICE_US)
        check_fail (check, "cancelled after %.0f ms, the op went on for %.0f ms; a slice may take %d",
                    (double)delays[i] / 1e3, (double)best / 1e3, SLICE_US / 1000);
    }
  g_string_append_printf (check->report, "cancelled within %.1f ms", (double)longest / 1e3);
  check_memory_clear (&memory);
}

static double
percent (double part, double whole)
{
  return whole > 0 ? part / whole * 100 : 0;
}

void
check_bench (Check *check, CheckCall call, gpointer data, gsize planned, const ZieTally *tally)
{
  double peak = check->compute == ZIE_COMPUTE_BF16 ? check->device->flops_bf16 : check->device->flops_f32;
  gint64 best = G_MAXINT64, begin, now;
  double seconds;
  CheckMemory memory;

  check_memory_init (&memory, check, check->backend, planned);
  begin = now = g_get_monotonic_time ();
  for (guint n_runs = 0; now - begin < BENCH_US || n_runs < 3; n_runs++)
    {
      gint64 start = g_get_monotonic_time ();
      guint n = (guint)CLAMP (200 / MAX (best, 1), 1, 1000);      /* many of the short ones, for the clock's sake */

      for (guint i = 0; i < n; i++)
        call (&memory.ctx, data);
      now = g_get_monotonic_time ();
      best = MIN (best, MAX ((now - start) / n, 1));
    }
  check_memory_clear (&memory);

  seconds = (double)best / G_USEC_PER_SEC;
  printf ("# %10.3f ms %9.1f GFLOP/s (%3.0f %%) %8.1f GB/s (%3.0f %%)  %s\n", seconds * 1e3, tally->flops / seconds / 1e9,
          percent (tally->flops / seconds, peak), tally->bytes / seconds / 1e9,
          percent (tally->bytes / seconds, check->device->bytes_per_second), check->name);
}
