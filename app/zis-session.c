/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-session"

#include "zis-session-private.h"

#include <string.h>

#include "zis-event-source.h"
#include "zis-job.h"
#include "zis-queue.h"

#define N_REPORTS 8

enum
{
  PROP_0,
  PROP_STATE,
  N_PROPS
};

enum
{
  SIGNAL_MODEL_CHANGED,
  SIGNAL_JOB_STARTED,
  SIGNAL_PICTURE,
  SIGNAL_JOB_ENDED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisSession, zis_session, G_TYPE_OBJECT)

static void start_next (ZisSession *self);

static void
set_state (ZisSession *self, ZisSessionState state)
{
  if (self->state == state)
    return;

  self->state = state;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATE]);
}

/* --- opening and closing ------------------------------------------------------------------------------------ */

typedef struct
{
  char *path;                /* owned; "" = the demo model */
  GStrv parts;               /* owned: files picked by hand, in the order of ZieModelPartKind, then the tokenizer; "" = none */
  ZieEngineOptions options;
  ZieModel *model;           /* owned or NULL */
  ZieEngine *engine;         /* owned or NULL */
  ZieDevice devices[ZIS_MAX_DEVICES];
  guint n_devices;
} Opening;

static void
opening_free (gpointer data)
{
  Opening *self = data;

  g_free (self->path);
  g_strfreev (self->parts);
  g_clear_pointer (&self->engine, zie_engine_unref);
  g_clear_pointer (&self->model, zie_model_unref);
  g_free (self);
}

static gpointer
unref_engine_thread (gpointer engine)
{
  zie_engine_unref (engine);
  return NULL;
}

/* The last unref of an engine waits for its worker: never on the main loop. */
static void
let_go_of_engine (ZisSession *self)
{
  if (self->events)
    {
      zie_engine_set_wake (self->engine, NULL, NULL, NULL);
      g_source_destroy (self->events);
      g_clear_pointer (&self->events, g_source_unref);
    }
  if (self->engine)
    g_thread_unref (g_thread_new ("zis-engine-end", unref_engine_thread, g_steal_pointer (&self->engine)));
}

static void
end_job (ZisSession *self, ZisJob *job)
{
  g_object_ref (job);
  zis_queue_remove (self->queue, job);
  g_signal_emit (self, signals[SIGNAL_JOB_ENDED], 0, job);
  g_object_unref (job);
}

static void
keep_report (ZisSession *self)
{
  if (!self->report)
    return;

  g_queue_push_head (&self->texts, zie_report_to_text (self->report));
  if (self->texts.length > N_REPORTS)
    g_free (g_queue_pop_tail (&self->texts));
  g_clear_pointer (&self->report, zie_report_free);
}

static void
drop_running (ZisSession *self)
{
  ZisJob *job = zis_queue_get_running (self->queue);

  if (self->planning)
    g_cancellable_cancel (self->planning);
  g_clear_object (&self->planning);

  if (self->running)
    zie_job_cancel (self->running);
  g_clear_pointer (&self->running, zie_job_unref);
  keep_report (self);

  if (job)
    {
      zis_job_set_state (job, ZIS_JOB_CANCELLED);
      end_job (self, job);
    }
}

static void
on_event (ZieEvent *event, gpointer user_data)
{
  zis_session_handle_event (user_data, event);
}

static const char *
get_part (const Opening *self, guint index)
{
  return index < g_strv_length (self->parts) && *self->parts[index] ? self->parts[index] : NULL;
}

