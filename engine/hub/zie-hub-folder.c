/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <glib/gstdio.h>

/* Kept free beside what is fetched, so that the desktop does not run into a full disk at the end. */
#define SPARE_SIZE (G_GUINT64_CONSTANT (256) << 20)

char *
zie_hub_model_path (const ZieHubModel *model, const char *folder)
{
  return g_build_filename (folder, model->folder, NULL);
}

char *
zie_hub_staging_path (const ZieHubModel *model, const char *folder)
{
  g_autofree char *name = g_strdup_printf (".%s.fetching", model->folder);

  return g_build_filename (folder, name, NULL);
}

/* PATH or what is there of the way to it. */
static char *
nearest_existing (const char *path)
{
  char *at = g_strdup (path);

  while (access (at, F_OK) != 0)
    {
      char *parent = g_path_get_dirname (at);
      gboolean is_top = g_str_equal (parent, at);

      g_free (at);
      at = parent;
      if (is_top)
        break;
    }
  return at;
}

static guint64
get_free (const char *folder)
{
  struct statvfs use;

  return statvfs (folder, &use) == 0 ? (guint64)use.f_bavail * use.f_frsize : G_MAXUINT64;
}

void
zie_hub_set_write_error (GError **error, const char *path, int saved)
{
  g_autofree char *at = nearest_existing (path), *folder = g_file_test (at, G_FILE_TEST_IS_DIR) ? g_strdup (at) : g_path_get_dirname (at);
  struct stat st;

  if (saved == ENOSPC || saved == EDQUOT)
    {
      g_autofree char *left = g_format_size_full (get_free (folder), G_FORMAT_SIZE_IEC_UNITS);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE,
                   saved == EDQUOT ? "%s: the quota on this disk is used up (%s free on it); free some space, or choose another folder; what has "
                                     "arrived stays"
                                   : "%s: the disk is full (%s free); free some space, or choose another folder; what has arrived stays",
                   folder, left);
    }
  else if (saved == EFBIG)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE,
                 "%s: files may not become this large here (a file system like FAT, or a limit that is set for this program); choose a folder "
                 "on another disk", path);
  else if (saved == EROFS)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: this disk can only be read; choose a folder on another", folder);
  else if ((saved == EACCES || saved == EPERM) && stat (folder, &st) == 0)
    {
      const struct passwd *user = getpwuid (st.st_uid);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE,
                   "%s: may not be written: it belongs to %s and has mode %04o; run “%s %s”, or choose another folder", folder,
                   user != NULL ? user->pw_name : "another user", (guint)(st.st_mode & 07777),
                   st.st_uid == geteuid () ? "chmod u+rwx" : "sudo chown -R $USER", folder);
    }
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: cannot be written: %s", path, g_strerror (saved));
}

gboolean
zie_hub_make_folder (const char *path, GError **error)
{
  if (g_mkdir_with_parents (path, 0755) == 0 && access (path, W_OK | X_OK) == 0)
    return TRUE;
  zie_hub_set_write_error (error, path, errno);
  return FALSE;
}

gboolean
zie_hub_check_space (const char *folder, guint64 size, GError **error)
{
  guint64 left = get_free (folder);
  g_autofree char *needed = NULL, *have = NULL, *lacking = NULL;

  if (size == 0 || left >= size + SPARE_SIZE)
    return TRUE;
  needed = g_format_size_full (size + SPARE_SIZE, G_FORMAT_SIZE_IEC_UNITS);
  have = g_format_size_full (left, G_FORMAT_SIZE_IEC_UNITS);
  lacking = g_format_size_full (size + SPARE_SIZE - left, G_FORMAT_SIZE_IEC_UNITS);
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE,
               "%s: the disk is too full: %s are needed and %s are free; free %s more, or choose another folder", folder, needed, have, lacking);
  return FALSE;
}

int
zie_hub_lock (const char *folder, GError **error)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    {
      zie_hub_set_write_error (error, folder, errno);
      return -1;
    }
  /* File systems that know no locks are used without. */
  if (flock (fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    {
      close (fd);
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: this model is being fetched already, by another window or “zimage models fetch”", folder);
      return -1;
    }
  return fd;
}

gboolean
zie_hub_move (const char *from, const char *to, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (to);
  int fd;

  if (rename (from, to) != 0)
    {
      zie_hub_set_write_error (error, parent, errno);
      return FALSE;
    }
  if ((fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
    {
      fsync (fd);
      close (fd);
    }
  return TRUE;
}

gboolean
zie_hub_has_size (const ZieHubFile *file, const char *path, guint64 *n_bytes)
{
  struct stat st;

  *n_bytes = 0;
  if (stat (path, &st) != 0 || !S_ISREG (st.st_mode))
    return FALSE;
  *n_bytes = (guint64)st.st_size;
  return file->size != 0 ? (guint64)st.st_size == file->size : st.st_size > 0;
}

ZieHubState
zie_hub_examine (const ZieHubModel *model, const char *folder, guint64 *n_bytes)
{
  g_autofree char *path = zie_hub_model_path (model, folder), *staging = zie_hub_staging_path (model, folder);
  gboolean is_there = g_file_test (path, G_FILE_TEST_IS_DIR), is_whole = TRUE;
  guint64 sum = 0;

  for (guint i = 0; i < model->n_files; i++)
    {
      const ZieHubFile *file = &model->files[i];
      g_autofree char *at = g_build_filename (is_there ? path : staging, file->path, NULL), *part = g_strconcat (at, ".part", NULL);
      guint64 size = 0;

      if (!zie_hub_has_size (file, at, &size))
        {
          is_whole = FALSE;
          size = 0;
          if (!is_there)
            zie_hub_has_size (file, part, &size);
        }
      sum += MIN (size, file->about);
    }
  if (n_bytes != NULL)
    *n_bytes = sum;
  if (is_there)
    return is_whole ? ZIE_HUB_THERE : ZIE_HUB_BROKEN;
  return g_file_test (staging, G_FILE_TEST_IS_DIR) ? ZIE_HUB_BEGUN : ZIE_HUB_ABSENT;
}

/* PATH and all below it; links are removed, not followed. */
static gboolean
remove_all (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) != 0)
    {
      if (errno == ENOENT)
        return TRUE;
    }
  else if (S_ISDIR (st.st_mode))
    {
      g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          if (!remove_all (child, error))
            return FALSE;
        }
      if (rmdir (path) == 0)
        return TRUE;
    }
  else if (unlink (path) == 0)
    return TRUE;

  zie_hub_set_write_error (error, path, errno);
  return FALSE;
}

gboolean
zie_hub_discard (const ZieHubModel *model, const char *folder, GError **error)
{
  g_autofree char *staging = zie_hub_staging_path (model, folder);
  gboolean is_removed;
  int fd;

  if (!g_file_test (staging, G_FILE_TEST_IS_DIR))
    return TRUE;
  if ((fd = zie_hub_lock (staging, error)) < 0)
    return FALSE;
  is_removed = remove_all (staging, error);
  close (fd);
  return is_removed;
}

void
zie_hub_tidy (const ZieHubModel *model, const char *folder)
{
  g_autofree char *staging = zie_hub_staging_path (model, folder);
  guint64 n_bytes;

  if (zie_hub_examine (model, folder, &n_bytes) == ZIE_HUB_BEGUN && n_bytes == 0)
    remove_all (staging, NULL);
}
