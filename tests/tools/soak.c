/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "soak"

/* Many jobs in one process, of random sizes, prompts, batches and budgets:
 *
 *   soak [MODEL] [--device cuda] [--jobs N] [--seconds S] [--seed S] [--shallow | --tiny] [--max-side N] [--again N] [--neighbour] …
 *
 * MODEL: a folder, or a random model of the full widths and two layers (--shallow), or of small widths (--tiny).  Every job has to
 * finish; the arena's high-water mark is the plan's to the byte; what was held of a card is at most the plan's, and within 2 % or
 * 32 MiB of it, by the engine's books and, without a neighbour, by the driver's; the same request by another budget gives the same
 * bytes, or on a card other kernels for bands of the decode: then no pixel is farther away than 1 of 255.  The third job, the largest,
 * comes again every tenth time and last: memory after it may grow by 1 %, its time by --drift percent.
 * With --neighbour another process takes random amounts of the card meanwhile: jobs may step down, none may fail.
 *
 * A library may load a kernel for each shape that it has not met, which looks like a leak as long as every job has a new one.
 * --again N tells them apart: after N draws the same ones come again, in the same order, and memory may not grow from there on.  What
 * grew since the third job is printed in any case, by kinds of memory.
 *
 * Prints what was seen, also when --seconds are over (no further job but the last probe) or at SIGTERM (none at
 * all); exit status 1 if anything was not so. */

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <gio/gio.h>
#include <zie/zie.h>

#include "soak-hog.h"
#include "soak-memory.h"
#include "tiny-model.h"

#define MIB ((guint64)1 << 20)
#define MAX_DEVICES 16
#define PROBE 2                    /* the third */
#define PROBE_EVERY 10
#define GROWTH 0.01
#ifdef __has_feature
#define IS_ADDRESS_SANITIZER __has_feature (address_sanitizer)
#elif defined (__SANITIZE_ADDRESS__)
#define IS_ADDRESS_SANITIZER 1
#else
#define IS_ADDRESS_SANITIZER 0
#endif
#define GROWTH_SLACK (IS_ADDRESS_SANITIZER ? 512 * MIB : 4 * MIB)    /* what was freed is kept for a while there */
#define PEAK_SHARE 0.02
#define PEAK_SLACK (32 * MIB)
#define REFUSAL_WAIT_US 100000
#define MAX_REFUSALS 600

static char *device_name;
static int n_jobs = 60, seed = 1, min_side, max_side, n_steps = 2, n_threads, hog_index = -1, leave_mib = 8192, n_draws;
static double drift_percent = 2, max_seconds;
static gboolean is_shallow, is_tiny, has_neighbour, is_simulated, is_verbose;

static const GOptionEntry entries[] = {
  { "device", 0, 0, G_OPTION_ARG_STRING, &device_name, "auto, cuda, cuda:N, cpu or ref", "DEVICE" },
  { "jobs", 0, 0, G_OPTION_ARG_INT, &n_jobs, "how many (60)", "N" },
  { "seconds", 0, 0, G_OPTION_ARG_DOUBLE, &max_seconds, "after so long no more jobs but the last two", "S" },
  { "again", 0, 0, G_OPTION_ARG_INT, &n_draws,
    "draws of one or two jobs that are all different, then the same again (0: always others)", "N" },
  { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of everything random (1)", "S" },
  { "shallow", 0, 0, G_OPTION_ARG_NONE, &is_shallow, "a random model of the full widths with two layers", NULL },
  { "tiny", 0, 0, G_OPTION_ARG_NONE, &is_tiny, "a random model of small widths", NULL },
  { "min-side", 0, 0, G_OPTION_ARG_INT, &min_side, "pixels (a quarter of --max-side)", "N" },
  { "max-side", 0, 0, G_OPTION_ARG_INT, &max_side, "pixels (1536; 160 for a tiny model)", "N" },
  { "steps", 0, 0, G_OPTION_ARG_INT, &n_steps, "of each job (2)", "N" },
  { "threads", 0, 0, G_OPTION_ARG_INT, &n_threads, "to compute with", "N" },
  { "drift", 0, 0, G_OPTION_ARG_DOUBLE, &drift_percent, "how much slower the last probes may be (2); 0: any",
    "PERCENT" },
  { "neighbour", 0, 0, G_OPTION_ARG_NONE, &has_neighbour, "another process takes memory of the card", NULL },
  { "leave", 0, 0, G_OPTION_ARG_INT, &leave_mib, "MiB that the neighbour leaves free (8192)", "MIB" },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &is_verbose, "a line a job", NULL },
  { "simulated", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &is_simulated, "there is no driver to ask", NULL },
  { "be-neighbour", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &hog_index, NULL, NULL },
  { 0 },
};

