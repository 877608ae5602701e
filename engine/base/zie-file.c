/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-base"

#include "zie-file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What keeps this user from reading PATH (MODE R_OK) or from entering it (X_OK): itself or a folder above.  NULL: nothing does.  Free
 * with g_free(). */
static char *
find_blocker (const char *path, int mode)
{
  g_autofree char *parent = NULL, *above = NULL;
  struct stat st;

  if (access (path, mode) == 0 && (mode == X_OK || stat (path, &st) != 0 || !S_ISDIR (st.st_mode) || access (path, X_OK) == 0))
    return NULL;
  if (errno != EACCES)
    return NULL;
  parent = g_path_get_dirname (path);
  above = strcmp (parent, path) != 0 ? find_blocker (parent, X_OK) : NULL;
  return above != NULL ? g_steal_pointer (&above) : g_strdup (path);
}

gboolean
zie_file_check_readable (const char *path, GError **error)
{
  g_autofree char *blocker = find_blocker (path, R_OK);
  const struct passwd *user;
  struct stat st;

  if (blocker == NULL || stat (blocker, &st) != 0)
    return TRUE;
  user = getpwuid (st.st_uid);
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: may not be read: it belongs to %s and has mode %04o; run “%s %s”", blocker,
               user != NULL ? user->pw_name : "another user", (guint)(st.st_mode & 07777),
               st.st_uid == geteuid () ? "chmod -R u+rX" : "sudo chmod -R a+rX", blocker);
  return FALSE;
}

int
zie_file_open (const char *path, guint64 *size, GError **error)
{
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);    /* NONBLOCK: a FIFO must not hold us */

  if (fd < 0 || fstat (fd, &st) < 0)
    {
      int saved = errno;
      if (saved != EACCES || zie_file_check_readable (path, error))
        g_set_error (error, ZIE_ERROR,
                   saved == ENOENT || saved == ENOTDIR ? ZIE_ERROR_FILE_NOT_FOUND : ZIE_ERROR_FAILED,
                   "%s: cannot be opened: %s", path, g_strerror (saved));
    }
  else if (!S_ISREG (st.st_mode))
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "%s: is %s, expected a file", path,
                 S_ISDIR (st.st_mode) ? "a folder" : "not a regular file");
  else
    {
      *size = (guint64)st.st_size;
      return fd;
    }

  if (fd >= 0)
    close (fd);
  return -1;
}

char *
zie_file_read (const char *path, gsize max_size, gsize *length, GError **error)
{
  g_autofree char *text = NULL;
  guint64 size;
  gsize have = 0;
  int fd = zie_file_open (path, &size, error);

  if (fd < 0)
    return NULL;

  if (size > max_size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: has %" G_GUINT64_FORMAT " bytes, expected at most %" G_GSIZE_FORMAT, path, size, max_size);
      close (fd);
      return NULL;
    }

  text = g_malloc (size + 1);
  while (have < size)
    {
      gssize n = read (fd, text + have, size - have);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: cannot be read: %s", path, g_strerror (errno));
          close (fd);
          return NULL;
        }
      if (n == 0)      /* it shrank while we read: what is there is what is there */
        break;
      have += (gsize)n;
    }

  close (fd);
  text[have] = '\0';
  *length = have;
  return g_steal_pointer (&text);
}

void
zie_file_mend_error (GError **error)
{
  char *mended;

  if (error == NULL || *error == NULL || g_utf8_validate ((*error)->message, -1, NULL))
    return;
  mended = g_utf8_make_valid ((*error)->message, -1);
  g_free ((*error)->message);
  (*error)->message = mended;
}

static gboolean
set_write_error (GError **error, const char *path, int saved)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: cannot be written: %s", path, g_strerror (saved));
  return FALSE;
}

/* A name beside PATH that nobody uses; hidden, so that file managers do not show it in passing. */
static char *
make_temp_path (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_strdup_printf (".zimage-%08x%08x.tmp", g_random_int (), g_random_int ());

  return g_build_filename (folder, name, NULL);
}

gboolean
zie_new_file_open (ZieNewFile *self, const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  struct stat st;

  zie_new_file_clear (self);

  /* A rename would replace a device (/dev/null!) and fail on a folder after all the work. */
  if (stat (path, &st) == 0 && !S_ISREG (st.st_mode))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: cannot be written: %s, expected a file name", path,
                   S_ISDIR (st.st_mode) ? "it is a folder" : "it is not a regular file");
      return FALSE;
    }

#ifdef O_TMPFILE
  if (access ("/proc/self/fd", X_OK) == 0)       /* a nameless file gets its name through that */
    self->fd = open (folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
  for (int i = 0; self->fd < 0 && i < 16; i++)
    {
      g_autofree char *temp_path = make_temp_path (path);

      self->fd = open (temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (self->fd >= 0)
        self->temp_path = g_steal_pointer (&temp_path);
      else if (errno != EEXIST)
        break;
    }

  if (self->fd < 0)
    return set_write_error (error, path, errno);

  self->path = g_strdup (path);
  return TRUE;
}

gboolean
zie_new_file_write (ZieNewFile *self, const void *data, gsize size, GError **error)
{
  const char *p = data;

  g_return_val_if_fail (self->fd >= 0, FALSE);

  while (size > 0)
    {
      gssize n = write (self->fd, p, MIN (size, (gsize)1 << 30));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return set_write_error (error, self->path, errno);
      p += n;
      size -= (gsize)n;
    }

  return TRUE;
}

/* Gives a nameless file its temporary name: link() cannot replace a file, rename() can. */
static gboolean
name_temp_file (ZieNewFile *self, GError **error)
{
  g_autofree char *fd_path = g_strdup_printf ("/proc/self/fd/%d", self->fd);

  for (int i = 0; i < 16; i++)
    {
      g_autofree char *temp_path = make_temp_path (self->path);

      if (linkat (AT_FDCWD, fd_path, AT_FDCWD, temp_path, AT_SYMLINK_FOLLOW) == 0)
        {
          self->temp_path = g_steal_pointer (&temp_path);
          return TRUE;
        }
      if (errno != EEXIST)
        break;
    }

  return set_write_error (error, self->path, errno);
}

gboolean
zie_new_file_commit (ZieNewFile *self, GError **error)
{
  int fd;

  g_return_val_if_fail (self->fd >= 0, FALSE);

  if (self->temp_path == NULL && !name_temp_file (self, error))
    return FALSE;

  fd = self->fd;
  self->fd = -1;
  if (close (fd) < 0 && errno != EINTR)      /* network file systems report a full disk here */
    return set_write_error (error, self->path, errno);

  if (rename (self->temp_path, self->path) < 0)
    return set_write_error (error, self->path, errno);

  g_clear_pointer (&self->temp_path, g_free);
  return TRUE;
}

void
zie_new_file_clear (ZieNewFile *self)
{
  if (self->fd >= 0)
    close (self->fd);
  if (self->temp_path != NULL)
    unlink (self->temp_path);

  self->fd = -1;
  g_clear_pointer (&self->temp_path, g_free);
  g_clear_pointer (&self->path, g_free);
}
