/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-plan"

#include "zie-plan-private.h"

#include <zie/zie-error.h>
#include <zie/zie-image.h>

#include "zie-arena-store.h"
#include "zie-backend.h"
#include "zie-json.h"

/* What a process holds besides the job: libraries, the tokenizer's tables, the threads' stacks, oneDNN's generated code. */
#define PROCESS_BASE (48 * 1024 * 1024)
/* Of a card's free memory, what is left to the desktop and to programs that start meanwhile. */
#define VRAM_RESERVE ((guint64)256 << 20)

/* A decode of more seconds has its last block halved, so that bands come all along. */
#define LONG_DECODE 1.0
/* Locking memory of the host: 7 GB took 3 s (SPEED.md). */
#define LOCK_BYTES_PER_SECOND 2.3e9

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
  out->bytes_spilled = (guint64)(counter->tally.moved_bytes * times);
  if (device->link_bytes_per_second > 0)         /* in turn with the computing */
    out->seconds += counter->tally.moved_bytes * times / device->link_bytes_per_second;

  counter->tally = (ZieTally) { 0 };
  counter->arena.peak = counter->arena.used;
  counter->host.peak = counter->host.used;
}

/* The stages of a request while they are counted. */
typedef struct
{
  Counter counter;
  ZieStages stages;
} Counting;

static void
counting_free (Counting *self)
{
  if (self->stages.model != NULL)
    zie_stages_clear (&self->stages);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Counting, counting_free)

/* All stages but the decode, whose arenas begin where these left them; and how often each block of weights is used. */
static void
count (ZiePlan *self, Counting *counting, ZieModel *model, const ZieRequest *request, const ZieFeed *feed)
{
  Counter *counter = &counting->counter;
  ZieStages *stages = &counting->stages;
  const ZieBackendFuncs *funcs = zie_backend_find (self->device.kind);
  double times[ZIE_N_STAGES] = { 1, 1, 0, 0 };
  int n_passes;

  zie_stages_init (stages, model, request, &counter->ctx, feed, NULL);
  n_passes = zie_stepper_count_passes (zie_stepper_get (request->sampler), request->n_steps - stages->first_step);
  times[ZIE_STAGE_SAMPLE] = (double)n_passes * request->n_images;
  if (self->has_device_memory)
    self->uses = zie_placement_list (model, request, funcs, n_passes);
  for (int stage = 0; stage < ZIE_STAGE_DECODE; stage++)
    {
      zie_stages_run (stages, (ZieStage)stage, 0, NULL, NULL);
      self->device_before = MAX (self->device_before, counter->arena.peak);
      self->host_before = MAX (self->host_before, counter->host.peak);
      take_stage (counter, &self->device, &self->stages[stage], times[stage]);
      self->seconds_counted[stage] = self->stages[stage].seconds;
    }
}

/* The decode cut as CUT says; where that takes long, its last block is halved. */
static void
count_decode (const ZiePlan *self, Counting *counting, const ZieVaeCut *cut, ZieDecodePlan *out)
{
  Counter *counter = &counting->counter;

  *out = (ZieDecodePlan) { .cut = *cut };
  for (;;)
    {
      counting->stages.cut = out->cut;
      zie_stages_decode (&counting->stages, NULL, NULL);
      out->device = counter->arena.peak;
      out->host = counter->host.peak;
      take_stage (counter, &self->device, &out->stage, self->n_images);
      if (out->cut.halve_last || out->stage.seconds < LONG_DECODE * self->n_images || self->has_tiles)
        return;
      out->cut.halve_last = TRUE;
    }
}

