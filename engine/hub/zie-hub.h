/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

/* Models from the network: what can be fetched (the catalogue), and fetching it.  This is the only part of the engine
 * that talks to a network, and it does so only between zie_fetch_start() and the end of that fetch. */

G_BEGIN_DECLS

typedef enum
{
  ZIE_HUB_HUGGING_FACE,
  ZIE_HUB_MODELSCOPE,
  ZIE_N_HUB_SOURCES
} ZieHubSource;

/* "huggingface", "modelscope"; and as people write them: "Hugging Face".  Static strings. */
ZIE_API const char *zie_hub_source_name (ZieHubSource source);
ZIE_API const char *zie_hub_source_title (ZieHubSource source);
ZIE_API gboolean zie_hub_source_from_name (const char *name, ZieHubSource *out);

/* --- the catalogue --- */

typedef struct
{
  char *path;                          /* in the model's folder; relative, without ".." */
  char *remote;                        /* in the repository */
  guint repository;                    /* index into the model's */
  guint64 size;                        /* bytes; 0: not known, the server is asked */
  guint64 about;                       /* bytes, the size or near it */
  char *sha256, *md5;                  /* lower-case hexadecimal; NULL: not known */
} ZieHubFile;

typedef struct
{
  char *names[ZIE_N_HUB_SOURCES];      /* "Tongyi-MAI/Z-Image-Turbo"; NULL: not there */
  char *revisions[ZIE_N_HUB_SOURCES];
} ZieHubRepository;

typedef struct
{
  char *id;                            /* for command lines: "z-image-turbo-bf16" */
  char *name;                          /* for people: "Z-Image-Turbo" */
  char *summary;                       /* a sentence */
  char *form;                          /* as ZieModelInfo has it */
  char *licence, *licence_url;         /* "Apache-2.0"; where it can be read */
  char *page;                          /* the model's page on the web */
  char *folder;                        /* what its folder is called */
  gboolean is_recommended;             /* the one to take without knowing more; exactly one is */
  gboolean is_size_exact;
  guint64 n_bytes;                     /* of all files */
  ZieHubRepository *repositories;
  guint n_repositories;
  ZieHubFile *files;
  guint n_files;
} ZieHubModel;

typedef struct _ZieCatalogue ZieCatalogue;

/* Reads a catalogue: PATH, or with NULL $ZIE_CATALOGUE, the source tree's or the installed one.  Immutable afterwards.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT. */
ZIE_API ZieCatalogue *zie_catalogue_load (const char *path, GError **error);
ZIE_API void zie_catalogue_free (ZieCatalogue *self);
ZIE_API guint zie_catalogue_get_n (const ZieCatalogue *self);
/* Models belong to the catalogue. */
ZIE_API const ZieHubModel *zie_catalogue_get (const ZieCatalogue *self, guint index);
/* The model called ID, or with NULL the recommended one.  Errors: INVALID_REQUEST, which lists the ids. */
ZIE_API const ZieHubModel *zie_catalogue_find (const ZieCatalogue *self, const char *id, GError **error);
ZIE_API gboolean zie_hub_model_has_source (const ZieHubModel *self, ZieHubSource source);

/* --- what is there --- */

typedef enum
{
  ZIE_HUB_ABSENT,
  ZIE_HUB_BEGUN,             /* some of it, where no program takes it for a model: a fetch goes on from there */
  ZIE_HUB_BROKEN,            /* its folder is there, but files are missing or have another size: repair */
  ZIE_HUB_THERE,             /* all files, with the right sizes; only repair reads them */
} ZieHubState;

/* How much of MODEL is in FOLDER, the folder of models.  *N_BYTES may be NULL.  Reads no file. */
ZIE_API ZieHubState zie_hub_examine (const ZieHubModel *model, const char *folder, guint64 *n_bytes);
/* The folder MODEL has, or would have, in FOLDER.  Free with g_free(). */
ZIE_API char *zie_hub_model_path (const ZieHubModel *model, const char *folder);
/* Removes what a broken-off fetch left in FOLDER; nothing there is no error.  Errors: WRITE; FAILED while it is being
 * fetched. */
