/* SPDX-License-Identifier: Apache-2.0 */
#include "zis-job.h"

#include <string.h>

#include "zis-paintable.h"
#include "zis-session.h"

static ZisJob *
make_job (int n_images)
{
  g_auto(ZieRequest) request = { 0 };

  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("two\nlines");
  request.width = 64;
  request.height = 48;
  request.n_images = n_images;

  return zis_job_new (&request);
}

static void
send_step (ZisJob *job, int image, int index)
{
  const ZieEvent event = { .type = ZIE_EVENT_STEP, .image_index = image, .step = { .index = index, .total = 8, .seconds_left = 3.2 } };

  zis_job_handle_event (job, &event);
}

static void
finish (ZisJob *job, GError *error)
{
  const ZieEvent event = { .type = ZIE_EVENT_FINISHED, .finished = { .error = error } };

  zis_job_handle_event (job, &event);
}

static void
start (ZisJob *job)
{
  const ZieEvent event = { .type = ZIE_EVENT_STARTED };

  zis_job_handle_event (job, &event);
}

static void
test_words (void)
{
  g_autoptr(ZisJob) job = make_job (1), many = make_job (3);

  g_assert_cmpstr (zis_job_get_title (job), ==, "two lines");
  g_assert_cmpstr (zis_job_get_status (job), ==, "Waiting");
  start (job);
  send_step (job, 0, 2);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Step 3 of 8 · 4 s left");
  start (many);
  send_step (many, 1, 7);
  /* 3.2 s of this picture, and another one that will take as long as far as is known. */
  g_assert_cmpstr (zis_job_get_status (many), ==, "Picture 2 of 3 · Step 8 of 8 · 7 s left");
  finish (job, NULL);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Done");
}

/* Ten seconds of steps, then a decode of four bands that was expected to take eight seconds and takes sixteen. */
static void
test_time_left (void)
{
  g_autoptr(ZisJob) job = make_job (2);
  ZieEvent step = { .type = ZIE_EVENT_STEP, .time_us = 11 * G_USEC_PER_SEC, .step = { .index = 8, .total = 8, .seconds_left = 8 } };
  ZieEvent stage = { .type = ZIE_EVENT_STAGE, .time_us = 11 * G_USEC_PER_SEC, .stage = { .stage = ZIE_STAGE_DECODE } };
  ZieEvent tile = { .type = ZIE_EVENT_TILE, .time_us = 15 * G_USEC_PER_SEC, .tile = { .index = 0, .total = 4 } };
  ZieEvent started = { .type = ZIE_EVENT_STARTED, .time_us = 1 * G_USEC_PER_SEC };

  tile.tile.image = zie_image_new (64, 12, 64 * 3, g_bytes_new_take (g_malloc0 (64 * 12 * 3), 64 * 12 * 3));
  zis_job_handle_event (job, &started);
  zis_job_handle_event (job, &step);
  zis_job_handle_event (job, &stage);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Picture 1 of 2 · Drawing the picture · 26 s left");
  zis_job_handle_event (job, &tile);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Picture 1 of 2 · Drawing the picture · 38 s left");
  tile.tile.index = 3;
  tile.time_us = 27 * G_USEC_PER_SEC;
  zis_job_handle_event (job, &tile);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Picture 1 of 2 · Drawing the picture");

  step = (ZieEvent) { .type = ZIE_EVENT_STEP, .image_index = 1, .time_us = 30 * G_USEC_PER_SEC,
                      .step = { .index = 1, .total = 8, .seconds_left = 20 } };
  zis_job_handle_event (job, &step);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Picture 2 of 2 · Step 2 of 8 · 20 s left");
  zie_image_unref (tile.tile.image);
}

static void
test_progress_never_goes_back (void)
{
  g_autoptr(ZisJob) job = make_job (1);
  double before = 0;

  start (job);
  for (int i = 1; i <= 8; i++)
    {
      send_step (job, 0, i);
      g_assert_cmpfloat (zis_job_get_fraction (job), >, before);
      before = zis_job_get_fraction (job);
      send_step (job, 0, i - 1);
      g_assert_cmpfloat (zis_job_get_fraction (job), ==, before);
    }
  g_assert_cmpfloat (before, <, 1);
  finish (job, NULL);
  g_assert_cmpfloat (zis_job_get_fraction (job), ==, 1);
}

static void
test_one_paintable_a_picture (void)
{
  g_autoptr(ZisJob) job = make_job (2);
  g_autoptr(ZisPaintable) first = g_object_ref (zis_job_get_paintable (job));

  start (job);
  send_step (job, 0, 8);
  g_assert_true (zis_job_get_paintable (job) == first);
  send_step (job, 1, 1);
  g_assert_true (zis_job_get_paintable (job) != first);
  g_assert_cmpint (zis_paintable_get_height (first), ==, 48);
}

static void
test_counts_pictures (void)
{
  g_autoptr(ZisJob) job = make_job (3);
  ZieEvent event = { .type = ZIE_EVENT_IMAGE };

  event.image.image = zie_image_new (64, 48, 64 * 3, g_bytes_new_take (g_malloc0 (64 * 48 * 3), 64 * 48 * 3));
  start (job);
  g_assert_cmpint (zis_job_get_n_done (job), ==, 0);
  for (event.image_index = 0; event.image_index < 2; event.image_index++)
    zis_job_handle_event (job, &event);
  g_assert_cmpint (zis_job_get_n_done (job), ==, 2);
  zie_image_unref (event.image.image);
}

