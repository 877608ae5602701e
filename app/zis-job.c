/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-job"

#include "zis-job.h"

#include <inttypes.h>
#include <math.h>

#include "zis-paintable.h"
#include "zis-session.h"

struct _ZisJob
{
  GObject parent_instance;

  ZieRequest request;        /* owned */
  ZisJobState state;
  char *title;               /* owned: the prompt on one line */
  char *detail;              /* owned: size and seed */
  char *status;              /* owned */
  char *note;                /* owned or NULL */
  ZisPaintable *paintable;   /* owned */
  ZiePlan *plan;             /* owned or NULL */
  GError *error;             /* owned or NULL */
  ZieStage stage;
  double stage_share[ZIE_N_STAGES];   /* of one picture, sums to 1 */
  double stage_fraction;
  double picture_left;       /* seconds, of the picture being made; 0 = not known */
  double decode_left;        /* seconds, as it was when the decode began */
  gint64 picture_start_us, decode_start_us, now_us;   /* of the events' clock; 0 = not yet */
  int step, n_steps;
  int image_index;
  int n_done;
  double fraction;
};

enum
{
  PROP_0,
  PROP_STATE,
  PROP_TITLE,
  PROP_DETAIL,
  PROP_STATUS,
  PROP_FRACTION,
  PROP_PAINTABLE,
  PROP_PLAN,
  PROP_NOTE,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (ZisJob, zis_job, G_TYPE_OBJECT)

char *
zis_format_seconds (double seconds)
{
  int whole = (int) ceil (seconds);

  if (seconds < 1)
    /* Translators: %.1f is a number of seconds below one, as in “0.4 s”. */
    return g_strdup_printf (_("%.1f s"), MAX (seconds, 0.1));
  if (whole < 90)
    return g_strdup_printf (_("%d s"), whole);
  if (whole < 3600)
    return g_strdup_printf (_("%d min %d s"), whole / 60, whole % 60);
  return g_strdup_printf (_("%d h %d min"), whole / 3600, whole / 60 % 60);
}

/* Of all the pictures that are still to come; what they take is known from this one. */
static double
get_seconds_left (ZisJob *self)
{
  double picture = (double) (self->now_us - self->picture_start_us) / G_USEC_PER_SEC + self->picture_left;

  return self->picture_left > 0 ? self->picture_left + (self->request.n_images - 1 - self->image_index) * picture : 0;
}

static char *
describe_running (ZisJob *self)
{
  double seconds = get_seconds_left (self);
  g_autofree char *left = seconds > 0 ? zis_format_seconds (seconds) : NULL;
  g_autofree char *what = NULL;

  switch (self->stage)
    {
    case ZIE_STAGE_TEXT:
      what = g_strdup (_("Reading the prompt"));
      break;
    case ZIE_STAGE_REFINE:
      what = g_strdup (_("Preparing"));
      break;
    case ZIE_STAGE_SAMPLE:
      what = g_strdup_printf (_("Step %d of %d"), CLAMP (self->step, 1, self->n_steps), self->n_steps);
      break;
    default:
      what = g_strdup (_("Drawing the picture"));
      break;
    }

  if (self->request.n_images > 1)
    {
      g_autofree char *one = g_steal_pointer (&what);

      /* Translators: which picture of several, then what is being done: “Picture 2 of 4 · Step 3 of 8”. */
      what = g_strdup_printf (_("Picture %d of %d · %s"), self->image_index + 1, self->request.n_images, one);
    }

  /* Translators: what is being done, then a duration: “Step 3 of 8 · 4 s left”. */
  return left ? g_strdup_printf (_("%s · %s left"), what, left) : g_steal_pointer (&what);
}

static char *
describe (ZisJob *self)
{
  switch (self->state)
    {
    case ZIS_JOB_WAITING: return g_strdup (_("Waiting"));
    case ZIS_JOB_RUNNING: return describe_running (self);
    case ZIS_JOB_CANCELLING:
    case ZIS_JOB_CANCELLED: return g_strdup (_("Cancelled"));
    case ZIS_JOB_DONE: return g_strdup (_("Done"));
    default: return g_strdup (_("Failed"));
    }
}

/* Status and progress follow from the other fields; only what differs is notified. */
static void
update (ZisJob *self)
{
  g_autofree char *status = describe (self);
  double fraction = 0;

  for (int stage = 0; stage < (int) self->stage; stage++)
    fraction += self->stage_share[stage];
  fraction += self->stage_share[self->stage] * self->stage_fraction;
  fraction = (self->image_index + fraction) / MAX (1, self->request.n_images);
  if (self->state == ZIS_JOB_DONE)
    fraction = 1;
  else if (self->state == ZIS_JOB_WAITING)
    fraction = 0;

  if (g_strcmp0 (status, self->status) != 0)
    {
      g_free (self->status);
      self->status = g_steal_pointer (&status);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATUS]);
    }
  /* A conflated event may be older than what is shown: the bar never runs backwards. */
  if (fraction > self->fraction)
    {
      self->fraction = MIN (fraction, 1);
      g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_FRACTION]);
    }
}

