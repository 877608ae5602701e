/* SPDX-License-Identifier: Apache-2.0 */

/* The index of a sharded set, beside one good shard. */

#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "zie-weight-file.h"

static void
write_file (const char *path, const void *data, size_t size)
{
  FILE *file = fopen (path, "wb");

  if (file == NULL || fwrite (data, 1, size, file) != size || fclose (file) != 0)
    fuzz_fail ("%s: cannot be written", path);
}

static char folder[] = "/tmp/zie-fuzz-XXXXXX";
static char *shard, *index_path;

static void
clean_up (void)
{
  remove (shard);
  remove (index_path);
  rmdir (folder);
}

static void
set_up (void)
{
  static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}    ";
  guint64 length = GUINT64_TO_LE (strlen (header));
  g_autofree char *data = g_malloc (8 + sizeof header - 1 + 4);

  if (mkdtemp (folder) == NULL)
    fuzz_fail ("no temporary folder");
  shard = g_build_filename (folder, "x-00001-of-00001.safetensors", NULL);
  index_path = g_build_filename (folder, "x.safetensors.index.json", NULL);
  memcpy (data, &length, 8);
  memcpy (data + 8, header, sizeof header - 1);
  memcpy (data + 8 + sizeof header - 1, "1234", 4);
  write_file (shard, data, 8 + sizeof header - 1 + 4);
  atexit (clean_up);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr(ZieWeightFile) file = NULL;
  GError *error = NULL;

  if (shard == NULL)
    set_up ();
  write_file (index_path, data, size);
  if ((file = zie_weight_file_open (index_path, &error)) == NULL)
    {
      fuzz_check_error (error, folder);      /* the index, or the shard that it names */
      return 0;
    }
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (file, i);
      g_autofree char *named = g_canonicalize_filename (info->file, "/");      /* "./x" is x */

      g_assert_cmpstr (named, ==, shard);
      fuzz_touch (info->data, info->size);
    }
  return 0;
}
