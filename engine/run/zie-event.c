/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-event"

#include "zie-event-private.h"

#include <string.h>

#include <zie/zie-image.h>
#include <zie/zie-plan.h>
#include <zie/zie-request.h>

static ZieEvent *
event_new (ZieEventType type, int image_index)
{
  ZieEvent *self = g_new0 (ZieEvent, 1);

  self->type = type;
  self->image_index = image_index;
  return self;
}

ZieEvent *
zie_event_new_started (void)
{
  return event_new (ZIE_EVENT_STARTED, 0);
}

ZieEvent *
zie_event_new_stage (int image_index, ZieStage stage, double fraction, int layer, int n_layers)
{
  ZieEvent *self = event_new (ZIE_EVENT_STAGE, image_index);

  self->stage.stage = stage;
  self->stage.fraction = CLAMP (fraction, 0, 1);
  self->stage.layer = layer;
  self->stage.n_layers = n_layers;
  return self;
}

ZieEvent *
zie_event_new_step (int image_index, int index, int total, double seconds, double seconds_left)
{
  ZieEvent *self = event_new (ZIE_EVENT_STEP, image_index);

  self->step.index = index;
  self->step.total = total;
  self->step.seconds = seconds;
  self->step.seconds_left = seconds_left;
  return self;
}

ZieEvent *
zie_event_new_preview (int image_index, int step, ZieImage *image)
{
  ZieEvent *self = event_new (ZIE_EVENT_PREVIEW, image_index);

  self->preview.step = step;
  self->preview.image = image;
  return self;
}

ZieEvent *
zie_event_new_tile (int image_index, int index, int total, int x, int y, ZieImage *image)
{
  ZieEvent *self = event_new (ZIE_EVENT_TILE, image_index);

  self->tile.index = index;
  self->tile.total = total;
  self->tile.x = x;
  self->tile.y = y;
  self->tile.image = image;
  return self;
}

ZieEvent *
zie_event_new_image (int image_index, guint64 seed, ZieImage *image, const double stage_seconds[ZIE_N_STAGES],
                     const ZieRequest *recipe)
{
  ZieEvent *self = event_new (ZIE_EVENT_IMAGE, image_index);

  self->image.seed = seed;
  self->image.image = image;
  memcpy (self->image.stage_seconds, stage_seconds, sizeof self->image.stage_seconds);
  self->image.recipe = g_new (ZieRequest, 1);
  zie_request_copy (self->image.recipe, recipe);
  return self;
}

ZieEvent *
zie_event_new_plan (ZiePlan *plan, gboolean is_host, const char *reason)
{
  ZieEvent *self = event_new (ZIE_EVENT_PLAN, 0);

  self->plan.plan = zie_plan_ref (plan);
  self->plan.is_host = is_host;
  self->plan.reason = g_strdup (reason);
  return self;
}

ZieEvent *
zie_event_new_redo (int image_index, ZieStage stage, const char *reason)
{
  ZieEvent *self = event_new (ZIE_EVENT_REDO, image_index);

  self->redo.stage = stage;
  self->redo.reason = g_strdup (reason);
  return self;
}

ZieEvent *
zie_event_new_finished (GError *error, double seconds, guint64 arena_peak, guint64 ram_peak)
{
  ZieEvent *self = event_new (ZIE_EVENT_FINISHED, 0);

  self->finished.error = error;
  self->finished.seconds = seconds;
  self->finished.arena_peak = arena_peak;
  self->finished.ram_peak = ram_peak;
  return self;
}

/* NULL is allowed.  Any thread. */
void
zie_event_free (ZieEvent *self)
{
  if (self == NULL)
    return;

  switch (self->type)
    {
    case ZIE_EVENT_PREVIEW:
      g_clear_pointer (&self->preview.image, zie_image_unref);
      break;
    case ZIE_EVENT_TILE:
      g_clear_pointer (&self->tile.image, zie_image_unref);
      break;
    case ZIE_EVENT_IMAGE:
      g_clear_pointer (&self->image.image, zie_image_unref);
      if (self->image.recipe != NULL)
        zie_request_clear (self->image.recipe);
      g_free (self->image.recipe);
      g_free (self->image.step_seconds);
      break;
    case ZIE_EVENT_PLAN:
      g_clear_pointer (&self->plan.plan, zie_plan_unref);
      g_free (self->plan.reason);
      break;
    case ZIE_EVENT_REDO:
      g_free (self->redo.reason);
      break;
    case ZIE_EVENT_FINISHED:
      g_clear_error (&self->finished.error);
      break;
    case ZIE_EVENT_STARTED:
    case ZIE_EVENT_STAGE:
    case ZIE_EVENT_STEP:
      break;
    }

  g_free (self);
}

static void
free_event (gpointer event)
{
  zie_event_free (event);
}

void
zie_event_sink_init (ZieEventSink *self)
{
  *self = (ZieEventSink) { .queue = g_async_queue_new_full (free_event) };
}

void
zie_event_sink_clear (ZieEventSink *self)
{
  g_clear_pointer (&self->queue, g_async_queue_unref);
}

/* Where the pending event of TYPE is remembered, -1 for kinds that are never dropped. */
static int
conflated_slot (ZieEventType type)
{
  switch (type)
    {
    case ZIE_EVENT_STAGE:
      return 0;
    case ZIE_EVENT_STEP:
      return 1;
    case ZIE_EVENT_PREVIEW:
      return 2;
    case ZIE_EVENT_STARTED:
    case ZIE_EVENT_TILE:
    case ZIE_EVENT_IMAGE:
    case ZIE_EVENT_PLAN:
    case ZIE_EVENT_REDO:
    case ZIE_EVENT_FINISHED:
      break;
    }

  return -1;
}

void
zie_event_sink_push (ZieEventSink *self, ZieEvent *event)
{
  int slot = conflated_slot (event->type);
  ZieEvent *superseded = NULL;

  g_async_queue_lock (self->queue);

  if (self->job_id != event->job_id)
    {
      memset (self->pending, 0, sizeof self->pending);
      self->job_id = event->job_id;
    }

  /* An event at the address of a remembered one means that the consumer freed that one: forget it, or this new event
   * would later be taken out in its place. */
  for (guint i = 0; i < ZIE_N_CONFLATED; i++)
    if (self->pending[i] == event)
      self->pending[i] = NULL;

  if (slot >= 0)
    {
      if (self->pending[slot] != NULL && g_async_queue_remove_unlocked (self->queue, self->pending[slot]))
        superseded = self->pending[slot];
      self->pending[slot] = event;
    }

  g_async_queue_push_unlocked (self->queue, event);
  g_async_queue_unlock (self->queue);

  zie_event_free (superseded);
}