static void
take_new_paintable (ZisJob *self)
{
  g_clear_object (&self->paintable);
  self->paintable = zis_paintable_new (self->request.width, self->request.height);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PAINTABLE]);
}

static void
zis_job_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  ZisJob *self = ZIS_JOB (object);

  switch (prop_id)
    {
    case PROP_STATE: g_value_set_uint (value, self->state); break;
    case PROP_TITLE: g_value_set_string (value, self->title); break;
    case PROP_DETAIL: g_value_set_string (value, self->detail); break;
    case PROP_STATUS: g_value_set_string (value, self->status); break;
    case PROP_FRACTION: g_value_set_double (value, self->fraction); break;
    case PROP_PAINTABLE: g_value_set_object (value, self->paintable); break;
    case PROP_PLAN: g_value_set_pointer (value, self->plan); break;
    case PROP_NOTE: g_value_set_string (value, self->note); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_job_finalize (GObject *object)
{
  ZisJob *self = ZIS_JOB (object);

  zie_request_clear (&self->request);
  g_clear_pointer (&self->title, g_free);
  g_clear_pointer (&self->detail, g_free);
  g_clear_pointer (&self->status, g_free);
  g_clear_pointer (&self->note, g_free);
  g_clear_object (&self->paintable);
  g_clear_pointer (&self->plan, zie_plan_unref);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (zis_job_parent_class)->finalize (object);
}

static void
zis_job_class_init (ZisJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = zis_job_get_property;
  object_class->finalize = zis_job_finalize;

  properties[PROP_STATE] = g_param_spec_uint ("state", NULL, NULL, 0, ZIS_JOB_FAILED, 0, flags);
  properties[PROP_TITLE] = g_param_spec_string ("title", NULL, NULL, NULL, flags);
  properties[PROP_DETAIL] = g_param_spec_string ("detail", NULL, NULL, NULL, flags);
  properties[PROP_STATUS] = g_param_spec_string ("status", NULL, NULL, NULL, flags);
  properties[PROP_FRACTION] = g_param_spec_double ("fraction", NULL, NULL, 0, 1, 0, flags);
  properties[PROP_PAINTABLE] = g_param_spec_object ("paintable", NULL, NULL, ZIS_TYPE_PAINTABLE, flags);
  properties[PROP_PLAN] = g_param_spec_pointer ("plan", NULL, NULL, flags);
  properties[PROP_NOTE] = g_param_spec_string ("note", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
zis_job_init (ZisJob *self)
{
  /* Until a plan says better. */
  self->stage_share[ZIE_STAGE_TEXT] = 0.05;
  self->stage_share[ZIE_STAGE_REFINE] = 0.05;
  self->stage_share[ZIE_STAGE_SAMPLE] = 0.75;
  self->stage_share[ZIE_STAGE_DECODE] = 0.15;
}

ZisJob *
zis_job_new (const ZieRequest *request)
{
  ZisJob *self = g_object_new (ZIS_TYPE_JOB, NULL);

  zie_request_copy (&self->request, request);
  self->n_steps = request->n_steps;
  self->title = g_strdup (request->prompt);
  g_strdelimit (self->title, "\n\r\t", ' ');
  self->detail = g_strdup_printf (_("%d × %d · seed %" PRIu64), request->width, request->height,
                                  request->seed);
  self->status = describe (self);
  self->paintable = zis_paintable_new (request->width, request->height);

  return self;
}

const ZieRequest *
zis_job_get_request (ZisJob *self)
{
  return &self->request;
}

ZisJobState
zis_job_get_state (ZisJob *self)
{
  return self->state;
}

void
zis_job_set_state (ZisJob *self, ZisJobState state)
{
  if (self->state == state)
    return;

  self->state = state;
  update (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
}

gboolean
zis_job_is_active (ZisJob *self)
{
  return self->state <= ZIS_JOB_CANCELLING;
}

const char *
zis_job_get_title (ZisJob *self)
{
  return self->title;
}

const char *
zis_job_get_status (ZisJob *self)
{
  return self->status;
}

double
zis_job_get_fraction (ZisJob *self)
{
  return self->fraction;
}

ZisPaintable *
zis_job_get_paintable (ZisJob *self)
{
  return self->paintable;
}

int
zis_job_get_image_index (ZisJob *self)
{
  return self->image_index;
}

int
zis_job_get_n_done (ZisJob *self)
{
  return self->n_done;
}

const char *
zis_job_get_note (ZisJob *self)
{
  return self->note;
}

void
zis_job_set_stage_seconds (ZisJob *self, const double seconds[ZIE_N_STAGES])
{
  double total = 0;

  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    total += seconds[stage];
  if (!(total > 0))
    return;

  for (int stage = 0; stage < ZIE_N_STAGES; stage++)
    self->stage_share[stage] = seconds[stage] / total;
}

void
zis_job_set_plan (ZisJob *self, ZiePlan *plan)
{
  if (plan)
    zie_plan_ref (plan);
  g_clear_pointer (&self->plan, zie_plan_unref);
  self->plan = plan;
  if (plan)
    {
      double seconds[ZIE_N_STAGES];

      for (int stage = 0; stage < ZIE_N_STAGES; stage++)
        seconds[stage] = zie_plan_get_stage (plan, stage)->seconds;
      zis_job_set_stage_seconds (self, seconds);
    }
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PLAN]);
}

ZiePlan *
zis_job_get_plan (ZisJob *self)
{
  return self->plan;
}

const GError *
zis_job_get_error (ZisJob *self)
{
  return self->error;
}

void
zis_job_fail (ZisJob *self, const GError *error)
{
  g_clear_error (&self->error);
  self->error = g_error_copy (error);
  zis_job_set_state (self, ZIS_JOB_FAILED);
}

static void
begin_picture (ZisJob *self, int index)
{
  self->image_index = index;
  self->stage = ZIE_STAGE_TEXT;
  self->stage_fraction = 0;
  self->picture_left = self->decode_left = 0;
  self->picture_start_us = self->now_us;
  self->decode_start_us = 0;
  self->step = 0;
  take_new_paintable (self);
}

static void
take_note (ZisJob *self, char *note /* transfer full */)
{
  g_free (self->note);
  self->note = note;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_NOTE]);
}

