/* SPDX-License-Identifier: Apache-2.0 */
#include <glib/gstdio.h>
#include <string.h>

#include "zis-export.h"
#include "zis-gallery-model.h"

static ZieImage *
make_image (void)
{
  guint8 *pixels = g_malloc (48 * 32 * 3);

  for (int i = 0; i < 48 * 32 * 3; i++)
    pixels[i] = (guint8) (i * 7);
  return zie_image_new (48, 32, 48 * 3, g_bytes_new_take (pixels, 48 * 32 * 3));
}

/* --- a place without a path, as a server that the desktop has connected: a file underneath that nobody is told of --- */

typedef struct { GObject parent; GFile *inner; } Remote;
typedef struct { GObjectClass parent; } RemoteClass;

static void remote_file_init (GFileIface *iface);
static GType remote_get_type (void);
G_DEFINE_TYPE_WITH_CODE (Remote, remote, G_TYPE_OBJECT, G_IMPLEMENT_INTERFACE (G_TYPE_FILE, remote_file_init))

static void remote_init (Remote *self) { }

static void
remote_finalize (GObject *object)
{
  g_object_unref (((Remote *) object)->inner);
  G_OBJECT_CLASS (remote_parent_class)->finalize (object);
}

static void
remote_class_init (RemoteClass *class)
{
  G_OBJECT_CLASS (class)->finalize = remote_finalize;
}

static GFile *
remote_new (GFile *inner)
{
  Remote *self = g_object_new (remote_get_type (), NULL);

  self->inner = g_object_ref (inner);
  return G_FILE (self);
}

static GFile *remote_dup (GFile *file) { return remote_new (((Remote *) file)->inner); }
static char *remote_get_path (GFile *file) { return NULL; }
static char *remote_get_basename (GFile *file) { return g_file_get_basename (((Remote *) file)->inner); }
static char *remote_get_uri (GFile *file) { return g_strdup ("remote://server/file"); }

static GFileOutputStream *
remote_replace (GFile *file, const char *etag, gboolean make_backup, GFileCreateFlags flags, GCancellable *cancellable, GError **error)
{
  return g_file_replace (((Remote *) file)->inner, etag, make_backup, flags, cancellable, error);
}

static void
remote_file_init (GFileIface *iface)
{
  iface->dup = remote_dup;
  iface->get_path = remote_get_path;
  iface->get_basename = remote_get_basename;
  iface->get_uri = iface->get_parse_name = remote_get_uri;
  iface->replace = remote_replace;
}

