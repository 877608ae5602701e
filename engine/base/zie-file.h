/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

/* FALSE, and FAILED that names owner, mode and remedy: this user may not read PATH, a file or a folder, or enter a folder on the way to
 * it.  TRUE where anything else is the matter, or nothing. */
gboolean zie_file_check_readable (const char *path, GError **error);

/* Reading.  Only regular files are opened (through symbolic links too): a pipe or device put in a model's place fails
 * at once instead of blocking.  Errors: FILE_NOT_FOUND when nothing is there or it is not a file, FAILED with the
 * system's reason otherwise. */

/* A file descriptor (the caller closes it) and the file's size; -1 on error. */
int zie_file_open (const char *path, guint64 *size, GError **error);

/* The whole file in memory, NUL-terminated (transfer full); FILE_CORRUPT when it has more than MAX_SIZE bytes. */
char *zie_file_read (const char *path, gsize max_size, gsize *length, GError **error);

/* Messages quote names of a file and cut them to a length: mends in ERROR (may be NULL) a letter that was cut through. */
void zie_file_mend_error (GError **error);

/* A file in the making: it gets its name by rename once it is whole, so that nobody ever sees half of it.  Where the
 * file system allows, it has no name at all until then, and a killed process leaves nothing behind.  One thread at a
 * time.  Errors: ZIE_ERROR_WRITE with path and reason. */
typedef struct
{
  char *path;          /* owned; where it will appear */
  char *temp_path;     /* owned; its name until then, NULL while it has none */
  int fd;              /* -1 when closed */
} ZieNewFile;

#define ZIE_NEW_FILE_INIT { NULL, NULL, -1 }

gboolean zie_new_file_open (ZieNewFile *self, const char *path, GError **error);
gboolean zie_new_file_write (ZieNewFile *self, const void *data, gsize size, GError **error);
gboolean zie_new_file_commit (ZieNewFile *self, GError **error);
void zie_new_file_clear (ZieNewFile *self);      /* discards what was not committed; SELF may be used again */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZieNewFile, zie_new_file_clear)
