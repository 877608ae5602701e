/* SPDX-License-Identifier: Apache-2.0 */
#include "zie-threads.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ITEMS 10000

typedef struct
{
  gint count[MAX_ITEMS];          /* atomic: how often each item ran */
  gint n_run;                     /* atomic */
  gint cancel;                    /* atomic */
  gint64 cancel_at;               /* the item that cancels, -1 = none */
  gint bad_thread;                /* atomic: an index outside the pool, or one used twice at a time */
  gint inside[64];                /* atomic */
  guint n_threads;
} Run;

static void
count_item (gpointer data, gint64 item, guint thread)
{
  Run *run = data;

  if (thread >= run->n_threads || g_atomic_int_add (&run->inside[thread], 1) != 0)
    g_atomic_int_set (&run->bad_thread, 1);
  g_atomic_int_inc (&run->count[item]);
  g_atomic_int_inc (&run->n_run);
  if (item == run->cancel_at)
    g_atomic_int_set (&run->cancel, 1);
  while (run->cancel_at >= 0 && item > run->cancel_at && !g_atomic_int_get (&run->cancel))
    g_thread_yield ();            /* whoever took the cancelling item may have been put to sleep before it cancels */
  g_atomic_int_add (&run->inside[thread], -1);
}

static void
test_every_item_once (void)
{
  static const guint pools[] = { 1, 2, 3, 8 };
  static const gint64 counts[] = { 0, 1, 2, 7, 8, 9, 1000, MAX_ITEMS };
  Run *run = g_new (Run, 1);

  for (guint p = 0; p < G_N_ELEMENTS (pools); p++)
    {
      g_autoptr(ZieThreads) threads = zie_threads_new (pools[p], FALSE);

      g_assert_cmpuint (zie_threads_get_n (threads), ==, pools[p]);
      for (guint c = 0; c < G_N_ELEMENTS (counts); c++)
        {
          *run = (Run) { .cancel_at = -1, .n_threads = pools[p] };
          zie_threads_run (threads, counts[c], &run->cancel, count_item, run);
          g_assert_cmpint (run->bad_thread, ==, 0);
          g_assert_cmpint (run->n_run, ==, counts[c]);
          for (gint64 i = 0; i < counts[c]; i++)
            g_assert_cmpint (run->count[i], ==, 1);
        }
    }
  g_free (run);
}

static void
test_negative_count_runs_nothing (void)
{
  g_autoptr(ZieThreads) threads = zie_threads_new (2, FALSE);
  Run *run = g_new0 (Run, 1);

  run->n_threads = 2;
  zie_threads_run (threads, -5, NULL, count_item, run);
  g_assert_cmpint (run->n_run, ==, 0);
  g_free (run);
}

static void
test_cancel_stops (void)
{
  Run *run = g_new (Run, 1);

  for (guint n = 1; n <= 4; n++)
    {
      g_autoptr(ZieThreads) threads = zie_threads_new (n, FALSE);

      *run = (Run) { .cancel_at = 50, .n_threads = n };
      zie_threads_run (threads, MAX_ITEMS, &run->cancel, count_item, run);
      /* Items rise, so the first 51 ran; each other thread may have had one in its hands. */
      for (int i = 0; i <= 50; i++)
        g_assert_cmpint (run->count[i], ==, 1);
      g_assert_cmpint (run->n_run, >=, 51);
      g_assert_cmpint (run->n_run, <=, 51 + n - 1);

      /* Cancelled before it begins: nothing runs; and the pool is whole afterwards. */
      *run = (Run) { .cancel_at = -1, .cancel = 1, .n_threads = n };
      zie_threads_run (threads, 100, &run->cancel, count_item, run);
      g_assert_cmpint (run->n_run, ==, 0);
      run->cancel = 0;
      zie_threads_run (threads, 100, &run->cancel, count_item, run);
      g_assert_cmpint (run->n_run, ==, 100);
    }
  g_free (run);
}

typedef struct
{
  gint64 sum[4 * 16];             /* one cache line a thread, not atomic: each is written by its thread alone */
  const gint64 *values;
} Sum;

static void
add_item (gpointer data, gint64 item, guint thread)
{
  Sum *sum = data;

  sum->sum[thread * 16] += sum->values[item];
}

