/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-cuda-jobs"

/* Whole jobs on an engine whose card is sim-card.h, when the world is unkind: each allocation, copy and launch of a job fails once, the
 * card is lost, other programs take its memory, numbers break in bf16, nobody asks for long.  Each time the result is the right picture
 * or an error in words, nothing is leaked (the runtime ends the program if), and the next job is as good as the first. */

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <zie/zie.h>

#include "fake-runtime.h"
#include "sim-card.h"
#include "tiny-model.h"

#define SIDE 32
#define GIB ((gsize)1 << 30)

static char *folder;
static char *right;              /* checksum of the tiny model's picture */

typedef struct
{
  ZieModel *model;
  ZieEngine *engine;

  guint n_dots;                  /* behind the prompt */
  int n_images;                  /* 0: 1 */
  int side;                      /* 0: SIDE */
  int n_steps;                   /* 0: 1 */
  ZieSampler sampler;
  double strength;               /* 0: not from a picture */
  ZieBudget budget;
  guint64 spilled, streamed;     /* bytes, of the last plan */
  guint n_down, n_down_host, redone;             /* of the last job */
  guint64 planned, planned_ram, vram_peak, ram_peak, ram_locked, arena_peak, bytes_streamed;
  char *pixels;                  /* checksum of all pictures, owned */
} Fixture;

static ZieEngine *
open_engine (ZieBackendKind kind, double idle_seconds, GError **error)
{
  return zie_engine_new (&(ZieEngineOptions) { .backend = kind, .n_threads = 2, .idle_seconds = idle_seconds }, error);
}

static void
fixture_init (Fixture *f, const char *path, double idle_seconds)
{
  g_autoptr(GError) error = NULL;

  fake_start (FAKE_EAGER, 0);
  *f = (Fixture) { .model = zie_model_open (path, &error) };
  g_assert_no_error (error);
  f->engine = open_engine (ZIE_BACKEND_CUDA, idle_seconds, &error);
  g_assert_no_error (error);
}

/* The engine's end gives everything back. */
static void
fixture_clear (Fixture *f)
{
  fake_fail (NULL, 0, cudaSuccess);
  g_clear_pointer (&f->engine, zie_engine_unref);
  g_clear_pointer (&f->model, zie_model_unref);
  g_clear_pointer (&f->pixels, g_free);
  fake_start (FAKE_EAGER, 0);
}

static void
make_request (const Fixture *f, ZieRequest *request)
{
  zie_request_init (request);
  zie_model_init_request (f->model, request);
  g_free (request->prompt);
  request->prompt = g_strdup_printf ("a sentence of more than sixteen ids%.*s", (int)f->n_dots, "........................................");
  request->width = request->height = f->side > 0 ? f->side : SIDE;
  request->n_steps = MAX (f->n_steps, 1);
  request->n_images = MAX (f->n_images, 1);
  request->sampler = f->sampler;
  request->seed = 7;
  if (f->strength > 0)
    {
      gsize size = 3 * (gsize)request->width * (gsize)request->height;
      guint8 *pixels = g_malloc (size);

      for (gsize i = 0; i < size; i++)
        pixels[i] = (guint8)(i * i);
      request->init_image = zie_image_new (request->width, request->height, 3 * (gsize)request->width, g_bytes_new_take (pixels, size));
      request->strength = f->strength;
    }
}

