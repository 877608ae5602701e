/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-plan"

#include "zie-plan-private.h"

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-backend.h"
#include "zie-json.h"

/* What a process holds besides the job: libraries, the tokenizer's tables, the threads' stacks, oneDNN's generated code. */
#define PROCESS_BASE (48 * 1024 * 1024)
/* Of a card's free memory, what is left to the desktop and to programs that start meanwhile. */
#define VRAM_RESERVE ((guint64)256 << 20)

/* The counting device: a context whose ops only add up. */
typedef struct
{
  ZieOps ops, backend_ops;
  ZieArena arena, host;
  ZieTally tally;
  ZieOpCtx ctx;
} Counter;

static gboolean
counter_init (Counter *self, const ZieDevice *device, ZieCompute compute, GError **error)
{
  ZieCompute best;
  ZieDtype act;

  *self = (Counter) { 0 };
  if (compute == ZIE_COMPUTE_F32 && device->kind == ZIE_BACKEND_CUDA)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST,
                   "on a CUDA card this program computes in bf16 with fp32 sums; leave the type of arithmetic to \"auto\", or compute "
                   "in f32 on the CPU (--device cpu)");
      return FALSE;
    }
  if (!zie_backend_get_plan_ops (device->kind, &self->backend_ops, &act, &best))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "this build has no %s backend; choose another device",
                   zie_backend_kind_name (device->kind));
      return FALSE;
    }
  zie_ops_init_counting (&self->ops, &self->backend_ops);
  zie_arena_init_counting (&self->arena);
  zie_arena_init_counting (&self->host);
  self->ctx = (ZieOpCtx) { .ops = &self->ops, .arena = &self->arena, .host = &self->host, .n_threads = MAX (device->n_threads, 1),
                           .compute = compute == ZIE_COMPUTE_AUTO ? best : compute, .act = act, .tally = &self->tally };
  return TRUE;
}

/* Closes the account of one stage and opens the next. */
static void
take_stage (Counter *counter, const ZieDevice *device, ZieStagePlan *out, double times)
{
  double rate = counter->ctx.compute == ZIE_COMPUTE_BF16 && device->flops_bf16 > 0 ? device->flops_bf16 : device->flops_f32;
  double bandwidth = device->bytes_per_second;

  out->placement = ZIE_PLACEMENT_MAPPED;
  out->weights = (guint64)counter->tally.weight_bytes;
  out->arena = counter->arena.peak + counter->host.peak;
  out->flops = counter->tally.flops * times;
  out->seconds = MAX (rate > 0 ? counter->tally.flops / rate : 0, bandwidth > 0 ? counter->tally.bytes / bandwidth : 0) * times;

  counter->tally = (ZieTally) { 0 };
  counter->arena.peak = counter->arena.used;
  counter->host.peak = counter->host.used;
}

/* Runs the stages on the counting device. */
static void
count (ZiePlan *self, Counter *counter, ZieModel *model, const ZieRequest *request, const ZieFeed *feed)
{
  ZieStages stages;
  gsize device_peak = 0, host_peak = 0;
  const ZieStepper *stepper = zie_stepper_get (request->sampler);
  double times[ZIE_N_STAGES] = { 1, 1, 0, request->n_images };

  zie_stages_init (&stages, model, request, &counter->ctx, feed, NULL);
  times[ZIE_STAGE_SAMPLE] = (double)zie_stepper_count_passes (stepper, request->n_steps - stages.first_step) * request->n_images;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      switch ((ZieStage)stage)
        {
        case ZIE_STAGE_TEXT: zie_stages_text (&stages, NULL); break;
        case ZIE_STAGE_REFINE: zie_stages_refine (&stages, NULL); break;
        case ZIE_STAGE_SAMPLE: zie_stages_sample (&stages, 0, NULL); break;
        case ZIE_STAGE_DECODE: zie_stages_decode (&stages, NULL, NULL); break;
        default: g_assert_not_reached ();
        }
      device_peak = MAX (device_peak, counter->arena.peak);
      host_peak = MAX (host_peak, counter->host.peak);
      take_stage (counter, &self->device, &self->stages[stage], times[stage]);
      self->seconds += self->stages[stage].seconds;
    }
  zie_stages_clear (&stages);
  self->device_arena = device_peak;
  self->host_arena = host_peak;
}