/* What a run wrote is seen by the caller, what the caller writes between runs is seen by the next one. */
static void
test_many_quick_runs (void)
{
  g_autoptr(ZieThreads) threads = zie_threads_new (4, FALSE);
  gint64 values[9];

  for (int i = 0; i < 20000; i++)
    {
      Sum sum = { .values = values };
      gint64 n = 1 + i % 9, total = 0, expected = 0;

      for (int j = 0; j < n; j++)
        expected += values[j] = i + j;
      zie_threads_run (threads, n, NULL, add_item, &sum);
      for (int t = 0; t < 4; t++)
        total += sum.sum[t * 16];
      g_assert_cmpint (total, ==, expected);
    }
}

static void
test_free_joins (void)
{
  Run *run = g_new (Run, 1);

  /* Freed at once, freed while its threads may still be on their way out of a run, and freed asleep. */
  for (int i = 0; i < 50; i++)
    {
      ZieThreads *threads = zie_threads_new (4, FALSE);

      *run = (Run) { .cancel_at = -1, .n_threads = 4 };
      if (i % 2)
        zie_threads_run (threads, 16, NULL, count_item, run);
      if (i % 10 == 9)
        g_usleep (500);
      zie_threads_free (threads);
      memset (run, 0, sizeof *run);      /* TSan and ASan see a thread that still runs */
    }
  g_free (run);
  zie_threads_free (NULL);
}

static void
note_priority (gpointer data, gint64 item, guint thread)
{
  int *nice_of_pool = data;

  if (thread > 0)
    g_atomic_int_set (nice_of_pool, getpriority (PRIO_PROCESS, (id_t)syscall (SYS_gettid)));
  else
    g_usleep (100);
}

static void
test_background_lowers_the_pool_only (void)
{
  g_autoptr(ZieThreads) threads = zie_threads_new (2, TRUE);
  int own = getpriority (PRIO_PROCESS, 0);
  int nice_of_pool = -100;

  for (int i = 0; i < 1000 && g_atomic_int_get (&nice_of_pool) == -100; i++)
    zie_threads_run (threads, 8, NULL, note_priority, &nice_of_pool);
  g_assert_cmpint (nice_of_pool, ==, MAX (own, 10));
  g_assert_cmpint (getpriority (PRIO_PROCESS, 0), ==, own);
}

/* A pool without work sleeps: its processor time must not grow with the clock. */
static void
test_idle_burns_nothing (void)
{
  g_autoptr(ZieThreads) threads = zie_threads_new (4, FALSE);
  Run *run = g_new0 (Run, 1);
  struct rusage before, after;
  gint64 used;

  run->n_threads = 4;
  run->cancel_at = -1;
  zie_threads_run (threads, 100, NULL, count_item, run);
  g_usleep (20000);
  getrusage (RUSAGE_SELF, &before);
  g_usleep (200000);
  getrusage (RUSAGE_SELF, &after);
  used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * G_USEC_PER_SEC
         + after.ru_utime.tv_usec - before.ru_utime.tv_usec;
  g_assert_cmpint (used, <, 20000);
  g_free (run);
}

static void
test_cpu_max (void)
{
  g_assert_cmpuint (zie_threads_parse_cpu_max ("max 100000\n"), ==, 0);
  g_assert_cmpuint (zie_threads_parse_cpu_max ("200000 100000\n"), ==, 2);
  g_assert_cmpuint (zie_threads_parse_cpu_max ("150000 100000\n"), ==, 2);
  g_assert_cmpuint (zie_threads_parse_cpu_max ("1000 100000\n"), ==, 1);
  g_assert_cmpuint (zie_threads_parse_cpu_max (""), ==, 0);
  g_assert_cmpuint (zie_threads_parse_cpu_max ("7"), ==, 0);
  g_assert_cmpuint (zie_threads_parse_cpu_max ("7 0"), ==, 0);
}

static void
test_count_cores (void)
{
  g_assert_cmpuint (zie_threads_count_cores (), >=, 1);
  g_assert_cmpuint (zie_threads_count_cores (), <=, g_get_num_processors ());
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/threads/every-item-once", test_every_item_once);
  g_test_add_func ("/threads/negative-count-runs-nothing", test_negative_count_runs_nothing);
  g_test_add_func ("/threads/cancel-stops", test_cancel_stops);
  g_test_add_func ("/threads/many-quick-runs", test_many_quick_runs);
  g_test_add_func ("/threads/free-joins", test_free_joins);
  g_test_add_func ("/threads/background-lowers-the-pool-only", test_background_lowers_the_pool_only);
  g_test_add_func ("/threads/idle-burns-nothing", test_idle_burns_nothing);
  g_test_add_func ("/threads/cpu-max", test_cpu_max);
  g_test_add_func ("/threads/count-cores", test_count_cores);
  return g_test_run ();
}
