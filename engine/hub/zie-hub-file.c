/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define CHUNK_SIZE (256 * 1024)
#define MAX_CORRUPT 2                        /* whole transfers that came out wrong, before we believe it */
#define MAX_RETRY_MS 60000
#define MAX_PATIENCE_MS (10 * 60 * 1000)     /* a Retry-After beyond it is an error that says so */
#define MIN_PROGRESS (1024 * 1024)           /* bytes after which failures are counted from one again */

/* One file on its way.  PATH.part holds its first bytes and PATH.part-of the version they are of. */
typedef struct
{
  const ZieHubFile *file;
  const ZieHubWork *work;
  const char *url;
  char *path, *part, *part_of;               /* owned */
  int fd;                                    /* of PART */
  guint64 size;                              /* of the whole file; 0: not known yet */
  guint64 n_have;                            /* in PART */
  GChecksum *sha256, *md5;                   /* over those; NULL where nothing is known to compare with */
  char *validator;                           /* owned: of those; NULL: none */
  char *buffer;
} Transfer;

/* --- checksums --- */

static void
begin_sums (Transfer *self)
{
  g_clear_pointer (&self->sha256, g_checksum_free);
  g_clear_pointer (&self->md5, g_checksum_free);
  /* The better one is enough, and costs least. */
  if (self->file->sha256 != NULL)
    self->sha256 = g_checksum_new (G_CHECKSUM_SHA256);
  else if (self->file->md5 != NULL)
    self->md5 = g_checksum_new (G_CHECKSUM_MD5);
}

static void
update_sums (Transfer *self, const char *data, gsize size)
{
  if (self->sha256 != NULL)
    g_checksum_update (self->sha256, (const guchar *)data, (gssize)size);
  if (self->md5 != NULL)
    g_checksum_update (self->md5, (const guchar *)data, (gssize)size);
}

static gboolean
sums_are_right (Transfer *self)
{
  return (self->sha256 == NULL || g_str_equal (g_checksum_get_string (self->sha256), self->file->sha256))
         && (self->md5 == NULL || g_str_equal (g_checksum_get_string (self->md5), self->file->md5));
}

static gboolean
set_cancelled (GError **error)
{
  g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_CANCELLED, "cancelled");
  return FALSE;
}

/* Everything in FD goes into the sums.  REPORT: as progress. */
static gboolean
sum_file (Transfer *self, int fd, const char *path, gboolean report, GError **error)
{
  begin_sums (self);
  for (;;)
    {
      gssize n = read (fd, self->buffer, CHUNK_SIZE);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: cannot be read: %s", path, g_strerror (errno));
          return FALSE;
        }
      if (n == 0)
        return TRUE;
      if (!self->work->go_on (self->work->data))
        return set_cancelled (error);
      update_sums (self, self->buffer, (gsize)n);
      if (report)
        self->work->add (self->work->data, n);
    }
}

gboolean
zie_hub_check_file (const ZieHubFile *file, const char *path, const ZieHubWork *work, GError **error)
{
  Transfer self = { .file = file, .work = work, .fd = -1 };
  gboolean is_right = FALSE;
  guint64 size;
  int fd;

  if (!zie_hub_has_size (file, path, &size))
    return FALSE;
  if ((fd = open (path, O_RDONLY | O_CLOEXEC)) < 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: cannot be read: %s", path, g_strerror (errno));
      return FALSE;
    }
  self.buffer = g_malloc (CHUNK_SIZE);
  is_right = sum_file (&self, fd, path, TRUE, error) && sums_are_right (&self);
  close (fd);
  g_free (self.buffer);
  g_clear_pointer (&self.sha256, g_checksum_free);
  g_clear_pointer (&self.md5, g_checksum_free);
  return is_right;
}

/* --- the part --- */

static void
remember_validator (Transfer *self, const char *validator)
{
  if (g_strcmp0 (self->validator, validator) == 0)
    return;
  g_free (self->validator);
  self->validator = g_strdup (validator);
  /* Lost, it costs another transfer and nothing else: the checksum decides. */
  if (validator == NULL || !g_file_set_contents (self->part_of, validator, -1, NULL))
    g_unlink (self->part_of);
}

/* Throws away what has arrived. */
static gboolean
begin_again (Transfer *self, GError **error)
{
  if (ftruncate (self->fd, 0) != 0 || lseek (self->fd, 0, SEEK_SET) != 0)
    {
      zie_hub_set_write_error (error, self->part, errno);
      return FALSE;
    }
  self->work->add (self->work->data, -(gint64)self->n_have);
  self->n_have = 0;
  begin_sums (self);
  return TRUE;
}

