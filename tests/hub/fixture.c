/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

const char *const paths[N_FILES] = { "model_index.json", "transformer/weights.safetensors", "vae/weights.safetensors" };
const gsize sizes[N_FILES] = { 467, BIG, 100001 };

Fixture *the_fixture;

void
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

void
send_file (Request *request, int file, gsize n_send)
{
  if (file < 0)
    request_status (request, "404 Not Found", "");       /* mirrors have no list */
  else
    request_data (request, the_fixture->data[file], sizes[file], "\"v1\"", n_send);
}

void
on_request (Request *request, gpointer user_data)
{
  int file = find_file (request->path);

  if (the_fixture->trouble != NULL)
    the_fixture->trouble (request, file);
  else
    send_file (request, file, G_MAXSIZE);
}

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

void
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

ZieFetchOptions
get_options (Fixture *self)
{
  return (ZieFetchOptions) { .folder = self->folder, .endpoint = self->server->endpoint, .retry_ms = 5, .max_tries = 4 };
}

ZieFetch *
start (Fixture *self, const ZieFetchOptions *options)
{
  g_autoptr(GError) error = NULL;
  ZieFetch *fetch = zie_fetch_start (self->model, options, on_notify, self, &error);

  g_assert_no_error (error);
  return fetch;
}

ZieFetchState
get_state (ZieFetch *fetch)
{
  ZieFetchProgress progress;

  zie_fetch_get_progress (fetch, &progress);
  return progress.state;
}

/* Until it has ended, by notifications alone. */
ZieFetchState
finish (Fixture *self, ZieFetch *fetch)
{
  while (get_state (fetch) < ZIE_FETCH_DONE)
    g_main_context_iteration (self->context, TRUE);
  return get_state (fetch);
}

/* Fetches to the end; NULL or why it failed. */
GError *
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

char *
path_of (Fixture *self, int file)
{
  return g_build_filename (self->folder, "Tiny", paths[file], NULL);
}

char *
staged_path_of (Fixture *self, int file, const char *suffix)
{
  g_autofree char *path = g_build_filename (self->folder, ".Tiny.fetching", paths[file], NULL);

  return g_strconcat (path, suffix, NULL);
}

void
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

void
remove_model (Fixture *self)
{
  g_autofree char *path = zie_hub_model_path (self->model, self->folder);

  remove_tree (path);
}

void
assert_not_there (Fixture *self)
{
  g_autofree char *path = g_build_filename (self->folder, "Tiny", NULL);

  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

void
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

char *
get_sha256 (int file)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)the_fixture->data[file], sizes[file]);
}

void
add (const char *path, gconstpointer data, void (*test) (Fixture *self, gconstpointer data))
{
  g_test_add (path, Fixture, data, set_up, test, tear_down);
}

/* --- the desktop's proxy, in whose place a test stands --- */

typedef struct
{
  GObject parent;
} TestResolver;

typedef struct
{
  GObjectClass parent;
} TestResolverClass;

const char *the_proxy;

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

void
be_alone (void)
{
  g_unsetenv ("HF_TOKEN");
  g_unsetenv ("HF_ENDPOINT");
  g_io_extension_point_register (G_PROXY_RESOLVER_EXTENSION_POINT_NAME);
  g_io_extension_point_implement (G_PROXY_RESOLVER_EXTENSION_POINT_NAME, test_resolver_get_type (), "test", 1000);
}
