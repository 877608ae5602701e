/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-report.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "cli-i18n.h"
#include "cli-json.h"
#include "cli-progress.h"

void
cli_report_init (CliReport *self, gboolean is_json, gboolean is_verbose)
{
  *self = (CliReport) { .is_json = is_json, .is_verbose = is_verbose, .start_us = g_get_monotonic_time () };
  self->files = g_ptr_array_new_with_free_func (g_free);
}

void
cli_report_clear (CliReport *self)
{
  g_clear_pointer (&self->files, g_ptr_array_unref);
}

void
cli_report_warning (CliReport *self, const char *message)
{
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_warn (message);
  if (!self->is_json)
    return;

  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "event", "warning");
  cli_json_string (&json, "message", message);
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

static void
add_stage_seconds (CliJson *json, const double seconds[ZIE_N_STAGES])
{
  cli_json_open (json, "stage_seconds", '{');
  for (int i = 0; i < ZIE_N_STAGES; i++)
    cli_json_double (json, zie_stage_name (i), seconds[i]);
  cli_json_close (json, '}');
}

static void
add_error (CliJson *json, const GError *error)
{
  cli_json_open (json, "error", '{');
  cli_json_string (json, "code", cli_error_name (error));
  cli_json_string (json, "message", error->message);
  cli_json_close (json, '}');
}

static const char *
status_name (const GError *error)
{
  if (error == NULL)
    return "done";

  return cli_status_of (error) == CLI_CANCELLED ? "cancelled" : "failed";
}

static void
add_image (CliJson *json, const ZieImage *image, const char *file)
{
  cli_json_int (json, "width", zie_image_get_width (image));
  cli_json_int (json, "height", zie_image_get_height (image));
  if (file != NULL)
    cli_json_string (json, "file", file);
}

static void
add_fields (CliJson *json, const ZieEvent *event, const char *file)
{
  switch (event->type)
    {
    case ZIE_EVENT_STARTED:
      break;
    case ZIE_EVENT_STAGE:
      cli_json_string (json, "stage", zie_stage_name (event->stage.stage));
      cli_json_double (json, "fraction", event->stage.fraction);
      if (event->stage.n_layers > 0)
        {
          cli_json_int (json, "layer", event->stage.layer);
          cli_json_int (json, "layers", event->stage.n_layers);
        }
      break;
    case ZIE_EVENT_STEP:
      cli_json_int (json, "step", event->step.index);
      cli_json_int (json, "steps", event->step.total);
      cli_json_double (json, "seconds", event->step.seconds);
      cli_json_double (json, "seconds_left", event->step.seconds_left);
      cli_json_uint (json, "ram_used", event->step.ram_used);
      cli_json_uint (json, "vram_used", event->step.vram_used);
      break;
    case ZIE_EVENT_PREVIEW:
      cli_json_int (json, "step", event->preview.step);
      add_image (json, event->preview.image, file);
      break;
    case ZIE_EVENT_TILE:
      cli_json_int (json, "tile", event->tile.index);
      cli_json_int (json, "tiles", event->tile.total);
      cli_json_int (json, "x", event->tile.x);
      cli_json_int (json, "y", event->tile.y);
      add_image (json, event->tile.image, file);
      break;
    case ZIE_EVENT_IMAGE:
      cli_json_uint (json, "seed", event->image.seed);
      add_image (json, event->image.image, file);
      add_stage_seconds (json, event->image.stage_seconds);
      break;
    case ZIE_EVENT_PLAN:
      cli_json_string (json, "reason", event->plan.reason);
      cli_json_uint (json, "vram_peak", zie_plan_get_vram_peak (event->plan.plan));
      cli_json_uint (json, "ram_peak", zie_plan_get_ram_peak (event->plan.plan));
      cli_json_double (json, "seconds", zie_plan_get_seconds (event->plan.plan));
      break;
    case ZIE_EVENT_REDO:
      cli_json_string (json, "stage", zie_stage_name (event->redo.stage));
      cli_json_string (json, "reason", event->redo.reason);
      break;
    case ZIE_EVENT_FINISHED:
      cli_json_string (json, "status", status_name (event->finished.error));
      if (event->finished.error != NULL)
        add_error (json, event->finished.error);
      cli_json_double (json, "seconds", event->finished.seconds);
      cli_json_uint (json, "arena_peak", event->finished.arena_peak);
      cli_json_uint (json, "ram_peak", event->finished.ram_peak);
      break;
    }
}

static void
print_event (CliReport *self, const ZieEvent *event, guint index, const char *file)
{
  static const char *const names[] = {
    [ZIE_EVENT_STARTED] = "started",
    [ZIE_EVENT_STAGE] = "stage",
    [ZIE_EVENT_STEP] = "step",
    [ZIE_EVENT_PREVIEW] = "preview",
    [ZIE_EVENT_TILE] = "tile",
    [ZIE_EVENT_IMAGE] = "image",
    [ZIE_EVENT_PLAN] = "plan",
    [ZIE_EVENT_REDO] = "redo",
    [ZIE_EVENT_FINISHED] = "finished",
  };
  g_auto(CliJson) json;

  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "event", names[event->type]);
  cli_json_uint (&json, "job", event->job_id);
  cli_json_double (&json, "time", (double)(event->time_us - self->start_us) / G_USEC_PER_SEC);
  if (event->type != ZIE_EVENT_STARTED && event->type != ZIE_EVENT_PLAN && event->type != ZIE_EVENT_FINISHED)
    cli_json_uint (&json, "image", index);
  add_fields (&json, event, file);
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

