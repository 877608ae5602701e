/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-queue"

#include "zis-queue.h"

#include "zis-job.h"

struct _ZisQueue
{
  GObject parent_instance;

  GPtrArray *jobs;           /* owned, of owned ZisJob */
};

enum
{
  PROP_0,
  PROP_N_JOBS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void zis_queue_list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ZisQueue, zis_queue, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, zis_queue_list_model_init))

static GType
zis_queue_get_item_type (GListModel *model)
{
  return ZIS_TYPE_JOB;
}

static guint
zis_queue_get_n_items (GListModel *model)
{
  return ZIS_QUEUE (model)->jobs->len;
}

static gpointer
zis_queue_get_item (GListModel *model, guint position)
{
  ZisQueue *self = ZIS_QUEUE (model);

  return position < self->jobs->len ? g_object_ref (g_ptr_array_index (self->jobs, position)) : NULL;
}

static void
zis_queue_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = zis_queue_get_item_type;
  iface->get_n_items = zis_queue_get_n_items;
  iface->get_item = zis_queue_get_item;
}

static void
changed (ZisQueue *self, guint position, guint removed, guint added)
{
  g_list_model_items_changed (G_LIST_MODEL (self), position, removed, added);
  if (removed != added)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_JOBS]);
}

static void
zis_queue_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_N_JOBS: g_value_set_uint (value, ZIS_QUEUE (object)->jobs->len); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_queue_finalize (GObject *object)
{
  g_ptr_array_unref (ZIS_QUEUE (object)->jobs);

  G_OBJECT_CLASS (zis_queue_parent_class)->finalize (object);
}

static void
zis_queue_class_init (ZisQueueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = zis_queue_get_property;
  object_class->finalize = zis_queue_finalize;

  properties[PROP_N_JOBS] = g_param_spec_uint ("n-jobs", NULL, NULL, 0, G_MAXUINT, 0,
                                               G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
zis_queue_init (ZisQueue *self)
{
  self->jobs = g_ptr_array_new_with_free_func (g_object_unref);
}

ZisQueue *
zis_queue_new (void)
{
  return g_object_new (ZIS_TYPE_QUEUE, NULL);
}

void
zis_queue_append (ZisQueue *self, ZisJob *job)
{
  g_ptr_array_add (self->jobs, g_object_ref (job));
  changed (self, self->jobs->len - 1, 0, 1);
}

void
zis_queue_remove (ZisQueue *self, ZisJob *job)
{
  guint position;

  if (!g_ptr_array_find (self->jobs, job, &position))
    return;

  g_ptr_array_remove_index (self->jobs, position);
  changed (self, position, 1, 0);
}

ZisJob *
zis_queue_get_running (ZisQueue *self)
{
  ZisJob *first = self->jobs->len > 0 ? g_ptr_array_index (self->jobs, 0) : NULL;

  return first && zis_job_get_state (first) != ZIS_JOB_WAITING ? first : NULL;
}

ZisJob *
zis_queue_get_next (ZisQueue *self)
{
  guint at = zis_queue_get_running (self) ? 1 : 0;

  return at < self->jobs->len ? g_ptr_array_index (self->jobs, at) : NULL;
}

guint
zis_queue_get_n_jobs (ZisQueue *self)
{
  return self->jobs->len;
}

guint
zis_queue_get_n_waiting (ZisQueue *self)
{
  return self->jobs->len - (zis_queue_get_running (self) ? 1 : 0);
}

gboolean
zis_queue_can_move (ZisQueue *self, ZisJob *job, int delta)
{
  guint first = zis_queue_get_running (self) ? 1 : 0;
  guint position;

  if (!g_ptr_array_find (self->jobs, job, &position) || position < first)
    return FALSE;

  return (int) position + delta >= (int) first && (int) position + delta < (int) self->jobs->len;
}

gboolean
zis_queue_move (ZisQueue *self, ZisJob *job, int delta)
{
  guint from, to, low, high;

  if (delta == 0 || !zis_queue_can_move (self, job, delta))
    return FALSE;

  g_ptr_array_find (self->jobs, job, &from);
  to = (guint) ((int) from + delta);
  g_ptr_array_insert (self->jobs, (int) to, g_ptr_array_steal_index (self->jobs, from));
  low = MIN (from, to);
  high = MAX (from, to);
  changed (self, low, high - low + 1, high - low + 1);

  return TRUE;
}

gboolean
zis_queue_move_to (ZisQueue *self, ZisJob *job, ZisJob *other)
{
  guint from, to;

  if (!g_ptr_array_find (self->jobs, job, &from) || !g_ptr_array_find (self->jobs, other, &to))
    return FALSE;

  return zis_queue_move (self, job, (int) to - (int) from);
}