static gboolean
run_on (Fixture *f, ZieEngine *engine, GError **error)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(ZieJob) job = NULL;
  ZieDevice device;
  g_autoptr(ZiePlan) plan = NULL;
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  int n_seen = 0;

  make_request (f, &request);
  f->n_down = f->n_down_host = f->redone = 0;
  zie_engine_get_device (engine, &device);
  if (!(plan = zie_plan_new (f->model, &device, &request, &f->budget, error))
      || !(job = zie_engine_submit (engine, f->model, &request, plan, error)))
    return FALSE;
  f->planned = zie_plan_get_vram_peak (plan);
  f->planned_ram = zie_plan_get_ram_peak (plan);
  f->spilled = zie_plan_get_stage (plan, ZIE_STAGE_DECODE)->bytes_spilled;
  f->streamed = 0;
  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    f->streamed += zie_plan_get_stage (plan, (ZieStage)stage)->bytes_streamed;
  for (;;)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

      if (event->type == ZIE_EVENT_PLAN)
        {
          guint64 less = zie_plan_get_vram_peak (event->plan.plan), less_ram = zie_plan_get_ram_peak (event->plan.plan);

          if (event->plan.is_host)
            g_assert_cmpuint (less_ram, <, f->planned_ram);
          else
            g_assert_cmpuint (less, <, f->planned);
          g_assert_cmpuint (strlen (event->plan.reason), >, 0);
          f->planned = less;
          f->planned_ram = less_ram;
          f->spilled = zie_plan_get_stage (event->plan.plan, ZIE_STAGE_DECODE)->bytes_spilled;
          f->n_down += !event->plan.is_host;
          f->n_down_host += event->plan.is_host;
        }
      if (event->type == ZIE_EVENT_STAGE || event->type == ZIE_EVENT_STEP)
        g_assert_cmpint (event->image_index, >=, n_seen);        /* nothing of a picture that has left */
      if (event->type == ZIE_EVENT_IMAGE)
        {
          gsize size;
          const guint8 *pixels = g_bytes_get_data (zie_image_get_pixels (event->image.image), &size);

          g_assert_cmpint (event->image_index, ==, n_seen++);    /* each once */
          g_checksum_update (checksum, pixels, (gssize)size);
          f->redone = event->image.recipe->redone;
        }
      if (event->type != ZIE_EVENT_FINISHED)
        continue;
      f->vram_peak = event->finished.vram_peak;
      f->ram_peak = event->finished.ram_peak;
      f->ram_locked = event->finished.ram_locked;
      f->arena_peak = event->finished.arena_peak;
      f->bytes_streamed = event->finished.bytes_streamed;
      g_free (f->pixels);
      f->pixels = g_strdup (g_checksum_get_string (checksum));
      if (event->finished.error != NULL)
        g_propagate_error (error, g_error_copy (event->finished.error));
      return event->finished.error == NULL;
    }
}

static gboolean
run (Fixture *f, GError **error)
{
  return run_on (f, f->engine, error);
}

static void
run_well (Fixture *f, const char *expected)
{
  g_autoptr(GError) error = NULL;
  gboolean is_done = run (f, &error);

  g_assert_no_error (error);
  g_assert_true (is_done);
  if (expected != NULL)
    g_assert_cmpstr (f->pixels, ==, expected);
}

/* --- tests --- */

/* The card's pictures are the CPU's in bf16, and the plan is what is held. */
static void
as_planned (void)
{
  ZieDevice device;
  Fixture f;

  fixture_init (&f, folder, 0);
  zie_engine_get_device (f.engine, &device);
  g_assert_cmpuint (device.memory_held, ==, device.memory_base);
  run_well (&f, NULL);
  right = g_strdup (f.pixels);
  g_assert_cmpuint (f.vram_peak, ==, f.planned);
  zie_engine_get_device (f.engine, &device);
  g_assert_cmpuint (device.memory_held, ==, f.vram_peak);
  for (int i = 0; i < 3; i++)
    run_well (&f, right);
  fixture_clear (&f);
}

/* Always a byte less than the last plan took: the decode is cut, then spilled to host memory, until nothing is left to give up.  The
 * picture stays what it is, and what is held is the plan. */
