/* SPDX-License-Identifier: Apache-2.0 */

/* Fetching, pausing, repairing: what a person does, on disks as they are. */

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fixture.h"

/* --- the good days --- */

static void
test_whole (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  guint64 n_received;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_ABSENT);
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  assert_whole (self);
  g_assert_cmpuint (n_received, ==, self->model->n_bytes);
  g_assert_cmpuint (self->n_notified, >, 0);
  g_assert_cmpuint (server_count (self->server, "/org/tiny/resolve/abc/"), ==, N_FILES);
  g_assert_cmpuint (server_count (self->server, "/api"), ==, 0);           /* all is known: nobody is asked */

  /* Again: nothing to do, and no server to bother. */
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, 0);
}

static void
test_progress (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(ZieFetch) fetch = start (self, &options);
  ZieFetchProgress progress;

  finish (self, fetch);
  zie_fetch_get_progress (fetch, &progress);
  g_assert_cmpuint (progress.n_bytes, ==, self->model->n_bytes);
  g_assert_cmpuint (progress.n_total, ==, self->model->n_bytes);
  g_assert_cmpuint (progress.n_files_done, ==, N_FILES);
  g_assert_cmpuint (progress.n_files, ==, N_FILES);
  g_assert_cmpfloat (progress.seconds_left, ==, 0);
  g_assert_true (g_str_has_suffix (zie_fetch_get_path (fetch), "/Tiny"));
}

/* Both hubs' lists; the last file's checksum is a lie, and one entry is of another kind than it should be. */
static gboolean lies_in_list;

static void
answer_with_list (Request *request, int file)
{
  g_autofree char *sum1 = get_sha256 (1), *sum2 = get_sha256 (lies_in_list ? 1 : 2), *text = NULL;

  if (file >= 0)
    {
      send_file (request, file, G_MAXSIZE);
      return;
    }
  if (g_str_equal (request->path, "/api/models/org/tiny/tree/abc?recursive=true"))
    text = g_strdup_printf ("[7, {\"path\": 3}, {\"type\": \"file\", \"path\": \"%s\", \"size\": %zu, \"oid\": \"x\"},"
                            "{\"type\": \"file\", \"path\": \"%s\", \"size\": %zu, \"lfs\": {\"oid\": \"%s\", \"size\": 5}},"
                            "{\"type\": \"file\", \"path\": \"%s\", \"size\": %zu, \"lfs\": {\"oid\": \"%s\"}}]",
                            paths[0], sizes[0], paths[1], sizes[1], sum1, paths[2], sizes[2], sum2);
  else if (g_str_equal (request->path, "/api/v1/models/org/tiny/repo/files?Revision=master&Recursive=True"))
    text = g_strdup_printf ("{\"Code\": 200, \"Data\": {\"Files\": [{\"Path\": \"%s\", \"Size\": %zu, \"Sha256\": \"\"},"
                            "{\"Path\": \"%s\", \"Size\": %zu, \"Sha256\": \"%s\"}, {\"Path\": \"%s\", \"Size\": %zu, \"Sha256\": \"%s\"}]}}",
                            paths[0], sizes[0], paths[1], sizes[1], sum1, paths[2], sizes[2], sum2);
  if (text != NULL)
    request_data (request, text, strlen (text), NULL, G_MAXSIZE);
  else
    request_status (request, "404 Not Found", "");
}

static void
test_list (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  options.source = (ZieHubSource)GPOINTER_TO_INT (data);
  use_catalogue (self, NO_SUM | NO_SIZE, 1000000);      /* what is "about" is far off */
  self->trouble = answer_with_list;
  error = run (self, &options, NULL);
  g_assert_no_error (error);
  use_catalogue (self, 0, 0);
  assert_whole (self);
  g_assert_cmpuint (server_count (self->server, "/api"), ==, 1);
  g_assert_cmpuint (server_count (self->server, options.source == ZIE_HUB_MODELSCOPE ? "/models/org/tiny/resolve/master/" : "/org/tiny/resolve/abc/"),
                    ==, N_FILES);

  remove_model (self);
  use_catalogue (self, NO_SUM | NO_SIZE, 0);
  lies_in_list = TRUE;
  error = run (self, &options, NULL);
  lies_in_list = FALSE;
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, paths[2], "checksum", NULL);
}