static void
on_done (GObject *object, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
export_to (GFile *file, const char *type, GError **error)
{
  g_autoptr(ZieImage) image = make_image ();
  g_autoptr(GAsyncResult) result = NULL;
  g_auto(ZieRequest) recipe = { 0 };

  zie_request_init (&recipe);
  recipe.seed = 77;
  zis_export_async (image, &recipe, file, type, NULL, on_done, &result);
  while (!result)
    g_main_context_iteration (NULL, TRUE);

  return zis_export_finish (result, error);
}

static gboolean
export (const char *path, const char *type, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_path (path);

  return export_to (file, type, error);
}

static void
test_kinds (void)
{
  const struct { const char *name, *begins; gsize at; } kinds[] = {
    { "a.png", "\x89PNG", 0 }, { "a.JPG", "\xff\xd8\xff", 0 }, { "b.jpeg", "\xff\xd8\xff", 0 }, { "a.webp", "WEBP", 8 },
  };
  g_autofree char *folder = g_dir_make_tmp ("zis-export-XXXXXX", NULL);
  guint n_filters;

  zis_export_get_filters (&n_filters);
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_build_filename (folder, kinds[i].name, NULL), *data = NULL;
      g_autoptr(GFile) file = g_file_new_for_path (path);
      g_autoptr(GError) error = NULL;
      gsize size;

      if (!zis_export_knows (file))
        {
          g_assert_cmpuint (n_filters, ==, 2);      /* built without libwebp */
          continue;
        }
      g_assert_true (export (path, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (g_file_get_contents (path, &data, &size, NULL));
      g_assert_cmpmem (data + kinds[i].at, strlen (kinds[i].begins), kinds[i].begins, strlen (kinds[i].begins));
      if (i == 0)
        {
          g_auto(ZieRequest) recipe = { 0 };

          zie_request_init (&recipe);
          g_assert_true (zie_request_from_png (&recipe, path, NULL));
          g_assert_cmpuint (recipe.seed, ==, 77);
        }
      g_unlink (path);
    }
  g_rmdir (folder);
}

/* A name without a kind is written as the kind that was asked for: where only the chosen file may be written, it is. */
static void
test_type (void)
{
  g_autofree char *folder = g_dir_make_tmp ("zis-export-XXXXXX", NULL), *path = g_build_filename (folder, "v1.2 of a fox", NULL);
  g_autofree char *data = NULL;
  g_autoptr(GError) error = NULL;
  gsize size;

  g_assert_false (export (path, NULL, &error));
  g_assert_error (error, ZIE_ERROR, ZIE_ERROR_WRITE);
  g_clear_error (&error);
  g_assert_true (export (path, "jpg", &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  g_assert_cmpmem (data, 3, "\xff\xd8\xff", 3);
  g_unlink (path);
  g_rmdir (folder);
}

/* Each kind, recipe and all, and what a server refuses is said. */
static void
test_remote (void)
{
  const char *const names[] = { "a.png", "a.jpg" };
  g_autofree char *folder = g_dir_make_tmp ("zis-export-XXXXXX", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *local = g_build_filename (folder, names[i], NULL), *remote = g_build_filename (folder, "remote", NULL);
      g_autofree char *expected = NULL, *data = NULL;
      g_autoptr(GFile) inner = g_file_new_for_path (remote), file = remote_new (inner), gone = NULL, nowhere = g_file_new_for_path ("/nowhere/a.png");
      g_autoptr(GError) error = NULL;
      g_auto(ZieRequest) recipe = { 0 };
      gsize n_expected, size;

      g_assert_true (export (local, NULL, &error));
      g_assert_no_error (error);
      g_assert_true (export_to (file, i == 0 ? "png" : "jpg", &error));
      g_assert_no_error (error);
      g_assert_true (g_file_get_contents (local, &expected, &n_expected, NULL));
      g_assert_true (g_file_get_contents (remote, &data, &size, NULL));
      if (i > 0)
        g_assert_cmpmem (data, size, expected, n_expected);
      else
        {
          zie_request_init (&recipe);
          g_assert_true (zie_request_from_png (&recipe, remote, NULL));
          g_assert_cmpuint (recipe.seed, ==, 77);
        }
      gone = remote_new (nowhere);
      g_assert_false (export_to (gone, i == 0 ? "png" : "jpg", &error));
      g_assert_nonnull (error);
      g_unlink (local);
      g_unlink (remote);
    }
  g_rmdir (folder);
}

static void
test_failures (void)
{
  const char *const paths[] = { "/nowhere/a.png", "/nowhere/a.jpg", "/proc/a.webp", "/tmp/a.tiff" };

  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (export (paths[i], NULL, &error));
      g_assert_nonnull (error);
    }
}

static void
test_names (void)
{
  const struct { const char *prompt, *name; } cases[] = {
    { "A red fox, in the snow!", "a-red-fox-in-the-snow-5" },
    { "  ../../etc/passwd", "etc-passwd-5" },
    { "黄色背景上的一只熊猫", "黄色背景上的一只熊猫-5" },
    { "!!!", "picture-5" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto(ZieRequest) request = { 0 };
      g_autofree char *name = NULL;

      zie_request_init (&request);
      g_free (request.prompt);
      request.prompt = g_strdup (cases[i].prompt);
      request.seed = 5;
      name = zis_suggest_name (&request);
      g_assert_cmpstr (name, ==, cases[i].name);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/export/type", test_type);
  g_test_add_func ("/export/kinds", test_kinds);
  g_test_add_func ("/export/remote", test_remote);
  g_test_add_func ("/export/failures", test_failures);
  g_test_add_func ("/export/names", test_names);
  return g_test_run ();
}
