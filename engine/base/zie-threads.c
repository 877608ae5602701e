/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-threads.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long a thread with nothing to do looks for work before it sleeps: the time between two ops of a network is a few
 * microseconds, waking a sleeper costs about as much as this. */
#define SPIN_US 40

#define N_THREADS_MAX 1024

/* ZieThreads.state: how many pool threads are inside the current run, and two flags. */
#define STATE_ACTIVE 0xffffu
#define STATE_OPEN 0x10000u       /* pool threads may enter */
#define STATE_WAITED 0x20000u     /* the caller sleeps until nobody is inside */

/* The caller publishes a run (func … n_items), opens STATE and works; pool threads that see it in time enter by adding
 * themselves to STATE, and leave by taking themselves off.  When the items are gone the caller closes STATE and waits for
 * those inside only: a pool thread that the system wakes late finds the door closed and delays nobody.  The fields of
 * a run are written while STATE is 0, so nobody reads them then. */
struct _ZieThreads
{
  guint n;                        /* the caller included */
  gboolean is_background;
  GThread **threads;              /* owned, [n - 1] */

  ZieThreadsFunc func;
  gpointer data;                  /* borrowed, as CANCEL */
  const gint *cancel;
  gint64 n_items;

  _Atomic gint64 next_item;
  atomic_uint state;
  atomic_uint run;                /* counts runs; pool threads sleep on it */
  atomic_uint n_sleeping;
  atomic_bool quit;
};

typedef struct
{
  ZieThreads *self;               /* borrowed */
  guint index;
} Worker;