static void
budgets (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *expected = NULL;
  guint n = 0, n_spilled = 0;
  Fixture f;

  fixture_init (&f, folder, 0);
  f.side = 144;
  run_well (&f, NULL);
  expected = g_strdup (f.pixels);
  g_assert_cmpuint (f.spilled, ==, 0);
  for (;;)
    {
      f.budget.vram = f.planned - 1;
      if (!run (&f, &error))
        break;
      g_assert_cmpstr (f.pixels, ==, expected);
      g_assert_cmpuint (f.vram_peak, ==, f.planned);
      g_assert_cmpuint (f.planned, <=, f.budget.vram);
      n_spilled += f.spilled > 0;
      n++;
    }
  g_test_message ("%u budgets, %u spilled: %s", n, n_spilled, error->message);
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY);
  g_assert_cmpuint (n_spilled, >, 1);
  fixture_clear (&f);
}

/* What is computed again on the CPU fits into the budget beside all that the job has of the host's memory, or is refused in words. */
static void
redone_within (void)
{
  Fixture f;

  fixture_init (&f, folder, 0);
  run_well (&f, right);
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;

      f.budget.ram = f.planned_ram + (i == 0 ? 1 << 20 : 64 << 20);
      f.n_dots++;
      sim_break_linear (20);
      g_assert_cmpint (run (&f, &error), ==, i == 1);
      sim_break_linear (0);
      if (i == 1)
        g_assert_cmpuint (f.redone, !=, 0);
      else
        {
          g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
          g_assert_nonnull (strstr (error->message, "cannot be computed again"));
        }
    }
  fixture_clear (&f);
}

/* Wide enough that a plan for a sixteenth less is possible. */
static char *
make_wide_model (int n_layers)
{
  const TinyModelShape shape = { .dim = 1280, .n_layers = n_layers, .text_dim = 64, .text_ffn = 96, .text_heads = 4, .text_kv_heads = 2,
                                 .text_head_dim = 32, .n_text_layers = 3, .vae_channels = { 32, 32, 64, 64 }, .vae_layers = 1 };
  char *wide = g_dir_make_tmp ("zie-wide-XXXXXX", NULL);

  tiny_model_write_shape (wide, &shape, 1);
  return wide;
}

static ZiePlan *
make_plan (const Fixture *f, const ZieDevice *device)
{
  g_auto(ZieRequest) request = { 0 };
  g_autoptr(GError) error = NULL;
  ZiePlan *plan;

  make_request (f, &request);
  plan = zie_plan_new (f->model, device, &request, &f->budget, &error);
  g_assert_no_error (error);
  return plan;
}

/* What the last job locked is there for the same one; else locking it costs time. */
static void
check_locking (Fixture *f)
{
  g_autoptr(ZiePlan) again = NULL, anew = NULL;
  ZieDevice device;

  zie_engine_get_device (f->engine, &device);
  g_assert_cmpuint (device.host_held, >, 0);
  again = make_plan (f, &device);
  device.host_held = 0;
  anew = make_plan (f, &device);
  g_assert_cmpfloat (zie_plan_get_seconds (anew), >, zie_plan_get_seconds (again) + (double)f->spilled / 100e9);
}

/* What one job locked of the host's memory for what it spilled is not held by the next within a budget, which did not plan for it. */
static void
locked (void)
{
  gsize before, spilled;
  Fixture f;

  fixture_init (&f, folder, 0);
  f.side = 144;
  f.budget.ram = 8 * GIB;
  run_well (&f, NULL);
  before = fake_get_locked ();
  while (f.spilled == 0)
    {
      f.budget.vram = f.planned - 1;
      run_well (&f, NULL);
    }
  spilled = fake_get_locked ();
  check_locking (&f);
  f.budget.vram = 0;
  run_well (&f, NULL);
  g_test_message ("locked: %.2f MiB, with what was spilled %.2f, then %.2f", (double)before / 0x1p20,
                  (double)spilled / 0x1p20, (double)fake_get_locked () / 0x1p20);
  g_assert_cmpuint (spilled, >, before);
  g_assert_cmpuint (fake_get_locked (), ==, before);
  fixture_clear (&f);
}