static ZiePlan *
plan_demo (const char *path, int side)
{
  g_autoptr(ZieModel) model = zie_model_open (path, NULL);
  g_auto(ZieRequest) request = { 0 };
  ZieDevice device;

  g_assert_nonnull (model);
  g_assert_cmpuint (zie_list_devices (&device, 1), ==, 1);
  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a red apple");
  request.width = request.height = side;

  return zie_plan_new (model, &device, &request, &(ZieBudget) { 0 }, NULL);
}

static void
count (int *n)
{
  (*n)++;
}

/* The device has less memory than it had: the picture begins again by another plan, and what shows the plan is told. */
static void
test_smaller_plan (void)
{
  g_autofree char *path = zie_model_find_demo (NULL);
  g_autoptr(ZisJob) job = make_job (2);
  g_autoptr(ZiePlan) planned = NULL, smaller = NULL;
  ZieEvent event = { .type = ZIE_EVENT_PLAN, .time_us = 20 * G_USEC_PER_SEC, .plan = { .reason = (char *)"it went" } };
  g_autofree char *note = NULL;
  int n_plans = 0, n_notes = 0;

  if (!path)
    {
      g_test_skip ("there is no demo model in this tree");
      return;
    }

  planned = plan_demo (path, 128);
  smaller = plan_demo (path, 64);
  zis_job_set_plan (job, planned);
  g_signal_connect_swapped (job, "notify::plan", G_CALLBACK (count), &n_plans);
  g_signal_connect_swapped (job, "notify::note", G_CALLBACK (count), &n_notes);
  start (job);
  send_step (job, 1, 7);
  g_assert_cmpstr (zis_job_get_note (job), ==, NULL);

  event.plan.plan = smaller;
  zis_job_handle_event (job, &event);
  g_assert_true (zis_job_get_plan (job) == smaller);
  g_assert_cmpint (n_plans, ==, 1);
  g_assert_cmpint (n_notes, ==, 1);
  note = g_format_size (zis_plan_get_peak (smaller));
  g_assert_nonnull (strstr (zis_job_get_note (job), note));
  /* The picture that was being made begins again; it is not the first. */
  g_assert_cmpint (zis_job_get_image_index (job), ==, 1);
  g_assert_cmpstr (zis_job_get_status (job), ==, "Picture 2 of 2 · Reading the prompt");

  /* Where the computer's memory went, the card's is not said to have. */
  event.plan.is_host = TRUE;
  zis_job_handle_event (job, &event);
  g_assert_null (strstr (zis_job_get_note (job), "graphics"));
}

/* A stage that broke in bf16 is computed again: it takes longer, and whoever waits learns why. */
static void
test_redo (void)
{
  g_autoptr(ZisJob) job = make_job (1);
  const ZieEvent event = { .type = ZIE_EVENT_REDO,
                           .redo = { .stage = ZIE_STAGE_DECODE, .reason = (char *)"decoder.mid_block: not finite" } };
  g_autofree char *first = NULL;
  ZieEvent other = event;

  start (job);
  zis_job_handle_event (job, &event);
  first = g_strdup (zis_job_get_note (job));
  g_assert_nonnull (first);
  g_assert_null (strstr (first, "mid_block"));
  other.redo.stage = ZIE_STAGE_SAMPLE;
  zis_job_handle_event (job, &other);
  g_assert_cmpstr (zis_job_get_note (job), !=, first);
}

static void
test_ends (void)
{
  g_autoptr(ZisJob) cancelled = make_job (1), failed = make_job (1);
  g_autoptr(GError) cancel = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_CANCELLED, "cancelled");
  g_autoptr(GError) lost = g_error_new_literal (ZIE_ERROR, ZIE_ERROR_DEVICE_LOST, "gone");

  start (cancelled);
  zis_job_set_state (cancelled, ZIS_JOB_CANCELLING);
  g_assert_cmpstr (zis_job_get_status (cancelled), ==, "Cancelled");
  /* What the engine still had in its hands is not shown. */
  send_step (cancelled, 0, 3);
  g_assert_cmpstr (zis_job_get_status (cancelled), ==, "Cancelled");
  finish (cancelled, cancel);
  g_assert_cmpint (zis_job_get_state (cancelled), ==, ZIS_JOB_CANCELLED);
  g_assert_null (zis_job_get_error (cancelled));

  start (failed);
  finish (failed, lost);
  g_assert_cmpint (zis_job_get_state (failed), ==, ZIS_JOB_FAILED);
  g_assert_error (zis_job_get_error (failed), ZIE_ERROR, ZIE_ERROR_DEVICE_LOST);
}

static void
test_seconds (void)
{
  const struct { double seconds; const char *text; } cases[] = {
    { 0, "0.1 s" }, { 0.44, "0.4 s" }, { 1, "1 s" }, { 1.2, "2 s" }, { 89, "89 s" }, { 100, "1 min 40 s" }, { 3700, "1 h 1 min" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = zis_format_seconds (cases[i].seconds);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/job/counts-pictures", test_counts_pictures);
  g_test_add_func ("/job/words", test_words);
  g_test_add_func ("/job/time-left", test_time_left);
  g_test_add_func ("/job/progress-never-goes-back", test_progress_never_goes_back);
  g_test_add_func ("/job/one-paintable-a-picture", test_one_paintable_a_picture);
  g_test_add_func ("/job/smaller-plan", test_smaller_plan);
  g_test_add_func ("/job/redo", test_redo);
  g_test_add_func ("/job/ends", test_ends);
  g_test_add_func ("/job/seconds", test_seconds);
  return g_test_run ();
}