static void
futex_wait (atomic_uint *word, guint expected)
{
  syscall (SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void
futex_wake (atomic_uint *word, int n)
{
  syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void
relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#elif defined(__aarch64__)
  __asm__ volatile ("yield");
#endif
}

/* Looks at WORD until it differs from EXPECTED or SPIN_US have passed. */
static guint
spin_while (atomic_uint *word, guint expected)
{
  gint64 end = g_get_monotonic_time () + SPIN_US;
  guint value;

  do
    for (int i = 0; i < 32; i++)
      {
        if ((value = atomic_load_explicit (word, memory_order_acquire)) != expected)
          return value;
        relax ();
      }
  while (g_get_monotonic_time () < end);

  return expected;
}

static void
work (ZieThreads *self, guint thread)
{
  gint64 item;

  while (self->cancel == NULL || g_atomic_int_get (self->cancel) == 0)
    {
      item = atomic_fetch_add_explicit (&self->next_item, 1, memory_order_relaxed);
      if (item >= self->n_items)
        break;
      self->func (self->data, item, thread);
    }
}

static gboolean
enter (ZieThreads *self)
{
  guint state = atomic_load_explicit (&self->state, memory_order_relaxed);

  while (state & STATE_OPEN)
    if (atomic_compare_exchange_weak_explicit (&self->state, &state, state + 1, memory_order_acquire, memory_order_relaxed))
      return TRUE;
  return FALSE;
}

static void
leave (ZieThreads *self)
{
  guint state = atomic_fetch_sub_explicit (&self->state, 1, memory_order_release) - 1;

  if ((state & STATE_ACTIVE) == 0 && (state & STATE_WAITED))
    futex_wake (&self->state, 1);
}

/* Waits for a run other than SEEN and returns its number. */
static guint
wait_for_run (ZieThreads *self, guint seen)
{
  guint run = spin_while (&self->run, seen);

  if (run == seen)
    {
      /* Either the caller sees this sleeper, or the kernel sees the caller's new number: both are sequentially
       * consistent, so a wake-up cannot fall between. */
      atomic_fetch_add (&self->n_sleeping, 1);
      while ((run = atomic_load (&self->run)) == seen)
        futex_wait (&self->run, seen);
      atomic_fetch_sub (&self->n_sleeping, 1);
    }
  return run;
}

static gpointer
worker_main (gpointer data)
{
  g_autofree Worker *worker = data;
  ZieThreads *self = worker->self;
  guint seen = 0;

  if (self->is_background && setpriority (PRIO_PROCESS, (id_t)syscall (SYS_gettid), 10) != 0)
    g_debug ("pool thread %u keeps its priority: %s", worker->index, g_strerror (errno));

  for (;;)
    {
      seen = wait_for_run (self, seen);
      if (atomic_load_explicit (&self->quit, memory_order_acquire))
        return NULL;

      if (enter (self))
        {
          work (self, worker->index);
          leave (self);
        }
    }
}

/* The first CPU of the list of siblings that share CPU's core, or CPU itself where the system does not say. */
static guint
core_of_cpu (guint cpu)
{
  g_autofree char *path = g_strdup_printf ("/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
  g_autofree char *text = NULL;
  char *end;
  guint64 first;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return cpu;
  first = g_ascii_strtoull (text, &end, 10);
  return end != text && first <= cpu ? (guint)first : cpu;
}

/* Cores that the affinity mask of this process touches; two hardware threads of a core count once, since products
 * keep a core's units busy by themselves. */
static guint
count_allowed_cores (void)
{
  g_autoptr(GHashTable) cores = g_hash_table_new (NULL, NULL);

  /* The kernel refuses a set smaller than its own: grow until it fits. */
  for (guint n_cpus = CPU_SETSIZE; n_cpus <= 1u << 20; n_cpus *= 2)
    {
      gsize size = CPU_ALLOC_SIZE (n_cpus);
      cpu_set_t *set = CPU_ALLOC (n_cpus);
      gboolean fits = set != NULL && sched_getaffinity (0, size, set) == 0;

      for (guint cpu = 0; fits && cpu < n_cpus; cpu++)
        if (CPU_ISSET_S (cpu, size, set))
          g_hash_table_add (cores, GUINT_TO_POINTER (core_of_cpu (cpu) + 1));
      CPU_FREE (set);
      if (fits)
        return MAX (g_hash_table_size (cores), 1);
      if (errno != EINVAL)
        break;
    }
  return g_get_num_processors ();
}

guint
zie_threads_parse_cpu_max (const char *text)
{
  char *end;
  guint64 quota, period;

  quota = g_ascii_strtoull (text, &end, 10);
  if (end == text || *end != ' ' || quota == 0)
    return 0;                     /* "max 100000" */
  text = end;
  period = g_ascii_strtoull (text, &end, 10);
  if (end == text || period == 0)
    return 0;
  return (guint)CLAMP ((quota + period - 1) / period, 1, G_MAXINT);
}

/* The smallest quota of this process's control group (version 2) and those above it; 0 = none. */
static guint
read_cpu_quota (void)
{
  g_autofree char *groups = NULL;
  g_autofree char *dir = NULL;
  guint quota = 0;
  char *own, *slash;

  if (!g_file_get_contents ("/proc/self/cgroup", &groups, NULL, NULL))
    return 0;
  own = g_str_has_prefix (groups, "0::/") ? groups : strstr (groups, "\n0::/");
  if (own == NULL)
    return 0;
  own = strchr (own, '/');
  own[strcspn (own, "\n")] = '\0';

  dir = g_strconcat ("/sys/fs/cgroup", g_str_equal (own, "/") ? "" : own, NULL);
  while (strlen (dir) >= strlen ("/sys/fs/cgroup"))
    {
      g_autofree char *path = g_strconcat (dir, "/cpu.max", NULL);
      g_autofree char *text = NULL;
      guint here = g_file_get_contents (path, &text, NULL, NULL) ? zie_threads_parse_cpu_max (text) : 0;

      if (here > 0 && (quota == 0 || here < quota))
        quota = here;
      if ((slash = strrchr (dir, '/')) == NULL)
        break;
      *slash = '\0';
    }
  return quota;
}

guint
zie_threads_count_cores (void)
{
  static gsize cached;

  if (g_once_init_enter (&cached))
    {
      guint cores = count_allowed_cores ();
      guint quota = read_cpu_quota ();

      g_once_init_leave (&cached, quota > 0 ? MIN (cores, quota) : cores);
    }
  return (guint)cached;
}

ZieThreads *
zie_threads_new (guint n_threads, gboolean background)
{
  ZieThreads *self = g_new0 (ZieThreads, 1);
  guint wanted = MIN (n_threads > 0 ? n_threads : zie_threads_count_cores (), N_THREADS_MAX);

  self->is_background = background;
  self->threads = g_new0 (GThread *, wanted);
  for (self->n = 1; self->n < wanted; self->n++)
    {
      g_autoptr(GError) error = NULL;
      Worker *worker = g_new (Worker, 1);

      *worker = (Worker) { self, self->n };
      self->threads[self->n - 1] = g_thread_try_new ("zie-pool", worker_main, worker, &error);
      if (self->threads[self->n - 1] == NULL)
        {
          /* Fewer threads compute the same: slower, not wrong. */
          g_warning ("only %u of %u compute threads could be started: %s", self->n, wanted, error->message);
          g_free (worker);
          break;
        }
    }
  return self;
}

void
zie_threads_free (ZieThreads *self)
{
  if (self == NULL)
    return;

  g_assert (atomic_load (&self->state) == 0);
  atomic_store_explicit (&self->quit, TRUE, memory_order_release);
  atomic_fetch_add (&self->run, 1);
  futex_wake (&self->run, INT_MAX);
  for (guint i = 0; i + 1 < self->n; i++)
    g_thread_join (self->threads[i]);
  g_free (self->threads);
  g_free (self);
}

guint
zie_threads_get_n (const ZieThreads *self)
{
  return self->n;
}

static void
wait_until_left (ZieThreads *self)
{
  guint state = atomic_fetch_and_explicit (&self->state, ~STATE_OPEN, memory_order_acquire) & ~STATE_OPEN;

  /* Those inside leave one by one: look for a while at each count. */
  while (state & STATE_ACTIVE)
    {
      guint now = spin_while (&self->state, state);

      if (now == state && !(state & STATE_WAITED))
        now = atomic_fetch_or_explicit (&self->state, STATE_WAITED, memory_order_acquire) | STATE_WAITED;
      else if (now == state)
        {
          futex_wait (&self->state, state);
          now = atomic_load_explicit (&self->state, memory_order_acquire);
        }
      state = now;
    }
  atomic_store_explicit (&self->state, 0, memory_order_relaxed);
}

void
zie_threads_run (ZieThreads *self, gint64 n_items, const gint *cancel, ZieThreadsFunc func, gpointer data)
{
  guint n_helpers = (guint)MIN (n_items - 1, (gint64)self->n - 1);
  guint n_sleeping;

  if (n_items <= 0)
    return;

  /* A run inside a run would write these fields while others read them. */
  g_assert (atomic_load_explicit (&self->state, memory_order_relaxed) == 0);
  self->func = func;
  self->data = data;
  self->cancel = cancel;
  self->n_items = n_items;
  atomic_store_explicit (&self->next_item, 0, memory_order_relaxed);

  if (n_helpers == 0)
    {
      work (self, 0);
      return;
    }

  atomic_store_explicit (&self->state, STATE_OPEN, memory_order_release);
  atomic_fetch_add (&self->run, 1);
  if ((n_sleeping = atomic_load (&self->n_sleeping)) > 0)
    futex_wake (&self->run, (int)MIN (n_sleeping, n_helpers));
  work (self, 0);
  wait_until_left (self);
}