/* What one job came to. */
typedef struct
{
  ZiePlan *plan;             /* owned: the one that it came through with */
  GByteArray *pixels;        /* owned: of all pictures */
  guint n_down, n_redone;
  double seconds;
  guint64 arena_peak, vram_peak, vram_free, anonymous;
} Result;

typedef struct
{
  ZieModel *model;
  ZieEngine *engine;
  GRand *random;
  ZieDevice before;          /* the device before it was opened */
  gboolean is_card;
  guint n_failed, n_down, n_refused, n_twins, n_other, n_budgets;        /* n_other: twins that are not the same bytes */
  guint n_done, n_exact; /* jobs that came to their end; those of them whose arena was the plan's to the byte */
  guint n_probes;
  SoakMemory third, seen, last; /* after probes: the third job; the first with all draws seen; the last one */
  GHashTable *third_list, *last_list;    /* owned */
  guint64 first_vram, last_vram;
  gboolean has_seen;
  double most_under, most_over;     /* of a card's peak below and above its plan, in bytes, by the engine's books … */
  double driver_under, driver_over; /* … and by the driver's */
  GArray *probe_seconds;     /* of double */
} Soak;

static void
result_clear (Result *self)
{
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_pointer (&self->pixels, g_byte_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

static void G_GNUC_PRINTF (2, 3)
fail (Soak *self, const char *format, ...)
{
  va_list arguments;

  self->n_failed++;
  va_start (arguments, format);
  printf ("FAILED  ");
  vprintf (format, arguments);
  printf ("\n");
  va_end (arguments);
  fflush (stdout);
}

static volatile sig_atomic_t is_told; /* to stop */

static void
on_signal (int number)
{
  is_told = 1;
}

static guint64
distance (guint64 a, guint64 b)
{
  return a > b ? a - b : b - a;
}

/* --- requests --- */

static int
random_side (Soak *self)
{
  int from = min_side > 0 ? min_side : MAX (max_side / 4, 64);

  return g_rand_int_range (self->random, MIN (from, max_side) / ZIE_SIZE_STEP, max_side / ZIE_SIZE_STEP + 1) * ZIE_SIZE_STEP;
}

static void
random_request (Soak *self, ZieRequest *request)
{
  GString *prompt = g_string_new ("a picture of");
  int n_words = g_rand_int_range (self->random, 1, g_rand_int_range (self->random, 0, 4) == 0 ? 60 : 12);

  zie_request_init (request);
  zie_model_init_request (self->model, request);
  for (int i = 0; i < n_words; i++)
    g_string_append_printf (prompt, " %c%u", 'a' + g_rand_int_range (self->random, 0, 26), (guint)g_rand_int_range (self->random, 0, 99));
  g_free (request->prompt);
  request->prompt = g_string_free (prompt, FALSE);
  request->width = random_side (self);
  request->height = random_side (self);
  request->n_steps = n_steps;
  request->n_images = g_rand_int_range (self->random, 0, 4) == 0 ? 2 : 1;
  request->guidance = g_rand_int_range (self->random, 0, 4) == 0 ? 2 : 0;
  request->seed = g_rand_int (self->random);
  request->truncate_prompt = TRUE;
  request->preview_every = g_rand_int_range (self->random, 0, 2);
}

/* A plan within a random budget, or within what is free; NULL: not even the latter fits now. */
static ZiePlan *
random_plan (Soak *self, const ZieRequest *request, gboolean has_budget, GError **error)
{
  ZieBudget budget = { 0 };
  ZiePlan *plan, *tight = NULL;
  ZieDevice device;

  zie_engine_get_device (self->engine, &device);
  plan = zie_plan_new (self->model, &device, request, NULL, error);
  for (int i = 0; plan != NULL && has_budget && tight == NULL && i < 5; i++) /* ever larger, until one will do */
    {
      double share = 0.3 + 0.7 * g_rand_double_range (self->random, MIN (0.25 * i, 0.97), 1);

      if (self->is_card)
        budget.vram =
            device.memory_base + (guint64)(share * (double)(zie_plan_get_vram_peak (plan) - device.memory_base));
      else
        budget.ram = zie_plan_get_ram_peak (plan) + (guint64)(share * (double)MIB);
      tight = zie_plan_new (self->model, &device, request, &budget, NULL);
    }
  if (tight == NULL)
    return plan;
  if (self->is_card && zie_plan_get_vram_peak (tight) > budget.vram)
    fail (self, "a plan of %" G_GUINT64_FORMAT " bytes for a budget of %" G_GUINT64_FORMAT, zie_plan_get_vram_peak (tight), budget.vram);
  self->n_budgets++;
  zie_plan_unref (plan);
  return tight;
}

/* --- one job --- */

static gboolean
follow (Soak *self, Result *result, GError **error)
{
  result->pixels = g_byte_array_new ();
  for (;;)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (self->engine));

      if (event->type == ZIE_EVENT_IMAGE)
        {
          gsize size;
          const guint8 *pixels = g_bytes_get_data (zie_image_get_pixels (event->image.image), &size);

          g_byte_array_append (result->pixels, pixels, (guint)size);
        }
      if (event->type == ZIE_EVENT_REDO)
        result->n_redone++;
      if (event->type == ZIE_EVENT_PLAN)
        {
          result->n_down++;
          zie_plan_unref (result->plan);
          result->plan = zie_plan_ref (event->plan.plan);
        }
      if (event->type != ZIE_EVENT_FINISHED)
        continue;
      if (event->finished.error != NULL)
        {
          g_propagate_error (error, g_error_copy (event->finished.error));
          return FALSE;
        }
      result->seconds = event->finished.seconds;
      result->arena_peak = event->finished.arena_peak;
      result->vram_peak = event->finished.vram_peak;
      result->vram_free = event->finished.vram_free;
      return TRUE;
    }
}

