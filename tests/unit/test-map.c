/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-map"

/* Files that become shorter while they are mapped. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "zie-map.h"

#define SIZE ((gsize)1 << 20)
#define KEPT ((gsize)64 << 10)        /* whole pages of any size */

static char *
write_file (void)
{
  g_autofree guint8 *bytes = g_malloc (SIZE);
  g_autoptr(GError) error = NULL;
  char *path;
  int fd = g_file_open_tmp ("zie-map-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  memset (bytes, 0x5a, SIZE);
  g_file_set_contents (path, (const char *)bytes, (gssize)SIZE, &error);
  g_assert_no_error (error);
  return path;
}

/* Of all bytes from FROM on. */
static guint64
add_up (const ZieMap *map, gsize from)
{
  const volatile guint8 *data = zie_map_get_data (map);
  guint64 sum = 0;

  for (gsize i = from; i < zie_map_get_size (map); i++)
    sum += data[i];
  return sum;
}

static void
whole (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = write_file ();
  g_autoptr(ZieMap) map = zie_map_new (path, &error);
  gint flag = 0;

  g_assert_no_error (error);
  zie_map_set_flag (map, &flag);
  g_assert_cmpuint (add_up (map, 0), ==, SIZE * 0x5a);
  g_assert_true (zie_map_check (map, &error));
  g_assert_cmpint (flag, ==, 0);
  g_unlink (path);                               /* which takes nothing from those who have it open */
  g_assert_cmpuint (add_up (map, 0), ==, SIZE * 0x5a);
  g_assert_true (zie_map_check (map, &error));
  zie_map_set_flag (map, NULL);
}

static gpointer
add_up_all (gpointer map)
{
  return GSIZE_TO_POINTER ((gsize)add_up (map, 0));
}

/* Read by several threads at once: zeros instead of what is gone, what is there stays, and it is said of that file alone. */
static void
cut (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = write_file (), *other_path = write_file ();
  g_autoptr(ZieMap) map = zie_map_new (path, &error), other = zie_map_new (other_path, &error);
  GThread *threads[4];
  gint flag = 0, late = 0;

  g_assert_no_error (error);
  zie_map_set_flag (map, &flag);
  g_assert_cmpint (truncate (path, (off_t)KEPT), ==, 0);
  g_assert_true (zie_map_check (map, &error));   /* nobody has looked */
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", add_up_all, map);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (threads[i])), ==, KEPT * 0x5a);
  g_assert_cmpint (flag, ==, 1);
  zie_map_set_flag (map, &late);
  g_assert_cmpint (late, ==, 1);
  g_assert_false (zie_map_check (map, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_LOST);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, "open the model again"));
  g_clear_error (&error);

  g_assert_cmpuint (add_up (other, 0), ==, SIZE * 0x5a);
  g_assert_true (zie_map_check (other, &error));

  /* A map in the same place later is another one. */
  g_clear_pointer (&map, zie_map_free);
  g_assert_true (g_file_set_contents (path, "short", 5, NULL));
  map = zie_map_new (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (add_up (map, 0), ==, 's' + 'h' + 'o' + 'r' + 't');
  g_assert_true (zie_map_check (map, &error));
  g_unlink (path);
  g_unlink (other_path);
}

static void
empty (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = write_file ();
  g_autoptr(ZieMap) map = NULL;

  g_assert_cmpint (truncate (path, 0), ==, 0);
  map = zie_map_new (path, &error);
  g_assert_no_error (error);
  g_assert_null (zie_map_get_data (map));
  g_assert_cmpuint (zie_map_get_size (map), ==, 0);
  g_assert_true (zie_map_check (map, &error));
  g_unlink (path);
  g_assert_null (zie_map_new (path, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND);
}

static sig_atomic_t n_foreign;

static void
on_foreign (int number)
{
  if (n_foreign++ > 0)
    signal (number, SIG_DFL);
}

/* What is no map of ours ends the program as it always did, after the handler of before. */
static void
foreign (void)
{
  if (g_test_subprocess ())
    {
      g_autofree char *path = write_file ();
      g_autoptr(ZieMap) map = NULL;

      signal (SIGBUS, on_foreign);
      map = zie_map_new (path, NULL);
      g_unlink (path);
      raise (SIGBUS);
      g_print ("the handler of before was called %d times\n", (int)n_foreign);
      raise (SIGBUS);
      raise (SIGBUS);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stdout ("*the handler of before was called 1 times*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/map/whole", whole);
  g_test_add_func ("/map/cut", cut);
  g_test_add_func ("/map/empty", empty);
  g_test_add_func ("/map/foreign", foreign);
  return g_test_run ();
}
