/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include <zie/zie-report.h>

#include <string.h>

#include <zie/zie-error.h>
#include <zie/zie-event.h>
#include <zie/zie-model.h>
#include <zie/zie-request.h>

#include "zie-file.h"
#include "zie-plan-private.h"

/* Of one finished picture. */
typedef struct
{
  guint64 seed;
  double seconds[ZIE_N_STAGES];
  double *steps;             /* owned */
  guint n_steps, redone;
} Picture;

struct _ZieReport
{
  ZieModel *model;           /* owned, as the rest */
  ZieRequest request;
  ZiePlan *plan;             /* the one that the job came through with */
  GArray *pictures;          /* of Picture */
  GPtrArray *notes;          /* sentences: what did not go as planned */
  GDateTime *start;          /* NULL: it has not begun */
  gboolean is_finished;
  GError *error;
  double seconds;
  guint64 arena_peak, ram_peak, ram_locked, vram_peak, vram_free, bytes_loaded, bytes_streamed;
};

static void
clear_picture (gpointer data)
{
  g_free (((Picture *)data)->steps);
}

ZieReport *
zie_report_new (ZieModel *model, const ZieRequest *request, ZiePlan *plan)
{
  ZieReport *self;

  g_return_val_if_fail (model != NULL && request != NULL && plan != NULL, NULL);

  self = g_new0 (ZieReport, 1);
  self->model = zie_model_ref (model);
  zie_request_copy (&self->request, request);
  self->plan = zie_plan_ref (plan);
  self->pictures = g_array_new (FALSE, FALSE, sizeof (Picture));
  g_array_set_clear_func (self->pictures, clear_picture);
  self->notes = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
zie_report_free (ZieReport *self)
{
  if (self == NULL)
    return;

  zie_model_unref (self->model);
  zie_request_clear (&self->request);
  zie_plan_unref (self->plan);
  g_array_unref (self->pictures);
  g_ptr_array_unref (self->notes);
  g_clear_pointer (&self->start, g_date_time_unref);
  g_clear_error (&self->error);
  g_free (self);
}

static char *
size_text (guint64 size)
{
  return g_format_size_full (size, G_FORMAT_SIZE_IEC_UNITS);
}

static void
add_picture (ZieReport *self, const ZieEvent *event)
{
  Picture picture = { .seed = event->image.seed, .n_steps = event->image.n_steps,
                      .steps = g_memdup2 (event->image.step_seconds, event->image.n_steps * sizeof (double)),
                      .redone = event->image.recipe ? event->image.recipe->redone : 0 };

  memcpy (picture.seconds, event->image.stage_seconds, sizeof picture.seconds);
  g_array_append_val (self->pictures, picture);
}

/* The job goes on by another plan; what is made already is. */
static void
change_plan (ZieReport *self, const ZieEvent *event)
{
  gboolean is_host = event->plan.is_host;
  g_autofree char *from = size_text (is_host ? self->plan->ram_peak : self->plan->vram_peak);
  g_autofree char *to = size_text (is_host ? event->plan.plan->ram_peak : event->plan.plan->vram_peak);

  g_ptr_array_add (self->notes, g_strdup_printf ("stepped down from %s %s to %s: %s", from, is_host ? "of memory" : "on the card", to,
                                                 event->plan.reason));
  zie_plan_unref (self->plan);
  self->plan = zie_plan_ref (event->plan.plan);
}

void
zie_report_add_event (ZieReport *self, const ZieEvent *event)
{
  g_return_if_fail (self != NULL && event != NULL);

  switch (event->type)
    {
    case ZIE_EVENT_STARTED:
      g_clear_pointer (&self->start, g_date_time_unref);
      self->start = g_date_time_new_now_utc ();
      break;
    case ZIE_EVENT_IMAGE:
      add_picture (self, event);
      break;
    case ZIE_EVENT_PLAN:
      change_plan (self, event);
      break;
    case ZIE_EVENT_REDO:
      g_ptr_array_add (self->notes, g_strdup_printf ("picture %d: stage %s was computed again in f32 on the CPU: %s", event->image_index + 1,
                                                     zie_stage_name (event->redo.stage), event->redo.reason));
      break;
    case ZIE_EVENT_FINISHED:
      self->is_finished = TRUE;
      g_clear_error (&self->error);
      self->error = event->finished.error ? g_error_copy (event->finished.error) : NULL;
      self->seconds = event->finished.seconds;
      self->arena_peak = event->finished.arena_peak;
      self->ram_peak = event->finished.ram_peak;
      self->ram_locked = event->finished.ram_locked;
      self->vram_peak = event->finished.vram_peak;
      self->vram_free = event->finished.vram_free;
      self->bytes_loaded = event->finished.bytes_loaded;
      self->bytes_streamed = event->finished.bytes_streamed;
      break;
    case ZIE_EVENT_STAGE:
    case ZIE_EVENT_STEP:
    case ZIE_EVENT_PREVIEW:
    case ZIE_EVENT_TILE:
      break;
    }
}

/* --- text --- */

static void
append_model (const ZieReport *self, GString *s)
{
  const ZieModelInfo *info = zie_model_get_info (self->model);

  g_string_append_printf (s, "model      %s (%s)\n", info->name, info->form);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      const ZieModelPart *part = &info->parts[i];
      g_autofree char *size = size_text (part->n_bytes);

      g_string_append_printf (s, "           %s: %.1f million numbers, %s, %s as %s\n", part->name, (double)part->n_parameters / 1e6, size,
                              part->types, part->form);
    }
}

