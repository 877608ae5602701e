/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-memory-monitor"

#include "zis-memory-monitor.h"

#include <stdio.h>
#include <string.h>

#include "zis-nvml.h"
#include "zis-session.h"

struct _ZisMemoryMonitor
{
  GObject parent_instance;

  ZieDevice device;
  ZisSession *session;       /* owned or NULL */
  ZisNvml *nvml;             /* owned or NULL; only the worker calls it, and only one worker runs at a time */
  gboolean has_tried_nvml;
  char *fake;                /* owned or NULL */
  guint timer;
  gboolean is_sampling;
  ZisMemorySample sample;
  ZisMemorySample history[ZIS_MEMORY_HISTORY];   /* a ring */
  guint n_history, next;
};

enum
{
  SIGNAL_SAMPLED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisMemoryMonitor, zis_memory_monitor, G_TYPE_OBJECT)

/* What a worker looks at. */
typedef struct
{
  ZieDevice device;
  ZieEngine *engine;         /* owned or NULL */
} Question;

static void
question_free (gpointer data)
{
  Question *self = data;

  g_clear_pointer (&self->engine, zie_engine_unref);
  g_free (self);
}

/* "6G", "512M" or plain bytes. */
static guint64
parse_size (const char *text)
{
  char *end;
  double value = g_ascii_strtod (text, &end);

  switch (g_ascii_toupper (*end))
    {
    case 'K': return (guint64) (value * 1024);
    case 'M': return (guint64) (value * 1024 * 1024);
    case 'G': return (guint64) (value * 1024 * 1024 * 1024);
    default: return (guint64) value;
    }
}

static void
sample_fake (const char *fake, ZisMemorySample *sample)
{
  g_autofree char *text = NULL;

  sample->is_vram = TRUE;
  sample->is_known = sample->is_ours_known = TRUE;
  if (g_file_get_contents (fake, &text, NULL, NULL))
    {
      unsigned long long total = 0, others = 0, ours = 0;

      if (sscanf (text, "%llu %llu %llu", &total, &others, &ours) < 1)
        sample->is_known = sample->is_ours_known = FALSE;
      sample->total = total;
      sample->others = others;
      sample->ours = ours;
    }
  else
    sample->total = parse_size (fake);
}

static void
sample_ram (ZisMemorySample *sample)
{
  ZieMemoryUse use = { 0 };

  zie_query_memory (&use);
  sample->total = use.ram_total;
  sample->ours = use.process_anonymous;
  sample->is_ours_known = use.process_anonymous > 0;
  sample->is_known = use.ram_total > 0 && use.ram_available > 0;
  if (use.ram_total > use.ram_available + sample->ours)
    sample->others = use.ram_total - use.ram_available - sample->ours;
}

static void
sample_card (ZisMemoryMonitor *self, const ZieDevice *device, ZisMemorySample *sample)
{
  guint64 total, used, ours;

  sample->is_vram = TRUE;
  sample->total = device->memory_total;

  if (!self->has_tried_nvml)
    {
      self->nvml = zis_nvml_open ();
      self->has_tried_nvml = TRUE;
    }
  if (self->nvml && zis_nvml_query (self->nvml, device->pci_id, (guint) MAX (0, device->index), &total, &used, &ours))
    {
      /* An engine that is open holds its context at least. */
      sample->is_ours_known = ours != ZIS_NVML_UNKNOWN || device->memory_held > 0;
      if (ours == ZIS_NVML_UNKNOWN)
        ours = device->memory_held;
      sample->is_known = TRUE;
      sample->total = total;
      sample->ours = MIN (ours, used);
      sample->others = used - sample->ours;
    }
  else if (device->memory_held > 0)
    {
      /* Without the driver's library: what CUDA says is free, to which the engine adds what it holds; no more than that where CUDA
       * does not say. */
      sample->is_ours_known = TRUE;
      sample->is_known = device->memory_free > device->memory_held;
      sample->ours = MIN (device->memory_held, sample->total);
      if (sample->is_known)
        sample->others = sample->total - MIN (device->memory_free, sample->total);
    }
}

static void
sample_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  ZisMemoryMonitor *self = source;
  Question *question = data;
  ZisMemorySample *sample = g_new0 (ZisMemorySample, 1);

  if (question->engine)
    zie_engine_get_device (question->engine, &question->device);
  /* The last reference may be this one: the main loop does not wait for the engine's end. */
  g_clear_pointer (&question->engine, zie_engine_unref);

  if (question->device.kind == ZIE_BACKEND_CUDA || self->fake)
    sample_card (self, &question->device, sample);
  else
    sample_ram (sample);
  if (self->fake && !sample->is_known)
    sample_fake (self->fake, sample);

  g_task_return_pointer (task, sample, g_free);
}

