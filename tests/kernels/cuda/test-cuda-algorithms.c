/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda-algorithms.h"

#include <string.h>
#include <sys/stat.h>

#include <glib/gstdio.h>

typedef struct
{
  char *folder, *path;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("zie-algorithms-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->path = g_build_filename (f->folder, "new", "algorithms", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autofree char *inner = g_path_get_dirname (f->path);

  g_remove (f->path);
  g_rmdir (inner);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);         /* nothing else was left behind */
  g_free (f->path);
  g_free (f->folder);
}

static void
make_value (guint8 *value, guint8 seed)
{
  for (guint i = 0; i < CUDA_ALGORITHM_SIZE; i++)
    value[i] = (guint8)(seed + 37 * i);
}

static void
assert_value (const CudaAlgorithms *self, const char *key, guint8 seed)
{
  guint8 value[CUDA_ALGORITHM_SIZE], expected[CUDA_ALGORITHM_SIZE];

  make_value (expected, seed);
  g_assert_true (cuda_algorithms_find (self, key, value));
  g_assert_cmpmem (value, sizeof value, expected, sizeof expected);
}

static void
put_value (CudaAlgorithms *self, const char *key, guint8 seed)
{
  guint8 value[CUDA_ALGORITHM_SIZE];

  make_value (value, seed);
  cuda_algorithms_put (self, key, value);
}

static void
write_text (const Fixture *f, const char *text, gssize size)
{
  g_autofree char *folder = g_path_get_dirname (f->path);

  g_mkdir_with_parents (folder, 0700);
  g_assert_true (g_file_set_contents (f->path, text, size, NULL));
}

static void
test_keep (Fixture *f, gconstpointer data)
{
  {
    g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (f->path);

    put_value (self, "NVIDIA H200 130100 4160 x 11520", 1);
    put_value (self, "a key\twith\na tab", 2);
    put_value (self, "NVIDIA H200 130100 4160 x 11520", 3);
    assert_value (self, "NVIDIA H200 130100 4160 x 11520", 3);
  }
  g_autoptr(CudaAlgorithms) again = cuda_algorithms_new (f->path);
  guint8 value[CUDA_ALGORITHM_SIZE];

  assert_value (again, "NVIDIA H200 130100 4160 x 11520", 3);
  assert_value (again, "a key\twith\na tab", 2);
  g_assert_false (cuda_algorithms_find (again, "NVIDIA H200 130100 4160 x 1152", value));
}

/* Two processes with one file. */
static void
test_share (Fixture *f, gconstpointer data)
{
  g_autoptr(CudaAlgorithms) a = cuda_algorithms_new (f->path), b = cuda_algorithms_new (f->path);

  put_value (a, "one", 1);
  put_value (b, "two", 2);
  put_value (a, "three", 3);
  g_autoptr(CudaAlgorithms) again = cuda_algorithms_new (f->path);
  assert_value (again, "one", 1);
  assert_value (again, "two", 2);
  assert_value (again, "three", 3);
}

/* Lines that are cut, long, not hexadecimal or without a key are left out; the others count. */
static void
test_damaged (Fixture *f, gconstpointer data)
{
  guint8 value[CUDA_ALGORITHM_SIZE];
  g_autofree char *text = NULL;
  g_autofree char *whole = NULL;

  {
    g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (f->path);

    put_value (self, "good", 9);
  }
  g_assert_true (g_file_get_contents (f->path, &whole, NULL, NULL));
  text = g_strdup_printf ("%sno tab\ncut\t00ff\n\tffff\nletters\t%0128d\nletters\t%0127dx\nlast\t%0100d", whole, 0, 0, 0);
  write_text (f, text, -1);
  {
    g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (f->path);

    assert_value (self, "good", 9);
    g_assert_true (cuda_algorithms_find (self, "letters", value));
    g_assert_false (cuda_algorithms_find (self, "cut", value));
    g_assert_false (cuda_algorithms_find (self, "last", value));
    put_value (self, "more", 4);
  }
  g_autoptr(CudaAlgorithms) again = cuda_algorithms_new (f->path);
  assert_value (again, "good", 9);
  assert_value (again, "more", 4);
}

static void
test_foreign (Fixture *f, gconstpointer data)
{
  static const struct { const char *text; gssize size; } files[] = {
    { "", 0 }, { "\0\0\0\0", 4 }, { "zimage-studio cublaslt-algorithms 2\ngood\t00\n", -1 }, { "\xff\xfe\n\n\n", -1 },
  };
  guint8 value[CUDA_ALGORITHM_SIZE];

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      write_text (f, files[i].text, files[i].size);
      g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (f->path);
      g_assert_false (cuda_algorithms_find (self, "good", value));
      put_value (self, "good", (guint8)i);
      g_autoptr(CudaAlgorithms) again = cuda_algorithms_new (f->path);
      assert_value (again, "good", (guint8)i);
    }
}

/* No folder can be made under a file: everything works, but nothing is kept. */
static void
test_unwritable (Fixture *f, gconstpointer data)
{
  g_autofree char *below = g_build_filename (f->path, "below", NULL);
  guint8 value[CUDA_ALGORITHM_SIZE];

  write_text (f, "a file", -1);
  g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (below);
  put_value (self, "one", 1);
  assert_value (self, "one", 1);
  g_autoptr(CudaAlgorithms) again = cuda_algorithms_new (below);
  g_assert_false (cuda_algorithms_find (again, "one", value));
}

/* It does not grow for ever: the oldest leave. */
static void
test_full (Fixture *f, gconstpointer data)
{
  g_autoptr(GString) text = g_string_new ("zimage-studio cublaslt-algorithms 1\n");
  guint8 value[CUDA_ALGORITHM_SIZE];

  for (guint i = 0; i < 5000; i++)
    g_string_append_printf (text, "key %u\t%0128u\n", i, i % 10);
  write_text (f, text->str, -1);
  g_autoptr(CudaAlgorithms) self = cuda_algorithms_new (f->path);
  put_value (self, "new", 1);
  assert_value (self, "new", 1);
  g_assert_true (cuda_algorithms_find (self, "key 4999", value));
  g_assert_false (cuda_algorithms_find (self, "key 0", value));
  g_assert_false (cuda_algorithms_find (self, "key 904", value));
  g_assert_true (cuda_algorithms_find (self, "key 905", value));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/cuda-algorithms/keep", Fixture, NULL, set_up, test_keep, tear_down);
  g_test_add ("/cuda-algorithms/share", Fixture, NULL, set_up, test_share, tear_down);
  g_test_add ("/cuda-algorithms/damaged", Fixture, NULL, set_up, test_damaged, tear_down);
  g_test_add ("/cuda-algorithms/foreign", Fixture, NULL, set_up, test_foreign, tear_down);
  g_test_add ("/cuda-algorithms/unwritable", Fixture, NULL, set_up, test_unwritable, tear_down);
  g_test_add ("/cuda-algorithms/full", Fixture, NULL, set_up, test_full, tear_down);
  return g_test_run ();
}
