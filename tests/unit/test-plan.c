/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <zie/zie.h>

#include "tiny-model.h"

typedef struct
{
  char *folder;
  ZieModel *model;
  ZieDevice device;
  ZieRequest request;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  ZieDevice devices[8];
  guint n = zie_list_devices (devices, G_N_ELEMENTS (devices));
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (n, >=, 1);
  f->device = devices[0];
  f->folder = tiny_model_new (3);
  f->model = zie_model_open (f->folder, &error);
  g_assert_no_error (error);
  zie_request_init (&f->request);
  zie_model_init_request (f->model, &f->request);
  g_free (f->request.prompt);
  f->request.prompt = g_strdup ("a plan");
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  zie_request_clear (&f->request);
  zie_model_unref (f->model);
  tiny_model_remove (f->folder);
}

static ZiePlan *
make_plan (Fixture *f, int width, int height)
{
  g_autoptr(GError) error = NULL;
  ZiePlan *plan;

  f->request.width = width;
  f->request.height = height;
  plan = zie_plan_new (f->model, &f->device, &f->request, NULL, &error);
  g_assert_no_error (error);
  return plan;
}

/* More pixels never take less; the peak is the largest stage; steps cost time, not memory. */
static void
test_monotonic (Fixture *f, gconstpointer data)
{
  guint64 last = 0;

  for (int side = 64; side <= 1024; side += 64)
    {
      g_autoptr(ZiePlan) plan = make_plan (f, side, side), longer = NULL;
      guint64 largest = 0;

      g_assert_cmpuint (zie_plan_get_ram_peak (plan), >, last);
      last = zie_plan_get_ram_peak (plan);
      for (int stage = 0; stage < ZIE_N_STAGES; stage++)
        largest = MAX (largest, zie_plan_get_stage (plan, (ZieStage)stage)->arena);
      g_assert_cmpuint (zie_plan_get_arena_size (plan), >=, largest);

      f->request.n_steps = 40;
      longer = make_plan (f, side, side);
      g_assert_cmpfloat (zie_plan_get_seconds (longer), >, 2 * zie_plan_get_seconds (plan));
      g_assert_cmpuint (zie_plan_get_stage (longer, ZIE_STAGE_DECODE)->arena - zie_plan_get_stage (plan, ZIE_STAGE_DECODE)->arena, <,
                        8 * 1024 * 1024);                        /* modulation vectors of 32 more steps */
      f->request.n_steps = 8;
    }
}

/* Quick enough for every keystroke: under a millisecond (best of 20, so that a busy machine does not count). */
static void
test_quick (Fixture *f, gconstpointer data)
{
  gint64 best = G_MAXINT64;

  for (int i = 0; i < 20; i++)
    {
      gint64 start = g_get_monotonic_time ();
      zie_plan_unref (make_plan (f, 1024, 1024));
      best = MIN (best, g_get_monotonic_time () - start);
    }
  g_test_message ("a plan takes %" G_GINT64_FORMAT " us", best);
  g_assert_cmpint (best, <, 1000);
}

