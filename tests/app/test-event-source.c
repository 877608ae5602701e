/* SPDX-License-Identifier: Apache-2.0 */
#include "zis-event-source.h"

#define N_EVENTS 5000

typedef struct
{
  GAsyncQueue *queue;
  GSource *source;
  guint64 next;
  guint n;
  gulong work_us;            /* what handling one event costs */
  guint n_frames;            /* how often something more urgent got its turn meanwhile */
} Fixture;

static void
push (Fixture *f, guint64 id)
{
  ZieEvent *event = g_new0 (ZieEvent, 1);

  event->type = ZIE_EVENT_STARTED;
  event->job_id = id;
  g_async_queue_push (f->queue, event);
  zis_event_source_wake (f->source);
}

static void
on_event (ZieEvent *event, gpointer user_data)
{
  Fixture *f = user_data;

  g_assert_cmpuint (event->job_id, ==, f->next);
  f->next++;
  f->n++;
  if (f->work_us > 0)
    g_usleep (f->work_us);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->queue = g_async_queue_new_full ((GDestroyNotify) zie_event_free);
  f->source = zis_event_source_new (f->queue, on_event, f);
  g_source_attach (f->source, NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_source_destroy (f->source);
  g_source_unref (f->source);
  g_async_queue_unref (f->queue);
}

static gpointer
push_many (gpointer data)
{
  for (guint64 i = 0; i < N_EVENTS; i++)
    push (data, i);

  return NULL;
}

/* Pushes that come while the source is being drained are not lost. */
static void
test_complete (Fixture *f, gconstpointer data)
{
  for (int round = 0; round < 5; round++)
    {
      f->next = f->n = 0;

      GThread *thread = g_thread_new ("push", push_many, f);

      while (f->n < N_EVENTS)
        g_main_context_iteration (NULL, TRUE);
      g_thread_join (thread);
      g_assert_cmpint (g_async_queue_length (f->queue), ==, 0);
    }
}

static gboolean
on_frame (gpointer data)
{
  ((Fixture *) data)->n_frames++;
  return G_SOURCE_CONTINUE;
}

/* A hundred events of 1 ms do not hold up a timer of 5 ms for a tenth of a second. */
static void
test_slices (Fixture *f, gconstpointer data)
{
  guint timer = g_timeout_add_full (G_PRIORITY_DEFAULT, 5, on_frame, f, NULL);

  f->work_us = 1000;
  for (guint64 i = 0; i < 100; i++)
    push (f, i);
  while (f->n < 100)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timer);
  g_assert_cmpuint (f->n_frames, >=, 8);
}

static void
test_sleeps (Fixture *f, gconstpointer data)
{
  g_assert_false (g_main_context_iteration (NULL, FALSE));
  push (f, 0);
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  g_assert_cmpuint (f->n, ==, 1);
  g_assert_false (g_main_context_pending (NULL));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/event-source/complete", Fixture, NULL, set_up, test_complete, tear_down);
  g_test_add ("/event-source/slices", Fixture, NULL, set_up, test_slices, tear_down);
  g_test_add ("/event-source/sleeps", Fixture, NULL, set_up, test_sleeps, tear_down);
  return g_test_run ();
}
