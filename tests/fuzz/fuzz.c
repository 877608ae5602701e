/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

const char *
fuzz_file (const void *data, size_t size)
{
  static char path[64];
  static int fd = -1;

  if (fd < 0)
    {
      fd = memfd_create ("fuzz", 0);
      g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    }
  if (ftruncate (fd, 0) != 0 || pwrite (fd, data, size, 0) != (ssize_t)size)
    fuzz_fail ("cannot write the input");
  return path;
}

const char *
fuzz_data_dir (void)
{
  const char *asked = g_getenv ("FUZZ_DATADIR");

  return asked != NULL ? asked : ZIE_SOURCE_DATADIR;
}

void
fuzz_check_error (GError *error, const char *path)
{
  if (error == NULL || !g_utf8_validate (error->message, -1, NULL) || strstr (error->message, path) == NULL)
    fuzz_fail ("a failure that does not say what of %s: %s", path, error != NULL ? error->message : "(nothing)");
  g_error_free (error);
}

volatile guint8 fuzz_sum;

void
fuzz_touch (const void *data, size_t size)
{
  for (size_t i = 0; i < size; i++)
    fuzz_sum = (guint8)(fuzz_sum ^ ((const guint8 *)data)[i]);
}

/* --- mapped files with fences --- */

/* In place of GLib's, which map whole pages: here a reader that goes one byte too far is caught by the sanitizer. */
struct _GMappedFile
{
  gsize length;
  gint n_refs;
  char *contents;            /* owned, exactly LENGTH bytes; NULL where there are none, as in GLib */
};

GMappedFile *
g_mapped_file_new_from_fd (gint fd, gboolean writable, GError **error)
{
  GMappedFile *self = g_new0 (GMappedFile, 1);
  struct stat st;

  if (fstat (fd, &st) != 0)
    fuzz_fail ("cannot look at the input");
  self->n_refs = 1;
  self->length = (gsize)st.st_size;
  self->contents = self->length > 0 ? g_malloc (self->length) : NULL;
  if (pread (fd, self->contents, self->length, 0) != (ssize_t)self->length)
    fuzz_fail ("cannot read the input");
  return self;
}

gsize
g_mapped_file_get_length (GMappedFile *self)
{
  return self->length;
}

gchar *
g_mapped_file_get_contents (GMappedFile *self)
{
  return self->contents;
}

GMappedFile *
g_mapped_file_ref (GMappedFile *self)
{
  self->n_refs++;
  return self;
}

void
g_mapped_file_unref (GMappedFile *self)
{
  if (--self->n_refs > 0)
    return;
  g_free (self->contents);
  g_free (self);
}