static void
answer_hostile_list (Request *request, int file)
{
  if (file >= 0)
    send_file (request, file, G_MAXSIZE);
  else
    {
      request_printf (request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      for (int i = 0; i < 100000 && request_write (request, "[{\"Data\":", 9); i++)
        ;
    }
}

static void
test_hostile_list (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  use_catalogue (self, SUM_MD5 | NO_SIZE, 0);
  self->trouble = answer_hostile_list;
  error = run (self, &options, NULL);
  g_assert_no_error (error);
}

/* --- stop and go --- */

static gint n_slow;          /* sends of one byte each, so that nothing is over before the test says so */

static void
slowly (Request *request, int file)
{
  gsize at;

  if (file != 1 || !g_atomic_int_get (&n_slow))
    {
      send_file (request, file, G_MAXSIZE);
      return;
    }
  at = request->offset == 0 ? 100000 : (gsize)request->offset;
  send_file (request, file, at - (gsize)request->offset);
  for (gsize i = at; i < sizes[1] && g_atomic_int_get (&n_slow); i++)
    {
      if (!request_write (request, the_fixture->data[1] + i, 1) || !request_sleep (request, 10))
        return;
    }
}

static void
wait_for_bytes (Fixture *self, ZieFetch *fetch, guint64 n_bytes)
{
  ZieFetchProgress progress;

  do
    {
      g_main_context_iteration (self->context, TRUE);
      zie_fetch_get_progress (fetch, &progress);
    }
  while (progress.n_bytes < n_bytes && progress.state < ZIE_FETCH_DONE);
  g_assert_cmpint (progress.state, <, ZIE_FETCH_DONE);
}

static void
test_pause (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(ZieFetch) fetch = NULL;
  guint64 n_bytes;
  gint64 end;

  g_atomic_int_set (&n_slow, 1);
  self->trouble = slowly;
  fetch = start (self, &options);
  wait_for_bytes (self, fetch, 100000 + sizes[0] + sizes[2]);
  for (int i = 0; i < 6; i++)          /* more often than there are tries */
    {
      zie_fetch_pause (fetch);
      while (get_state (fetch) != ZIE_FETCH_PAUSED)
        g_main_context_iteration (self->context, TRUE);
      zie_fetch_resume (fetch);
      while (get_state (fetch) == ZIE_FETCH_PAUSED)
        g_main_context_iteration (self->context, TRUE);
    }

  zie_fetch_pause (fetch);
  while (get_state (fetch) != ZIE_FETCH_PAUSED)
    g_main_context_iteration (self->context, TRUE);
  g_usleep (50000);
  n_bytes = zie_fetch_get_n_received (fetch);
  for (end = g_get_monotonic_time () + 150000; g_get_monotonic_time () < end;)
    g_main_context_iteration (self->context, TRUE);
  g_assert_cmpuint (zie_fetch_get_n_received (fetch), ==, n_bytes);
  assert_not_there (self);
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, &n_bytes), ==, ZIE_HUB_BEGUN);
  g_assert_cmpuint (n_bytes, >=, 100000);

  g_atomic_int_set (&n_slow, 0);
  zie_fetch_resume (fetch);
  g_assert_cmpint (finish (self, fetch), ==, ZIE_FETCH_DONE);
  assert_whole (self);
  g_assert_cmpuint (zie_fetch_get_n_received (fetch), <=, self->model->n_bytes + 7 * 65536);
}

