/* SPDX-License-Identifier: Apache-2.0 */

/* Fetching from a server that does everything servers do. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "server.h"
#include "zie-hub.h"

#define N_FILES 3
#define BIG 300000

static const char *const paths[N_FILES] = { "model_index.json", "transformer/weights.safetensors", "vae/weights.safetensors" };
static const gsize sizes[N_FILES] = { 467, BIG, 100001 };

/* A model of three files, a server that has it, and a folder to fetch it into. */
typedef struct
{
  char *folder, *catalogue;
  char *data[N_FILES];
  Server *server;
  ZieCatalogue *models;
  const ZieHubModel *model;
  /* What the server does to file KIND; NULL: nothing. */
  void (*trouble) (Request *request, int file);
  GMainContext *context;
  guint n_notified;
} Fixture;

static Fixture *the_fixture;       /* for the server's threads */

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *below = g_build_filename (path, name, NULL);

      remove_tree (below);
    }
  g_remove (path);
}

static int
find_file (const char *path)
{
  for (int i = 0; i < N_FILES; i++)
    if (g_str_has_suffix (path, paths[i]))
      return i;
  return -1;
}

static void
send_file (Request *request, int file, gsize n_send)
{
  if (file < 0)
    request_status (request, "404 Not Found", "");       /* mirrors have no list */
  else
    request_data (request, the_fixture->data[file], sizes[file], "\"v1\"", n_send);
}

static void
on_request (Request *request, gpointer user_data)
{
  int file = find_file (request->path);

  if (the_fixture->trouble != NULL)
    the_fixture->trouble (request, file);
  else
    send_file (request, file, G_MAXSIZE);
}

enum
{
  NO_SUM = 1,                /* nothing to compare with */
  NO_SIZE = 2,
  SUM_MD5 = 4,
};

static void
write_catalogue (Fixture *self, int flags, guint64 size_of_first)
{
  GString *json = g_string_new ("{\"format\": 1, \"models\": [{\"id\": \"tiny\", \"name\": \"Tiny\", \"folder\": \"Tiny\", \"recommended\": true, "
                                "\"summary\": \"s\", \"form\": \"f\", \"page\": \"p\", \"licence\": {\"name\": \"l\", \"url\": \"u\"}, "
                                "\"repositories\": {\"main\": {\"huggingface\": {\"repository\": \"org/tiny\", \"revision\": \"abc\"}, "
                                "\"modelscope\": {\"repository\": \"org/tiny\", \"revision\": \"master\"}}}, \"files\": [");

  for (int i = 0; i < N_FILES; i++)
    {
      g_autofree char *sha256 = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)self->data[i], sizes[i]);
      g_autofree char *md5 = g_compute_checksum_for_data (G_CHECKSUM_MD5, (guchar *)self->data[i], sizes[i]);
      guint64 size = i == 0 && size_of_first != 0 ? size_of_first : sizes[i];

      g_string_append_printf (json, "%s{\"path\": \"%s\", \"from\": \"main\", \"%s\": %" G_GUINT64_FORMAT, i > 0 ? ", " : "", paths[i],
                              flags & NO_SIZE ? "about" : "size", size);
      if (flags & SUM_MD5)
        g_string_append_printf (json, ", \"md5\": \"%s\"}", md5);
      else if (flags & NO_SUM)
        g_string_append (json, "}");
      else
        g_string_append_printf (json, ", \"sha256\": \"%s\"}", sha256);
    }
  g_string_append (json, "]}]}");
  g_assert_true (g_file_set_contents (self->catalogue, json->str, -1, NULL));
  g_string_free (json, TRUE);
}

static void
use_catalogue (Fixture *self, int flags, guint64 size_of_first)
{
  g_autoptr(GError) error = NULL;

  g_clear_pointer (&self->models, zie_catalogue_free);
  write_catalogue (self, flags, size_of_first);
  self->models = zie_catalogue_load (self->catalogue, &error);
  g_assert_no_error (error);
  self->model = zie_catalogue_get (self->models, 0);
}