static void
append_device (const ZieReport *self, GString *s)
{
  const ZieDevice *d = &self->plan->device;
  double flops = self->plan->compute == ZIE_COMPUTE_BF16 && d->flops_bf16 > 0 ? d->flops_bf16 : d->flops_f32;
  g_autofree char *total = size_text (d->memory_total), *available = size_text (d->memory_free);

  g_string_append_printf (s, "device     %s, computing in %s\n           %s\n", d->name, zie_compute_name (self->plan->compute), d->detail);
  g_string_append_printf (s, "           memory %s, %s of it free when planned; about %.2f TFLOP/s", total, available, flops / 1e12);
  if (d->link_bytes_per_second > 0)
    g_string_append_printf (s, ", %.0f GB/s of memory, %.1f GB/s over the link", d->bytes_per_second / 1e9, d->link_bytes_per_second / 1e9);
  g_string_append_c (s, '\n');
}

static void
append_request (const ZieReport *self, GString *s)
{
  const ZieRequest *r = &self->request;

  g_string_append_printf (s, "request    %d x %d, %d step%s of %s, %d picture%s from seed %" G_GUINT64_FORMAT ", guidance %g, prompt of %u ids",
                          r->width, r->height, r->n_steps, r->n_steps == 1 ? "" : "s", zie_sampler_name (r->sampler), r->n_images,
                          r->n_images == 1 ? "" : "s", r->seed, r->guidance, zie_model_count_tokens (self->model, r->prompt ? r->prompt : ""));
  if (r->init_image != NULL)
    g_string_append_printf (s, ", from a picture%s at strength %g", r->mask ? " with a mask" : "", r->strength);
  if (r->n_loras > 0)
    g_string_append_printf (s, ", %u LoRA%s", r->n_loras, r->n_loras == 1 ? "" : "s");
  g_string_append_c (s, '\n');
}

/* In words as in `zimage plan`. */
static void
append_decode (const ZieReport *self, GString *s)
{
  g_autofree char *decode = zie_plan_describe_decode (self->plan);
  int n = zie_plan_get_n_bands (self->plan);

  g_string_append_printf (s, "decode     %s: %s; the picture comes in %d piece%s\n", zie_decode_name (self->request.decode), decode, n,
                          n == 1 ? "" : "s");
}