static void
test_cancel (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *part = staged_path_of (self, 1, ".part"), *part_of = staged_path_of (self, 1, ".part-of"), *staging = NULL;
  g_autoptr(ZieFetch) fetch = NULL, other = NULL;
  g_autoptr(GError) error = NULL;
  guint64 n_received;
  gint64 begin;

  g_atomic_int_set (&n_slow, 1);
  self->trouble = slowly;
  fetch = start (self, &options);
  wait_for_bytes (self, fetch, 100000 + sizes[0] + sizes[2]);

  /* Nobody else may meddle meanwhile. */
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FAILED, "already", NULL);
  g_clear_error (&error);
  g_assert_false (zie_hub_discard (self->model, self->folder, &error));
  assert_says (error, ZIE_ERROR_FAILED, "already", NULL);
  g_clear_error (&error);

  begin = g_get_monotonic_time ();
  zie_fetch_cancel (fetch);
  g_assert_cmpint (finish (self, fetch), ==, ZIE_FETCH_CANCELLED);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 2 * G_USEC_PER_SEC);
  g_assert_null (zie_fetch_get_error (fetch));
  assert_not_there (self);
  g_assert_true (g_file_test (part, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (part_of, G_FILE_TEST_EXISTS));
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_BEGUN);

  /* The next one goes on from there. */
  g_atomic_int_set (&n_slow, 0);
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  assert_whole (self);
  g_assert_cmpuint (n_received, <=, sizes[1] - 100000);

  /* And what a cancelled one left can be thrown away. */
  remove_model (self);
  g_atomic_int_set (&n_slow, 1);
  other = start (self, &options);
  wait_for_bytes (self, other, 100000 + sizes[0] + sizes[2]);
  zie_fetch_cancel (other);
  finish (self, other);
  g_assert_true (zie_hub_discard (self->model, self->folder, &error));
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_ABSENT);
  staging = g_build_filename (self->folder, ".Tiny.fetching", NULL);
  g_assert_false (g_file_test (staging, G_FILE_TEST_EXISTS));
}

/* Letting go in the middle ends everything, without another notification. */
static void
test_unref (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  ZieFetch *fetch;
  guint n;

  g_atomic_int_set (&n_slow, 1);
  self->trouble = slowly;
  fetch = start (self, &options);
  wait_for_bytes (self, fetch, 100000);
  zie_fetch_unref (fetch);
  n = self->n_notified;
  while (g_main_context_iteration (self->context, FALSE))
    ;
  g_assert_cmpuint (self->n_notified, ==, n);
  assert_not_there (self);
}

/* --- repair --- */

static void
damage (Fixture *self, int file, gsize n_keep, gboolean is_flipped)
{
  g_autofree char *path = path_of (self, file), *data = g_memdup2 (self->data[file], sizes[file]);

  if (is_flipped)
    data[sizes[file] / 2] ^= 1;
  g_assert_true (g_file_set_contents (path, data, (gssize)n_keep, NULL));
}

static void
lack_weights (Request *request, int file)
{
  send_file (request, file == 1 ? -1 : file, G_MAXSIZE);
}

static void
test_repair (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *vae = path_of (self, 2);
  g_autoptr(GError) error = NULL;
  guint64 n_received;

  error = run (self, &options, NULL);
  g_assert_no_error (error);

  /* Whole: read, not fetched. */
  options.repair = TRUE;
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, 0);

  /* A bit that turned is seen by reading alone, and costs that file. */
  damage (self, 1, sizes[1], TRUE);
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_THERE);
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, sizes[1]);
  assert_whole (self);

  /* Of what is cut only the rest is fetched; of what is gone all. */
  damage (self, 1, 200000, FALSE);
  g_remove (vae);
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_BROKEN);
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, sizes[1] - 200000 + sizes[2]);
  assert_whole (self);

  /* An ordinary fetch mends what can be seen without reading. */
  options.repair = FALSE;
  g_remove (vae);
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, sizes[2]);
  assert_whole (self);

  /* A repair that breaks off leaves nothing that could be taken for the model. */
  options.repair = TRUE;
  damage (self, 1, sizes[1], TRUE);
  self->trouble = lack_weights;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, NULL);
  g_clear_error (&error);
  assert_not_there (self);
  self->trouble = NULL;
  options.repair = FALSE;
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  g_assert_cmpuint (n_received, ==, sizes[1]);
  assert_whole (self);
}