/* What of the host may be locked is half of what is free; what the driver has there, and is not locked, is no part of that. */
static void
half_locked (void)
{
  g_autofree char *wide = make_wide_model (2), *json = NULL, *pinned = NULL;
  g_autoptr(ZiePlan) plan = NULL;
  ZieDevice device;
  Fixture f;

  fixture_init (&f, wide, 0);
  run_well (&f, NULL);
  zie_engine_get_device (f.engine, &device);
  f.budget = (ZieBudget) { .vram = f.planned - (32 << 20), .ram = 8 * GIB };
  device.host_base = device.host_locked + (65 << 20);            /* so that there is room for it all, and half of that is what counts */
  device.host_free = 2 * (device.host_locked + (16 << 20));
  g_assert_cmpuint (device.host_locked, <, device.host_base - (64 << 20));
  plan = make_plan (&f, &device);
  json = zie_plan_to_json (plan);
  pinned = g_strdup (strstr (json, "\"pinned\":") + strlen ("\"pinned\":"));
  g_assert_cmpuint (g_ascii_strtoull (pinned, NULL, 10), >, 15 << 20);
  g_assert_cmpuint (g_ascii_strtoull (pinned, NULL, 10), <, 16 << 20);
  fixture_clear (&f);
  tiny_model_remove (g_steal_pointer (&wide));
}

/* Layers come as often as the plan says, also where a step passes through the network twice and where the first ones are left out. */
static void
streamed (void)
{
  static const struct { const char *sampler; double strength; } cases[] = { { "euler", 0 }, { "heun", 0 }, { "heun", 0.5 } };
  g_autofree char *wide = make_wide_model (5);
  Fixture f;

  fixture_init (&f, wide, 0);
  run_well (&f, NULL);
  f.budget.vram = f.planned - (100 << 20);
  f.n_steps = 3;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_true (zie_sampler_from_name (cases[i].sampler, &f.sampler));
      f.strength = cases[i].strength;
      run_well (&f, NULL);
      g_test_message ("%s, strength %.1f: %.1f MiB planned, %.1f came", cases[i].sampler, cases[i].strength, (double)f.streamed / 0x1p20,
                      (double)f.bytes_streamed / 0x1p20);
      /* But for what the slots hold at the beginning, and what is fetched for a pass that does not come. */
      g_assert_cmpfloat (fabs ((double)f.streamed - (double)f.bytes_streamed), <=, 2 * 40 * 0x1p20);
      /* The copies that streamed layers come from are told of, as a part of what the process has. */
      g_assert_cmpuint (f.ram_locked, >=, 40 << 20);
      g_assert_cmpuint (f.ram_locked, <, fake_get_locked ());
      g_assert_cmpuint (f.ram_peak, >, fake_get_locked ());
    }
  fixture_clear (&f);
  tiny_model_remove (g_steal_pointer (&wide));
}

/* Every EACH-th call of a function fails once. */
static void
fails (gconstpointer data)
{
  const char *function = data;
  gboolean is_memory = g_str_has_suffix (function, "lloc");
  guint each = strcmp (function, "launch") == 0 ? 37 : is_memory ? 1 : g_str_has_prefix (function, "cuda") ? 9 : 2, n_errors = 0, n_jobs = 0;
  gboolean has_failed = TRUE;

  for (guint nth = 1; has_failed; nth += each)
    {
      g_autoptr(GError) error = NULL;
      Fixture f;

      fixture_init (&f, folder, 0);
      fake_fail (function, nth, is_memory ? cudaErrorMemoryAllocation : cudaErrorInvalidValue);
      if (run (&f, &error))
        g_assert_cmpstr (f.pixels, ==, right);
      else
        {
          n_errors++;
          g_assert_true (fake_has_failed ());
          g_assert_cmpint (error->domain, ==, ZIE_ERROR);
          g_assert_cmpint (error->code, !=, ZIE_ERROR_CANCELLED);
          g_assert_cmpint (error->code, !=, ZIE_ERROR_BROKEN_PICTURE);
        }
      has_failed = fake_has_failed ();
      fake_fail (NULL, 0, cudaSuccess);
      run_well (&f, right);
      n_jobs++;
      fixture_clear (&f);
    }
  g_test_message ("%s: %u jobs, %u errors", function, n_jobs, n_errors);
  g_assert_cmpuint (n_jobs, >, 1);
}