static void
set_up (Fixture *self, gconstpointer data)
{
  memset (self, 0, sizeof *self);
  the_fixture = self;
  self->folder = g_dir_make_tmp ("zie-hub-XXXXXX", NULL);
  self->catalogue = g_strconcat (self->folder, ".json", NULL);
  for (int i = 0; i < N_FILES; i++)
    {
      g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32)i + 1);

      self->data[i] = g_malloc (sizes[i]);
      for (gsize k = 0; k < sizes[i]; k++)
        self->data[i][k] = (char)g_rand_int (rand);
    }
  use_catalogue (self, 0, 0);
  self->server = server_new (on_request, self);
  self->context = g_main_context_new ();
  g_main_context_push_thread_default (self->context);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_main_context_pop_thread_default (self->context);
  g_main_context_unref (self->context);
  server_free (self->server);
  zie_catalogue_free (self->models);
  remove_tree (self->folder);
  g_remove (self->catalogue);
  for (int i = 0; i < N_FILES; i++)
    g_free (self->data[i]);
  g_free (self->folder);
  g_free (self->catalogue);
}

static void
on_notify (ZieFetch *fetch, gpointer user_data)
{
  Fixture *self = user_data;

  self->n_notified++;
}

static ZieFetchOptions
get_options (Fixture *self)
{
  return (ZieFetchOptions) { .folder = self->folder, .endpoint = self->server->endpoint, .stall_ms = 300, .retry_ms = 5, .max_tries = 4 };
}

static ZieFetch *
start (Fixture *self, const ZieFetchOptions *options)
{
  g_autoptr(GError) error = NULL;
  ZieFetch *fetch = zie_fetch_start (self->model, options, on_notify, self, &error);

  g_assert_no_error (error);
  return fetch;
}

static ZieFetchState
get_state (ZieFetch *fetch)
{
  ZieFetchProgress progress;

  zie_fetch_get_progress (fetch, &progress);
  return progress.state;
}

/* Until it has ended, by notifications alone. */
static ZieFetchState
finish (Fixture *self, ZieFetch *fetch)
{
  while (get_state (fetch) < ZIE_FETCH_DONE)
    g_main_context_iteration (self->context, TRUE);
  return get_state (fetch);
}

/* Fetches to the end; NULL or why it failed. */
static GError *
run (Fixture *self, const ZieFetchOptions *options, guint64 *n_received)
{
  g_autoptr(ZieFetch) fetch = start (self, options);
  GError *error;

  finish (self, fetch);
  error = zie_fetch_get_error (fetch);
  g_assert_true ((error != NULL) == (get_state (fetch) == ZIE_FETCH_FAILED));
  if (n_received != NULL)
    *n_received = zie_fetch_get_n_received (fetch);
  return error;
}

static char *
path_of (Fixture *self, int file)
{
  return g_build_filename (self->folder, "Tiny", paths[file], NULL);
}

static char *
staged_path_of (Fixture *self, int file, const char *suffix)
{
  g_autofree char *path = g_build_filename (self->folder, ".Tiny.fetching", paths[file], NULL);

  return g_strconcat (path, suffix, NULL);
}

static void
assert_whole (Fixture *self)
{
  g_autofree char *staging = g_build_filename (self->folder, ".Tiny.fetching", NULL), *vae = g_build_filename (self->folder, "Tiny", "vae", NULL);
  g_autoptr(GDir) dir = g_dir_open (vae, 0, NULL);
  guint64 n_bytes;
  guint n = 0;

  for (int i = 0; i < N_FILES; i++)
    {
      g_autofree char *path = path_of (self, i), *text = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (path, &text, &length, NULL));
      g_assert_cmpmem (text, length, self->data[i], sizes[i]);
    }
  g_assert_false (g_file_test (staging, G_FILE_TEST_EXISTS));
  while (g_dir_read_name (dir) != NULL)
    n++;
  g_assert_cmpuint (n, ==, 1);               /* no .part, nothing beside it */
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, &n_bytes), ==, ZIE_HUB_THERE);
  g_assert_cmpuint (n_bytes, ==, self->model->n_bytes);
}

static void
remove_model (Fixture *self)
{
  g_autofree char *path = zie_hub_model_path (self->model, self->folder);

  remove_tree (path);
}

static void
assert_not_there (Fixture *self)
{
  g_autofree char *path = g_build_filename (self->folder, "Tiny", NULL);

  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
assert_says (GError *error, int code, ...)
{
  const char *word;
  va_list args;

  g_assert_error (error, ZIE_ERROR, code);
  va_start (args, code);
  while ((word = va_arg (args, const char *)) != NULL)
    if (strstr (error->message, word) == NULL)
      g_error ("“%s” does not say “%s”", error->message, word);
  va_end (args);
}

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

static char *
get_sha256 (int file)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)the_fixture->data[file], sizes[file]);
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

