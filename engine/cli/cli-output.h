/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie.h>

/* Where the pictures of one command go. */
typedef struct
{
  char *folder;              /* owned, of all files */
  char *stem;                /* owned: the path without ".png"; NULL = a name from prompt and seed in the folder */
  gboolean is_numbered;      /* stem_000.png … */
} CliOutput;

/* OUTPUT: a file to be replaced, a folder, or NULL for the current one.  IS_NUMBERED: there may be several pictures. */
gboolean cli_output_init (CliOutput *self, const char *output, gboolean is_numbered, GError **error);
void cli_output_clear (CliOutput *self);

/* Before any work: the folder is there, files can be made in it, and SIZE bytes are free. */
gboolean cli_check_folder (const char *folder, guint64 size, GError **error);

/* Bytes that N PNG files of so many pixels can take at most. */
guint64 cli_png_size_bound (guint64 n, int width, int height);

/* The path of picture INDEX; free with g_free().  Names made from the prompt never replace a file. */
char *cli_output_get_path (const CliOutput *self, guint index, const char *prompt, guint64 seed);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliOutput, cli_output_clear)