/* The picture that was being made begins again, within less memory. */
static void
step_down (ZisJob *self, ZiePlan *plan, gboolean is_host)
{
  g_autofree char *peak = g_format_size (zis_plan_get_peak (plan));

  zis_job_set_plan (self, plan);
  /* What has been finished is; nothing may have been told yet of the one after it. */
  begin_picture (self, CLAMP (self->n_done, self->image_index, MAX (self->request.n_images, 1) - 1));
  if (is_host)
    take_note (self, g_strdup (_("The computer has less memory than it had. The picture begins again by a plan that takes less of it.")));
  else
    /* Translators: %s is an amount of memory. */
    take_note (self, g_strdup_printf (_("There is less graphics memory than there was. The picture begins again and makes do with %s."),
                                      peak));
}

/* The layer's name, which the engine has, is for the report. */
static char *
describe_redo (ZieStage stage)
{
  static const char *const sentences[ZIE_N_STAGES] = {
    N_("Reading the prompt gave unusable numbers. It is done again, more exactly and more slowly."),
    N_("Preparing the picture gave unusable numbers. It is done again, more exactly and more slowly."),
    N_("Painting gave unusable numbers. It is done again, more exactly and more slowly."),
    N_("Developing the picture gave unusable numbers. It is done again, more exactly and more slowly."),
  };

  return g_strdup (_(sentences[stage]));
}