static void
on_sampled (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisMemoryMonitor *self = ZIS_MEMORY_MONITOR (object);
  g_autofree ZisMemorySample *sample = g_task_propagate_pointer (G_TASK (result), NULL);

  self->is_sampling = FALSE;
  if (!sample)
    return;

  self->sample = *sample;
  self->history[self->next] = *sample;
  self->next = (self->next + 1) % ZIS_MEMORY_HISTORY;
  self->n_history = MIN (self->n_history + 1, ZIS_MEMORY_HISTORY);
  g_signal_emit (self, signals[SIGNAL_SAMPLED], 0);
}

static Question *
make_question (ZisMemoryMonitor *self)
{
  Question *question = g_new0 (Question, 1);

  question->device = self->device;
  if (self->session && self->device.kind == ZIE_BACKEND_CUDA)
    question->engine = zis_session_ref_engine (self->session);
  if (self->session && !question->engine)
    question->device.memory_held = 0;       /* what it was when there was one */
  return question;
}

static gboolean
on_tick (gpointer user_data)
{
  ZisMemoryMonitor *self = user_data;
  g_autoptr(GTask) task = NULL;

  /* A driver that takes its time must not pile up questions. */
  if (self->is_sampling)
    return G_SOURCE_CONTINUE;

  self->is_sampling = TRUE;
  task = g_task_new (self, NULL, on_sampled, NULL);
  g_task_set_source_tag (task, on_tick);
  g_task_set_task_data (task, make_question (self), question_free);
  g_task_run_in_thread (task, sample_thread);

  return G_SOURCE_CONTINUE;
}

static void
zis_memory_monitor_dispose (GObject *object)
{
  ZisMemoryMonitor *self = ZIS_MEMORY_MONITOR (object);

  zis_memory_monitor_set_running (self, FALSE);
  g_clear_object (&self->session);

  G_OBJECT_CLASS (zis_memory_monitor_parent_class)->dispose (object);
}

static void
zis_memory_monitor_finalize (GObject *object)
{
  ZisMemoryMonitor *self = ZIS_MEMORY_MONITOR (object);

  g_clear_pointer (&self->nvml, zis_nvml_close);
  g_free (self->fake);

  G_OBJECT_CLASS (zis_memory_monitor_parent_class)->finalize (object);
}

static void
zis_memory_monitor_class_init (ZisMemoryMonitorClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = zis_memory_monitor_dispose;
  object_class->finalize = zis_memory_monitor_finalize;

  signals[SIGNAL_SAMPLED] = g_signal_new ("sampled", ZIS_TYPE_MEMORY_MONITOR, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 0);
}

static void
zis_memory_monitor_init (ZisMemoryMonitor *self)
{
  const char *fake = g_getenv ("ZIE_FAKE_VRAM");

  self->fake = fake && *fake ? g_strdup (fake) : NULL;
}

ZisMemoryMonitor *
zis_memory_monitor_new (void)
{
  return g_object_new (ZIS_TYPE_MEMORY_MONITOR, NULL);
}

void
zis_memory_monitor_set_device (ZisMemoryMonitor *self, const ZieDevice *device)
{
  self->device = *device;
  self->n_history = self->next = 0;
}

void
zis_memory_monitor_set_session (ZisMemoryMonitor *self, ZisSession *session)
{
  g_set_object (&self->session, session);
}

void
zis_memory_monitor_set_running (ZisMemoryMonitor *self, gboolean running)
{
  if (running == (self->timer != 0))
    return;

  if (running)
    {
      self->timer = g_timeout_add (1000 / ZIS_MEMORY_HZ, on_tick, self);
      on_tick (self);
    }
  else
    g_clear_handle_id (&self->timer, g_source_remove);
}

const ZisMemorySample *
zis_memory_monitor_get_sample (ZisMemoryMonitor *self)
{
  return &self->sample;
}

guint
zis_memory_monitor_get_history (ZisMemoryMonitor *self, ZisMemorySample samples[ZIS_MEMORY_HISTORY])
{
  guint first = (self->next + ZIS_MEMORY_HISTORY - self->n_history) % ZIS_MEMORY_HISTORY;

  for (guint i = 0; i < self->n_history; i++)
    samples[i] = self->history[(first + i) % ZIS_MEMORY_HISTORY];

  return self->n_history;
}
