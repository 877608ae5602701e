/* SPDX-License-Identifier: Apache-2.0 */

/* Fetching from servers that do everything servers do. */

#include "fixture.h"

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
      request_sleep (request, 20);       /* what was sent must arrive before the reset, which overtakes */
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
      request_sleep (request, 5000);
    }
  else
    send_file (request, file, G_MAXSIZE);
}

/* Takes the connection and never says a word. */
static void
stall_at_once (Request *request, int file)
{
  if (file == 1 && request->number == 1)
    request_sleep (request, 5000);
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
  guint stall_ms;            /* 0: as always, so that a busy machine is no stall */
} Passing;

static const Passing passing[] = {
  { "truncated", cut_short, TRUE },
  { "reset", reset, FALSE },           /* what was on its way is lost */
  { "stalled", stall, TRUE, 300 },
  { "silent", stall_at_once, TRUE, 300 },
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
  if (test->stall_ms != 0)
    {
      options.stall_ms = test->stall_ms;
      options.max_tries = 30;
    }
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

/* --- the desktop's proxy --- */

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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  be_alone ();

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
  add ("/hub/proxy", NULL, test_proxy);
  return g_test_run ();
}