/* The card is gone: words, also for the next job; the CPU of the same process goes on.  Once nobody has it open it can be opened again,
 * and makes the right picture. */
static void
lost (gconstpointer function)
{
  g_autofree char *on_cpu = NULL;

  for (guint nth = 1; nth <= 31; nth += 15)
    {
      g_autoptr(GError) error = NULL, again = NULL, none = NULL;
      g_autoptr(ZieEngine) engine = NULL, other = NULL;
      Fixture f;

      fixture_init (&f, folder, 0);
      other = open_engine (ZIE_BACKEND_CUDA, 0, &none);
      g_assert_no_error (none);
      fake_lose (function, nth, cudaErrorLaunchFailure);
      if (run (&f, &error))
        {
          g_clear_pointer (&other, zie_engine_unref);
          g_assert_cmpuint (fake_count ("cudaDeviceReset"), ==, 0);
          fixture_clear (&f);
          continue;
        }
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST);
      g_assert_nonnull (strstr (error->message, "compute on the CPU"));
      f.side = 2 * SIDE;                         /* it needs other memory, which is not what is missing */
      g_assert_false (run (&f, &again));
      g_assert_error (again, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST);
      f.side = 0;

      engine = open_engine (ZIE_BACKEND_CPU, 0, &none);
      g_assert_no_error (none);
      g_assert_true (run_on (&f, engine, &none));
      g_assert_no_error (none);
      if (on_cpu == NULL)
        on_cpu = g_strdup (f.pixels);
      g_assert_cmpstr (f.pixels, ==, on_cpu);
      g_clear_pointer (&engine, zie_engine_unref);

      fake_fail (NULL, 0, cudaSuccess);
      g_clear_pointer (&f.engine, zie_engine_unref);
      g_assert_cmpuint (fake_count ("cudaDeviceReset"), ==, 0);          /* the other one has it open */
      g_clear_pointer (&other, zie_engine_unref);
      g_assert_cmpuint (fake_count ("cudaDeviceReset"), ==, 1);
      f.engine = open_engine (ZIE_BACKEND_CUDA, 0, &none);
      g_assert_no_error (none);
      run_well (&f, right);
      fixture_clear (&f);
    }
}

/* A part's file is cut while its weights are on their way to the card, or before: an error that names it, no picture, and the card is
 * as good as before. */
static void
file_lost (void)
{
  static const char *const parts[] = { "text_encoder/model", "transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model" };

  g_autofree char *nothing = g_compute_checksum_for_string (G_CHECKSUM_SHA256, "", 0);

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      char *copy = tiny_model_new (3);
      g_autofree char *path = g_strdup_printf ("%s/%s.safetensors", copy, parts[i]);
      g_autoptr(GError) error = NULL, again = NULL;
      Fixture f;

      fixture_init (&f, copy, 0);
      g_assert_cmpint (truncate (path, 0), ==, 0);
      g_assert_false (run (&f, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_LOST);
      g_assert_nonnull (strstr (error->message, path));
      g_assert_cmpstr (f.pixels, ==, nothing);
      g_assert_false (run (&f, &again));
      g_assert_error (again, ZIE_ERROR, ZIE_ERROR_FILE_LOST);
      g_clear_error (&again);

      zie_model_unref (f.model);
      f.model = zie_model_open (folder, &again);
      g_assert_no_error (again);
      run_well (&f, right);
      fixture_clear (&f);
      tiny_model_remove (copy);
    }
}

