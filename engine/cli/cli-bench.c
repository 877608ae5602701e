/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "cli-cancel.h"
#include "cli-i18n.h"
#include "cli-json.h"
#include "cli-options.h"

#define DEFAULT_RUNS 5
#define DEFAULT_WARM_UP 1
#define MAX_RUNS 1000
#define MAX_OPS 256
#define MIN_SHARE 0.001              /* of the time: ops below are added up in the last line */
#define N_ROWS (ZIE_N_STAGES + 1)    /* the stages, then the whole job */

typedef struct
{
  int n_runs, n_warm_up;
  double open_seconds, start_seconds;    /* of the model, of the engine */
  double *seconds[N_ROWS];               /* owned; of each run */
  double flops[N_ROWS];
  guint64 arena_peak, ram_peak;
  ZieProfileRow ops[MAX_OPS];            /* of one more picture, on a device that times each op */
  guint n_ops;
} Bench;

static void
bench_clear (Bench *self)
{
  for (int i = 0; i < N_ROWS; i++)
    g_clear_pointer (&self->seconds[i], g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bench, bench_clear)

static double
seconds_since (gint64 start_us)
{
  return (double)(g_get_monotonic_time () - start_us) / G_USEC_PER_SEC;
}

static int
compare_doubles (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static double
median (const double *sorted, int n)
{
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

/* Runs REQUEST once; RUN < 0: warming up, nothing is kept.  Each run's prompt ends in another number of as many ids,
 * so that no run finds its embeddings in the engine's cache. */
static gboolean
run_once (Bench *self, ZieEngine *engine, ZieModel *model, const ZieRequest *base, CliCancel *cancel, int run, GError **error)
{
  g_auto(ZieRequest) request;
  g_autoptr(ZieJob) job = NULL;

  zie_request_copy (&request, base);
  g_free (request.prompt);
  request.prompt = g_strdup_printf ("%s %04d", base->prompt, run + self->n_warm_up);
  if (!(job = zie_engine_submit (engine, model, &request, NULL, error)))
    return FALSE;
  cli_cancel_add_job (cancel, job);

  for (;;)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_IMAGE && run >= 0)
        for (int i = 0; i < ZIE_N_STAGES; i++)
          self->seconds[i][run] = event->image.stage_seconds[i];

      if (event->type != ZIE_EVENT_FINISHED)
        continue;

      if (run >= 0)
        self->seconds[ZIE_N_STAGES][run] = event->finished.seconds;
      self->arena_peak = MAX (self->arena_peak, event->finished.arena_peak);
      self->ram_peak = MAX (self->ram_peak, event->finished.ram_peak);
      if (event->finished.error == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&event->finished.error));
      return FALSE;
    }
}

static gboolean
run_all (Bench *self, ZieEngine *engine, ZieModel *model, const ZieRequest *request, CliCancel *cancel, GError **error)
{
  g_autoptr(ZiePlan) plan = NULL;
  ZieDevice device;

  zie_engine_get_device (engine, &device);
  if (!zie_request_validate (request, model, error)
      || !(plan = zie_plan_new (model, &device, request, &(ZieBudget) { 0, 0 }, error)))
    return FALSE;

  for (int i = 0; i < N_ROWS; i++)
    {
      self->seconds[i] = g_new0 (double, (gsize)self->n_runs);
      if (i < ZIE_N_STAGES)
        self->flops[ZIE_N_STAGES] += self->flops[i] = zie_plan_get_stage (plan, i)->flops;
    }

  for (int run = -self->n_warm_up; run < self->n_runs; run++)
    if (!run_once (self, engine, model, request, cancel, run, error))
      return FALSE;

  /* The ops in one picture of its own: taking each one's time costs some. */
  zie_engine_profile (engine, TRUE, self->ops, MAX_OPS);
  if (!run_once (self, engine, model, request, cancel, -1, error))
    return FALSE;
  self->n_ops = zie_engine_profile (engine, FALSE, self->ops, MAX_OPS);

  for (int i = 0; i < N_ROWS; i++)
    qsort (self->seconds[i], (gsize)self->n_runs, sizeof (double), compare_doubles);
  return TRUE;
}

static const char *
row_name (int row)
{
  return row < ZIE_N_STAGES ? zie_stage_name (row) : "job";
}

static double
gflops (const Bench *self, int row)
{
  double seconds = median (self->seconds[row], self->n_runs);

  return seconds > 0 ? self->flops[row] / seconds / 1e9 : 0;
}

