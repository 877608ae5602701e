/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A web server on this computer that answers as a test says, down to single bytes: it may stop, reset, lie. */

#include <gio/gio.h>

typedef struct _Server Server;

typedef struct
{
  Server *server;
  GSocketConnection *connection;
  GOutputStream *out;
  char *path;                /* owned, with its query */
  char *headers;             /* owned: all lines, lower-case names */
  gboolean has_range;
  guint64 offset;            /* of the range */
  guint number;              /* how often PATH has been asked for, from 1 */
} Request;

/* Answers, in a thread of its own, several at once. */
typedef void (*ServerAnswer) (Request *request, gpointer user_data);

struct _Server
{
  GSocketService *service;
  GMainContext *context;     /* of the thread that accepts */
  GMainLoop *loop;
  GThread *thread;
  char *endpoint;            /* owned: "http://127.0.0.1:1234" */
  ServerAnswer answer;
  gpointer user_data;
  GMutex lock;               /* of what follows */
  GCond ended;               /* a request was answered, or the server closes */
  guint n_active;            /* requests that are being answered */
  gboolean is_closing;
  GHashTable *counts;        /* path → number */
  GPtrArray *log;            /* "PATH" or "PATH OFFSET", in the order of requests */
};

Server *server_new (ServerAnswer answer, gpointer user_data);
/* Waits for what is being answered. */
void server_free (Server *self);
/* How many requests began with PREFIX. */
guint server_count (Server *self, const char *prefix);

/* The value of a header ("if-range"), or NULL; free with g_free(). */
char *request_get_header (const Request *self, const char *name);
/* Writes; FALSE when the client has gone. */
gboolean request_write (Request *self, const void *data, gsize size);
gboolean request_printf (Request *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* A status with an empty body.  EXTRA: further header lines, each ending in "\r\n". */
void request_status (Request *self, const char *status, const char *extra);
/* What a good server says for DATA with ETAG (may be NULL), range and If-Range followed; of the body only N_SEND bytes
 * are sent (G_MAXSIZE: all). */
void request_data (Request *self, const char *data, gsize size, const char *etag, gsize n_send);
/* FALSE: the server closes; nobody waits for an answer any more. */
gboolean request_sleep (Request *self, guint ms);
/* Ends the connection at once with a reset instead of an orderly end. */
void request_reset (Request *self);
