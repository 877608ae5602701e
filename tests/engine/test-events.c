/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-events"

#include <zie/zie-image.h>
#include <zie/zie-request.h>

#include "zie-event-private.h"

static ZieEvent *
of_job (ZieEvent *event, guint64 job_id)
{
  event->job_id = job_id;
  return event;
}

static ZieImage *
new_image (void)
{
  return zie_image_new (16, 16, 48, g_bytes_new_take (g_malloc0 (48 * 16), 48 * 16));
}

static void
assert_next (ZieEventSink *sink, ZieEventType type, guint64 job_id, int index)
{
  g_autoptr(ZieEvent) event = g_async_queue_try_pop (sink->queue);

  g_assert_nonnull (event);
  g_assert_cmpint (event->type, ==, type);
  g_assert_cmpuint (event->job_id, ==, job_id);
  if (type == ZIE_EVENT_STEP)
    g_assert_cmpint (event->step.index, ==, index);
  if (type == ZIE_EVENT_TILE)
    g_assert_cmpint (event->tile.index, ==, index);
  if (type == ZIE_EVENT_PREVIEW)
    g_assert_cmpint (event->preview.step, ==, index);
  if (type == ZIE_EVENT_STAGE)
    g_assert_cmpint (event->stage.stage, ==, index);
}

static void
test_newest_wins (void)
{
  ZieEventSink sink;

  zie_event_sink_init (&sink);
  zie_event_sink_push (&sink, of_job (zie_event_new_started (), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_stage (0, ZIE_STAGE_TEXT, 0, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_stage (0, ZIE_STAGE_SAMPLE, 0, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 1, 8, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_preview (0, 1, new_image ()), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 2, 8, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_preview (0, 2, new_image ()), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_tile (0, 0, 2, 0, 0, new_image ()), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 3, 8, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_tile (0, 1, 2, 0, 8, new_image ()), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_finished (NULL, 1, 0, 0), 1));

  assert_next (&sink, ZIE_EVENT_STARTED, 1, 0);
  assert_next (&sink, ZIE_EVENT_STAGE, 1, ZIE_STAGE_SAMPLE);
  assert_next (&sink, ZIE_EVENT_PREVIEW, 1, 2);
  assert_next (&sink, ZIE_EVENT_TILE, 1, 0);
  assert_next (&sink, ZIE_EVENT_STEP, 1, 3);
  assert_next (&sink, ZIE_EVENT_TILE, 1, 1);
  assert_next (&sink, ZIE_EVENT_FINISHED, 1, 0);
  g_assert_null (g_async_queue_try_pop (sink.queue));
  zie_event_sink_clear (&sink);
}

static void
test_jobs_apart (void)
{
  ZieEventSink sink;

  zie_event_sink_init (&sink);
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 8, 8, 0, 0), 1));
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 1, 8, 0, 0), 2));
  zie_event_sink_push (&sink, of_job (zie_event_new_step (0, 2, 8, 0, 0), 2));

  assert_next (&sink, ZIE_EVENT_STEP, 1, 8);
  assert_next (&sink, ZIE_EVENT_STEP, 2, 2);
  g_assert_null (g_async_queue_try_pop (sink.queue));
  zie_event_sink_clear (&sink);
}

/* The allocator may give the memory of a consumed event to the next one, of another kind. */
static void
test_address_reuse (void)
{
  ZieEventSink sink;
  ZieEvent *event;

  zie_event_sink_init (&sink);
  zie_event_sink_push (&sink, of_job (zie_event_new_stage (0, ZIE_STAGE_TEXT, 0, 0, 0), 1));

  event = g_async_queue_try_pop (sink.queue);
  event->type = ZIE_EVENT_TILE;
  event->tile.index = 5;
  event->tile.image = new_image ();
  zie_event_sink_push (&sink, event);
  zie_event_sink_push (&sink, of_job (zie_event_new_stage (0, ZIE_STAGE_REFINE, 0, 0, 0), 1));

  assert_next (&sink, ZIE_EVENT_TILE, 1, 5);
  assert_next (&sink, ZIE_EVENT_STAGE, 1, ZIE_STAGE_REFINE);
  zie_event_sink_clear (&sink);
}

#define N_FLOOD 20000

static gpointer
flood (gpointer data)
{
  for (int i = 0; i < N_FLOOD; i++)
    {
      zie_event_sink_push (data, of_job (zie_event_new_step (0, i, N_FLOOD, 0, 0), 1));
      zie_event_sink_push (data, of_job (zie_event_new_stage (0, ZIE_STAGE_SAMPLE, 0, 0, 0), 1));
      if (i % 10 == 0)
        zie_event_sink_push (data, of_job (zie_event_new_tile (0, i / 10, N_FLOOD / 10, 0, 0, NULL), 1));
    }

  zie_event_sink_push (data, of_job (zie_event_new_finished (NULL, 0, 0, 0), 1));
  return NULL;
}

/* A consumer that frees as it goes: no tile is lost, nothing comes twice or out of order, the last step arrives. */
static void
test_flood (void)
{
  ZieEventSink sink;
  GThread *thread;
  int n_tiles = 0, last_step = -1;
  gboolean is_finished = FALSE;

  zie_event_sink_init (&sink);
  thread = g_thread_new ("flood", flood, &sink);

  while (!is_finished)
    {
      g_autoptr(ZieEvent) event = g_async_queue_pop (sink.queue);

      if (event->type == ZIE_EVENT_TILE)
        g_assert_cmpint (event->tile.index, ==, n_tiles++);
      else if (event->type == ZIE_EVENT_STEP)
        {
          g_assert_cmpint (event->step.index, >, last_step);
          last_step = event->step.index;
        }
      is_finished = event->type == ZIE_EVENT_FINISHED;
    }

  g_assert_cmpint (n_tiles, ==, N_FLOOD / 10);
  g_assert_cmpint (last_step, ==, N_FLOOD - 1);
  g_assert_null (g_async_queue_try_pop (sink.queue));
  g_thread_join (thread);
  zie_event_sink_clear (&sink);
}

static void
test_image_owns_recipe (void)
{
  const double seconds[ZIE_N_STAGES] = { 1, 2, 3, 4 };
  g_autoptr(ZieEvent) event = NULL;
  g_auto(ZieRequest) request;

  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a cat");

  event = zie_event_new_image (2, 44, new_image (), seconds, &request);
  g_assert_cmpint (event->image_index, ==, 2);
  g_assert_cmpuint (event->image.seed, ==, 44);
  g_assert_cmpfloat (event->image.stage_seconds[ZIE_STAGE_DECODE], ==, 4);
  g_assert_cmpstr (event->image.recipe->prompt, ==, "a cat");
  g_assert_true (event->image.recipe->prompt != request.prompt);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/events/newest-wins", test_newest_wins);
  g_test_add_func ("/events/jobs-apart", test_jobs_apart);
  g_test_add_func ("/events/address-reuse", test_address_reuse);
  g_test_add_func ("/events/flood", test_flood);
  g_test_add_func ("/events/image-owns-recipe", test_image_owns_recipe);
  return g_test_run ();
}