static void
append_result (const ZieReport *self, GString *s)
{
  g_autofree char *start = self->start ? g_date_time_format (self->start, "%Y-%m-%d %H:%M:%S UTC") : NULL;

  g_string_append (s, "result     ");
  if (self->start == NULL)
    g_string_append (s, "not begun");
  else if (!self->is_finished)
    g_string_append_printf (s, "running since %s", start);
  else if (self->error == NULL)
    g_string_append_printf (s, "done in %.3f s, begun %s", self->seconds, start);
  else if (g_error_matches (self->error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
    g_string_append_printf (s, "cancelled after %.3f s, begun %s", self->seconds, start);
  else
    g_string_append_printf (s, "failed after %.3f s, begun %s: %s", self->seconds, start, self->error->message);
  g_string_append_c (s, '\n');
}

/* Seconds of STAGE over all pictures; what they share counts once. */
static double
sum_seconds (const ZieReport *self, ZieStage stage)
{
  double sum = 0;

  for (guint i = 0; i < self->pictures->len && (i == 0 || stage >= ZIE_STAGE_SAMPLE); i++)
    sum += g_array_index (self->pictures, Picture, i).seconds[stage];
  return sum;
}

/* "12.3 (45 %)" of a rate and its limit; "-" where one is unknown. */
static char *
share_text (double rate, double limit, double unit)
{
  if (rate <= 0)
    return g_strdup ("-");
  if (limit <= 0)
    return g_strdup_printf ("%.2f", rate / unit);
  return g_strdup_printf ("%.2f (%.0f %%)", rate / unit, 100 * rate / limit);
}

/* Rates are of whole plans: a job that ended early has pictures without the plan's whole work. */
static void
append_stages (const ZieReport *self, GString *s)
{
  const ZieDevice *d = &self->plan->device;
  double flops = self->plan->compute == ZIE_COMPUTE_BF16 && d->flops_bf16 > 0 ? d->flops_bf16 : d->flops_f32;
  double done = (double)self->pictures->len / MAX (self->plan->n_images, 1), planned = 0, measured = 0;

  g_string_append_printf (s, "\n%-8s %-9s %11s %11s %11s %10s %11s %16s %16s\n", "stage", "weights", "read", "streamed", "memory", "planned s",
                          "measured s", "TFLOP/s", "link GB/s");
  for (int i = 0; i < ZIE_N_STAGES; i++)
    {
      const ZieStagePlan *p = &self->plan->stages[i];
      double seconds = sum_seconds (self, (ZieStage)i), part = i < ZIE_STAGE_SAMPLE ? 1 : done;
      g_autofree char *read = size_text (p->weights), *streamed = size_text (p->bytes_streamed), *memory = size_text (p->arena);
      g_autofree char *rate = share_text (seconds > 0 ? p->flops * part / seconds : 0, flops, 1e12);
      g_autofree char *link = share_text (seconds > 0 ? (double)p->bytes_streamed * part / seconds : 0, d->link_bytes_per_second, 1e9);

      g_string_append_printf (s, "%-8s %-9s %11s %11s %11s %10.3f %11.3f %16s %16s\n", zie_stage_name ((ZieStage)i), zie_placement_name (p->placement),
                              read, streamed, memory, p->seconds, seconds, rate, link);
      planned += p->seconds;
      measured += seconds;
    }
  g_string_append_printf (s, "%-8s %-9s %11s %11s %11s %10.3f %11.3f\n", "all", "", "", "", "", planned, measured);
}

static void
append_pictures (const ZieReport *self, GString *s)
{
  for (guint i = 0; i < self->pictures->len; i++)
    {
      const Picture *p = &g_array_index (self->pictures, Picture, i);

      g_string_append_printf (s, "\npicture %u  seed %" G_GUINT64_FORMAT ", steps of", i + 1, p->seed);
      for (guint k = 0; k < p->n_steps; k++)
        g_string_append_printf (s, " %.4f", p->steps[k]);
      g_string_append (s, " s\n");
      for (int stage = 0; stage < ZIE_N_STAGES; stage++)
        if (p->redone & 1u << stage)
          g_string_append_printf (s, "           %s in f32, computed again\n", zie_stage_name ((ZieStage)stage));
    }
}

/* "planned 1.0 GiB, measured 0.9 GiB (90 %)" */
static void
append_pair (GString *s, const char *name, guint64 planned, guint64 measured)
{
  g_autofree char *plan = size_text (planned), *real = size_text (measured);

  g_string_append_printf (s, "%-10s planned %s, measured %s (%.2f %%)\n", name, plan, real,
                          planned > 0 ? 100 * (double)measured / (double)planned : 0);
}

/* Made from a block's second load on, so that a job may end with fewer. */
static void
append_locked (GString *s, guint64 planned, guint64 measured)
{
  g_autofree char *plan = size_text (planned), *real = size_text (measured);

  g_string_append_printf (s, "           and copies of streamed weights, locked for the next picture: at most %s, %s of them are made\n", plan, real);
}

static void
append_memory (const ZieReport *self, GString *s)
{
  const ZiePlan *plan = self->plan;
  guint64 streamed = 0;

  if (!self->is_finished)
    return;
  g_string_append_c (s, '\n');
  append_pair (s, "arena", zie_plan_get_arena_size (plan), self->arena_peak);
  append_pair (s, "process", plan->ram_peak - plan->weights.pinned_limit, self->ram_peak - self->ram_locked);
  if (plan->has_device_memory)
    {
      g_autofree char *base = size_text (plan->device.memory_base), *arena = size_text (plan->device_arena);
      g_autofree char *resident = size_text (plan->weights.resident_size), *loaded = size_text (self->bytes_loaded);
      g_autofree char *slots = size_text (plan->weights.n_slots * (guint64)plan->weights.slot_size), *left = size_text (self->vram_free);

      if (plan->weights.pinned_limit > 0)
        append_locked (s, plan->weights.pinned_limit, self->ram_locked);
      append_pair (s, "card", plan->vram_peak, self->vram_peak);
      g_string_append_printf (s, "           context %s, arena %s, weights that stay %s, slots %s; the driver says %s is free at the end\n", base,
                              arena, resident, slots, self->vram_free > 0 ? left : "nothing about what");
      for (int i = 0; i < ZIE_N_STAGES; i++)
        streamed += plan->stages[i].bytes_streamed;
      append_pair (s, "streamed", streamed, self->bytes_streamed);
      g_string_append_printf (s, "           and %s of weights that stay were loaded\n", loaded);
    }
  if (plan->budget.vram > 0 || plan->budget.ram > 0)
    {
      g_autofree char *vram = plan->budget.vram > 0 ? size_text (plan->budget.vram) : g_strdup ("what is free");
      g_autofree char *ram = plan->budget.ram > 0 ? size_text (plan->budget.ram) : g_strdup ("what is free");

      g_string_append_printf (s, "budget     card %s, memory %s\n", vram, ram);
    }
}

char *
zie_report_to_text (const ZieReport *self)
{
  GString *s;

  g_return_val_if_fail (self != NULL, NULL);

  s = g_string_new (NULL);
  g_string_append_printf (s, "program    zimage %s, GLib %u.%u.%u\n", zie_version (), glib_major_version, glib_minor_version, glib_micro_version);
  append_model (self, s);
  append_device (self, s);
  append_request (self, s);
  append_decode (self, s);
  append_result (self, s);
  append_stages (self, s);
  append_pictures (self, s);
  append_memory (self, s);
  if (self->notes->len > 0)
    g_string_append_c (s, '\n');
  for (guint i = 0; i < self->notes->len; i++)
    g_string_append_printf (s, "note       %s\n", (const char *)g_ptr_array_index (self->notes, i));
  return g_string_free (s, FALSE);
}

gboolean
zie_report_save (ZieReport *const *reports, guint n, const char *path, GError **error)
{
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;

  g_return_val_if_fail (path != NULL, FALSE);

  if (!zie_new_file_open (&file, path, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = zie_report_to_text (reports[i]);

      if ((i > 0 && !zie_new_file_write (&file, "\n\n", 2, error)) || !zie_new_file_write (&file, text, strlen (text), error))
        return FALSE;
    }
  return zie_new_file_commit (&file, error);
}
