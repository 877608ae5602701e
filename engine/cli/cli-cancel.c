/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-cancel.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "cli.h"

struct _CliCancel
{
  sigset_t signals;
  GMutex lock;               /* of what follows */
  GPtrArray *jobs;           /* owned references */
  gboolean is_set, exits;
};

void
cli_cancel_all (CliCancel *self)
{
  g_mutex_lock (&self->lock);
  self->is_set = TRUE;
  for (guint i = 0; i < self->jobs->len; i++)
    zie_job_cancel (self->jobs->pdata[i]);
  g_mutex_unlock (&self->lock);
}

void
cli_cancel_set_exits (CliCancel *self, gboolean exits)
{
  g_mutex_lock (&self->lock);
  self->exits = exits;
  g_mutex_unlock (&self->lock);
}

static gboolean
exits_now (CliCancel *self)
{
  gboolean exits;

  g_mutex_lock (&self->lock);
  exits = self->exits;
  g_mutex_unlock (&self->lock);
  return exits;
}

/* An ordinary thread that waits for signals may do what a signal handler may not. */
static gpointer
wait_for_signals (gpointer data)
{
  CliCancel *self = data;
  int number;

  while (sigwait (&self->signals, &number) != 0)
    ;
  if (exits_now (self))
    _exit (CLI_CANCELLED);
  cli_cancel_all (self);

  while (sigwait (&self->signals, &number) != 0)
    ;
  _exit (CLI_CANCELLED);
}

CliCancel *
cli_cancel_start (void)
{
  static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
  CliCancel *self = g_new0 (CliCancel, 1);

  g_mutex_init (&self->lock);
  self->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify)zie_job_unref);

  /* Who started us with a signal ignored (nohup, a shell's background job) wants it ignored. */
  sigemptyset (&self->signals);
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      struct sigaction action;

      if (sigaction (numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset (&self->signals, numbers[i]);
    }

  pthread_sigmask (SIG_BLOCK, &self->signals, NULL);
  g_thread_unref (g_thread_new ("signals", wait_for_signals, self));
  return self;
}

void
cli_cancel_add_job (CliCancel *self, ZieJob *job)
{
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->jobs, zie_job_ref (job));
  if (self->is_set)
    zie_job_cancel (job);
  g_mutex_unlock (&self->lock);
}

gboolean
cli_cancel_is_set (CliCancel *self)
{
  gboolean is_set;

  g_mutex_lock (&self->lock);
  is_set = self->is_set;
  g_mutex_unlock (&self->lock);
  return is_set;
}