static void
check (Soak *self, int number, const ZieRequest *request, const Result *r)
{
  guint64 plan = zie_plan_get_vram_peak (r->plan), arena = zie_plan_get_arena_size (r->plan);
  guint64 slack = MAX ((guint64)((double)plan * PEAK_SHARE), PEAK_SLACK);

  if (r->n_redone > 0)
    fail (self, "job %d (%d x %d): %u stages broke in bf16", number, request->width, request->height, r->n_redone);
  self->n_exact += r->arena_peak == arena;
  if (r->arena_peak != arena)
    fail (self, "job %d (%d x %d): arena of %" G_GUINT64_FORMAT " bytes, planned %" G_GUINT64_FORMAT, number, request->width, request->height,
          r->arena_peak, arena);
  if (!self->is_card)
    return;
  if (r->vram_peak > plan || plan - r->vram_peak > slack)
    fail (self, "job %d (%d x %d): %" G_GUINT64_FORMAT " bytes were held of the card, planned %" G_GUINT64_FORMAT, number, request->width,
          request->height, r->vram_peak, plan);
  self->most_under = MAX (self->most_under, (double)plan - (double)r->vram_peak);
  self->most_over = MAX (self->most_over, (double)r->vram_peak - (double)plan);
  if (!has_neighbour && !is_simulated && r->vram_free > 0 && self->before.memory_free > r->vram_free)
    {
      guint64 used = self->before.memory_free - r->vram_free;

      self->driver_under = MAX (self->driver_under, (double)plan - (double)used);
      self->driver_over = MAX (self->driver_over, (double)used - (double)plan);
      if (used > plan || plan - used > slack)
        fail (self, "job %d (%d x %d): the driver says %" G_GUINT64_FORMAT " bytes are used, planned %" G_GUINT64_FORMAT, number,
              request->width, request->height, used, plan);
    }
}

/* Twice the same request. */
static void
compare (Soak *self, int number, const GByteArray *a, const GByteArray *b)
{
  int farthest = 0;

  for (guint i = 0; a->len == b->len && i < a->len; i++)
    farthest = MAX (farthest, abs (a->data[i] - b->data[i]));
  self->n_other += farthest > 0;
  if (a->len != b->len || farthest > (self->is_card ? 1 : 0))
    fail (self, "job %d: the same request made another picture, %d of 255 away", number, farthest);
}