/* The plan with that decode. */
static void
use_decode (ZiePlan *self, const ZieDecodePlan *decode)
{
  guint64 picture = 3 * (guint64)self->width * (guint64)self->height;

  self->decode = *decode;
  self->stages[ZIE_STAGE_DECODE] = decode->stage;
  self->seconds_counted[ZIE_STAGE_DECODE] = decode->stage.seconds;
  self->device_arena = MAX (self->device_before, decode->device);
  self->host_arena = MAX (self->host_before, decode->host);
  self->seconds = 0;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    self->seconds += self->seconds_counted[stage];

  /* Two pictures: the one being decoded and its bands on their way to the consumer. */
  self->ram_peak = (self->has_device_memory ? self->device.host_base : self->device_arena) + self->host_arena + 2 * picture + PROCESS_BASE;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    self->stages[stage].ram_peak = (self->has_device_memory ? self->device.host_base + self->host_arena : self->stages[stage].arena)
                                   + (stage == ZIE_STAGE_DECODE ? 2 * picture : 0) + PROCESS_BASE;
}

/* Counted, with a decode in one piece, and not yet held against any limit.  *COUNTING: to count other decodes. */
static ZiePlan *
plan_unchecked (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieFeed *feed, Counting **counting,
                GError **error)
{
  g_autoptr(Counting) c = g_new0 (Counting, 1);
  g_autoptr(ZiePlan) self = g_new0 (ZiePlan, 1);
  const ZieBackendFuncs *funcs = zie_backend_find (device->kind);
  ZieDecodePlan decode;

  self->ref_count = 1;
  if (request->n_steps < 1 || request->n_images < 1 || request->width < ZIE_SIZE_STEP || request->height < ZIE_SIZE_STEP)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "%d steps, %d pictures of %d x %d cannot be planned: a request needs at "
                   "least 1 step, 1 picture, %d x %d", request->n_steps, request->n_images, request->width, request->height, ZIE_SIZE_STEP,
                   ZIE_SIZE_STEP);
      return NULL;
    }
  if (!counter_init (&c->counter, device, request->compute, error))
    return NULL;
  self->device = *device;
  self->compute = c->counter.ctx.compute;
  self->width = request->width;
  self->height = request->height;
  self->n_steps = request->n_steps;
  self->n_images = request->n_images;
  self->has_tiles = request->decode == ZIE_DECODE_BLEND;
  zie_vae_tiles_init (&self->tiles, request->width, request->height, request->tile_size, request->tile_overlap);
  self->has_device_memory = funcs != NULL && funcs->weight_size != NULL;

  count (self, c, model, request, feed);
  count_decode (self, c, &c->stages.cut, &decode);
  use_decode (self, &decode);
  *counting = g_steal_pointer (&c);
  return g_steal_pointer (&self);
}

/* A budget allows no more than there is. */
static guint64
get_limit (const ZieDevice *device, const ZieBudget *budget)
{
  guint64 is_free = device->link_bytes_per_second > 0 ? device->host_free : device->memory_free;     /* its memory is not the host's */
  guint64 limit = budget != NULL && budget->ram > 0 ? budget->ram : G_MAXUINT64;

  return is_free > 0 ? MIN (limit, is_free) : limit;
}

/* Of the host's memory, what may be locked: at most half of what is free there. */
static guint64
get_lockable (const ZieDevice *device)
{
  return device->host_free > 0 ? device->host_free / 2 : G_MAXUINT64;
}

/* Streamed blocks come at the link's full speed from copies in locked memory: as many as the host can spare. */
static void
plan_pinned (ZiePlan *self, guint64 limit)
{
  guint64 locked = self->host_arena + self->device.host_locked, streamed = 0, room = limit > self->ram_peak ? limit - self->ram_peak : 0;
  guint64 lockable = get_lockable (&self->device);

  for (guint i = 0; i < self->weights.n_places; i++)
    if (!self->weights.places[i].is_resident)
      streamed += self->weights.places[i].size;
  self->weights.pinned_limit = MIN (streamed, MIN (room, lockable > locked ? lockable - locked : 0));
  self->ram_peak += self->weights.pinned_limit;
}

