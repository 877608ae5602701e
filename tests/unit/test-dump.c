/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-dump"

#include "zie-dump.h"

#include <string.h>

#include <glib/gstdio.h>

#include "zie-weight-file.h"

static const float values[] = { 1, 2.5f, -3, 4, 5, 6 };
static const gint64 shape[] = { 1, 2, 3 };

typedef struct
{
  char *folder, *path;
} Fixture;

static void
setup (Fixture *self, gconstpointer data)
{
  self->folder = g_dir_make_tmp ("zie-dump-XXXXXX", NULL);
  self->path = g_build_filename (self->folder, "d.safetensors", NULL);
}

static void
teardown (Fixture *self, gconstpointer data)
{
  g_remove (self->path);
  g_assert_cmpint (g_rmdir (self->folder), ==, 0);      /* and nothing half-written lies about */
  g_free (self->path);
  g_free (self->folder);
}

static void
test_round_trip (Fixture *self, gconstpointer data)
{
  static const gint32 ids[] = { 7, -8 };
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) file = NULL;
  const ZieTensorInfo *info;

  g_assert_true (zie_dump_begin (self->path, &error));
  g_assert_no_error (error);
  g_assert_true (zie_dump_is_on ());
  zie_dump_note ("quoted", "a \"b\"\n");
  zie_dump_tensor ("layers.0", values, shape, 3);
  zie_dump_ints ("ids", ids, (gint64[]) { 2 }, 1);
  g_assert_false (g_file_test (self->path, G_FILE_TEST_EXISTS));
  g_assert_true (zie_dump_end (&error));
  g_assert_no_error (error);
  g_assert_false (zie_dump_is_on ());

  file = zie_weight_file_open (self->path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (zie_weight_file_get_n (file), ==, 2);

  info = zie_weight_file_lookup (file, "layers.0");
  g_assert_nonnull (info);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_F32);
  g_assert_cmpint (info->n_dims, ==, 3);
  g_assert_cmpint (info->dims[2], ==, 3);
  g_assert_cmpmem (info->data, info->size, values, sizeof values);

  info = zie_weight_file_lookup (file, "ids");
  g_assert_nonnull (info);
  g_assert_cmpint (info->dtype, ==, ZIE_DTYPE_I32);
  g_assert_cmpmem (info->data, info->size, ids, sizeof ids);
}

/* Blocks are offered at every step under one name: the record holds the first step's. */
static void
test_first_of_a_name_stays (Fixture *self, gconstpointer data)
{
  float other[6] = { 0 };
  g_autoptr(ZieWeightFile) file = NULL;
  const ZieTensorInfo *info;

  g_assert_true (zie_dump_begin (self->path, NULL));
  g_assert_true (zie_dump_wants ("a"));
  zie_dump_tensor ("a", values, shape, 3);
  g_assert_false (zie_dump_wants ("a"));
  zie_dump_tensor ("a", other, shape, 3);
  g_assert_true (zie_dump_end (NULL));

  file = zie_weight_file_open (self->path, NULL);
  g_assert_cmpuint (zie_weight_file_get_n (file), ==, 1);
  info = zie_weight_file_lookup (file, "a");
  g_assert_cmpmem (info->data, info->size, values, sizeof values);
}

static void
test_off_unless_begun (Fixture *self, gconstpointer data)
{
  g_assert_false (zie_dump_is_on ());
  g_assert_false (zie_dump_wants ("a"));
  zie_dump_note ("a", "b");
  zie_dump_tensor ("a", values, shape, 3);
}

static void
test_one_at_a_time (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (zie_dump_begin (self->path, NULL));
  g_assert_false (zie_dump_begin ("/elsewhere", &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FAILED);
  g_assert_true (zie_dump_end (NULL));
}

static void
test_unwritable (Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename (self->folder, "not-there", "d.safetensors", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_true (zie_dump_begin (path, NULL));
  zie_dump_tensor ("a", values, shape, 3);
  g_assert_false (zie_dump_end (&error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_WRITE);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_false (zie_dump_is_on ());
}

static void
test_discarded (Fixture *self, gconstpointer data)
{
  g_assert_true (zie_dump_begin (self->path, NULL));
  zie_dump_tensor ("a", values, shape, 3);
  zie_dump_discard ();
  g_assert_false (zie_dump_is_on ());
  g_assert_false (g_file_test (self->path, G_FILE_TEST_EXISTS));
}

static void
test_job_by_environment (Fixture *self, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (self->folder, "dumps", NULL);
  g_autofree char *path = g_build_filename (folder, "job-000042.safetensors", NULL);
  g_autoptr(GError) error = NULL;

  g_unsetenv ("ZIE_DUMP");
  g_assert_false (zie_dump_begin_job (42, &error));
  g_assert_no_error (error);

  g_setenv ("ZIE_DUMP", folder, TRUE);
  g_assert_true (zie_dump_begin_job (42, &error));
  g_assert_no_error (error);
  zie_dump_tensor ("a", values, shape, 3);
  g_assert_true (zie_dump_end (&error));
  g_unsetenv ("ZIE_DUMP");

  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/dump/round-trip", Fixture, NULL, setup, test_round_trip, teardown);
  g_test_add ("/dump/first-of-a-name-stays", Fixture, NULL, setup, test_first_of_a_name_stays, teardown);
  g_test_add ("/dump/off-unless-begun", Fixture, NULL, setup, test_off_unless_begun, teardown);
  g_test_add ("/dump/one-at-a-time", Fixture, NULL, setup, test_one_at_a_time, teardown);
  g_test_add ("/dump/unwritable", Fixture, NULL, setup, test_unwritable, teardown);
  g_test_add ("/dump/discarded", Fixture, NULL, setup, test_discarded, teardown);
  g_test_add ("/dump/job-by-environment", Fixture, NULL, setup, test_job_by_environment, teardown);
  return g_test_run ();
}