/* FALSE: the job failed, or could not be planned for. */
static gboolean
run_job (Soak *self, int number, const ZieRequest *request, gboolean has_budget, Result *result)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieJob) job = NULL;
  ZieMemoryUse use;

  *result = (Result) { 0 };
  for (int i = 0; (result->plan = random_plan (self, request, has_budget, &error)) == NULL && has_neighbour && i < MAX_REFUSALS; i++)
    {
      if (is_told)
        return FALSE;
      self->n_refused++;
      g_clear_error (&error);
      g_usleep (REFUSAL_WAIT_US);
    }
  if (result->plan != NULL && (job = zie_engine_submit (self->engine, self->model, request, result->plan, &error)) != NULL
      && follow (self, result, &error))
    {
      zie_query_memory (&use);
      result->anonymous = use.process_anonymous;
      self->n_done++;
      self->n_down += result->n_down;
      check (self, number, request, result);
      if (is_verbose)
        printf ("job %d: %d x %d, %d pictures, guidance %g: %.3f s, card %.3f of %.3f GiB, arena %.1f MiB, process %.1f MiB, %u down\n", number,
                request->width, request->height, request->n_images, request->guidance, result->seconds,
                (double)result->vram_peak / 0x1p30, (double)zie_plan_get_vram_peak (result->plan) / 0x1p30,
                (double)result->arena_peak / 0x1p20, (double)result->anonymous / 0x1p20, result->n_down);
      return TRUE;
    }
  fail (self, "job %d (%d x %d, %d pictures): %s", number, request->width, request->height, request->n_images,
        error ? error->message : "no reason");
  return FALSE;
}

/* --- all of them --- */

/* Nothing takes more than this one, so that what is held after it does not depend on what was before. */
static void
make_probe (Soak *self, ZieRequest *request)
{
  GString *prompt = g_string_new (NULL);

  random_request (self, request);
  for (int i = 0; i < 70; i++)
    g_string_append_printf (prompt, "word%d ", i);
  g_free (request->prompt);
  request->prompt = g_string_free (prompt, FALSE);
  request->width = request->height = max_side / ZIE_SIZE_STEP * ZIE_SIZE_STEP;
  request->n_images = 1;
  request->guidance = 2;
}

/* Twice: what a budget before it took from the card comes back by the first, the second is timed. */
static void
run_probe (Soak *self, int number, const ZieRequest *request, GByteArray **pixels, gboolean all_seen)
{
  g_auto(Result) first = { 0 }, result = { 0 };
  g_autofree char *when = NULL;

  if (!run_job (self, number, request, FALSE, &first) || !run_job (self, number + 1, request, FALSE, &result))
    return;
  compare (self, number + 1, first.pixels, result.pixels);
  if (*pixels == NULL)
    {
      *pixels = g_byte_array_ref (result.pixels);
      self->first_vram = result.vram_free;
    }
  else
    compare (self, number + 1, *pixels, result.pixels);
  /* What this program itself keeps is the first picture, each time. */
  g_clear_pointer (&first.pixels, g_byte_array_unref);
  g_clear_pointer (&result.pixels, g_byte_array_unref);
  soak_memory_look (&self->last);
  if (self->n_probes++ == 0)
    {
      self->third = self->last;
      self->third_list = soak_memory_list ();
    }
  g_clear_pointer (&self->last_list, g_hash_table_unref);
  self->last_list = soak_memory_list ();
  when = g_strdup_printf ("after job %d", number + 1);
  soak_memory_print (&self->last, self->n_probes > 1 ? &self->third : NULL, when);
  self->last_vram = result.vram_free;
  g_array_append_val (self->probe_seconds, result.seconds);
  if (all_seen && !self->has_seen)
    {
      self->has_seen = TRUE;
      self->seen = self->last;
    }
}

/* The smallest of a few: what else the machine does only makes it longer. */
static double
fastest (const GArray *seconds, guint from, guint n)
{
  double least = G_MAXDOUBLE;

  for (guint i = from; i < from + n; i++)
    least = MIN (least, g_array_index (seconds, double, i));
  return least;
}