/* --- disks and folders --- */

static void
test_no_space (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  use_catalogue (self, 0, G_GUINT64_CONSTANT (900) << 40);
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_WRITE, self->folder, "900.", "TiB", "needed", "another folder", NULL);
  g_assert_cmpuint (server_count (self->server, "/"), ==, 0);
}

/* A limit on the size of files, as FAT has one: needs no privileges and holds for root. */
static void
test_file_too_large (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  struct rlimit old, limit;
  g_autoptr(GError) error = NULL;

  signal (SIGXFSZ, SIG_IGN);
  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = 150000;
  setrlimit (RLIMIT_FSIZE, &limit);
  error = run (self, &options, NULL);
  setrlimit (RLIMIT_FSIZE, &old);
  assert_says (error, ZIE_ERROR_WRITE, paths[1], "large", "another disk", NULL);
  assert_not_there (self);

  error = (g_clear_error (&error), run (self, &options, NULL));
  g_assert_no_error (error);
  assert_whole (self);
}

/* Permissions do not hold root back: as nobody then. */
static void
test_folder (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *below = g_build_filename (self->folder, "a", "b", NULL), *file = g_build_filename (self->folder, "file", NULL);
  g_autoptr(GError) error = NULL;
  uid_t user = geteuid ();

  g_assert_true (g_file_set_contents (file, "", 0, NULL));
  options.folder = file;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_WRITE, file, NULL);

  chmod (self->folder, 0555);
  if (user == 0 && seteuid (65534) != 0)
    g_error ("cannot become nobody: %s", g_strerror (errno));
  options.folder = below;
  error = (g_clear_error (&error), run (self, &options, NULL));
  assert_says (error, ZIE_ERROR_WRITE, self->folder, "belongs to", "mode 0555", user == 0 ? "chown" : "chmod u+rwx", NULL);
  options.folder = self->folder;
  error = (g_clear_error (&error), run (self, &options, NULL));
  assert_says (error, ZIE_ERROR_WRITE, self->folder, "belongs to", "mode 0555", NULL);
  if (user == 0)
    g_assert_cmpint (seteuid (0), ==, 0);
  chmod (self->folder, 0755);
}

/* A link that somebody put in a part's place is not followed. */
static void
test_link (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *part = staged_path_of (self, 0, ".part"), *parent = g_path_get_dirname (part), *victim = g_build_filename (self->folder, "v", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (victim, "precious", -1, NULL));
  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  g_assert_cmpint (symlink (victim, part), ==, 0);
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_WRITE, part, NULL);
  g_assert_true (g_file_test (victim, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  be_alone ();

  add ("/hub/whole", NULL, test_whole);
  add ("/hub/progress", NULL, test_progress);
  add ("/hub/list/huggingface", GINT_TO_POINTER (ZIE_HUB_HUGGING_FACE), test_list);
  add ("/hub/list/modelscope", GINT_TO_POINTER (ZIE_HUB_MODELSCOPE), test_list);
  add ("/hub/list/hostile", NULL, test_hostile_list);
  add ("/hub/pause", NULL, test_pause);
  add ("/hub/cancel", NULL, test_cancel);
  add ("/hub/unref", NULL, test_unref);
  add ("/hub/repair", NULL, test_repair);
  add ("/hub/no-space", NULL, test_no_space);
  add ("/hub/file-too-large", NULL, test_file_too_large);
  add ("/hub/folder", NULL, test_folder);
  add ("/hub/link", NULL, test_link);
  return g_test_run ();
}