/* The least time the card could take for what ROW does: its arithmetic or its bytes, whichever is longer. */
static double
limit_seconds (const ZieProfileRow *row, const ZieDevice *device)
{
  double compute = device->flops_bf16 > 0 ? row->flops / device->flops_bf16 : 0;
  double memory = device->bytes_per_second > 0 ? row->bytes / device->bytes_per_second : 0;

  return MAX (compute, memory);
}

static void
print_ops (const Bench *self, const ZieDevice *device)
{
  double total = 0, rest = 0;

  if (self->n_ops == 0)
    return;
  for (guint i = 0; i < self->n_ops; i++)
    total += self->ops[i].seconds;

  g_print ("\n%-20s %9s %7s %6s %6s %9s %8s %8s %8s %6s %8s\n", _("op"), "m", "n", "k", _("times"), _("ms"), _("share"), "TFLOP/s", "GB/s",
           _("limit"), "cuDNN");
  for (guint i = 0; i < self->n_ops; i++)
    {
      const ZieProfileRow *row = &self->ops[i];
      char yardstick[16] = "";

      if (row->seconds < MIN_SHARE * total)
        {
          rest += row->seconds;
          continue;
        }
      if (row->yardstick_seconds > 0)
        g_snprintf (yardstick, sizeof yardstick, "%.1f", row->flops / row->yardstick_seconds / 1e12);
      g_print ("%-20s %9" G_GINT64_FORMAT " %7" G_GINT64_FORMAT " %6" G_GINT64_FORMAT " %6u %9.3f %7.1f%% %8.1f %8.0f %5.0f%% %8s\n", row->op,
               row->m, row->n, row->k, row->count, row->seconds * 1e3, 100 * row->seconds / total, row->flops / row->seconds / 1e12,
               row->bytes / row->seconds / 1e9, 100 * limit_seconds (row, device) / row->seconds, yardstick);
    }
  g_print (_("all others %.3f ms, all together %.3f ms on the device\n"), rest * 1e3, total * 1e3);
}

static void
print_json (const Bench *self, const ZieModelInfo *info, const ZieDevice *device, const ZieRequest *request)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "model", info->name);
  cli_json_string (&json, "backend", zie_backend_kind_name (device->kind));
  cli_json_string (&json, "device", device->name);
  cli_json_uint (&json, "threads", device->n_threads);
  cli_json_string (&json, "dtype", zie_compute_name (request->compute));
  cli_json_int (&json, "width", request->width);
  cli_json_int (&json, "height", request->height);
  cli_json_int (&json, "steps", request->n_steps);
  cli_json_int (&json, "runs", self->n_runs);
  cli_json_double (&json, "open_ms", self->open_seconds * 1e3);
  cli_json_double (&json, "start_ms", self->start_seconds * 1e3);
  cli_json_uint (&json, "arena_peak", self->arena_peak);
  cli_json_uint (&json, "ram_peak", self->ram_peak);
  for (int i = 0; i < N_ROWS; i++)
    {
      cli_json_open (&json, row_name (i), '{');
      cli_json_double (&json, "median_ms", median (self->seconds[i], self->n_runs) * 1e3);
      cli_json_double (&json, "min_ms", self->seconds[i][0] * 1e3);
      cli_json_double (&json, "max_ms", self->seconds[i][self->n_runs - 1] * 1e3);
      cli_json_double (&json, "gflop", self->flops[i] / 1e9);
      cli_json_double (&json, "gflops", gflops (self, i));
      cli_json_close (&json, '}');
    }
  if (self->n_ops > 0)
    {
      cli_json_open (&json, "ops", '[');
      for (guint i = 0; i < self->n_ops; i++)
        {
          const ZieProfileRow *row = &self->ops[i];

          cli_json_open (&json, NULL, '{');
          cli_json_string (&json, "op", row->op);
          cli_json_int (&json, "m", row->m);
          cli_json_int (&json, "n", row->n);
          cli_json_int (&json, "k", row->k);
          cli_json_uint (&json, "times", row->count);
          cli_json_double (&json, "ms", row->seconds * 1e3);
          cli_json_double (&json, "tflops", row->flops / row->seconds / 1e12);
          cli_json_double (&json, "gb_per_second", row->bytes / row->seconds / 1e9);
          cli_json_double (&json, "of_limit", limit_seconds (row, device) / row->seconds);
          if (row->yardstick_seconds > 0)
            cli_json_double (&json, "cudnn_tflops", row->flops / row->yardstick_seconds / 1e12);
          cli_json_close (&json, '}');
        }
      cli_json_close (&json, ']');
    }
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

