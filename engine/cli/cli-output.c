/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zimage"

#include "cli-output.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "cli.h"
#include "cli-i18n.h"

#define SUFFIX ".png"
#define SLUG_CHARS 40        /* 160 bytes at most: file names end at 255 */

gboolean
cli_output_init (CliOutput *self, const char *output, gboolean is_numbered, GError **error)
{
  *self = (CliOutput) { .is_numbered = is_numbered };

  if (output == NULL || g_file_test (output, G_FILE_TEST_IS_DIR))
    {
      self->folder = g_strdup (output != NULL ? output : ".");
      return TRUE;
    }

  if (strlen (output) <= strlen (SUFFIX)
      || g_ascii_strcasecmp (output + strlen (output) - strlen (SUFFIX), SUFFIX) != 0)
    {
      g_autofree char *shown = g_filename_display_name (output);

      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   _("--output must be a folder that is there or a file that ends in .png, not “%s”"), shown);
      return FALSE;
    }

  self->folder = g_path_get_dirname (output);
  self->stem = g_strndup (output, strlen (output) - strlen (SUFFIX));
  return TRUE;
}

void
cli_output_clear (CliOutput *self)
{
  g_clear_pointer (&self->folder, g_free);
  g_clear_pointer (&self->stem, g_free);
}

guint64
cli_png_size_bound (guint64 n, int width, int height)
{
  /* Pixels that do not compress cost a byte a row and 5 in 16 KiB more than they have; the rest is for the recipe. */
  guint64 raw = (guint64)height * ((guint64)width * 3 + 1);

  return n * (raw + raw / 1000 + 65536);
}

gboolean
cli_check_folder (const char *folder, guint64 size, GError **error)
{
  g_autofree char *shown = g_filename_display_name (folder);
  g_autofree char *probe = NULL;
  struct statvfs use;
  int descriptor;

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, _("the folder %s is not there; make it first or choose another"), shown);
      return FALSE;
    }

  /* A file that is made tells more than permission bits: read-only file systems, quotas, being root. */
  probe = g_build_filename (folder, ".zimage-XXXXXX", NULL);
  if ((descriptor = g_mkstemp (probe)) < 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, _("the folder %s cannot be written (%s); choose another with --output"),
                   shown, g_strerror (errno));
      return FALSE;
    }
  close (descriptor);
  g_unlink (probe);

  if (statvfs (folder, &use) == 0 && use.f_blocks > 0 && (guint64)use.f_bavail * use.f_frsize < size)
    {
      g_autofree char *free_size = cli_format_size ((guint64)use.f_bavail * use.f_frsize);
      g_autofree char *needed = cli_format_size (size);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE,
                   _("the disk of %s is full: %s are free and the pictures may need %s; free some space or choose another folder"),
                   shown, free_size, needed);
      return FALSE;
    }

  return TRUE;
}

/* "A red apple, on blue!" as "a-red-apple-on-blue": letters and digits of every script, the rest as single hyphens. */
static char *
slug_of (const char *prompt)
{
  GString *slug = g_string_new (NULL);
  gboolean is_gap = FALSE;
  guint n = 0;

  for (const char *p = prompt; *p != '\0' && n < SLUG_CHARS; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (!g_unichar_isalnum (c) && !g_unichar_ismark (c))
        {
          is_gap = slug->len > 0;
          continue;
        }
      if (is_gap)
        {
          g_string_append_c (slug, '-');
          n++;
        }
      g_string_append_unichar (slug, g_unichar_tolower (c));
      is_gap = FALSE;
      n++;
    }

  if (slug->len == 0)
    g_string_append (slug, "picture");

  return g_string_free (slug, FALSE);
}

static char *
path_from_prompt (const CliOutput *self, const char *prompt, guint64 seed)
{
  g_autofree char *slug = slug_of (prompt);
  g_autofree char *name = g_strdup_printf ("%s-%" G_GUINT64_FORMAT SUFFIX, slug, seed);
  char *path = strcmp (self->folder, ".") == 0 ? g_strdup (name) : g_build_filename (self->folder, name, NULL);

  for (guint i = 2; g_file_test (path, G_FILE_TEST_EXISTS); i++)
    {
      g_autofree char *other = g_strdup_printf ("%s-%" G_GUINT64_FORMAT "-%u" SUFFIX, slug, seed, i);

      g_free (path);
      path = strcmp (self->folder, ".") == 0 ? g_strdup (other) : g_build_filename (self->folder, other, NULL);
    }

  return path;
}

char *
cli_output_get_path (const CliOutput *self, guint index, const char *prompt, guint64 seed)
{
  if (self->stem == NULL)
    return path_from_prompt (self, prompt, seed);
  if (self->is_numbered)
    return g_strdup_printf ("%s_%03u" SUFFIX, self->stem, index);

  return g_strconcat (self->stem, SUFFIX, NULL);
}