ZIE_API gboolean zie_hub_discard (const ZieHubModel *model, const char *folder, GError **error);

/* --- fetching --- */

typedef struct
{
  const char *folder;        /* where models are kept; made if need be */
  ZieHubSource source;
  const char *endpoint;      /* "https://host" of a mirror; NULL or "": $HF_ENDPOINT or $MODELSCOPE_DOMAIN, else the source's own */
  const char *token;         /* for repositories that ask who one is; NULL: $HF_TOKEN at Hugging Face.  Sent to the endpoint alone,
                              * and only over https or to this computer */
  gboolean repair;           /* read every byte of what is there, and fetch what is bad again */
  guint n_parallel;          /* files side by side; 0: 3 */
  /* For tests; 0 is the default. */
  guint stall_ms;            /* without a byte for so long, the connection is given up (30 s) */
  guint retry_ms;            /* before the second try; doubles with each (1 s, at most 60) */
  guint max_tries;           /* without progress in between (8) */
} ZieFetchOptions;

typedef enum
{
  ZIE_FETCH_CHECKING,        /* reading files that are there */
  ZIE_FETCH_ASKING,          /* the server, for what it has */
  ZIE_FETCH_FETCHING,
  ZIE_FETCH_WAITING,         /* before another try; MESSAGE says why */
  ZIE_FETCH_PAUSED,
  ZIE_FETCH_DONE,
  ZIE_FETCH_FAILED,
  ZIE_FETCH_CANCELLED,
  ZIE_N_FETCH_STATES
} ZieFetchState;

typedef struct
{
  ZieFetchState state;
  guint64 n_bytes, n_total;  /* of the whole model; while CHECKING bytes that were read */
  double bytes_per_second;   /* 0: not known */
  double seconds_left;       /* -1: not known */
  guint n_files_done, n_files;
  char message[512];         /* why it waits; "" otherwise */
} ZieFetchProgress;

typedef struct _ZieFetch ZieFetch;
typedef void (*ZieFetchFunc) (ZieFetch *fetch, gpointer user_data);

/* "fetching", "paused" …: for JSON.  Static string. */
ZIE_API const char *zie_fetch_state_name (ZieFetchState state);

/* Begins to fetch MODEL, or to repair it, in a thread of its own.  A fetch that was broken off goes on where it stood.  Files
 * gather in a hidden folder beside the model's; that gets its name when all of them have the right size and checksum.
 * MODEL and the strings of OPTIONS are copied.  NOTIFY runs in the thread-default main context of the caller whenever something
 * has changed, at most ten times a second, and once after the end; never after the last unref.  Errors: INVALID_REQUEST
 * (the source lacks this model, an endpoint that is no URL); all others come with ZIE_FETCH_FAILED. */
ZIE_API ZieFetch *zie_fetch_start (const ZieHubModel *model, const ZieFetchOptions *options, ZieFetchFunc notify,
                                   gpointer user_data, GError **error);
ZIE_API ZieFetch *zie_fetch_ref (ZieFetch *self);
/* The last one cancels, waits for the thread (milliseconds) and must happen in the thread that started the fetch. */
ZIE_API void zie_fetch_unref (ZieFetch *self);

/* Any thread.  What has arrived stays. */
ZIE_API void zie_fetch_pause (ZieFetch *self);
ZIE_API void zie_fetch_resume (ZieFetch *self);
ZIE_API void zie_fetch_cancel (ZieFetch *self);

ZIE_API void zie_fetch_get_progress (ZieFetch *self, ZieFetchProgress *progress);
/* Why it failed: a copy, to be freed with g_error_free(); NULL while it has not.  WRITE (folder, full disk), FILE_NOT_FOUND,
 * FILE_CORRUPT, FAILED (network, server). */
ZIE_API GError *zie_fetch_get_error (ZieFetch *self);
/* The model's folder; it belongs to the fetch. */
ZIE_API const char *zie_fetch_get_path (ZieFetch *self);
/* How many bytes were received from servers; for tests and for those who pay by the byte. */
ZIE_API guint64 zie_fetch_get_n_received (ZieFetch *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieCatalogue, zie_catalogue_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieFetch, zie_fetch_unref)

G_END_DECLS