static void
judge_memory (Soak *self)
{
  const SoakMemory *from = n_draws > 0 ? &self->seen : &self->third;
  guint64 slack = MAX ((guint64)((double)from->anonymous * GROWTH), GROWTH_SLACK);

  if (self->n_probes == 0)
    {
      printf ("memory of the process: not looked at, there was no third job\n");
      return;
    }
  printf ("memory of the process: %.1f MiB after the third job, %.1f at last (%+.2f %%)\n",
          (double)self->third.anonymous / 0x1p20, (double)self->last.anonymous / 0x1p20,
          100 * ((double)self->last.anonymous / (double)self->third.anonymous - 1));
  if (self->third.devices > 0)
    {
      double third = (double)(self->third.anonymous + self->third.devices), last = (double)(self->last.anonymous + self->last.devices);

      printf ("with the weights locked for the card: %.1f MiB after the third job, %.1f at last (%+.2f %%)\n", third / 0x1p20, last / 0x1p20, 100 * (last / third - 1));
    }
  soak_memory_print (&self->last, &self->third, "since the third job");
  soak_memory_print_grown (self->third_list, self->last_list);
  if (n_draws > 0 && !self->has_seen)
    printf ("not all of %d draws came, so that nothing can be said of memory after them\n", n_draws);
  else if (n_draws > 0)
    soak_memory_print (&self->last, &self->seen, "since all draws were seen");
  if ((n_draws == 0 || self->has_seen) && self->last.anonymous > from->anonymous + slack)
    fail (self, "memory grew from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, from->anonymous, self->last.anonymous);
}

static void
judge_card (Soak *self)
{
  printf ("card, plan against the engine's books: at most %.2f MiB below the plan, %.2f above\n",
          self->most_under / 0x1p20, self->most_over / 0x1p20);
  if (!has_neighbour && !is_simulated)
    printf ("card, plan against the driver's figure: at most %.2f MiB below the plan, %.2f above\n",
            self->driver_under / 0x1p20, self->driver_over / 0x1p20);
  if (self->n_probes == 0)
    return;
  printf ("card: free after the third job %.1f MiB, at last %.1f\n", (double)self->first_vram / 0x1p20,
          (double)self->last_vram / 0x1p20);
  if (!has_neighbour && distance (self->first_vram, self->last_vram) > MAX (self->first_vram / 100, PEAK_SLACK))
    fail (self, "the card had %" G_GUINT64_FORMAT " bytes free after the third job, now %" G_GUINT64_FORMAT,
          self->first_vram, self->last_vram);
}

static void
judge (Soak *self)
{
  guint n = self->probe_seconds->len, few = n / 3;

  judge_memory (self);
  if (self->is_card)
    judge_card (self);
  if (few > 0)
    {
      double first = fastest (self->probe_seconds, 1 < n - few ? 1 : 0, few), last = fastest (self->probe_seconds, n - few, few);

      printf ("the third job again: %.4f s at first, %.4f s at last (%+.2f %%)\n", first, last, 100 * (last / first - 1));
      if (drift_percent > 0 && !has_neighbour && last > first * (1 + drift_percent / 100))
        fail (self, "jobs became slower");
    }
  else
    printf ("the third job again: too few times for a drift\n");
  printf ("arena: the plan's to the byte in %u of %u jobs\n", self->n_exact, self->n_done);
  printf (
      "%u jobs finished of %d%s, %u budgets, %u twins, %u of all that came twice in other bytes, %u stepped down, %u refused at first, %u failures\n",
      self->n_done, n_jobs, is_told ? " (told to stop)" : "", self->n_budgets, self->n_twins, self->n_other,
      self->n_down, self->n_refused, self->n_failed);
}

static void
soak (Soak *self)
{
  g_auto(ZieRequest) probe = { 0 };
  GByteArray *pixels = NULL;
  int number = 0, next_probe = PROBE, n_drawn = 0;
  gint64 end = max_seconds > 0 ? g_get_monotonic_time () + (gint64)(max_seconds * G_USEC_PER_SEC) : G_MAXINT64;
  gboolean is_last = FALSE;

  while (!is_last && !is_told)
    {
      g_auto(ZieRequest) request = { 0 };
      g_auto(Result) result = { 0 }, twin = { 0 };

      is_last = number >= n_jobs - 2 || g_get_monotonic_time () > end;
      if ((is_last || number >= PROBE) && probe.prompt == NULL)
        make_probe (self, &probe);
      if (is_last || number >= next_probe)
        {
          run_probe (self, number, &probe, &pixels, n_draws > 0 && n_drawn >= n_draws);
          number += 2;
          next_probe += PROBE_EVERY;
          continue;
        }
      if (n_draws > 0) /* all that is random of this draw follows from its number */
        g_rand_set_seed (self->random, (guint32)seed + 1 + (guint32)(n_drawn % n_draws));
      n_drawn++;
      random_request (self, &request);
      if (!run_job (self, number++, &request, g_rand_boolean (self->random), &result) || g_rand_int_range (self->random, 0, 4) > 0)
        continue;
      self->n_twins++;
      if (run_job (self, number++, &request, TRUE, &twin))
        compare (self, number - 1, result.pixels, twin.pixels);
    }
  judge (self);
  g_clear_pointer (&pixels, g_byte_array_unref);
}

static gboolean
open_all (Soak *self, const char *path, GError **error)
{
  ZieEngineOptions options = { .backend = ZIE_BACKEND_AUTO, .n_threads = n_threads };
  ZieDevice devices[MAX_DEVICES], device;
  guint n = zie_list_devices (devices, MAX_DEVICES);

  if (device_name != NULL && !zie_device_from_name (device_name, &options.backend, &options.device_index))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "--device is \"%s\"; expected auto, cuda, cuda:N, cpu or ref", device_name);
      return FALSE;
    }
  if (!(self->model = zie_model_open (path, error)) || !(self->engine = zie_engine_new (&options, error)))
    return FALSE;
  zie_engine_get_device (self->engine, &device);
  for (guint i = 0; i < n; i++)
    if (devices[i].kind == device.kind && devices[i].index == device.index)
      self->before = devices[i];
  self->is_card = device.kind == ZIE_BACKEND_CUDA;
  max_side = MIN (max_side, zie_model_get_info (self->model)->max_side);
  printf ("%s on %s, sides up to %d\n", zie_model_get_info (self->model)->name, device.name, max_side);
  return TRUE;
}