/* A budget that is too small is refused, and what the message offers does fit. */
static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autoptr(ZiePlan) plan = make_plan (f, 2048, 1024), fits = NULL, small = NULL;
  ZieBudget budget = { 0, zie_plan_get_ram_peak (plan) - 1 };
  g_autoptr(GError) error = NULL;
  int width = 0, height = 0;
  const char *offer;
  guint64 *is_free;

  g_assert_null (zie_plan_new (f->model, &f->device, &f->request, &budget, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  offer = strstr (error->message, "; ");
  g_assert_nonnull (offer);
  g_assert_cmpint (sscanf (offer, "; %d x %d would fit", &width, &height), ==, 2);
  g_assert_cmpint (width, >, height);
  f->request.width = width;
  f->request.height = height;
  g_clear_error (&error);
  fits = zie_plan_new (f->model, &f->device, &f->request, &budget, &error);
  g_assert_no_error (error);

  budget.ram = 1000;
  g_assert_null (zie_plan_new (f->model, &f->device, &f->request, &budget, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  g_assert_nonnull (strstr (error->message, "allow more (--ram-budget)"));
  g_clear_error (&error);

  /* A budget is no memory: what is not there is refused within it, too. */
  is_free = f->device.link_bytes_per_second > 0 ? &f->device.host_free : &f->device.memory_free;
  *is_free = zie_plan_get_ram_peak (fits) - 1;
  budget.ram = zie_plan_get_ram_peak (plan);
  small = zie_plan_new (f->model, &f->device, &f->request, &budget, &error);
  g_assert_true (small == NULL || zie_plan_get_ram_peak (small) <= *is_free);
  *is_free = 1000;
  g_clear_error (&error);
  g_assert_null (zie_plan_new (f->model, &f->device, &f->request, &budget, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_HOST_MEMORY);
  g_assert_nonnull (strstr (error->message, "close other programs"));
}

/* The plan's arena is what the job takes, to the byte, for sizes, guidance, batches, image to image and prompts of any length. */
static void
test_honest (Fixture *f, gconstpointer data)
{
  static const struct { int width, height, n_images; double guidance; gboolean init; const char *prompt; ZieCompute compute; } cases[] = {
    { 64, 64, 1, 0, FALSE, "x", ZIE_COMPUTE_F32 },
    { 96, 64, 2, 0, FALSE, "a longer prompt that needs more than one group of tokens", ZIE_COMPUTE_F32 },
    { 48, 80, 1, 2, FALSE, "guided", ZIE_COMPUTE_F32 },
    { 64, 64, 1, 0, TRUE, "from a picture", ZIE_COMPUTE_F32 },
    { 176, 16, 1, 0, FALSE, "flat", ZIE_COMPUTE_F32 },
    { 64, 64, 1, 0, FALSE, "half", ZIE_COMPUTE_BF16 },
  };
  ZieEngineOptions options = { .backend = f->device.kind };
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieEngine) engine = zie_engine_new (&options, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(ZiePlan) plan = NULL;
      g_autoptr(ZieJob) job = NULL;
      g_auto(ZieRequest) request = { 0 };
      gboolean is_finished = FALSE;

      zie_request_copy (&request, &f->request);
      g_free (request.prompt);
      request.prompt = g_strdup (cases[i].prompt);
      request.width = cases[i].width;
      request.height = cases[i].height;
      request.n_images = cases[i].n_images;
      request.guidance = cases[i].guidance;
      request.compute = cases[i].compute;
      request.n_steps = 4;
      if (cases[i].init)
        {
          guint8 *pixels = g_malloc (40 * 40 * 3);
          for (int p = 0; p < 40 * 40 * 3; p++)
            pixels[p] = (guint8)(p * 7);
          request.init_image = zie_image_new (40, 40, 120, g_bytes_new_take (pixels, 40 * 40 * 3));
          request.strength = 0.6;
        }
      plan = zie_plan_new (f->model, &f->device, &request, NULL, &error);
      g_assert_no_error (error);
      job = zie_engine_submit (engine, f->model, &request, plan, &error);
      g_assert_no_error (error);

      while (!is_finished)
        {
          g_autoptr(ZieEvent) event = g_async_queue_pop (zie_engine_get_events (engine));

          is_finished = event->type == ZIE_EVENT_FINISHED;
          if (is_finished)
            {
              g_assert_no_error (event->finished.error);
              g_test_message ("%s: planned %" G_GUINT64_FORMAT ", took %" G_GUINT64_FORMAT, cases[i].prompt,
                              zie_plan_get_arena_size (plan), event->finished.arena_peak);
              g_assert_cmpuint (event->finished.arena_peak, ==, zie_plan_get_arena_size (plan));
            }
        }
    }
}

/* A card that nobody has, with less and less memory to use: the decode is cut, then spilled to host memory, then refused.  Each
 * plan keeps the budget, and less memory is never quicker. */
static void
test_decode_steps_down (Fixture *f, gconstpointer data)
{
  ZieDevice card = { .kind = ZIE_BACKEND_CUDA, .name = "a card", .n_threads = 1, .memory_total = (guint64)16 << 30,
                     .memory_free = (guint64)16 << 30, .flops_bf16 = 1e14, .bytes_per_second = 1e12, .link_bytes_per_second = 1e10,
                     .memory_base = 256 << 20, .host_free = (guint64)16 << 30 };
  g_autoptr(ZiePlan) whole = NULL;
  g_autoptr(GError) error = NULL;
  ZieBudget budget = { 0, 0 };
  gboolean was_spilled = FALSE;
  double seconds = 0;

  f->request.width = 2048;
  f->request.height = 1536;
  whole = zie_plan_new (f->model, &card, &f->request, NULL, &error);
  if (g_error_matches (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE))
    {
      g_test_skip ("this build has no CUDA module");
      return;
    }
  g_assert_no_error (error);
  for (budget.vram = zie_plan_get_vram_peak (whole); ; budget.vram -= 4 << 20)
    {
      g_autoptr(ZiePlan) plan = zie_plan_new (f->model, &card, &f->request, &budget, &error);
      g_autofree char *decode = NULL;
      guint64 spilled;

      if (plan == NULL)
        break;
      decode = zie_plan_describe_decode (plan);
      spilled = zie_plan_get_stage (plan, ZIE_STAGE_DECODE)->bytes_spilled;
      g_assert_cmpuint (zie_plan_get_vram_peak (plan), <=, budget.vram);
      g_assert_cmpfloat (zie_plan_get_seconds (plan), >=, seconds);
      g_assert_cmpint (spilled > 0, ==, strstr (decode, "spilled from level") != NULL);
      if (budget.vram == zie_plan_get_vram_peak (whole))
        g_assert_cmpstr (decode, ==, "whole");
      else
        g_assert_cmpstr (decode, !=, "whole");
      was_spilled = was_spilled || spilled > 0;
      seconds = zie_plan_get_seconds (plan);
    }
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY);
  g_assert_nonnull (strstr (error->message, "would fit"));
  g_assert_true (was_spilled);
  g_assert_cmpuint (budget.vram - card.memory_base, <, (zie_plan_get_vram_peak (whole) - card.memory_base) / 2);
  g_clear_error (&error);

  /* Not more than half of the host's memory is locked. */
  card.host_free = 256 << 20;
  budget.vram += 4 << 20;
  g_assert_null (zie_plan_new (f->model, &card, &f->request, &budget, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY);
}

/* A decode of more than a second is planned to give bands all along. */
static void
test_long_decode (Fixture *f, gconstpointer data)
{
  g_autoptr(ZiePlan) quick = NULL, slow = NULL;
  g_autofree char *quick_words = NULL, *slow_words = NULL;

  f->device.flops_f32 = f->device.flops_bf16 = f->device.bytes_per_second = 1e15;
  quick = make_plan (f, 256, 256);
  quick_words = zie_plan_describe_decode (quick);
  g_assert_cmpstr (quick_words, ==, "whole");
  g_assert_cmpint (zie_plan_get_decode_cut (quick), ==, ZIE_DECODE_CUT_WHOLE);
  f->device.flops_f32 = f->device.flops_bf16 = zie_plan_get_stage (quick, ZIE_STAGE_DECODE)->flops / 1.5;
  slow = make_plan (f, 256, 256);
  slow_words = zie_plan_describe_decode (slow);
  g_assert_true (g_str_has_prefix (slow_words, "bands of "));
  g_assert_cmpint (zie_plan_get_decode_cut (slow), ==, ZIE_DECODE_CUT_BANDS);
  g_assert_cmpfloat (zie_plan_get_stage (slow, ZIE_STAGE_DECODE)->flops, <, 1.3 * zie_plan_get_stage (quick, ZIE_STAGE_DECODE)->flops);
}

/* Blended tiles whose size nobody asked for are those of the scripts. */
static void
test_tiles (Fixture *f, gconstpointer data)
{
  static const struct { int width, height; const char *words; } cases[] = {
    { 512, 768, "tiles of 384 pixels that share 48" },    { 784, 256, "tiles of 512 pixels that share 64" },
    { 1024, 1024, "tiles of 512 pixels that share 64" },  { 256, 1040, "tiles of 640 pixels that share 80" },
    { 2048, 2048, "tiles of 640 pixels that share 80" },
  };

  f->request.decode = ZIE_DECODE_BLEND;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(ZiePlan) plan = make_plan (f, cases[i].width, cases[i].height);
      g_autofree char *words = zie_plan_describe_decode (plan);

      g_assert_cmpstr (words, ==, cases[i].words);
      g_assert_cmpint (zie_plan_get_decode_cut (plan), ==, ZIE_DECODE_CUT_TILES);
    }
}

static void
test_words (Fixture *f, gconstpointer data)
{
  g_autoptr(ZiePlan) plan = make_plan (f, 256, 192);
  g_autofree char *json = zie_plan_to_json (plan), *text = zie_plan_to_text (plan);

  g_assert_nonnull (strstr (json, "\"width\":256"));
  g_assert_nonnull (strstr (json, "\"stage\":\"decode\""));
  g_assert_nonnull (strstr (json, "\"decode\":{\"cut\":\""));
  g_assert_nonnull (strstr (json, "\"levels\":[\"whole\",\"whole\",\"whole\",\"whole\"]"));
  g_assert_nonnull (strstr (text, "256 x 192"));
  g_assert_nonnull (strstr (text, "decode"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/plan/monotonic", Fixture, NULL, set_up, test_monotonic, tear_down);
  g_test_add ("/plan/quick", Fixture, NULL, set_up, test_quick, tear_down);
  g_test_add ("/plan/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/plan/honest", Fixture, NULL, set_up, test_honest, tear_down);
  g_test_add ("/plan/decode-steps-down", Fixture, NULL, set_up, test_decode_steps_down, tear_down);
  g_test_add ("/plan/long-decode", Fixture, NULL, set_up, test_long_decode, tear_down);
  g_test_add ("/plan/tiles", Fixture, NULL, set_up, test_tiles, tear_down);
  g_test_add ("/plan/words", Fixture, NULL, set_up, test_words, tear_down);
  return g_test_run ();
}