static gboolean
open_part (Transfer *self, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (self->part);
  struct stat st;

  if (!zie_hub_make_folder (parent, error))
    return FALSE;
  if ((self->fd = open (self->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) < 0 || fstat (self->fd, &st) != 0)
    {
      zie_hub_set_write_error (error, self->part, errno);
      return FALSE;
    }
  self->n_have = (guint64)st.st_size;
  self->work->add (self->work->data, st.st_size);
  if (!g_file_get_contents (self->part_of, &self->validator, NULL, NULL))
    self->validator = NULL;
  /* A part that nothing can tell to be of today's version is worth nothing. */
  if ((self->size != 0 && self->n_have > self->size)
      || (self->n_have > 0 && self->validator == NULL && self->file->sha256 == NULL && self->file->md5 == NULL))
    return begin_again (self, error);
  return sum_file (self, self->fd, self->part, FALSE, error);
}

static gboolean
write_all (Transfer *self, const char *data, gsize size, GError **error)
{
  update_sums (self, data, size);
  while (size > 0)
    {
      gssize n = write (self->fd, data, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          zie_hub_set_write_error (error, self->part, errno);
          return FALSE;
        }
      data += n;
      size -= (gsize)n;
      self->n_have += (guint64)n;
      self->work->add (self->work->data, n);
    }
  return TRUE;
}

/* Size and checksum are right: the file gets its name. */
static gboolean
finish (Transfer *self, GError **error)
{
  /* Its bytes first: after a power cut a name without them would look whole. */
  if (fdatasync (self->fd) != 0 || rename (self->part, self->path) != 0)
    {
      zie_hub_set_write_error (error, self->path, errno);
      return FALSE;
    }
  g_unlink (self->part_of);
  return TRUE;
}

/* --- one try --- */

typedef enum
{
  TRY_DONE,                  /* PART is as long as the file */
  TRY_AGAIN,                 /* the error may pass */
  TRY_WRONG,                 /* what came cannot be of this file */
  TRY_PAUSED,
  TRY_FAILED,
} TryResult;

/* Whether the answer continues what we have; adapts to it where it does not. */
static TryResult
take_reply (Transfer *self, const ZieHubReply *reply, const char *folder, GError **error)
{
  if (reply->status == SOUP_STATUS_REQUESTED_RANGE_NOT_SATISFIABLE || (reply->status == SOUP_STATUS_PARTIAL_CONTENT && reply->first != self->n_have))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the server sends another part than it was asked for", self->url);
      return TRY_WRONG;
    }
  if (reply->total != G_MAXUINT64 && self->file->size != 0 && reply->total != self->file->size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                   "%s: the server has %" G_GUINT64_FORMAT " bytes, expected %" G_GUINT64_FORMAT ": another version of the file, or no file at all "
                   "(a sign-in page of the network?); take another source", self->url, reply->total, self->file->size);
      return TRY_WRONG;
    }
  /* Without If-Range having been understood, a file of another length is another file. */
  if (reply->status == SOUP_STATUS_PARTIAL_CONTENT && self->size != 0 && reply->total != G_MAXUINT64 && reply->total != self->size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: the file has changed on the server", self->url);
      return TRY_WRONG;
    }
  if (reply->status == SOUP_STATUS_OK)
    {
      if (self->n_have > 0 && !begin_again (self, error))
        return TRY_FAILED;
      self->size = self->file->size;
    }
  if (self->size == 0 && reply->total != G_MAXUINT64)
    self->size = reply->total;
  if (self->size == 0 && self->file->sha256 == NULL && self->file->md5 == NULL)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: neither the catalogue nor the server says how long it is", self->url);
      return TRY_FAILED;
    }
  remember_validator (self, reply->validator);
  if (self->size != 0 && !zie_hub_check_space (folder, self->size - self->n_have, error))
    return TRY_FAILED;
  return TRY_DONE;
}

static TryResult
read_body (Transfer *self, GInputStream *body, GCancellable *cancellable, GError **error)
{
  for (;;)
    {
      g_autoptr(GError) local = NULL;
      gssize n = g_input_stream_read (body, self->buffer, CHUNK_SIZE, cancellable, &local);

      if (n < 0)
        return zie_hub_explain_network (error, self->url, local) ? TRY_AGAIN : TRY_FAILED;
      if (n == 0)
        break;
      self->work->receive (self->work->data, (gsize)n);
      if (self->size != 0 && (guint64)n > self->size - self->n_have)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: the server sends more than the %" G_GUINT64_FORMAT " bytes that the file has", self->url, self->size);
          return TRY_WRONG;
        }
      if (!write_all (self, self->buffer, (gsize)n, error))
        return TRY_FAILED;
    }

  if (self->size != 0 && self->n_have < self->size)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED,
                   "%s: the server ended after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes", self->url, self->n_have, self->size);
      return TRY_AGAIN;
    }
  return TRY_DONE;
}