static void
open_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Opening *self = data;
  GError *error = NULL;
  ZieModelSource model = { 0 };

  for (guint i = 0; i < ZIE_N_MODEL_PARTS; i++)
    model.parts[i] = get_part (self, i);
  model.tokenizer = get_part (self, ZIE_N_MODEL_PARTS);

  /* The demo model's other parts would not go with a transformer that was picked by hand. */
  if (*self->path == '\0' && !model.parts[ZIE_MODEL_TRANSFORMER])
    {
      g_free (self->path);
      if (!(self->path = zie_model_find_demo (&error)))
        {
          g_task_return_error (task, error);
          return;
        }
    }

  self->n_devices = zie_list_devices (self->devices, ZIS_MAX_DEVICES);
  model.path = *self->path ? self->path : NULL;
  if (!(self->model = zie_model_open_source (&model, &error)) || !(self->engine = zie_engine_new (&self->options, &error)))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_opened (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisSession *self = ZIS_SESSION (object);
  Opening *opening = g_task_get_task_data (G_TASK (result));
  g_autoptr(GError) error = NULL;

  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  if (g_task_get_cancellable (G_TASK (result)) != self->opening)
    return;      /* a newer one is on its way */

  g_clear_object (&self->opening);
  memcpy (self->devices, opening->devices, sizeof self->devices);
  self->n_devices = opening->n_devices;

  if (!ok)
    {
      g_debug ("open: %s", error->message);
      self->error = g_steal_pointer (&error);
      set_state (self, ZIS_SESSION_FAILED);
      return;
    }

  self->model = g_steal_pointer (&opening->model);
  self->engine = g_steal_pointer (&opening->engine);
  self->events = zis_event_source_new (zie_engine_get_events (self->engine), on_event, self);
  g_source_attach (self->events, NULL);
  zie_engine_set_wake (self->engine, zis_event_source_wake, g_source_ref (self->events), (GDestroyNotify) g_source_unref);

  set_state (self, ZIS_SESSION_READY);
  g_signal_emit (self, signals[SIGNAL_MODEL_CHANGED], 0);
  start_next (self);
}

static void
read_device_setting (ZisSession *self, ZieEngineOptions *options)
{
  g_autofree char *device = g_settings_get_string (self->settings, "device");

  memset (options, 0, sizeof *options);
  options->background = TRUE;    /* a desktop stays smooth */
  if (!zie_device_from_name (device, &options->backend, &options->device_index))
    options->backend = ZIE_BACKEND_AUTO;
}

void
zis_session_open (ZisSession *self)
{
  g_autoptr(GTask) task = NULL;
  Opening *opening = g_new0 (Opening, 1);

  g_clear_handle_id (&self->open_source, g_source_remove);
  drop_running (self);
  let_go_of_engine (self);
  g_clear_pointer (&self->model, zie_model_unref);
  g_clear_error (&self->error);
  set_state (self, ZIS_SESSION_LOADING);

  if (self->opening)
    g_cancellable_cancel (self->opening);
  g_clear_object (&self->opening);
  self->opening = g_cancellable_new ();

  opening->path = g_settings_get_string (self->settings, "model-path");
  opening->parts = g_settings_get_strv (self->settings, "model-parts");
  read_device_setting (self, &opening->options);

  task = g_task_new (self, self->opening, on_opened, NULL);
  g_task_set_source_tag (task, zis_session_open);
  g_task_set_check_cancellable (task, FALSE);    /* on_opened() looks for the newest itself */
  g_task_set_task_data (task, opening, opening_free);
  g_task_run_in_thread (task, open_thread);
}

static gboolean
open_now (gpointer user_data)
{
  ZisSession *self = user_data;

  self->open_source = 0;
  zis_session_open (self);
  return G_SOURCE_REMOVE;
}

void
zis_session_open_soon (ZisSession *self)
{
  if (self->open_source == 0)
    self->open_source = g_idle_add_full (G_PRIORITY_DEFAULT, open_now, self, NULL);
}

