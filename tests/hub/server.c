/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <string.h>
#include <sys/socket.h>

static char *
read_head (GInputStream *in)
{
  GString *head = g_string_new (NULL);
  char c;

  while (strstr (head->str, "\r\n\r\n") == NULL && head->len < 65536 && g_input_stream_read (in, &c, 1, NULL, NULL) == 1)
    g_string_append_c (head, c);
  return g_string_free (head, FALSE);
}

char *
request_get_header (const Request *self, const char *name)
{
  g_auto(GStrv) lines = g_strsplit (self->headers, "\r\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], name) && lines[i][strlen (name)] == ':')
      return g_strstrip (g_strdup (lines[i] + strlen (name) + 1));
  return NULL;
}

/* Header names to lower case, their values as they are. */
static char *
normalise (const char *head)
{
  char *text = g_strdup (head);
  gboolean is_name = TRUE;

  for (char *p = text; *p != '\0'; p++)
    if (*p == '\n')
      is_name = TRUE;
    else if (*p == ':')
      is_name = FALSE;
    else if (is_name)
      *p = g_ascii_tolower (*p);
  return text;
}

/* In the thread that accepts, before there is one that answers. */
static gboolean
on_incoming (GSocketService *service, GSocketConnection *connection, GObject *source, gpointer user_data)
{
  Server *self = user_data;

  g_mutex_lock (&self->lock);
  self->n_active++;
  g_mutex_unlock (&self->lock);
  return FALSE;
}

static gboolean
on_run (GThreadedSocketService *service, GSocketConnection *connection, GObject *source, gpointer user_data)
{
  Server *self = user_data;
  g_autofree char *head = read_head (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  g_auto(GStrv) words = g_strsplit (head, " ", 3);
  g_autofree char *range = NULL;
  Request request = { .server = self, .connection = connection, .out = g_io_stream_get_output_stream (G_IO_STREAM (connection)) };

  if (g_strv_length (words) == 3)
    {
      const char *rest = strstr (words[2], "\r\n");

      request.path = g_strdup (words[1]);
      request.headers = normalise (rest != NULL ? rest + 2 : "");
      range = request_get_header (&request, "range");
      request.has_range = range != NULL && g_str_has_prefix (range, "bytes=");
      request.offset = request.has_range ? g_ascii_strtoull (range + strlen ("bytes="), NULL, 10) : 0;

      g_mutex_lock (&self->lock);
      request.number = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, request.path)) + 1;
      g_hash_table_replace (self->counts, g_strdup (request.path), GUINT_TO_POINTER (request.number));
      g_ptr_array_add (self->log, request.has_range ? g_strdup_printf ("%s %" G_GUINT64_FORMAT, request.path, request.offset)
                                                    : g_strdup (request.path));
      g_mutex_unlock (&self->lock);
      self->answer (&request, self->user_data);
    }
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  g_mutex_lock (&self->lock);
  self->n_active--;
  g_cond_broadcast (&self->ended);
  g_mutex_unlock (&self->lock);
  g_free (request.path);
  g_free (request.headers);
  return TRUE;
}

static gpointer
accept_connections (gpointer data)
{
  Server *self = data;

  g_main_context_push_thread_default (self->context);
  g_socket_service_start (self->service);
  g_main_loop_run (self->loop);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static gboolean
quit (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

Server *
server_new (ServerAnswer answer, gpointer user_data)
{
  Server *self = g_new0 (Server, 1);
  g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr(GSocketAddress) address = g_inet_socket_address_new (loopback, 0);
  g_autoptr(GSocketAddress) effective = NULL;
  g_autoptr(GError) error = NULL;

  self->answer = answer;
  self->user_data = user_data;
  g_mutex_init (&self->lock);
  g_cond_init (&self->ended);
  self->counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->log = g_ptr_array_new_with_free_func (g_free);
  self->service = g_threaded_socket_service_new (32);
  g_socket_service_stop (self->service);       /* it starts by itself, in the thread that made it */
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &effective, &error);
  g_assert_no_error (error);
  self->endpoint = g_strdup_printf ("http://127.0.0.1:%u", g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (effective)));
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);
  g_signal_connect (self->service, "run", G_CALLBACK (on_run), self);
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = g_thread_new ("server", accept_connections, self);
  return self;
}

void
server_free (Server *self)
{
  g_main_context_invoke (self->context, quit, self->loop);
  g_thread_join (self->thread);
  g_mutex_lock (&self->lock);
  self->is_closing = TRUE;
  g_cond_broadcast (&self->ended);
  while (self->n_active > 0)
    g_cond_wait (&self->ended, &self->lock);
  g_mutex_unlock (&self->lock);
  g_object_unref (self->service);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_hash_table_unref (self->counts);
  g_ptr_array_unref (self->log);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->ended);
  g_free (self->endpoint);
  g_free (self);
}

guint
server_count (Server *self, const char *prefix)
{
  guint n = 0;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->log->len; i++)
    n += g_str_has_prefix (self->log->pdata[i], prefix);
  g_mutex_unlock (&self->lock);
  return n;
}

gboolean
request_write (Request *self, const void *data, gsize size)
{
  return g_output_stream_write_all (self->out, data, size, NULL, NULL, NULL);
}

gboolean
request_printf (Request *self, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  return request_write (self, text, strlen (text));
}

void
request_status (Request *self, const char *status, const char *extra)
{
  request_printf (self, "HTTP/1.1 %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status, extra);
}

void
request_data (Request *self, const char *data, gsize size, const char *etag, gsize n_send)
{
  g_autofree char *if_range = request_get_header (self, "if-range");
  gboolean is_part = self->has_range && self->offset < size && (if_range == NULL || g_strcmp0 (if_range, etag) == 0);
  gsize first = is_part ? (gsize)self->offset : 0;

  request_printf (self, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n", is_part ? "206 Partial Content" : "200 OK", size - first);
  if (is_part)
    request_printf (self, "Content-Range: bytes %zu-%zu/%zu\r\n", first, size - 1, size);
  if (etag != NULL)
    request_printf (self, "ETag: %s\r\n", etag);
  request_printf (self, "\r\n");
  request_write (self, data + first, MIN (n_send, size - first));
}

gboolean
request_sleep (Request *self, guint ms)
{
  Server *server = self->server;
  gint64 end = g_get_monotonic_time () + ms * G_TIME_SPAN_MILLISECOND;
  gboolean goes_on;

  g_mutex_lock (&server->lock);
  while (!server->is_closing && g_cond_wait_until (&server->ended, &server->lock, end))
    ;
  goes_on = !server->is_closing;
  g_mutex_unlock (&server->lock);
  return goes_on;
}

void
request_reset (Request *self)
{
  struct linger linger = { 1, 0 };

  setsockopt (g_socket_get_fd (g_socket_connection_get_socket (self->connection)), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