/* The engine speaks of time after each step only: the decode's is what was expected of it, then what its first bands
 * took. */
static void
enter_decode (ZisJob *self, double fraction)
{
  if (self->decode_start_us == 0)
    {
      self->decode_start_us = self->now_us;
      self->decode_left = self->picture_left;
    }

  double elapsed = (double) (self->now_us - self->decode_start_us) / G_USEC_PER_SEC;

  self->stage = ZIE_STAGE_DECODE;
  self->stage_fraction = CLAMP (fraction, 0, 1);
  if (self->stage_fraction > 0 && elapsed > 0)
    self->picture_left = elapsed * (1 - self->stage_fraction) / self->stage_fraction;
  else
    self->picture_left = self->decode_left * (1 - self->stage_fraction);
}

static void
handle_progress (ZisJob *self, const ZieEvent *event)
{
  switch (event->type)
    {
    case ZIE_EVENT_STAGE:
      if (event->stage.stage == ZIE_STAGE_DECODE)
        {
          enter_decode (self, event->stage.fraction);
          break;
        }
      self->stage = event->stage.stage;
      self->stage_fraction = CLAMP (event->stage.fraction, 0, 1);
      if (self->stage == ZIE_STAGE_SAMPLE && self->step == 0)
        self->step = 1;
      break;
    case ZIE_EVENT_STEP:
      self->stage = ZIE_STAGE_SAMPLE;
      self->n_steps = MAX (1, event->step.total);
      /* "Step 3 of 8" names the step that is running: the one after the step that ended. */
      self->step = MIN (event->step.index + 1, self->n_steps);
      self->stage_fraction = CLAMP ((double) event->step.index / self->n_steps, 0, 1);
      self->picture_left = MAX (0, event->step.seconds_left);
      break;
    case ZIE_EVENT_PREVIEW:
      zis_paintable_push_preview (self->paintable, event->preview.image);
      break;
    case ZIE_EVENT_TILE:
      /* The layers before the bands have told more of the stage: no going back. */
      enter_decode (self, MAX (self->stage == ZIE_STAGE_DECODE ? self->stage_fraction : 0, (event->tile.index + 1.0) / MAX (1, event->tile.total)));
      zis_paintable_push_band (self->paintable, event->tile.image, event->tile.x, event->tile.y);
      break;
    case ZIE_EVENT_IMAGE:
      enter_decode (self, 1);
      self->n_done++;
      zis_paintable_set_image (self->paintable, event->image.image);
      break;
    case ZIE_EVENT_REDO: take_note (self, describe_redo (event->redo.stage)); break;
    default:
      break;
    }
}

void
zis_job_handle_event (ZisJob *self, const ZieEvent *event)
{
  /* Cancelled means: at once, for the eye.  What the engine still had in its hands is not shown any more. */
  if (event->type != ZIE_EVENT_FINISHED && self->state == ZIS_JOB_CANCELLING)
    return;

  self->now_us = event->time_us;
  switch (event->type)
    {
    case ZIE_EVENT_STARTED:
      self->picture_start_us = event->time_us;
      zis_job_set_state (self, ZIS_JOB_RUNNING);
      break;

    case ZIE_EVENT_FINISHED:
      if (!event->finished.error)
        zis_job_set_state (self, ZIS_JOB_DONE);
      else if (g_error_matches (event->finished.error, ZIE_ERROR, ZIE_ERROR_CANCELLED))
        zis_job_set_state (self, ZIS_JOB_CANCELLED);
      else
        zis_job_fail (self, event->finished.error);
      break;

    case ZIE_EVENT_PLAN: /* of the job, not of the picture that it names */
      step_down (self, event->plan.plan, event->plan.is_host);
      update (self);
      break;

    default:
      if (event->image_index != self->image_index)
        begin_picture (self, event->image_index);
      handle_progress (self, event);
      update (self);
      break;
    }
}