void
zis_session_close (ZisSession *self)
{
  ZisJob *job;

  g_clear_handle_id (&self->open_source, g_source_remove);
  if (self->opening)
    g_cancellable_cancel (self->opening);
  g_clear_object (&self->opening);
  set_state (self, ZIS_SESSION_CLOSED);    /* no job takes the place of one that ends */

  while ((job = zis_queue_get_next (self->queue)) != NULL)
    zis_session_cancel (self, job);
  drop_running (self);

  if (self->events)
    {
      zie_engine_set_wake (self->engine, NULL, NULL, NULL);
      g_source_destroy (self->events);
      g_clear_pointer (&self->events, g_source_unref);
    }
  g_clear_pointer (&self->engine, zie_engine_unref);
  g_clear_pointer (&self->model, zie_model_unref);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_session_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_STATE: g_value_set_uint (value, ZIS_SESSION (object)->state); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_session_dispose (GObject *object)
{
  ZisSession *self = ZIS_SESSION (object);

  if (self->queue)
    zis_session_close (self);
  g_clear_object (&self->settings);
  g_clear_object (&self->queue);
  g_clear_error (&self->error);
  g_clear_pointer (&self->report, zie_report_free);
  g_queue_clear_full (&self->texts, g_free);

  G_OBJECT_CLASS (zis_session_parent_class)->dispose (object);
}

static void
zis_session_class_init (ZisSessionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = zis_session_get_property;
  object_class->dispose = zis_session_dispose;

  properties[PROP_STATE] = g_param_spec_uint ("state", NULL, NULL, 0, ZIS_SESSION_FAILED, 0,
                                              G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  signals[SIGNAL_MODEL_CHANGED] = g_signal_new ("model-changed", ZIS_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                                G_TYPE_NONE, 0);
  signals[SIGNAL_JOB_STARTED] = g_signal_new ("job-started", ZIS_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                              G_TYPE_NONE, 1, ZIS_TYPE_JOB);
  signals[SIGNAL_PICTURE] = g_signal_new ("picture", ZIS_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 3, ZIS_TYPE_JOB, G_TYPE_INT, G_TYPE_POINTER);
  signals[SIGNAL_JOB_ENDED] = g_signal_new ("job-ended", ZIS_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                            G_TYPE_NONE, 1, ZIS_TYPE_JOB);
}

static void
zis_session_init (ZisSession *self)
{
  self->queue = zis_queue_new ();
}

ZisSession *
zis_session_new (GSettings *settings)
{
  ZisSession *self = g_object_new (ZIS_TYPE_SESSION, NULL);

  self->settings = g_object_ref (settings);

  return self;
}

ZisSessionState
zis_session_get_state (ZisSession *self)
{
  return self->state;
}

const GError *
zis_session_get_error (ZisSession *self)
{
  return self->error;
}

const ZieModelInfo *
zis_session_get_info (ZisSession *self)
{
  return self->model ? zie_model_get_info (self->model) : NULL;
}

gboolean
zis_session_get_device (ZisSession *self, ZieDevice *device)
{
  if (!self->engine)
    return FALSE;

  zie_engine_get_device (self->engine, device);
  return TRUE;
}

ZieEngine *
zis_session_ref_engine (ZisSession *self)
{
  return self->engine ? zie_engine_ref (self->engine) : NULL;
}

const ZieDevice *
zis_session_get_devices (ZisSession *self, guint *n_devices)
{
  *n_devices = self->n_devices;
  return self->devices;
}

ZisQueue *
zis_session_get_queue (ZisSession *self)
{
  return self->queue;
}

ZieModel *
zis_session_get_model (ZisSession *self)
{
  return self->model;
}

gboolean
zis_session_has_report (ZisSession *self)
{
  return self->report != NULL || self->texts.length > 0;
}

char *
zis_session_get_report (ZisSession *self)
{
  GString *text = g_string_new (NULL);

  if (self->report)
    {
      g_autofree char *running = zie_report_to_text (self->report);

      g_string_append (text, running);
    }
  for (GList *l = self->texts.head; l; l = l->next)
    g_string_append_printf (text, "%s%s", text->len > 0 ? "\n" : "", (const char *) l->data);

  return g_string_free (text, FALSE);
}

guint64
zis_session_get_memory_limit (ZisSession *self)
{
  return (guint64) g_settings_get_uint (self->settings, "memory-limit") << 20;
}

/* --- jobs --------------------------------------------------------------------------------------------------- */

static void
on_job_planned (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisSession *self = ZIS_SESSION (object);
  g_autoptr(ZisJob) job = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) plans = zis_session_plan_finish (self, result, &error);
  ZisPlanResult *planned;

  if (g_task_get_cancellable (G_TASK (result)) != self->planning)
    return;      /* the job was ended while it was being planned */
  g_clear_object (&self->planning);

  if (zis_job_get_state (job) == ZIS_JOB_CANCELLING)
    {
      zis_job_set_state (job, ZIS_JOB_CANCELLED);
      end_job (self, job);
      start_next (self);
      return;
    }

  planned = plans && plans->len > 0 ? &g_array_index (plans, ZisPlanResult, 0) : NULL;
  if (planned && planned->plan)
    {
      zis_job_set_plan (job, planned->plan);
      self->running = zie_engine_submit (self->engine, self->model, zis_job_get_request (job), planned->plan, &error);
      if (self->running)
        self->report = zie_report_new (self->model, zis_job_get_request (job), planned->plan);
    }

  if (!self->running)
    {
      zis_job_fail (job, error ? error : planned->error);
      end_job (self, job);
      start_next (self);
    }
}

static void
start_next (ZisSession *self)
{
  ZisJob *job = zis_queue_get_next (self->queue);

  if (!job || self->state != ZIS_SESSION_READY || self->running || self->planning)
    return;

  const ZieRequest *request = zis_job_get_request (job);
  const int size[1][2] = { { request->width, request->height } };

  zis_job_set_state (job, ZIS_JOB_RUNNING);
  g_signal_emit (self, signals[SIGNAL_JOB_STARTED], 0, job);
  self->planning = g_cancellable_new ();
  zis_session_plan_async (self, request, size, 1, self->planning, on_job_planned, g_object_ref (job));
}

void
zis_session_prepare (ZisSession *self, ZieRequest *request)
{
  g_autofree char *decode = g_settings_get_string (self->settings, "decode");

  request->preview_every = (int) g_settings_get_uint (self->settings, "preview-every");
  zie_decode_from_name (decode, &request->decode);
  request->tile_size = (int) g_settings_get_uint (self->settings, "tile-size");
  request->tile_overlap = (int) g_settings_get_uint (self->settings, "tile-overlap");
  if (self->model && !request->model_name)
    request->model_name = g_strdup (zie_model_get_info (self->model)->name);
}

/* TRUE if it was another value; what is out of KEY's range stays as it was. */
static gboolean
take_setting (GSettings *settings, const char *key, GVariant *value /* floating */)
{
  g_autoptr(GVariant) sunk = g_variant_ref_sink (value), old = g_settings_get_value (settings, key);
  g_autoptr(GSettingsSchema) schema = NULL;
  g_autoptr(GSettingsSchemaKey) schema_key = NULL;

  g_object_get (settings, "settings-schema", &schema, NULL);
  schema_key = g_settings_schema_get_key (schema, key);
  return !g_variant_equal (old, sunk) && g_settings_schema_key_range_check (schema_key, sunk) &&
         g_settings_set_value (settings, key, sunk);
}

gboolean
zis_session_restore (ZisSession *self, const ZieRequest *request)
{
  gboolean is_changed =
      take_setting (self->settings, "decode", g_variant_new_string (zie_decode_name (request->decode)));

  if (request->decode != ZIE_DECODE_BLEND)
    return is_changed;

  is_changed |= take_setting (self->settings, "tile-size", g_variant_new_uint32 ((guint32)request->tile_size));
  is_changed |= take_setting (self->settings, "tile-overlap", g_variant_new_uint32 ((guint32)request->tile_overlap));
  return is_changed;
}

ZisJob *
zis_session_generate (ZisSession *self, const ZieRequest *request, GError **error)
{
  g_autoptr(ZisJob) job = NULL;

  if (self->state == ZIS_SESSION_FAILED)
    {
      g_propagate_error (error, g_error_copy (self->error));
      return NULL;
    }
  if (!zie_request_validate (request, self->model, error))
    return NULL;

  job = zis_job_new (request);
  zis_queue_append (self->queue, job);
  start_next (self);

  return job;      /* the queue holds it */
}

void
zis_session_cancel (ZisSession *self, ZisJob *job)
{
  switch (zis_job_get_state (job))
    {
    case ZIS_JOB_WAITING:
      zis_job_set_state (job, ZIS_JOB_CANCELLED);
      end_job (self, job);
      break;
    case ZIS_JOB_RUNNING:
      zis_job_set_state (job, ZIS_JOB_CANCELLING);
      if (self->running)
        zie_job_cancel (self->running);
      break;
    default:
      break;
    }
}

void
zis_session_cancel_all (ZisSession *self)
{
  ZisJob *running = zis_queue_get_running (self->queue);
  ZisJob *job;

  while ((job = zis_queue_get_next (self->queue)) != NULL)
    zis_session_cancel (self, job);
  if (running)
    zis_session_cancel (self, running);
}

void
zis_session_handle_event (ZisSession *self, ZieEvent *event)
{
  ZisJob *job = zis_queue_get_running (self->queue);

  if (!job || (event->job_id != 0 && (!self->running || event->job_id != zie_job_get_id (self->running))))
    return;

  g_object_ref (self);             /* the last job's end may end the window, and with it the session */
  g_object_ref (job);
  zis_job_handle_event (job, event);
  if (self->report)
    zie_report_add_event (self->report, event);

  if (event->type == ZIE_EVENT_IMAGE && zis_job_get_state (job) != ZIS_JOB_CANCELLING)
    g_signal_emit (self, signals[SIGNAL_PICTURE], 0, job, event->image_index, event);

  if (event->type == ZIE_EVENT_FINISHED)
    {
      g_clear_pointer (&self->running, zie_job_unref);
      keep_report (self);
      end_job (self, job);
      start_next (self);
    }
  g_object_unref (job);
  g_object_unref (self);
}
