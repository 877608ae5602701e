/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-event-source"

#include "zis-event-source.h"

/* A frame at 60 Hz has 16 ms; layout and drawing want most of them. */
#define DRAIN_BUDGET_US 4000

typedef struct
{
  GSource parent;
  GAsyncQueue *queue;        /* owned */
  ZisEventFunc handle;
  gpointer user_data;        /* borrowed */
} ZisEventSource;

static gboolean
zis_event_source_dispatch (GSource *source, GSourceFunc func, gpointer user_data)
{
  ZisEventSource *self = (ZisEventSource *) source;
  gint64 deadline = g_get_monotonic_time () + DRAIN_BUDGET_US;
  ZieEvent *event;

  /* Cleared before draining: a push that comes in between makes the source ready again instead of being lost. */
  g_source_set_ready_time (source, -1);

  while (!g_source_is_destroyed (source) && (event = g_async_queue_try_pop (self->queue)) != NULL)
    {
      self->handle (event, self->user_data);
      zie_event_free (event);

      if (g_get_monotonic_time () > deadline)
        {
          g_source_set_ready_time (source, 0);   /* the rest after the next frame */
          break;
        }
    }

  return G_SOURCE_CONTINUE;
}

static void
zis_event_source_finalize (GSource *source)
{
  ZisEventSource *self = (ZisEventSource *) source;

  g_clear_pointer (&self->queue, g_async_queue_unref);
}

static GSourceFuncs source_funcs = {
  .dispatch = zis_event_source_dispatch,
  .finalize = zis_event_source_finalize,
};

GSource *
zis_event_source_new (GAsyncQueue *queue, ZisEventFunc handle, gpointer user_data)
{
  GSource *source = g_source_new (&source_funcs, sizeof (ZisEventSource));
  ZisEventSource *self = (ZisEventSource *) source;

  self->queue = g_async_queue_ref (queue);
  self->handle = handle;
  self->user_data = user_data;
  g_source_set_static_name (source, "zis-event-source");
  /* Below input and drawing: events may wait for a frame, a frame never waits for events. */
  g_source_set_priority (source, G_PRIORITY_DEFAULT_IDLE - 10);

  return source;
}

void
zis_event_source_wake (gpointer source)
{
  g_source_set_ready_time (source, 0);
}