/* What drivers do today: a process that lost a card does not get it again.  It is said so, with what helps; the CPU goes on, and AUTO takes it. */
static void
lost_for_good (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieEngine) engine = NULL;
  ZieDevice device;
  Fixture f;

  fixture_init (&f, folder, 0);
  fake_lose ("launch", 20, cudaErrorLaunchFailure);
  fake_keep_lost (TRUE);
  g_assert_false (run (&f, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_DEVICE_LOST);
  g_clear_error (&error);
  fake_fail (NULL, 0, cudaSuccess);
  g_clear_pointer (&f.engine, zie_engine_unref);
  g_assert_cmpuint (fake_count ("cudaDeviceReset"), >, 0);

  for (int i = 0; i < 2; i++)
    {
      g_assert_null (open_engine (ZIE_BACKEND_CUDA, 0, &error));
      g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE);
      g_assert_nonnull (strstr (error->message, "close it and open it again"));
      g_assert_nonnull (strstr (error->message, "--device cpu"));
      g_clear_error (&error);
    }
  engine = open_engine (ZIE_BACKEND_AUTO, 0, &error);
  g_assert_no_error (error);
  zie_engine_get_device (engine, &device);
  g_assert_cmpint (device.kind, ==, ZIE_BACKEND_CPU);
  g_assert_true (run_on (&f, engine, &error));
  g_clear_pointer (&engine, zie_engine_unref);

  fake_keep_lost (FALSE);
  f.engine = open_engine (ZIE_BACKEND_CUDA, 0, &error);
  g_assert_no_error (error);
  run_well (&f, right);
  fixture_clear (&f);
}

/* Numbers that are not finite in any stage: that stage's numbers come from the CPU. */
static void
redone (void)
{
  guint seen = 0, stages = 0;
  Fixture f;

  fixture_init (&f, folder, 0);
  run_well (&f, right);
  for (guint nth = 1; nth < 60; nth += 4)
    {
      f.n_dots++;                                /* or the embeddings would be those of the last job */
      sim_break_linear (nth);
      run_well (&f, NULL);
      seen += f.redone != 0;
      stages |= f.redone;
      sim_break_linear (0);
    }
  g_test_message ("%u of 15 jobs were computed again in part, stages %#x", seen, stages);
  g_assert_cmpuint (seen, >, 8);
  g_assert_cmpuint (stages, ==, 15);
  fixture_clear (&f);
}

/* A card that others fill: the plan steps down until it fits, and says so; then it refuses in words; then all is as before. */
static void
neighbours (void)
{
  g_autofree char *wide = make_wide_model (2), *expected = NULL;
  g_autoptr(GError) error = NULL;
  guint64 planned;
  gsize used;
  Fixture f;

  fixture_init (&f, wide, 0);
  run_well (&f, NULL);
  expected = g_strdup (f.pixels);
  planned = f.planned;
  used = fake_get_used ();
  g_clear_pointer (&f.engine, zie_engine_unref);
  fake_start (FAKE_EAGER, 0);

  /* Calls for memory are refused until the plan takes a quarter less, while the driver says that all is free. */
  f.engine = open_engine (ZIE_BACKEND_CUDA, 0, &error);
  g_assert_no_error (error);
  fake_set_secret_others (FAKE_MEMORY - used / 4 * 3);
  run_well (&f, expected);
  g_test_message ("stepped down %u times, from %.0f to %.0f MiB", f.n_down, (double)planned / 0x1p20, (double)f.planned / 0x1p20);
  g_assert_cmpuint (f.n_down, >, 0);
  g_assert_cmpuint (f.planned, <, planned);
  g_assert_cmpuint (f.vram_peak, ==, f.planned);

  fake_set_secret_others (FAKE_MEMORY - used / 20);
  g_assert_false (run (&f, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "close other programs"));

  fake_set_secret_others (0);
  run_well (&f, expected);
  g_assert_cmpuint (f.planned, ==, planned);
  fixture_clear (&f);
  tiny_model_remove (g_steal_pointer (&wide));
}