static TryResult
try_once (Transfer *self, ZieHubHttp *http, const char *folder, guint *retry_after_ms, GError **error)
{
  g_auto(ZieHubReply) reply = { NULL };
  g_autoptr(GCancellable) cancellable = NULL;
  ZieHubRange range = { self->n_have, self->validator };
  TryResult result = TRY_DONE;
  gboolean is_temporary, is_stalled;

  *retry_after_ms = 0;
  if (self->size != 0 && self->n_have == self->size)
    return TRY_DONE;

  cancellable = self->work->begin (self->work->data);
  if (!zie_hub_http_get (http, self->url, &range, cancellable, &reply, &is_temporary, error))
    {
      result = is_temporary ? TRY_AGAIN : TRY_FAILED;
      *retry_after_ms = reply.retry_after_ms;
    }
  if (result == TRY_DONE)
    result = take_reply (self, &reply, folder, error);
  if (result == TRY_DONE)
    result = read_body (self, reply.body, cancellable, error);
  is_stalled = self->work->end (self->work->data);
  if (g_cancellable_is_cancelled (cancellable) && result == TRY_AGAIN)
    {
      g_clear_error (error);
      if (!is_stalled)
        return TRY_PAUSED;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FAILED, "%s: nothing has come for a while", self->url);
    }
  return result;
}

/* --- all tries --- */

static guint
get_delay_ms (const ZieHubWork *work, guint n_tries)
{
  guint64 delay = (guint64)work->retry_ms << MIN (n_tries - 1, 16);

  /* Some jitter, so that a server that comes back is not asked by all at once. */
  return (guint)(MIN (delay, MAX_RETRY_MS) * g_random_double_range (0.8, 1.2));
}

static gboolean
fetch (Transfer *self, ZieHubHttp *http, const char *folder, GError **error)
{
  guint n_tries = 0, n_corrupt = 0, retry_after_ms;

  for (;;)
    {
      g_autoptr(GError) local = NULL;
      guint64 n_before = self->n_have;
      TryResult result = try_once (self, http, folder, &retry_after_ms, &local);
      guint delay_ms;

      if (!self->work->go_on (self->work->data))
        return set_cancelled (error);
      if (result == TRY_PAUSED)
        continue;
      if (result == TRY_DONE && sums_are_right (self))
        return finish (self, error);
      if (result == TRY_DONE)
        {
          const char *expected = self->sha256 != NULL ? self->file->sha256 : self->file->md5;
          const char *found = g_checksum_get_string (self->sha256 != NULL ? self->sha256 : self->md5);

          g_set_error (&local, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT,
                       "%s: arrived with the checksum %s, expected %s: it was changed on the server or on the way; try again, or take another source",
                       self->url, found, expected);
          result = TRY_WRONG;
        }
      if (result == TRY_WRONG)
        {
          remember_validator (self, NULL);
          if (!begin_again (self, error))
            return FALSE;
          self->size = self->file->size;
        }
      if (result == TRY_FAILED || (result == TRY_WRONG && ++n_corrupt >= MAX_CORRUPT))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }

      if (self->n_have >= n_before + MIN_PROGRESS)
        n_tries = 0;
      if (++n_tries >= self->work->max_tries || retry_after_ms > MAX_PATIENCE_MS)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "after %u tries: ", n_tries);
          return FALSE;
        }
      delay_ms = MAX (get_delay_ms (self->work, n_tries), retry_after_ms);
      if (!self->work->wait (self->work->data, delay_ms, local->message))
        return set_cancelled (error);
    }
}

gboolean
zie_hub_fetch_file (const ZieHubFile *file, const char *url, const char *folder, ZieHubHttp *http, const ZieHubWork *work, GError **error)
{
  Transfer self = { .file = file, .work = work, .url = url, .fd = -1, .size = file->size };
  gboolean is_there;

  self.path = g_build_filename (folder, file->path, NULL);
  self.part = g_strconcat (self.path, ".part", NULL);
  self.part_of = g_strconcat (self.path, ".part-of", NULL);
  self.buffer = g_malloc (CHUNK_SIZE);

  is_there = open_part (&self, error) && fetch (&self, http, folder, error);

  if (self.fd >= 0)
    close (self.fd);
  g_clear_pointer (&self.sha256, g_checksum_free);
  g_clear_pointer (&self.md5, g_checksum_free);
  g_free (self.validator);
  g_free (self.buffer);
  g_free (self.path);
  g_free (self.part);
  g_free (self.part_of);
  return is_there;
}