static GSubprocess *
start_neighbour (const Soak *self, const char *program, GError **error)
{
  g_autofree char *index = g_strdup_printf ("--be-neighbour=%d", self->before.index), *leave = g_strdup_printf ("--leave=%d", leave_mib);
  g_autofree char *number = g_strdup_printf ("--seed=%d", seed);

  if (!self->is_card)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "--neighbour needs a card");
      return NULL;
    }
  return g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, error, program, index, leave, number, NULL);
}

int
main (int argc, char **argv)
{
  static const TinyModelShape shallow = { .dim = 3840, .n_layers = 2, .text_dim = 2560, .text_ffn = 9728, .text_heads = 32,
                                          .text_kv_heads = 8, .text_head_dim = 128, .n_text_layers = 3,
                                          .vae_channels = { 128, 256, 512, 512 }, .vae_layers = 2 };
  g_autoptr(GOptionContext) context = g_option_context_new ("[MODEL]");
  g_autoptr(GSubprocess) neighbour = NULL;
  g_autoptr(GError) error = NULL;
  Soak self = { 0 };
  char *folder = NULL;

#if defined M_ARENA_MAX && defined M_MMAP_THRESHOLD
  mallopt (M_ARENA_MAX, 2);                      /* as the window has it (app/zis-application.c), which lives as long as this */
  mallopt (M_MMAP_THRESHOLD, 1024 * 1024);
#endif
  setvbuf (stdout, NULL, _IOLBF, 0);             /* who stops it wants to see how far it came */
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || (hog_index < 0 && (argc == 2) + is_shallow + is_tiny != 1) || n_jobs <= PROBE)
    {
      fprintf (stderr, "soak: %s\n", error ? error->message : "expected MODEL, --shallow or --tiny, and at least 3 jobs; see --help");
      return 2;
    }
  if (hog_index >= 0)
    return soak_hog (hog_index, (guint64)leave_mib * MIB, (guint32)seed);

  max_side = max_side > 0 ? max_side : is_tiny ? 160 : 1536;
  if (is_tiny)
    folder = tiny_model_new ((guint32)seed);
  if (is_shallow)
    {
      folder = g_dir_make_tmp ("soak-XXXXXX", &error);
      g_assert_no_error (error);
      tiny_model_write_shape (folder, &shallow, (guint32)seed);
    }
  self.random = g_rand_new_with_seed ((guint32)seed);
  self.probe_seconds = g_array_new (FALSE, FALSE, sizeof (double));
  if (open_all (&self, folder ? folder : argv[1], &error) && (!has_neighbour || (neighbour = start_neighbour (&self, argv[0], &error)) != NULL))
    {
      sigaction (SIGTERM, &(struct sigaction) { .sa_handler = on_signal, .sa_flags = SA_RESTART }, NULL);
      soak (&self);
    }
  if (neighbour != NULL)
    g_subprocess_force_exit (neighbour);
  if (error != NULL)
    fprintf (stderr, "soak: %s\n", error->message);

  g_clear_pointer (&self.engine, zie_engine_unref);
  g_clear_pointer (&self.model, zie_model_unref);
  g_array_unref (self.probe_seconds);
  g_clear_pointer (&self.third_list, g_hash_table_unref);
  g_clear_pointer (&self.last_list, g_hash_table_unref);
  g_rand_free (self.random);
  if (folder != NULL)
    tiny_model_remove (folder);
  return error != NULL || self.n_failed > 0;
}