static ZiePlan *
plan_unchecked (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieFeed *feed, GError **error)
{
  g_autofree Counter *counter = g_new (Counter, 1);
  g_autoptr(ZiePlan) self = g_new0 (ZiePlan, 1);
  guint64 picture = 3 * (guint64)request->width * (guint64)request->height;
  const ZieBackendFuncs *funcs = zie_backend_find (device->kind);
  ZieVaeCut cut;

  self->ref_count = 1;
  if (!counter_init (counter, device, request->compute, error))
    return NULL;
  self->device = *device;
  self->compute = counter->ctx.compute;
  self->width = request->width;
  self->height = request->height;
  self->n_steps = request->n_steps;
  self->n_images = request->n_images;
  zie_vae_cut_init (&cut, &counter->ops);
  self->n_bands = zie_vae_cut_get_n_bands (&cut, request->height);
  count (self, counter, model, request, feed);

  self->has_device_memory = funcs != NULL && funcs->weight_size != NULL;
  if (self->has_device_memory)
    self->uses = zie_placement_list (model, request, funcs);

  /* Two pictures: the one being decoded and its bands on their way to the consumer. */
  self->ram_peak = (self->has_device_memory ? device->host_base : self->device_arena) + self->host_arena + 2 * picture + PROCESS_BASE;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    self->stages[stage].ram_peak = (self->has_device_memory ? device->host_base + self->host_arena : self->stages[stage].arena)
                                   + (stage == ZIE_STAGE_DECODE ? 2 * picture : 0) + PROCESS_BASE;
  return g_steal_pointer (&self);
}

static guint64
get_limit (const ZieDevice *device, const ZieBudget *budget)
{
  guint64 is_free = device->link_bytes_per_second > 0 ? device->host_free : device->memory_free;     /* its memory is not the host's */

  if (budget != NULL && budget->ram > 0)
    return budget->ram;
  return is_free > 0 ? is_free : G_MAXUINT64;
}

/* Streamed blocks come at the link's full speed from copies in locked memory: as many as the host can spare, which is at most
 * half of what is free there. */
static void
plan_pinned (ZiePlan *self, guint64 limit)
{
  guint64 locked = self->host_arena + self->device.host_base, streamed = 0, room = limit > self->ram_peak ? limit - self->ram_peak : 0;
  guint64 half = self->device.host_free > 0 ? self->device.host_free / 2 : G_MAXUINT64;

  for (guint i = 0; i < self->weights.n_places; i++)
    if (!self->weights.places[i].is_resident)
      streamed += self->weights.places[i].size;
  self->weights.pinned_limit = MIN (streamed, MIN (room, half > locked ? half - locked : 0));
  self->ram_peak += self->weights.pinned_limit;
}

/* Puts the weights into what LIMIT leaves beside the arena.  FALSE: LIMIT is too small; *NEEDED would do. */
static gboolean
place_weights (ZiePlan *self, guint64 limit, guint64 *needed)
{
  guint64 fixed = self->device.memory_base + self->device_arena, for_weights, streamed[ZIE_N_STAGES];
  double link = self->device.link_bytes_per_second;
  gboolean fits;

  g_clear_pointer (&self->weights.places, g_free);
  fits = zie_placement_choose (self->uses, limit > fixed ? limit - fixed : 0, &self->weights, streamed, &for_weights);
  *needed = fixed + for_weights;
  if (!fits)
    return FALSE;

  self->vram_peak = fixed + self->weights.resident_size + self->weights.n_slots * (guint64)self->weights.slot_size;
  self->seconds = 0;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      ZieStagePlan *p = &self->stages[stage];

      p->placement = streamed[stage] > 0 ? ZIE_PLACEMENT_STREAMED : ZIE_PLACEMENT_RESIDENT;
      p->bytes_streamed = streamed[stage];
      p->vram_peak = self->vram_peak;
      if (link > 0)
        p->seconds = MAX (p->seconds, (double)streamed[stage] / link);
      self->seconds += p->seconds;
    }
  return TRUE;
}

static guint64
get_device_limit (const ZieDevice *device, const ZieBudget *budget)
{
  guint64 limit = budget != NULL && budget->vram > 0 ? budget->vram : G_MAXUINT64;

  if (device->memory_free > 0)
    limit = MIN (limit, device->memory_free > VRAM_RESERVE ? device->memory_free - VRAM_RESERVE : 0);
  return limit;
}