/* The card's memory and the host's are refused once where no smaller plan is: a moment later they are there. */
static void
back_in_a_moment (void)
{
  static const char *const refusing[] = { "cudaMalloc", "cudaHostAlloc" };
  Fixture f;

  fixture_init (&f, folder, 0);
  for (guint i = 0; i < G_N_ELEMENTS (refusing); i++)
    {
      fake_fail (refusing[i], 1, cudaErrorMemoryAllocation);
      run_well (&f, right);
      g_assert_true (fake_has_failed ());
      fake_fail (NULL, 0, cudaSuccess);
      g_clear_pointer (&f.engine, zie_engine_unref);
      f.engine = open_engine (ZIE_BACKEND_CUDA, 0, NULL);
    }
  fixture_clear (&f);
}

/* Locked memory of the host is refused to a job that streams: it goes on with fewer copies of weights there. */
static void
less_locked (void)
{
  g_autofree char *wide = make_wide_model (2), *expected = NULL;
  Fixture f;

  fixture_init (&f, wide, 0);
  run_well (&f, NULL);
  expected = g_strdup (f.pixels);
  f.budget.vram = f.planned - (32 << 20);
  run_well (&f, expected);
  g_assert_cmpuint (f.streamed, >, 0);
  g_clear_pointer (&f.engine, zie_engine_unref);
  f.engine = open_engine (ZIE_BACKEND_CUDA, 0, NULL);
  fake_fail ("cudaHostAlloc", 1, cudaErrorMemoryAllocation);
  run_well (&f, expected);
  g_assert_true (fake_has_failed ());
  g_assert_cmpuint (f.n_down_host, ==, 1);
  g_assert_cmpuint (f.n_down, ==, 0);
  g_assert_cmpuint (f.vram_peak, ==, f.planned);
  fixture_clear (&f);
  tiny_model_remove (g_steal_pointer (&wide));
}

/* Memory goes in the middle of a job of several pictures: it goes on by a smaller plan with the picture that is missing. */
static void
several (void)
{
  g_autofree char *wide = make_wide_model (2), *expected = NULL;
  guint n, n_before;
  Fixture f;

  fixture_init (&f, wide, 0);
  f.n_images = 2;
  run_well (&f, NULL);
  expected = g_strdup (f.pixels);
  n_before = fake_count ("launch");
  run_well (&f, expected);
  n = fake_count ("launch") - n_before;
  for (guint part = 1; part < 4; part += 2)      /* in the first, in the second */
    {
      fake_fail ("launch", n * part / 4 + 3, cudaErrorMemoryAllocation);
      run_well (&f, expected);
      g_assert_true (fake_has_failed ());
      g_assert_cmpuint (f.n_down, ==, 1);
      g_assert_cmpuint (f.vram_peak, ==, f.planned);
      fake_fail (NULL, 0, cudaSuccess);
    }
  fixture_clear (&f);
  tiny_model_remove (g_steal_pointer (&wide));
}

static void
wait_until_used (gsize used)
{
  while (fake_get_used () != used)
    g_thread_yield ();
}

static gboolean
is_mapped (const char *path)
{
  g_autofree char *maps = NULL;

  return g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL) && strstr (maps, path) != NULL;
}

/* Long without a job: the card is as it was before the first; the next picture is the same one.  A model that was closed
 * is let go of. */
static void
idle (void)
{
  gsize before;
  Fixture f;

  fixture_init (&f, folder, 0.02);
  before = fake_get_used ();
  for (int i = 0; i < 3; i++)
    {
      run_well (&f, right);
      wait_until_used (before);
    }
  run_well (&f, right);
  g_assert_true (is_mapped (folder));
  g_clear_pointer (&f.model, zie_model_unref);
  while (is_mapped (folder))
    g_usleep (1000);
  wait_until_used (before);
  fixture_clear (&f);
}