static void
log_memory (const ZieEvent *event)
{
  g_autofree char *ram = NULL;
  g_autofree char *vram = NULL;

  if (event->type == ZIE_EVENT_STEP)
    {
      ram = cli_format_size (event->step.ram_used);
      vram = cli_format_size (event->step.vram_used);
      g_printerr (_("step %d of %d: %.3f s, memory %s, graphics memory %s\n"), event->step.index, event->step.total,
                  event->step.seconds, ram, vram);
    }
  else if (event->type == ZIE_EVENT_FINISHED)
    {
      g_autofree char *arena = cli_format_size (event->finished.arena_peak);

      ram = cli_format_size (event->finished.ram_peak);
      g_printerr (_("job %" PRIu64 ": %.3f s, working memory %s, the process at most %s\n"), event->job_id,
                  event->finished.seconds, arena, ram);
    }
}

/* What went otherwise than planned, in a line. */
static void
print_change (const ZieEvent *event, guint index)
{
  g_autofree char *size = NULL, *text = NULL;

  if (event->type == ZIE_EVENT_PLAN && event->plan.is_host)
    {
      size = cli_format_size (zie_plan_get_ram_peak (event->plan.plan));
      text = g_strdup_printf (_("this machine has less memory free than was planned for: %s of it are planned for now"), size);
    }
  else if (event->type == ZIE_EVENT_PLAN)
    {
      size = cli_format_size (zie_plan_get_vram_peak (event->plan.plan));
      text = g_strdup_printf (_("the card has less memory free than was planned for: %s of it are planned for now"), size);
    }
  else if (event->type == ZIE_EVENT_REDO)
    text = g_strdup_printf (_("picture %u, “%s”: numbers broke in bf16, the CPU computes this again in f32 (%s)"), index + 1,
                            cli_progress_stage_words (event->redo.stage), event->redo.reason);
  if (text != NULL)
    cli_warn (text);
}

/* Every picture carries the time of the stages that its job's pictures share; it counts once. */
static void
add_stage_sums (CliReport *self, const ZieEvent *event)
{
  for (int i = 0; i < ZIE_N_STAGES; i++)
    if (event->image_index == 0 || i >= ZIE_STAGE_SAMPLE)
      self->stage_seconds[i] += event->image.stage_seconds[i];
}

void
cli_report_event (CliReport *self, const ZieEvent *event, guint index, const char *file)
{
  if (event->type == ZIE_EVENT_STEP)
    self->vram_peak = MAX (self->vram_peak, event->step.vram_used);
  if (event->type == ZIE_EVENT_FINISHED)
    {
      self->arena_peak = MAX (self->arena_peak, event->finished.arena_peak);
      self->ram_peak = MAX (self->ram_peak, event->finished.ram_peak);
    }
  if (event->type == ZIE_EVENT_IMAGE && file != NULL)
    {
      self->n_saved++;
      g_ptr_array_add (self->files, g_strdup (file));
      add_stage_sums (self, event);
    }

  if (self->is_verbose)
    log_memory (event);
  if (!self->is_json)
    print_change (event, index);
  if (self->is_json)
    print_event (self, event, index, file);
  else if (event->type == ZIE_EVENT_IMAGE && file != NULL)
    {
      puts (file);
      fflush (stdout);
    }
}

static void
print_result (const CliReport *self, ZieModel *model, ZieEngine *engine, const GError *error, double seconds)
{
  ZieMemoryUse use = { 0 };
  g_auto(CliJson) json;

  zie_query_memory (&use);
  cli_json_init (&json);
  cli_json_open (&json, NULL, '{');
  cli_json_string (&json, "event", "result");
  cli_json_string (&json, "status", status_name (error));
  if (error != NULL)
    add_error (&json, error);

  cli_json_open (&json, "files", '[');
  for (guint i = 0; i < self->files->len; i++)
    cli_json_string (&json, NULL, self->files->pdata[i]);
  cli_json_close (&json, ']');

  if (model != NULL)
    cli_json_string (&json, "model", zie_model_get_info (model)->name);
  if (engine != NULL)
    {
      ZieDevice device;

      zie_engine_get_device (engine, &device);
      cli_json_string (&json, "backend", zie_backend_kind_name (device.kind));
      cli_json_string (&json, "device", device.name);
    }

  cli_json_double (&json, "seconds", seconds);
  add_stage_seconds (&json, self->stage_seconds);
  cli_json_open (&json, "peak_memory", '{');
  cli_json_uint (&json, "arena", self->arena_peak);
  cli_json_uint (&json, "ram", self->ram_peak);
  cli_json_uint (&json, "vram", self->vram_peak);
  cli_json_uint (&json, "process", use.process_peak);
  cli_json_close (&json, '}');
  cli_json_close (&json, '}');
  cli_json_print (&json);
}

static void
print_summary (const CliReport *self, double seconds)
{
  g_autofree char *ram = cli_format_size (self->ram_peak);

  g_printerr (ngettext ("%u picture in %.2f s", "%u pictures in %.2f s", self->n_saved), self->n_saved, seconds);
  g_printerr (_(" (prompt %.2f s, steps %.2f s, decoding %.2f s; memory %s)\n"),
              self->stage_seconds[ZIE_STAGE_TEXT] + self->stage_seconds[ZIE_STAGE_REFINE],
              self->stage_seconds[ZIE_STAGE_SAMPLE], self->stage_seconds[ZIE_STAGE_DECODE], ram);
}

void
cli_report_result (CliReport *self, ZieModel *model, ZieEngine *engine, const GError *error)
{
  double seconds = (double)(g_get_monotonic_time () - self->start_us) / G_USEC_PER_SEC;

  if (self->is_json)
    print_result (self, model, engine, error, seconds);
  else if (error == NULL)
    print_summary (self, seconds);
}