/* --- connections that break --- */

/* Of the large file half of what is left comes, then the connection ends in an orderly way. */
static void
cut_short (Request *request, int file)
{
  send_file (request, file, file == 1 && request->number < 4 ? (sizes[1] - (gsize)request->offset) / 2 : G_MAXSIZE);
}

static void
reset (Request *request, int file)
{
  if (file == 1 && request->number < 4)
    {
      send_file (request, file, 50000);
      g_usleep (20000);                /* what was sent must arrive before the reset, which overtakes */
      request_reset (request);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

static void
stall (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      send_file (request, file, 50000);
      g_usleep (1500000);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

/* Takes the connection and never says a word. */
static void
stall_at_once (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    g_usleep (1500000);
  else
    send_file (request, file, G_MAXSIZE);
}

static void
error_500 (Request *request, int file)
{
  if (request->number < 3)
    request_status (request, request->number == 1 ? "500 Internal Server Error" : "503 Service Unavailable", "");
  else
    send_file (request, file, G_MAXSIZE);
}

typedef struct
{
  const char *name;
  void (*trouble) (Request *request, int file);
  gboolean is_resumed;       /* nothing is transferred twice */
} Passing;

static const Passing passing[] = {
  { "truncated", cut_short, TRUE },
  { "reset", reset, FALSE },           /* what was on its way is lost */
  { "stalled", stall, TRUE },
  { "silent", stall_at_once, TRUE },
  { "500", error_500, TRUE },
};

static void
test_passing (Fixture *self, gconstpointer data)
{
  const Passing *test = data;
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;
  guint64 n_received;

  self->trouble = test->trouble;
  error = run (self, &options, &n_received);
  g_assert_no_error (error);
  assert_whole (self);
  if (test->is_resumed)
    g_assert_cmpuint (n_received, ==, self->model->n_bytes);
}

/* --- servers that lie --- */

static void
ignore_ranges (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    send_file (request, file, 100000);
  else
    {
      request->has_range = FALSE;
      send_file (request, file, G_MAXSIZE);
    }
}

static void
wrong_range (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    send_file (request, file, 100000);
  else if (file == 1 && request->has_range)
    {
      request->offset = 5;
      send_file (request, file, G_MAXSIZE);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

static void
refuse_range (Request *request, int file)
{
  if (file == 1 && request->has_range)
    request_status (request, "416 Range Not Satisfiable", "Content-Range: bytes */5\r\n");
  else
    send_file (request, file, file == 1 && request->number == 1 ? 100000 : G_MAXSIZE);
}

/* Says 1000 bytes less, sends them all the same; then behaves. */
static void
too_much (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      request_printf (request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      request_write (request, the_fixture->data[1], sizes[1]);
      request_write (request, the_fixture->data[1], 1000);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

static void
short_length (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      request_printf (request, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n");
      request_write (request, the_fixture->data[1], sizes[1]);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

/* Ends after half without having said how long it is. */
static void
no_length (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      request_printf (request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      request_write (request, the_fixture->data[1], sizes[1] / 2);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

/* Half of another version, then the right one: with an ETag, without, and with a weak one. */
static const char *other_etag;

static void
change (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      g_autofree char *other = g_malloc0 (sizes[1]);
      request_data (request, other, sizes[1], other_etag, 150000);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

static const struct
{
  const char *name;
  void (*trouble) (Request *request, int file);
  const char *etag;
} lies[] = {
  { "ignored-range", ignore_ranges, NULL },
  { "wrong-range", wrong_range, NULL },
  { "refused-range", refuse_range, NULL },
  { "too-much", too_much, NULL },
  { "short-length", short_length, NULL },
  { "no-length", no_length, NULL },
  { "changed", change, "\"v0\"" },
  { "changed-without-etag", change, NULL },
  { "changed-weak-etag", change, "W/\"v1\"" },
};

static void
test_lies (Fixture *self, gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  other_etag = lies[i].etag;
  self->trouble = lies[i].trouble;
  error = run (self, &options, NULL);
  g_assert_no_error (error);
  assert_whole (self);
}

/* Where nothing is known but what the server says, If-Range is what keeps two versions apart. */
static void
test_changed_unknown (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  use_catalogue (self, NO_SUM | NO_SIZE, 0);
  other_etag = "\"v0\"";
  self->trouble = change;
  error = run (self, &options, NULL);
  g_assert_no_error (error);
  use_catalogue (self, 0, 0);
  assert_whole (self);
}

static void
corrupt (Request *request, int file)
{
  g_autofree char *data = g_memdup2 (the_fixture->data[file], sizes[file]);

  if (file == 1)
    data[sizes[1] - 1] ^= 1;
  request_data (request, data, sizes[file], NULL, G_MAXSIZE);
}

static void
test_corrupt (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *sum = get_sha256 (1);
  g_autoptr(GError) error = NULL;

  self->trouble = corrupt;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, paths[1], "checksum", sum, "another source", NULL);
  assert_not_there (self);
  g_assert_cmpuint (server_count (self->server, "/org/tiny/resolve/abc/transformer"), ==, 2);
}

static void
test_corrupt_md5 (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  use_catalogue (self, SUM_MD5, 0);
  self->trouble = corrupt;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, paths[1], NULL);
  self->trouble = NULL;
  error = (g_clear_error (&error), run (self, &options, NULL));
  g_assert_no_error (error);
  assert_whole (self);
}

/* A hotel's sign-in page in place of every file. */
static void
sign_in_page (Request *request, int file)
{
  request_data (request, "<html>Welcome!</html>", 21, NULL, G_MAXSIZE);
}

static void
test_sign_in_page (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  self->trouble = sign_in_page;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "21 bytes", "sign-in page", NULL);
  assert_not_there (self);
}

/* --- servers that refuse --- */

static const struct
{
  const char *status;
  const char *extra;
  int code;
  const char *words[3];
  guint n_requests;          /* of the file; 0: as many as there are tries */
} refusals[] = {
  { "404 Not Found", "", ZIE_ERROR_FILE_NOT_FOUND, { "404", "another source", NULL }, 1 },
  { "410 Gone", "", ZIE_ERROR_FILE_NOT_FOUND, { "410", "moved or removed", NULL }, 1 },
  { "401 Unauthorized", "", ZIE_ERROR_FAILED, { "401", "accepted", "HF_TOKEN" }, 1 },
  { "403 Forbidden", "", ZIE_ERROR_FAILED, { "403", "accepted", "HF_TOKEN" }, 1 },
  { "400 Bad Request", "", ZIE_ERROR_FAILED, { "400", NULL }, 1 },
  { "500 Internal Server Error", "", ZIE_ERROR_FAILED, { "500", "after 4 tries", "later" }, 4 },
  { "429 Too Many Requests", "", ZIE_ERROR_FAILED, { "429", "too often", NULL }, 4 },
  { "429 Too Many Requests", "Retry-After: 86400\r\n", ZIE_ERROR_FAILED, { "429", "later", NULL }, 1 },
};

static guint refusal;

static void
refuse (Request *request, int file)
{
  if (file == 1)
    request_status (request, refusals[refusal].status, refusals[refusal].extra);
  else
    send_file (request, file, G_MAXSIZE);
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  refusal = GPOINTER_TO_UINT (data);
  self->trouble = refuse;
  error = run (self, &options, NULL);
  assert_says (error, refusals[refusal].code, paths[1], refusals[refusal].words[0], refusals[refusal].words[1], refusals[refusal].words[2], NULL);
  assert_not_there (self);
  g_assert_cmpuint (server_count (self->server, "/org/tiny/resolve/abc/transformer"), ==, refusals[refusal].n_requests);

  /* What arrived besides stays, and the next fetch takes only the rest. */
  self->trouble = NULL;
  error = (g_clear_error (&error), run (self, &options, NULL));
  g_assert_no_error (error);
  assert_whole (self);
}

static gint64 first_us, second_us;

static void
busy (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    {
      first_us = g_get_monotonic_time ();
      request_status (request, "429 Too Many Requests", "Retry-After: 1\r\n");
      return;
    }
  if (file == 1)
    second_us = g_get_monotonic_time ();
  send_file (request, file, G_MAXSIZE);
}

static void
test_retry_after (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(ZieFetch) fetch = NULL;
  gboolean was_waiting = FALSE;
  ZieFetchProgress progress;

  self->trouble = busy;
  fetch = start (self, &options);
  do
    {
      g_main_context_iteration (self->context, TRUE);
      zie_fetch_get_progress (fetch, &progress);
      was_waiting = was_waiting || (progress.state == ZIE_FETCH_WAITING && strstr (progress.message, "429") != NULL);
    }
  while (progress.state < ZIE_FETCH_DONE);
  g_assert_cmpint (progress.state, ==, ZIE_FETCH_DONE);
  g_assert_true (was_waiting);
  g_assert_cmpint (second_us - first_us, >=, G_USEC_PER_SEC);
  assert_whole (self);
}

/* --- redirections and the token --- */

static char *token_at_endpoint, *token_elsewhere;

static void
redirect (Request *request, int file)
{
  g_autofree char *to = NULL;

  if (strstr (request->path, "/cdn/") != NULL)
    {
      if (file == 1)
        token_elsewhere = request_get_header (request, "authorization");
      send_file (request, file, file == 1 && request->number == 1 ? 100000 : G_MAXSIZE);
      return;
    }
  if (file == 1 && token_at_endpoint == NULL)
    token_at_endpoint = request_get_header (request, "authorization");
  /* The same server by another name is another place: the token must not go there. */
  to = g_strdup_printf ("Location: http://localhost%s/cdn/%s?Signature=x%%2Fy\r\n", strrchr (request->server->endpoint, ':'), paths[file]);
  if (strstr (request->path, "?") == NULL && file == 0)
    {
      g_free (to);
      to = g_strdup_printf ("Location: /elsewhere/%s?again\r\n", paths[file]);
    }
  request_status (request, file == 2 ? "307 Temporary Redirect" : "302 Found", to);
}

/* The query hides the file's name from find_file(). */
static void
redirect_any (Request *request, int file)
{
  for (int i = 0; i < N_FILES && file < 0; i++)
    file = strstr (request->path, paths[i]) != NULL ? i : -1;
  redirect (request, file);
}

static void
test_redirect (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  options.token = "secret";
  self->trouble = redirect_any;
  error = run (self, &options, NULL);
  g_assert_no_error (error);
  assert_whole (self);
  g_assert_cmpstr (token_at_endpoint, ==, "Bearer secret");
  g_assert_null (token_elsewhere);
  g_clear_pointer (&token_at_endpoint, g_free);
}

static const char *location;

static void
redirect_to (Request *request, int file)
{
  g_autofree char *line = g_strdup_printf ("Location: %s\r\n", location);

  request_status (request, "302 Found", line);
}

static void
test_bad_redirect (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  self->trouble = redirect_to;
  location = "/round";
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FAILED, "circles", NULL);
  location = "file:///etc/passwd";
  error = (g_clear_error (&error), run (self, &options, NULL));
  assert_says (error, ZIE_ERROR_FAILED, "not safe", NULL);
}

/* --- no server at all --- */

static void
test_no_server (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autofree char *endpoint = NULL;
  g_autoptr(GError) error = NULL;
  Server *gone = server_new (on_request, self);

  endpoint = g_strdup (gone->endpoint);
  server_free (gone);
  options.endpoint = endpoint;
  error = run (self, &options, NULL);
  assert_says (error, ZIE_ERROR_FAILED, endpoint, "cannot be reached", "after 4 tries", NULL);
  g_assert_cmpint (zie_hub_examine (self->model, self->folder, NULL), ==, ZIE_HUB_ABSENT);     /* and leaves nothing */
}

static void
test_endpoints (Fixture *self, gconstpointer data)
{
  static const char *const bad[] = { "huggingface.co", "ftp://huggingface.co", "http://", "https:///x", "x y" };
  ZieFetchOptions options = get_options (self);
  g_autofree char *with_slash = g_strconcat (self->server->endpoint, "//", NULL);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      options.endpoint = bad[i];
      g_assert_null (zie_fetch_start (self->model, &options, NULL, NULL, &error));
      assert_says (error, ZIE_ERROR_INVALID_REQUEST, bad[i], "https://", NULL);
      g_clear_error (&error);
    }

  options.endpoint = NULL;
  g_setenv ("HF_ENDPOINT", with_slash, TRUE);
  error = run (self, &options, NULL);
  g_unsetenv ("HF_ENDPOINT");
  g_assert_no_error (error);
  g_assert_cmpuint (server_count (self->server, "/org/tiny/"), ==, N_FILES);
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
      if (!request_write (request, the_fixture->data[1] + i, 1))
        return;
      g_usleep (10000);
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
  self->trouble = refuse;
  refusal = 0;
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

/* --- the desktop's proxy --- */

typedef struct
{
  GObject parent;
} TestResolver;

typedef struct
{
  GObjectClass parent;
} TestResolverClass;

static char *the_proxy;      /* NULL: none */

static gboolean
resolver_is_supported (GProxyResolver *self)
{
  return TRUE;
}

static char **
resolver_lookup (GProxyResolver *self, const char *uri, GCancellable *cancellable, GError **error)
{
  const char *const uris[] = { the_proxy != NULL ? the_proxy : "direct://", NULL };

  return g_strdupv ((char **)uris);
}

static void
resolver_lookup_async (GProxyResolver *self, const char *uri, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_return_pointer (task, resolver_lookup (self, uri, NULL, NULL), (GDestroyNotify)g_strfreev);
}

static char **
resolver_lookup_finish (GProxyResolver *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
resolver_interface_init (GProxyResolverInterface *interface)
{
  interface->is_supported = resolver_is_supported;
  interface->lookup = resolver_lookup;
  interface->lookup_async = resolver_lookup_async;
  interface->lookup_finish = resolver_lookup_finish;
}

static void
test_resolver_class_init (TestResolverClass *class)
{
}

static void
test_resolver_init (TestResolver *self)
{
}

GType test_resolver_get_type (void);
G_DEFINE_TYPE_WITH_CODE (TestResolver, test_resolver, G_TYPE_OBJECT, G_IMPLEMENT_INTERFACE (G_TYPE_PROXY_RESOLVER, resolver_interface_init))

/* What a proxy is asked for is a whole address, of a host that only it can know. */
static void
be_proxy (Request *request, int file)
{
  if (!g_str_has_prefix (request->path, "http://hub.invalid/org/tiny/"))
    request_status (request, "400 Bad Request", "");
  else
    send_file (request, file, G_MAXSIZE);
}

static void
test_proxy (Fixture *self, gconstpointer data)
{
  ZieFetchOptions options = get_options (self);
  g_autoptr(GError) error = NULL;

  the_proxy = self->server->endpoint;
  self->trouble = be_proxy;
  options.endpoint = "http://hub.invalid";
  error = run (self, &options, NULL);
  the_proxy = NULL;
  g_assert_no_error (error);
  assert_whole (self);
}

/* --- catalogues --- */

static void
test_own_catalogue (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieCatalogue) models = zie_catalogue_load (NULL, &error);
  const ZieHubModel *model;

  g_assert_no_error (error);
  model = zie_catalogue_find (models, NULL, &error);
  g_assert_true (model->is_recommended && model->is_size_exact);
  g_assert_cmpuint (model->n_bytes, >, 5000000000);
  model = zie_catalogue_find (models, "z-image-turbo", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (model->repositories[0].names[ZIE_HUB_HUGGING_FACE], ==, "Tongyi-MAI/Z-Image-Turbo");
  for (guint i = 0; i < zie_catalogue_get_n (models); i++)
    {
      model = zie_catalogue_get (models, i);
      g_assert_true (zie_hub_model_has_source (model, ZIE_HUB_HUGGING_FACE));
      for (guint k = 0; k < model->n_files; k++)
        g_assert_true (model->files[k].sha256 != NULL || model->files[k].md5 != NULL);
    }
  g_assert_null (zie_catalogue_find (models, "nonesuch", &error));
  assert_says (error, ZIE_ERROR_INVALID_REQUEST, "nonesuch", "z-image-turbo", NULL);
}

static const struct
{
  const char *old, *new;
  const char *words;
} broken[] = {
  { "{\"format\": 1", "", "JSON" },
  { "\"format\": 1", "\"format\": 2", "newer" },
  { "\"id\": \"tiny\"", "\"id\": 3", "id" },
  { "\"folder\": \"Tiny\"", "\"folder\": \"../Tiny\"", "folder" },
  { "\"folder\": \"Tiny\"", "\"folder\": \"/etc\"", "folder" },
  { "\"path\": \"model_index.json\"", "\"path\": \"../model_index.json\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"/etc/passwd\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"a//b\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"a.part\"", "path" },
  { "\"from\": \"main\"", "\"from\": \"other\"", "from" },
  { "\"size\": 467", "\"size\": -1", "size" },
  { "\"size\": 467", "\"size\": \"467\"", "size" },
  { "\"size\": 467", "\"sized\": 467", "about" },
  { "\"sha256\": \"", "\"sha256\": \"x", "sha256" },
  { "\"recommended\": true", "\"recommended\": false", "recommended" },
  { "\"revision\": \"abc\"", "\"revision\": 1", "revision" },
  { "\"files\": [", "\"files\": [4, ", "files" },
  { "\"files\": [", "\"files\": [], \"x\": [", "files" },
};

static void
test_broken_catalogue (Fixture *self, gconstpointer data)
{
  g_autofree char *good = NULL, *deep = g_strnfill (5000, '[');
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_get_contents (self->catalogue, &good, NULL, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      const char *at = strstr (good, broken[i].old);
      g_autofree char *bad = NULL;

      g_assert_nonnull (at);
      bad = g_strdup_printf ("%.*s%s%s", (int)(at - good), good, broken[i].new, at + strlen (broken[i].old));
      g_assert_true (g_file_set_contents (self->catalogue, bad, -1, NULL));
      g_assert_null (zie_catalogue_load (self->catalogue, &error));
      assert_says (error, ZIE_ERROR_FILE_CORRUPT, self->catalogue, broken[i].words, NULL);
      g_clear_error (&error);
    }

  g_assert_true (g_file_set_contents (self->catalogue, deep, -1, NULL));
  g_assert_null (zie_catalogue_load (self->catalogue, &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "deep", NULL);
  g_assert_null ((g_clear_error (&error), zie_catalogue_load ("/nonexistent", &error)));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "/nonexistent", NULL);
}

static void
add (const char *path, gconstpointer data, void (*test) (Fixture *self, gconstpointer data))
{
  g_test_add (path, Fixture, data, set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_unsetenv ("HF_TOKEN");
  g_unsetenv ("HF_ENDPOINT");
  g_unsetenv ("ZIE_CATALOGUE");
  g_io_extension_point_register (G_PROXY_RESOLVER_EXTENSION_POINT_NAME);
  g_io_extension_point_implement (G_PROXY_RESOLVER_EXTENSION_POINT_NAME, test_resolver_get_type (), "test", 1000);

  g_test_add_func ("/hub/catalogue/own", test_own_catalogue);
  add ("/hub/catalogue/broken", NULL, test_broken_catalogue);
  add ("/hub/whole", NULL, test_whole);
  add ("/hub/progress", NULL, test_progress);
  add ("/hub/list/huggingface", GINT_TO_POINTER (ZIE_HUB_HUGGING_FACE), test_list);
  add ("/hub/list/modelscope", GINT_TO_POINTER (ZIE_HUB_MODELSCOPE), test_list);
  add ("/hub/list/hostile", NULL, test_hostile_list);
  for (guint i = 0; i < G_N_ELEMENTS (passing); i++)
    {
      g_autofree char *path = g_strconcat ("/hub/passing/", passing[i].name, NULL);
      add (path, &passing[i], test_passing);
    }
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/hub/lies/", lies[i].name, NULL);
      add (path, GUINT_TO_POINTER (i), test_lies);
    }
  add ("/hub/changed-unknown", NULL, test_changed_unknown);
  add ("/hub/corrupt/sha256", NULL, test_corrupt);
  add ("/hub/corrupt/md5", NULL, test_corrupt_md5);
  add ("/hub/sign-in-page", NULL, test_sign_in_page);
  for (guint i = 0; i < G_N_ELEMENTS (refusals); i++)
    {
      g_autofree char *path = g_strdup_printf ("/hub/refused/%.3s%s", refusals[i].status, *refusals[i].extra != '\0' ? "-for-long" : "");
      add (path, GUINT_TO_POINTER (i), test_refused);
    }
  add ("/hub/retry-after", NULL, test_retry_after);
  add ("/hub/redirect", NULL, test_redirect);
  add ("/hub/redirect/bad", NULL, test_bad_redirect);
  add ("/hub/no-server", NULL, test_no_server);
  add ("/hub/endpoints", NULL, test_endpoints);
  add ("/hub/pause", NULL, test_pause);
  add ("/hub/cancel", NULL, test_cancel);
  add ("/hub/unref", NULL, test_unref);
  add ("/hub/repair", NULL, test_repair);
  add ("/hub/no-space", NULL, test_no_space);
  add ("/hub/file-too-large", NULL, test_file_too_large);
  add ("/hub/folder", NULL, test_folder);
  add ("/hub/link", NULL, test_link);
  add ("/hub/proxy", NULL, test_proxy);
  return g_test_run ();
}
