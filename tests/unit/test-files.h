/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files for tests of the readers: a folder that goes away, bytes put together piece by piece, random damage. */

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <zie/zie-error.h>

/* What sanitizers, with a stack walk at every allocation, may take longer. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_TIME_FACTOR 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_TIME_FACTOR 20
#endif
#endif
#ifndef TEST_TIME_FACTOR
#define TEST_TIME_FACTOR 1
#endif

/* Processor time of this test so far: bounds hold on a busy machine too. */
static inline gint64
test_cpu_us (void)
{
  return (gint64)((double)clock () * G_USEC_PER_SEC / CLOCKS_PER_SEC);
}

typedef struct
{
  char *folder;      /* owned; removed with what test_files_path() named */
  GPtrArray *paths;  /* owned */
} TestFiles;

static inline void
test_files_init (TestFiles *self)
{
  g_autoptr(GError) error = NULL;

  self->folder = g_dir_make_tmp ("zie-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->paths = g_ptr_array_new_with_free_func (g_free);
}

/* Borrowed from SELF. */
static inline const char *
test_files_path (TestFiles *self, const char *name)
{
  char *path = g_build_filename (self->folder, name, NULL);

  g_ptr_array_add (self->paths, path);
  return path;
}

/* Thousands of files are written here: g_file_set_contents() syncs each, and many file systems flush a file that was
 * cut to nothing and written anew, so a new one takes its name. */
static inline const char *
test_files_write (TestFiles *self, const char *name, const void *data, gsize size)
{
  const char *path = test_files_path (self, name);
  FILE *file;

  g_unlink (path);
  file = fopen (path, "wb");
  g_assert_nonnull (file);
  if (size > 0)
    g_assert_cmpuint (fwrite (data, 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
  return path;
}

static inline void
test_files_clear (TestFiles *self)
{
  for (guint i = 0; i < self->paths->len; i++)
    g_unlink (self->paths->pdata[i]);
  g_assert_cmpint (g_rmdir (self->folder), ==, 0);      /* nothing else was left there */
  g_ptr_array_unref (self->paths);
  g_free (self->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TestFiles, test_files_clear)

static inline void
put_u32 (GByteArray *bytes, guint32 value)
{
  value = GUINT32_TO_LE (value);
  g_byte_array_append (bytes, (const guint8 *)&value, 4);
}

static inline void
put_u64 (GByteArray *bytes, guint64 value)
{
  value = GUINT64_TO_LE (value);
  g_byte_array_append (bytes, (const guint8 *)&value, 8);
}

static inline void
put_text (GByteArray *bytes, const char *text)
{
  g_byte_array_append (bytes, (const guint8 *)text, (guint)strlen (text));
}

static inline void
put_zeros (GByteArray *bytes, guint n)
{
  guint old = bytes->len;

  g_byte_array_set_size (bytes, old + n);
  if (n > 0)
    memset (bytes->data + old, 0, n);
}

/* A safetensors file of HEADER and N_DATA bytes that count 0, 1, 2 … */
static inline GByteArray *
make_safetensors (const char *header, guint n_data)
{
  GByteArray *bytes = g_byte_array_new ();

  put_u64 (bytes, strlen (header));
  put_text (bytes, header);
  for (guint i = 0; i < n_data; i++)
    {
      guint8 byte = (guint8)i;

      g_byte_array_append (bytes, &byte, 1);
    }

  return bytes;
}

/* A copy of BYTES with one to four random changes: a byte, a bit, a piece cut out, or the end cut off. */
static inline GByteArray *
damage (GRand *rand, const GByteArray *bytes)
{
  GByteArray *copy = g_byte_array_sized_new (bytes->len);

  g_byte_array_append (copy, bytes->data, bytes->len);
  for (int n = g_rand_int_range (rand, 1, 5); n > 0 && copy->len > 1; n--)
    {
      guint at = (guint)g_rand_int_range (rand, 0, (gint32)copy->len);

      switch (g_rand_int_range (rand, 0, 8))
        {
        case 0:
          g_byte_array_set_size (copy, at);
          break;
        case 1:
          g_byte_array_remove_range (copy, at, (guint)g_rand_int_range (rand, 1, 1 + (gint32)MIN (copy->len - at, 16)));
          break;
        case 2:
        case 3:
          copy->data[at] ^= (guint8)(1 << g_rand_int_range (rand, 0, 8));
          break;
        case 4:
          copy->data[at] = 0xff;
          break;
        default:
          copy->data[at] = (guint8)g_rand_int (rand);
        }
    }

  return copy;
}

/* ERROR has CODE and its message holds every word of WORDS (NULL-ended). */
static inline void
assert_error_says (const GError *error, ZieError code, const char *const *words)
{
  g_assert_error (error, ZIE_ERROR, (int)code);
  for (guint i = 0; words[i] != NULL; i++)
    if (strstr (error->message, words[i]) == NULL)
      g_error ("the message \"%s\" does not say \"%s\"", error->message, words[i]);
}

#define assert_says(error, code, ...) \
  assert_error_says ((error), (code), (const char *const[]) { __VA_ARGS__, NULL })