static void
print_text (const Bench *self, const ZieModelInfo *info, const ZieDevice *device, const ZieRequest *request)
{
  g_autofree char *arena = cli_format_size (self->arena_peak);

  g_print (_("%s, %d × %d, %d steps, on %s\n"), info->name, request->width, request->height, request->n_steps, device->name);
  g_print (_("model opened in %.1f ms, engine started in %.1f ms, working memory %s\n\n"), self->open_seconds * 1e3,
           self->start_seconds * 1e3, arena);
  g_print ("%-8s %10s %10s %10s %10s\n", _("stage"), _("median ms"), _("min ms"), "GFLOP", "GFLOP/s");
  for (int i = 0; i < N_ROWS; i++)
    g_print ("%-8s %10.2f %10.2f %10.2f %10.1f\n", row_name (i), median (self->seconds[i], self->n_runs) * 1e3,
             self->seconds[i][0] * 1e3, self->flops[i] / 1e9, gflops (self, i));
  print_ops (self, device);
}

static gboolean
bench (Bench *self, const CliRequestOptions *options, const char *prompt, gboolean is_json, GError **error)
{
  CliCancel *cancel = cli_cancel_start ();
  g_autoptr(ZieModel) model = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  g_auto(ZieRequest) request;
  ZieEngineOptions engine_options;
  ZieDevice device;
  gint64 start_us;

  zie_request_init (&request);
  if (!cli_request_options_get_engine (options, &engine_options, error))
    return FALSE;

  start_us = g_get_monotonic_time ();
  if (!(model = cli_model_options_open (&options->model, error)))
    return FALSE;
  self->open_seconds = seconds_since (start_us);

  if (!cli_request_options_apply (options, model, &request, error))
    return FALSE;
  g_free (request.prompt);
  request.prompt = g_strdup (prompt);
  request.n_images = 1;
  if (options->seed == NULL)
    request.seed = 42;

  start_us = g_get_monotonic_time ();
  if (!(engine = zie_engine_new (&engine_options, error)))
    return FALSE;
  self->start_seconds = seconds_since (start_us);

  if (!run_all (self, engine, model, &request, cancel, error))
    return FALSE;

  zie_engine_get_device (engine, &device);
  if (is_json)
    print_json (self, zie_model_get_info (model), &device, &request);
  else
    print_text (self, zie_model_get_info (model), &device, &request);
  return TRUE;
}

int
cli_bench (int argc, char **argv)
{
  g_auto(Bench) self = { .n_runs = DEFAULT_RUNS, .n_warm_up = DEFAULT_WARM_UP };
  g_auto(CliRequestOptions) options = { 0 };
  g_autofree char *prompt = NULL;
  g_autofree char *runs = NULL;
  g_autofree char *warm_up = NULL;
  g_auto(GStrv) rest = NULL;
  gboolean is_json = FALSE;
  const GOptionEntry entries[] = {
    { "prompt", 'p', 0, G_OPTION_ARG_FILENAME, &prompt, N_("what to paint (default: a sentence about an apple)"), N_("TEXT") },
    { "runs", 'r', 0, G_OPTION_ARG_FILENAME, &runs, N_("pictures that are timed (default: 5)"), "N" },
    { "warm-up", 0, 0, G_OPTION_ARG_FILENAME, &warm_up, N_("pictures before them (default: 1)"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &is_json, N_("one JSON object"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &rest, NULL, NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new (NULL);
  GError *error = NULL;

  g_option_context_set_summary (context, _("Times each stage over several pictures; nothing is saved."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  cli_request_options_add (&options, context);
  if (!cli_parse (context, argc, argv, &error) || !cli_check_count (rest, 0, 0, NULL, &error)
      || (runs != NULL && !cli_parse_int ("runs", runs, 1, MAX_RUNS, &self.n_runs, &error))
      || (warm_up != NULL && !cli_parse_int ("warm-up", warm_up, 0, MAX_RUNS, &self.n_warm_up, &error))
      || !bench (&self, &options, prompt != NULL ? prompt : "a red apple on a blue background", is_json, &error))
    return cli_fail (error);

  return CLI_OK;
}