/* AUTO takes the first card that can be used, whatever its number. */
static void
second_card (void)
{
  g_autoptr(ZieEngine) engine = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *left_out = NULL;
  ZieDevice device;

  fake_start (FAKE_EAGER, 0);
  fake_set_cards (2, 1);
  engine = open_engine (ZIE_BACKEND_AUTO, 0, &error);
  g_assert_no_error (error);
  zie_engine_get_device (engine, &device);
  g_assert_cmpint (device.kind, ==, ZIE_BACKEND_CUDA);
  g_assert_cmpint (device.index, ==, 1);
  g_assert_cmpstr (device.pci_id, ==, "0000:02:00.0");
  left_out = zie_explain_left_out ();
  g_assert_nonnull (strstr (left_out, "card 0"));
  g_clear_pointer (&engine, zie_engine_unref);

  /* One that does not open is no end either. */
  fake_set_cards (2, 0);
  fake_fail ("cudaStreamCreateWithFlags", 1, cudaErrorInvalidValue);
  engine = open_engine (ZIE_BACKEND_AUTO, 0, &error);
  g_assert_no_error (error);
  zie_engine_get_device (engine, &device);
  g_assert_cmpint (device.kind, ==, ZIE_BACKEND_CUDA);
  g_assert_cmpint (device.index, ==, 1);
  g_clear_pointer (&engine, zie_engine_unref);
  fake_set_cards (1, 0);
  fake_start (FAKE_EAGER, 0);
}

/* Without a card that can be used, who asks for one is told why and what to do. */
static void
no_card (void)
{
  g_autoptr(GError) error = NULL;

  fake_start (FAKE_EAGER, 0);
  fake_set_cards (1, 1);
  g_assert_null (open_engine (ZIE_BACKEND_CUDA, 0, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "compute capability 7.0"));
  g_assert_nonnull (strstr (error->message, "--device cpu"));
  fake_set_cards (1, 0);
  fake_start (FAKE_EAGER, 0);
}

int
main (int argc, char **argv)
{
  static const char *const failing[] = { "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaMemsetAsync", "cudaEventRecord", "upload",
                                         "download", "launch" };
  static const char *const losing[] = { "launch", "download", "cudaMalloc", "cudaHostAlloc" };
  int result;

  g_unsetenv ("ZIE_BACKEND");
  g_test_init (&argc, &argv, NULL);
  folder = tiny_model_new (3);
  g_test_add_func ("/cuda-jobs/as-planned", as_planned);
  g_test_add_func ("/cuda-jobs/budgets", budgets);
  g_test_add_func ("/cuda-jobs/locked", locked);
  g_test_add_func ("/cuda-jobs/half-locked", half_locked);
  g_test_add_func ("/cuda-jobs/streamed", streamed);
  for (gsize i = 0; i < G_N_ELEMENTS (failing); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda-jobs/fails/", failing[i], NULL);
      g_test_add_data_func (path, failing[i], fails);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (losing); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda-jobs/lost/", losing[i], NULL);
      g_test_add_data_func (path, losing[i], lost);
    }
  g_test_add_func ("/cuda-jobs/lost-for-good", lost_for_good);
  g_test_add_func ("/cuda-jobs/file-lost", file_lost);
  g_test_add_func ("/cuda-jobs/redone", redone);
  g_test_add_func ("/cuda-jobs/redone-within", redone_within);
  g_test_add_func ("/cuda-jobs/neighbours", neighbours);
  g_test_add_func ("/cuda-jobs/back-in-a-moment", back_in_a_moment);
  g_test_add_func ("/cuda-jobs/less-locked", less_locked);
  g_test_add_func ("/cuda-jobs/several", several);
  g_test_add_func ("/cuda-jobs/idle", idle);
  g_test_add_func ("/cuda-jobs/second-card", second_card);
  g_test_add_func ("/cuda-jobs/no-card", no_card);
  result = g_test_run ();
  g_free (right);
  tiny_model_remove (folder);
  return result;
}
