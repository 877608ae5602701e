/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A small model, a server that has it, and a folder to fetch it into: for tests of the hub. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "server.h"
#include "zie-hub.h"

#define N_FILES 3
#define BIG 300000

extern const char *const paths[N_FILES];
extern const gsize sizes[N_FILES];

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

extern Fixture *the_fixture;       /* for the server's threads */

enum
{
  NO_SUM = 1,                /* nothing to compare with */
  NO_SIZE = 2,
  SUM_MD5 = 4,
};

/* PATH and all below it. */
void remove_tree (const char *path);
/* Of FILE (-1: 404) the first N_SEND bytes that the range asks for. */
void send_file (Request *request, int file, gsize n_send);
/* What a server without a trouble of its own does. */
void on_request (Request *request, gpointer user_data);
/* Writes the catalogue again with FLAGS and, unless it is 0, another size of the first file. */
void use_catalogue (Fixture *self, int flags, guint64 size_of_first);
/* With short waits between tries. */
ZieFetchOptions get_options (Fixture *self);
ZieFetch *start (Fixture *self, const ZieFetchOptions *options);
ZieFetchState get_state (ZieFetch *fetch);
/* Waits for its end, by notifications alone. */
ZieFetchState finish (Fixture *self, ZieFetch *fetch);
/* Fetches to the end: NULL, or why it failed. */
GError *run (Fixture *self, const ZieFetchOptions *options, guint64 *n_received);
char *path_of (Fixture *self, int file);
/* While it is fetched; SUFFIX ".part" … */
char *staged_path_of (Fixture *self, int file, const char *suffix);
/* Every file is what it should be, and nothing lies beside them. */
void assert_whole (Fixture *self);
void remove_model (Fixture *self);
void assert_not_there (Fixture *self);
/* ERROR is CODE and its message has all the words, which NULL ends. */
void assert_says (GError *error, int code, ...);
char *get_sha256 (int file);

/* First of all in a program: what the user's environment and desktop say of networks does not count. */
void be_alone (void);
/* The proxy that the desktop has: an address, or NULL. */
extern const char *the_proxy;

/* Adds the test PATH with a fixture of its own. */
void add (const char *path, gconstpointer data, void (*test) (Fixture *self, gconstpointer data));