/* TRUE: the plan fits what the host, and the device where it has memory of its own, may give; else the error's code and
 * *NEEDED, *THERE. */
static gboolean
fit (ZiePlan *self, const ZieDevice *device, const ZieBudget *budget, ZieError *code, guint64 *needed, guint64 *there)
{
  *code = ZIE_ERROR_OUT_OF_DEVICE_MEMORY;
  *there = get_device_limit (device, budget);
  if (self->has_device_memory && !place_weights (self, *there, needed))
    return FALSE;

  *code = ZIE_ERROR_OUT_OF_HOST_MEMORY;
  *there = get_limit (device, budget);
  *needed = self->ram_peak;
  if (self->ram_peak > *there)
    return FALSE;
  if (self->has_device_memory)
    plan_pinned (self, *there);
  return TRUE;
}

/* The largest sizes of the request's shape that fit LIMIT, as "640 x 640", or NULL when none does. */
static char *
find_fitting_size (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieFeed *feed, const ZieBudget *budget)
{
  ZieError code;
  guint64 needed, there;

  for (int sixteenths = 15; sixteenths >= 1; sixteenths--)
    {
      ZieRequest smaller = *request;
      g_autoptr(ZiePlan) plan = NULL;

      smaller.width = MAX (request->width * sixteenths / 16 / ZIE_SIZE_STEP, 1) * ZIE_SIZE_STEP;
      smaller.height = MAX (request->height * sixteenths / 16 / ZIE_SIZE_STEP, 1) * ZIE_SIZE_STEP;
      plan = plan_unchecked (model, device, &smaller, feed, NULL);
      if (plan != NULL && fit (plan, device, budget, &code, &needed, &there))
        return g_strdup_printf ("%d x %d", smaller.width, smaller.height);
    }
  return NULL;
}

