/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "zis-job.h"
#include "zis-queue.h"

/* A model is right when one that follows its signals alone never differs from it. */
typedef struct
{
  ZisQueue *queue;
  GPtrArray *mirror;
  ZisJob *jobs[4];
} Fixture;

static void
on_items_changed (GListModel *model, guint position, guint removed, guint added, gpointer user_data)
{
  Fixture *f = user_data;

  g_ptr_array_remove_range (f->mirror, position, removed);
  for (guint i = 0; i < added; i++)
    {
      g_autoptr(ZisJob) job = g_list_model_get_item (model, position + i);

      g_ptr_array_insert (f->mirror, (int) (position + i), job);
    }
  g_assert_cmpuint (f->mirror->len, ==, g_list_model_get_n_items (model));
  for (guint i = 0; i < f->mirror->len; i++)
    {
      g_autoptr(ZisJob) job = g_list_model_get_item (model, i);

      g_assert_true (job == g_ptr_array_index (f->mirror, i));
    }
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_auto(ZieRequest) request = { 0 };

  zie_request_init (&request);
  f->queue = zis_queue_new ();
  f->mirror = g_ptr_array_new ();
  g_signal_connect (f->queue, "items-changed", G_CALLBACK (on_items_changed), f);
  for (int i = 0; i < 4; i++)
    {
      f->jobs[i] = zis_job_new (&request);
      zis_queue_append (f->queue, f->jobs[i]);
    }
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  for (int i = 0; i < 4; i++)
    g_object_unref (f->jobs[i]);
  g_object_unref (f->queue);
  g_ptr_array_unref (f->mirror);
}

static void
assert_order (Fixture *f, const char *order)
{
  g_assert_cmpuint (f->mirror->len, ==, strlen (order));
  for (guint i = 0; order[i]; i++)
    g_assert_true (g_ptr_array_index (f->mirror, i) == f->jobs[order[i] - '0']);
}

static void
test_move (Fixture *f, gconstpointer data)
{
  g_assert_true (zis_queue_move (f->queue, f->jobs[3], -1));
  assert_order (f, "0132");
  g_assert_true (zis_queue_move (f->queue, f->jobs[0], 3));
  assert_order (f, "1320");
  g_assert_true (zis_queue_move_to (f->queue, f->jobs[0], f->jobs[3]));
  assert_order (f, "1032");
  g_assert_false (zis_queue_move (f->queue, f->jobs[1], -1));
  g_assert_false (zis_queue_move (f->queue, f->jobs[2], 1));
  assert_order (f, "1032");
}

static void
test_running_keeps_front (Fixture *f, gconstpointer data)
{
  g_assert_null (zis_queue_get_running (f->queue));
  g_assert_true (zis_queue_get_next (f->queue) == f->jobs[0]);
  zis_job_set_state (f->jobs[0], ZIS_JOB_RUNNING);
  g_assert_true (zis_queue_get_running (f->queue) == f->jobs[0]);
  g_assert_true (zis_queue_get_next (f->queue) == f->jobs[1]);
  g_assert_cmpuint (zis_queue_get_n_waiting (f->queue), ==, 3);
  g_assert_false (zis_queue_move (f->queue, f->jobs[0], 1));
  g_assert_false (zis_queue_move (f->queue, f->jobs[1], -1));
  assert_order (f, "0123");
}

static void
test_remove (Fixture *f, gconstpointer data)
{
  zis_queue_remove (f->queue, f->jobs[1]);
  assert_order (f, "023");
  zis_queue_remove (f->queue, f->jobs[1]);
  zis_queue_remove (f->queue, f->jobs[3]);
  zis_queue_remove (f->queue, f->jobs[0]);
  zis_queue_remove (f->queue, f->jobs[2]);
  assert_order (f, "");
  g_assert_null (zis_queue_get_next (f->queue));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/queue/move", Fixture, NULL, set_up, test_move, tear_down);
  g_test_add ("/queue/running-keeps-front", Fixture, NULL, set_up, test_running_keeps_front, tear_down);
  g_test_add ("/queue/remove", Fixture, NULL, set_up, test_remove, tear_down);
  return g_test_run ();
}
