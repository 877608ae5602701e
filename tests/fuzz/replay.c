/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over the corpus where there is no libFuzzer: replay FOLDER */

#include <stdio.h>

#include "fuzz.h"

int
main (int argc, char **argv)
{
  g_autoptr(GDir) dir = argc == 2 ? g_dir_open (argv[1], 0, NULL) : NULL;
  const char *name;
  guint n = 0;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (argv[1], name, NULL), *data = NULL;
      gsize size;

      if (!g_file_get_contents (path, &data, &size, NULL))
        fuzz_fail ("%s: cannot be read", path);
      LLVMFuzzerTestOneInput ((const uint8_t *)data, size);
      n++;
    }

  printf ("%u inputs\n", n);
  return n == 0;
}