ZiePlan *
zie_plan_new_for_feed (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieBudget *budget,
                       const ZieFeed *feed, GError **error)
{
  g_autoptr(ZiePlan) self = zie_model_load_loras (model, request, error) ? plan_unchecked (model, device, request, feed, error) : NULL;
  guint64 bytes_needed, bytes_there;
  ZieError code;

  if (self == NULL)
    return NULL;
  if (budget != NULL)
    self->budget = *budget;
  if (!fit (self, device, budget, &code, &bytes_needed, &bytes_there))
    {
      const char *memory = code == ZIE_ERROR_OUT_OF_DEVICE_MEMORY ? "memory on the card" : "memory";
      g_autofree char *needed = g_format_size_full (bytes_needed, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *there = g_format_size_full (bytes_there, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *fits = find_fitting_size (model, device, request, feed, budget);

      if (fits != NULL)
        g_set_error (error, ZIE_ERROR, code, "%d x %d needs %s of %s but %s may be used; %s would fit", request->width, request->height,
                     needed, memory, there, fits);
      else
        g_set_error (error, ZIE_ERROR, code, "%d x %d needs %s of %s but %s may be used; no size would fit: close other programs",
                     request->width, request->height, needed, memory, there);
      return NULL;
    }
  return g_steal_pointer (&self);
}

ZiePlan *
zie_plan_new (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieBudget *budget, GError **error)
{
  return zie_plan_new_for_feed (model, device, request, budget, NULL, error);
}

ZiePlan *
zie_plan_ref (ZiePlan *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
zie_plan_unref (ZiePlan *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;

  g_free (self->weights.places);
  g_clear_pointer (&self->uses, g_array_unref);
  g_free (self);
}

const ZieStagePlan *
zie_plan_get_stage (const ZiePlan *self, ZieStage stage)
{
  g_return_val_if_fail (stage >= 0 && stage < ZIE_N_STAGES, NULL);
  return &self->stages[stage];
}

guint64
zie_plan_get_arena_size (const ZiePlan *self)
{
  return self->device_arena + self->host_arena;
}

guint64
zie_plan_get_vram_peak (const ZiePlan *self)
{
  return self->vram_peak;
}

guint64
zie_plan_get_ram_peak (const ZiePlan *self)
{
  return self->ram_peak;
}

double
zie_plan_get_seconds (const ZiePlan *self)
{
  return self->seconds;
}

int
zie_plan_get_n_bands (const ZiePlan *self)
{
  return self->n_bands;
}

static const char *
placement_name (ZiePlacement placement)
{
  static const char *const names[] = { "mapped", "resident", "streamed" };
  return names[placement];
}

char *
zie_plan_to_json (const ZiePlan *self)
{
  GString *s = g_string_new (NULL);

  g_string_append_printf (s, "{\"width\":%d,\"height\":%d,\"steps\":%d,\"images\":%d,\"device\":", self->width, self->height,
                          self->n_steps, self->n_images);
  zie_json_append_string (s, self->device.name);
  g_string_append_printf (s, ",\"compute\":\"%s\",\"ram_peak\":%" G_GUINT64_FORMAT ",\"vram_peak\":%" G_GUINT64_FORMAT
                          ",\"arena\":%" G_GUINT64_FORMAT ",\"pinned\":%" G_GUINT64_FORMAT ",\"bands\":%d,\"seconds\":",
                          zie_compute_name (self->compute), self->ram_peak, self->vram_peak, zie_plan_get_arena_size (self),
                          self->weights.pinned_limit, self->n_bands);
  zie_json_append_double (s, self->seconds);
  g_string_append (s, ",\"stages\":[");
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      const ZieStagePlan *p = &self->stages[stage];
      g_string_append_printf (s, "%s{\"stage\":\"%s\",\"placement\":\"%s\",\"weights\":%" G_GUINT64_FORMAT ",\"arena\":%" G_GUINT64_FORMAT
                              ",\"ram_peak\":%" G_GUINT64_FORMAT ",\"streamed\":%" G_GUINT64_FORMAT ",\"flops\":", stage ? "," : "", zie_stage_name ((ZieStage)stage),
                              placement_name (p->placement), p->weights, p->arena, p->ram_peak, p->bytes_streamed);
      zie_json_append_double (s, p->flops);
      g_string_append (s, ",\"seconds\":");
      zie_json_append_double (s, p->seconds);
      g_string_append_c (s, '}');
    }
  g_string_append (s, "]}");
  return g_string_free (s, FALSE);
}

char *
zie_plan_to_text (const ZiePlan *self)
{
  GString *s = g_string_new (NULL);
  g_autofree char *ram = g_format_size_full (self->ram_peak, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *arena = g_format_size_full (zie_plan_get_arena_size (self), G_FORMAT_SIZE_IEC_UNITS);

  g_string_append_printf (s, "%d x %d, %d steps, %d picture%s on %s in %s\n\n", self->width, self->height, self->n_steps, self->n_images,
                          self->n_images == 1 ? "" : "s", self->device.name, zie_compute_name (self->compute));
  g_string_append_printf (s, "%-8s %-9s %12s %12s %12s %10s\n", "stage", "weights", "read", "memory", "TFLOP", "seconds");
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    {
      const ZieStagePlan *p = &self->stages[stage];
      g_autofree char *weights = g_format_size_full (p->weights, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *memory = g_format_size_full (p->arena, G_FORMAT_SIZE_IEC_UNITS);
      g_string_append_printf (s, "%-8s %-9s %12s %12s %12.3f %10.2f\n", zie_stage_name ((ZieStage)stage), placement_name (p->placement),
                              weights, memory, p->flops / 1e12, p->seconds);
    }
  g_string_append_printf (s, "\npeak of memory %s (arena %s), about %.1f s, decoded in %d bands\n", ram, arena, self->seconds, self->n_bands);
  if (self->has_device_memory)
    {
      g_autofree char *vram = g_format_size_full (self->vram_peak, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *resident = g_format_size_full (self->weights.resident_size, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *pinned = g_format_size_full (self->weights.pinned_limit, G_FORMAT_SIZE_IEC_UNITS);
      guint64 streamed = 0;

      for (int stage = 0; stage < ZIE_N_STAGES; stage++)
        streamed += self->stages[stage].bytes_streamed;
      g_string_append_printf (s, "peak on the card %s, %s of it weights that stay, %.1f GB streamed, %s locked for that\n", vram, resident,
                              (double)streamed / 1e9, pinned);
    }
  return g_string_free (s, FALSE);
}
