/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

#include "zie-hub.h"

/* --- JSON from files and servers --- */

/* The root of TEXT; NULL and FILE_CORRUPT where it is no JSON or nested deeper than anything we read.  Free with
 * json_node_unref(). */
JsonNode *zie_hub_parse_json (const char *text, gsize length, const char *where, GError **error);

/* --- models --- */

/* Copies MODEL with all its strings; free with zie_hub_model_clear(). */
void zie_hub_model_copy (ZieHubModel *dest, const ZieHubModel *src);
void zie_hub_model_clear (ZieHubModel *self);
/* TEXT is a hexadecimal number of LENGTH digits. */
gboolean zie_hub_is_checksum (const char *text, gsize length);

/* --- sources --- */

/* The endpoint to use, without a slash at its end; free with g_free().  Errors: INVALID_REQUEST. */
char *zie_hub_get_endpoint (ZieHubSource source, const char *named, GError **error);
/* Where FILE is; and where the list of all files of REPOSITORY is.  Free with g_free(). */
char *zie_hub_file_url (ZieHubSource source, const char *endpoint, const ZieHubModel *model, const ZieHubFile *file);
char *zie_hub_list_url (ZieHubSource source, const char *endpoint, const ZieHubRepository *repository);
/* Fills in what MODEL lacks of sizes and checksums from the answer to that list.  What the catalogue says is not changed.
 * Returns how many of the model's files were found in it. */
guint zie_hub_apply_list (ZieHubSource source, JsonNode *list, ZieHubModel *model, guint repository);

/* --- HTTP --- */

typedef struct
{
  SoupSession *session;      /* owned; used by one thread alone */
  char *origin;              /* owned: the endpoint; the only place the token goes to */
  char *token;               /* owned; NULL: none */
} ZieHubHttp;

typedef struct
{
  guint64 offset;            /* ask for what is from here on; 0: for all of it */
  const char *if_range;      /* the version that the bytes before it are of; NULL: whatever there is */
} ZieHubRange;

typedef struct
{
  SoupMessage *message;      /* owned: the last one, after redirects */
  GInputStream *body;        /* owned */
  guint status;
  guint64 first;             /* where the body begins in the file */
  guint64 total;             /* the file's size; G_MAXUINT64: not said */
  char *validator;           /* owned: a strong ETag or Last-Modified, for the next If-Range; NULL: none */
  guint retry_after_ms;      /* 0: not said */
} ZieHubReply;

void zie_hub_http_init (ZieHubHttp *self, const char *endpoint, const char *token);
void zie_hub_http_clear (ZieHubHttp *self);
/* GETs URL, following redirects.  Statuses 200, 206 and 416 are answers; for all others there is an error that
 * explains, and *IS_TEMPORARY and REPLY's retry_after_ms say whether and when another try makes sense. */
gboolean zie_hub_http_get (ZieHubHttp *self, const char *url, const ZieHubRange *range, GCancellable *cancellable, ZieHubReply *reply,
                           gboolean *is_temporary, GError **error);
void zie_hub_reply_clear (ZieHubReply *self);
/* Turns what GIO or libsoup said about URL into a sentence of ours; TRUE: another try makes sense. */
gboolean zie_hub_explain_network (GError **error, const char *url, const GError *cause);

/* --- folders and files --- */

/* Where MODEL gathers in FOLDER until it is whole; hidden, so that nothing looks for models in it.  Free with g_free(). */
char *zie_hub_staging_path (const ZieHubModel *model, const char *folder);
/* WRITE: PATH or the folder that it is in, its owner and mode and what to do, for the error number SAVED. */
void zie_hub_set_write_error (GError **error, const char *path, int saved);
gboolean zie_hub_make_folder (const char *path, GError **error);
/* Removes the staging folder when no byte of MODEL has arrived in it.  Its lock is held. */
void zie_hub_tidy (const ZieHubModel *model, const char *folder);
/* SIZE more bytes have room in FOLDER, which is there. */
gboolean zie_hub_check_space (const char *folder, guint64 size, GError **error);
/* Takes FOLDER for this process alone; a descriptor to close, or -1.  Errors: FAILED when another has it. */
int zie_hub_lock (const char *folder, GError **error);
/* Moves FROM to TO, which is not there, and makes it last. */
gboolean zie_hub_move (const char *from, const char *to, GError **error);

/* What a thread reports while it works, and asks. */
typedef struct
{
  void (*add) (gpointer data, gint64 n_bytes);         /* so many more bytes of the model are there (or read); may be negative */
  void (*receive) (gpointer data, gsize n_bytes);      /* came over the network */
  gboolean (*go_on) (gpointer data);                   /* waits while there is a pause; FALSE: it is over */
  /* Waits DELAY_MS because of WHY, in which a pause may fall; FALSE: it is over. */
  gboolean (*wait) (gpointer data, guint delay_ms, const char *why);
  /* Around one connection: what cancels it when it stalls, is paused or stopped (transfer full); whether it stalled. */
  GCancellable *(*begin) (gpointer data);
  gboolean (*end) (gpointer data);
  gpointer data;
  guint retry_ms, max_tries;
} ZieHubWork;

/* PATH has the size and checksums of FILE; every byte is read.  FALSE without an error: it has not. */
gboolean zie_hub_check_file (const ZieHubFile *file, const char *path, const ZieHubWork *work, GError **error);
/* PATH has the size of FILE; nothing is read. */
gboolean zie_hub_has_size (const ZieHubFile *file, const char *path, guint64 *n_bytes);
/* Brings FILE from URL into the staging folder FOLDER, from where PATH.part stands.  Blocking. */
gboolean zie_hub_fetch_file (const ZieHubFile *file, const char *url, const char *folder, ZieHubHttp *http, const ZieHubWork *work,
                             GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZieHubHttp, zie_hub_http_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZieHubReply, zie_hub_reply_clear)