/* What the device needs to bring a weight into its form, one after the other. */
static gsize
get_load_scratch (const ZiePlan *self)
{
  const ZieBackendFuncs *funcs = zie_backend_find (self->device.kind);
  gsize size = 0;

  for (guint i = 0; funcs->load_scratch != NULL && i < self->uses->len; i++)
    {
      const ZieWeightBlock *block = g_array_index (self->uses, ZieBlockUse, i).block;

      for (guint j = 0; j < block->n_weights; j++)
        size = MAX (size, funcs->load_scratch (&block->weights[j]));
    }
  return size;
}

/* Puts the weights into what LIMIT leaves beside the arena.  FALSE: LIMIT is too small; *NEEDED would do. */
static gboolean
place_weights (ZiePlan *self, guint64 limit, guint64 *needed)
{
  guint64 fixed = self->device.memory_base + self->device_arena + get_load_scratch (self), for_weights, streamed[ZIE_N_STAGES];
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
      p->seconds = self->seconds_counted[stage];
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

/* What a plan that does not fit would need. */
typedef struct
{
  ZieError code;                 /* 0: nothing was tried */
  guint64 needed, there;
  gboolean is_budget;            /* more may be there */
} Lack;

/* Keeps the lack that says most: what the card would have to have for a plan that the host has memory for, else the least that
 * the host would. */
static void
note_lack (Lack *lack, ZieError code, guint64 needed, guint64 there, guint64 budget)
{
  gboolean is_better = lack->needed == 0 || (code == lack->code ? needed < lack->needed : code == ZIE_ERROR_OUT_OF_DEVICE_MEMORY);

  if (is_better)
    *lack = (Lack) { code, needed, there, there == budget };
}

/* TRUE: the plan fits what the host, and the device where it has memory of its own, may give. */
static gboolean
fit (ZiePlan *self, const ZieBudget *budget, Lack *lack)
{
  guint64 host = get_limit (&self->device, budget), lockable = get_lockable (&self->device), there, needed;

  if (self->ram_peak > host)
    {
      note_lack (lack, ZIE_ERROR_OUT_OF_HOST_MEMORY, self->ram_peak, host, budget ? budget->ram : 0);
      return FALSE;
    }
  if (!self->has_device_memory)
    return TRUE;
  if (zie_vae_cut_spills (&self->decode.cut) && self->device.host_locked + self->host_arena > lockable)
    {
      note_lack (lack, ZIE_ERROR_OUT_OF_HOST_MEMORY, self->device.host_locked + self->host_arena, lockable, 0);
      return FALSE;
    }
  there = get_device_limit (&self->device, budget);
  if (!place_weights (self, there, &needed))
    {
      note_lack (lack, ZIE_ERROR_OUT_OF_DEVICE_MEMORY, needed, there, budget ? budget->vram : 0);
      return FALSE;
    }
  plan_pinned (self, host);
  return TRUE;
}

static gboolean
is_streaming (const ZiePlan *self)
{
  return self->has_device_memory && self->weights.n_slots > 0;
}

/* The quickest way to decode that fits.  In one piece if nothing is better: cutting costs time of its own, but leaves weights
 * more of the card. */
static gboolean
choose_decode (ZiePlan *self, Counting *counting, const ZieBudget *budget, Lack *lack)
{
  ZieVaeCut cuts[ZIE_MAX_DECODE_CUTS];
  guint n_cuts = zie_decode_cuts (cuts, self->height, self->has_device_memory);
  ZieDecodePlan best = self->decode;
  gboolean fits = fit (self, budget, lack);
  double seconds = self->seconds;

  if ((fits && !is_streaming (self)) || counting->stages.request->decode != ZIE_DECODE_EXACT)
    return fits;
  for (guint i = 0; i < n_cuts; i++)
    {
      ZieDecodePlan decode;

      count_decode (self, counting, &cuts[i], &decode);
      use_decode (self, &decode);
      if (!fit (self, budget, lack) || (fits && self->seconds >= seconds))
        continue;
      fits = TRUE;
      best = decode;
      seconds = self->seconds;
    }
  use_decode (self, &best);
  return fits && fit (self, budget, lack);
}

/* What a decode spills to is locked before the job begins, unless the last one left it (zie_pipeline_run() keeps that by the same
 * rule).  It does not choose the decode: the next picture of that kind finds it there. */
static void
add_locking (ZiePlan *self)
{
  guint64 held = self->device.host_held, spare = self->budget.ram > 0 ? 0 : ZIE_SPARE_LOCKED;

  if (!self->has_device_memory || !zie_vae_cut_spills (&self->decode.cut)
      || (held >= self->host_arena && held - self->host_arena <= spare))
    return;
  self->lock_seconds = (double)self->host_arena / LOCK_BYTES_PER_SECOND;
  self->seconds += self->lock_seconds;
}

/* The largest sizes of the request's shape that fit, as "640 x 640", or NULL when none does. */
static char *
find_fitting_size (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieFeed *feed, const ZieBudget *budget)
{
  for (int sixteenths = 15; sixteenths >= 1; sixteenths--)
    {
      ZieRequest smaller = *request;
      g_autoptr(Counting) counting = NULL;
      g_autoptr(ZiePlan) plan = NULL;
      Lack lack = { 0 };

      smaller.width = MAX (request->width * sixteenths / 16 / ZIE_SIZE_STEP, 1) * ZIE_SIZE_STEP;
      smaller.height = MAX (request->height * sixteenths / 16 / ZIE_SIZE_STEP, 1) * ZIE_SIZE_STEP;
      plan = plan_unchecked (model, device, &smaller, feed, &counting, NULL);
      if (plan != NULL && choose_decode (plan, counting, budget, &lack))
        return g_strdup_printf ("%d x %d", smaller.width, smaller.height);
    }
  return NULL;
}

static void
set_lack (GError **error, const Lack *lack, const ZieRequest *request, const char *fits)
{
  gboolean is_card = lack->code == ZIE_ERROR_OUT_OF_DEVICE_MEMORY;
  const char *memory = is_card ? "memory on the card" : "memory";
  const char *way_out = !lack->is_budget ? "close other programs" : is_card ? "allow more (--vram-budget)" : "allow more (--ram-budget)";
  g_autofree char *needed = g_format_size_full (lack->needed, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *there = g_format_size_full (lack->there, G_FORMAT_SIZE_IEC_UNITS);

  if (fits != NULL)
    g_set_error (error, ZIE_ERROR, lack->code, "%d x %d needs %s of %s but %s may be used; %s would fit", request->width,
                 request->height, needed, memory, there, fits);
  else
    g_set_error (error, ZIE_ERROR, lack->code, "%d x %d needs %s of %s but %s may be used; no size would fit: %s",
                 request->width, request->height, needed, memory, there, way_out);
}

ZiePlan *
zie_plan_new_for_feed (ZieModel *model, const ZieDevice *device, const ZieRequest *request, const ZieBudget *budget,
                       const ZieFeed *feed, GError **error)
{
  g_autoptr(Counting) counting = NULL;
  g_autoptr(ZiePlan) self = NULL;
  g_autofree char *fits = NULL;
  Lack lack = { 0 };

  if (!zie_model_load_loras (model, request, error) || !(self = plan_unchecked (model, device, request, feed, &counting, error)))
    return NULL;
  if (budget != NULL)
    self->budget = *budget;
  if (choose_decode (self, counting, budget, &lack))
    {
      add_locking (self);
      return g_steal_pointer (&self);
    }

  fits = find_fitting_size (model, device, request, feed, budget);
  set_lack (error, &lack, request, fits);
  return NULL;
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

gboolean
zie_plan_fits_host (const ZiePlan *self, const ZieDevice *device)
{
  if (self->ram_peak - self->weights.pinned_limit > get_limit (device, NULL))
    return FALSE;
  return !self->has_device_memory || !zie_vae_cut_spills (&self->decode.cut)
         || device->host_locked + self->host_arena <= get_lockable (device);
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
  if (self->has_tiles)
    return self->tiles.n_down * self->tiles.n_across;
  return zie_vae_cut_get_n_bands (&self->decode.cut, self->height);
}
