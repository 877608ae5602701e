/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "cancel"

/* How long it takes until a job that is cancelled has ended:
 *
 *   cancel MODEL [--device cuda] [--width N] [--height N] [--rounds N]
 *
 * One job runs to its end, to know how long one takes; then ROUNDS jobs are each cancelled at another moment of that time,
 * evenly spread, so that every stage has its share.  Prints the distribution. */

#include <stdio.h>
#include <stdlib.h>

#include <zie/zie.h>

static char *device_name;
static int width, height, n_rounds = 100;

static const GOptionEntry entries[] = {
  { "device", 0, 0, G_OPTION_ARG_STRING, &device_name, "auto, cuda, cuda:N, cpu or ref", "DEVICE" },
  { "width", 0, 0, G_OPTION_ARG_INT, &width, "pixels", "N" },
  { "height", 0, 0, G_OPTION_ARG_INT, &height, "pixels", "N" },
  { "rounds", 0, 0, G_OPTION_ARG_INT, &n_rounds, "jobs that are cancelled", "N" },
  { 0 },
};

/* The stage that the job was in when it ended; TRUE: it was cancelled. */
static gboolean
wait_for_end (ZieEngine *engine, ZieStage *stage, GError **error)
{
  for (;;)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_STAGE)
        *stage = event->stage.stage;
      if (event->type == ZIE_EVENT_STEP)
        *stage = ZIE_STAGE_SAMPLE;
      if (event->type != ZIE_EVENT_FINISHED)
        continue;
      if (event->finished.error == NULL)
        return FALSE;
      if (g_error_matches (event->finished.error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
        return TRUE;
      g_propagate_error (error, g_error_copy (event->finished.error));
      return FALSE;
    }
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static gboolean
run (const char *path, GError **error)
{
  ZieEngineOptions options = { .backend = ZIE_BACKEND_AUTO };
  g_autoptr(ZieModel) model = zie_model_open (path, error);
  g_autoptr(ZieEngine) engine = NULL;
  g_auto(ZieRequest) request = { 0 };
  g_autofree double *ms = g_new (double, (gsize)n_rounds);
  guint in_stage[ZIE_N_STAGES] = { 0 };
  double whole = 0;
  int n = 0;

  if (model == NULL || (device_name != NULL && !zie_device_from_name (device_name, &options.backend, &options.device_index))
      || !(engine = zie_engine_new (&options, error)))
    return FALSE;
  zie_request_init (&request);
  zie_model_init_request (model, &request);
  request.width = width > 0 ? width : request.width;
  request.height = height > 0 ? height : request.height;

  for (int i = -2; i < n_rounds; i++)            /* two to warm up, the second of them timed */
    {
      gint64 start = g_get_monotonic_time (), cancelled;
      g_autoptr(ZieJob) job = NULL;
      GError *local = NULL;
      ZieStage stage = ZIE_STAGE_TEXT;

      g_free (request.prompt);
      request.prompt = g_strdup_printf ("a lighthouse in the snow, number %d", i);
      if (!(job = zie_engine_submit (engine, model, &request, NULL, error)))
        return FALSE;
      if (i >= 0)
        {
          g_usleep ((gulong)(whole * i / n_rounds * 1e6));
          zie_job_cancel (job);
        }
      cancelled = g_get_monotonic_time ();
      if (wait_for_end (engine, &stage, &local))
        {
          ms[n++] = (double)(g_get_monotonic_time () - cancelled) / 1e3;
          in_stage[stage]++;
        }
      else if (local != NULL)
        {
          g_propagate_error (error, local);
          return FALSE;
        }
      whole = i < 0 ? (double)(g_get_monotonic_time () - start) / 1e6 : whole;
    }

  qsort (ms, (gsize)n, sizeof *ms, compare);
  printf ("%d x %d, a job takes %.0f ms; %d cancelled, from cancel to the end: median %.1f ms, p90 %.1f, p99 %.1f, max %.1f\n",
          request.width, request.height, whole * 1e3, n, ms[n / 2], ms[n * 9 / 10], ms[n * 99 / 100], ms[n - 1]);
  for (int i = 0; i < ZIE_N_STAGES; i++)
    printf ("  in stage %s: %u\n", zie_stage_name ((ZieStage)i), in_stage[i]);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new ("MODEL");
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 2 || n_rounds < 1)
    {
      fprintf (stderr, "cancel: %s\n", error ? error->message : "expected MODEL; see --help");
      return 2;
    }
  if (!run (argv[1], &error))
    {
      fprintf (stderr, "cancel: %s\n", error->message);
      return 1;
    }
  return 0;
}
