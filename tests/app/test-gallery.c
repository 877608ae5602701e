/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <glib/gstdio.h>

#include "zis-gallery-model.h"

typedef struct
{
  char *folder;
  GSettings *settings;
  ZisGalleryModel *model;
  int n_failed;
} Fixture;

static void
on_save_failed (ZisGalleryModel *model, ZisPicture *picture, gpointer error, gpointer user_data)
{
  ((Fixture *) user_data)->n_failed++;
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("zis-gallery-XXXXXX", NULL);
  f->settings = g_settings_new (ZIS_APP_ID);
  g_settings_set_string (f->settings, "output-folder", f->folder);
  f->model = zis_gallery_model_new (f->settings);
  zis_gallery_model_open (f->model);
  g_signal_connect (f->model, "save-failed", G_CALLBACK (on_save_failed), f);
}

static void
remove_folder (const char *path)
{
  g_autoptr(GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      g_unlink (child);
    }
  g_rmdir (path);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_object_unref (f->model);
  g_object_unref (f->settings);
  remove_folder (f->folder);
  g_free (f->folder);
}

static ZisPicture *
add (Fixture *f, guint64 seed)
{
  g_autoptr(ZieImage) image = zie_image_new (32, 16, 96, g_bytes_new_take (g_malloc0 (16 * 96), 16 * 96));
  g_auto(ZieRequest) request = { 0 };

  zie_request_init (&request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a fox");
  request.seed = seed;

  return zis_gallery_model_add (f->model, image, &request);
}

static void
wait_saved (Fixture *f)
{
  while (zis_gallery_model_get_n_saving (f->model) > 0)
    g_main_context_iteration (NULL, TRUE);
}

static guint
get_n (ZisGalleryModel *model)
{
  return g_list_model_get_n_items (G_LIST_MODEL (model));
}

static void
test_kept (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->folder, "a-fox-7-2.png", NULL);
  ZisPicture *second;

  add (f, 7);
  second = add (f, 7);
  g_assert_cmpuint (zis_gallery_model_find (f->model, second), ==, 0);
  wait_saved (f);
  g_assert_true (zis_picture_is_saved (second));
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_cmpuint (get_n (f->model), ==, 2);

  /* Another session finds both, and the recipe. */
  g_autoptr(ZisGalleryModel) later = zis_gallery_model_new (f->settings);
  gint64 end = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;

  zis_gallery_model_open (later);
  while (get_n (later) < 2 && g_get_monotonic_time () < end)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (get_n (later), ==, 2);

  g_autoptr(ZisPicture) picture = g_list_model_get_item (G_LIST_MODEL (later), 0);
  g_autoptr(GdkTexture) thumbnail = NULL;

  zis_picture_want_thumbnail (picture);
  while (!thumbnail && g_get_monotonic_time () < end)
    {
      g_main_context_iteration (NULL, FALSE);
      g_object_get (picture, "thumbnail", &thumbnail, NULL);
    }
  g_assert_nonnull (thumbnail);
  g_assert_cmpint (gdk_texture_get_width (thumbnail), ==, gdk_texture_get_height (thumbnail));
  g_assert_cmpstr (zis_picture_get_title (picture), ==, "a fox");
  g_assert_cmpuint (zis_picture_get_request (picture)->seed, ==, 7);
}

static void
test_not_kept (Fixture *f, gconstpointer data)
{
  g_autofree char *path = NULL;
  ZisPicture *picture;

  g_settings_set_boolean (f->settings, "keep-pictures", FALSE);
  picture = add (f, 1);
  path = g_file_get_path (zis_picture_get_file (picture));
  wait_saved (f);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_false (g_str_has_prefix (path, f->folder));
  g_object_run_dispose (G_OBJECT (f->model));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_settings_set_boolean (f->settings, "keep-pictures", TRUE);
}

static void
on_loaded (GObject *object, GAsyncResult *result, gpointer user_data)
{
  *(ZieImage **) user_data = zis_picture_load_finish (ZIS_PICTURE (object), result, NULL);
}

static void
on_result (GObject *object, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* A folder that cannot be written loses nothing: the picture stays and is saved once it can be. */
static void
test_failed_save (Fixture *f, gconstpointer data)
{
  g_autofree char *blocked = g_build_filename (f->folder, "file", NULL);
  g_autofree char *inside = g_build_filename (blocked, "pictures", NULL);
  ZieImage *image = NULL;
  ZisPicture *picture;

  g_assert_true (g_file_set_contents (blocked, "", 0, NULL));
  g_settings_set_string (f->settings, "output-folder", inside);
  zis_gallery_model_open (f->model);
  picture = add (f, 3);
  wait_saved (f);
  g_assert_cmpint (f->n_failed, ==, 1);
  g_assert_false (zis_picture_is_saved (picture));
  g_assert_true (zis_gallery_model_get_unsaved (f->model) == picture);

  zis_picture_load_async (picture, NULL, on_loaded, &image);
  while (!image)
    g_main_context_iteration (NULL, TRUE);
  zie_image_unref (image);

  g_unlink (blocked);
  zis_gallery_model_save_again (f->model, picture);
  while (!zis_picture_is_saved (picture))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (f->n_failed, ==, 1);
  g_assert_null (zis_gallery_model_get_unsaved (f->model));
  remove_folder (inside);
  g_rmdir (blocked);
  g_settings_set_string (f->settings, "output-folder", f->folder);
}

/* Another folder, the natural way out, takes what could not be saved with it. */
static void
test_moved (Fixture *f, gconstpointer data)
{
  g_autofree char *blocked = g_build_filename (f->folder, "file", NULL), *inside = g_build_filename (blocked, "pictures", NULL);
  ZisPicture *picture;

  g_assert_true (g_file_set_contents (blocked, "", 0, NULL));
  g_settings_set_string (f->settings, "output-folder", inside);
  zis_gallery_model_open (f->model);
  picture = add (f, 4);
  wait_saved (f);
  g_assert_true (zis_gallery_model_get_unsaved (f->model) == picture);

  g_settings_set_string (f->settings, "output-folder", f->folder);
  zis_gallery_model_open (f->model);
  g_assert_cmpuint (zis_gallery_model_find (f->model, picture), ==, 0);
  while (!zis_picture_is_saved (picture))
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (zis_gallery_model_get_unsaved (f->model));
  g_assert_true (g_str_has_prefix (g_file_peek_path (zis_picture_get_file (picture)), f->folder));
  g_assert_true (g_file_query_exists (zis_picture_get_file (picture), NULL));
  g_assert_cmpint (f->n_failed, ==, 1);
}

/* What is deleted before it was written stays deleted, whether it could be written or not. */
static void
test_deleted_while_saving (Fixture *f, gconstpointer data)
{
  g_autofree char *blocked = g_build_filename (f->folder, "file", NULL), *inside = g_build_filename (blocked, "pictures", NULL);
  g_autofree char *path = NULL;
  g_autoptr(ZisPicture) picture = NULL;
  g_autoptr(GError) error = NULL;

  picture = g_object_ref (add (f, 5));
  path = g_file_get_path (zis_picture_get_file (picture));
  g_assert_true (zis_gallery_model_trash (f->model, picture, &error));
  g_assert_no_error (error);
  wait_saved (f);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_cmpuint (get_n (f->model), ==, 0);

  g_assert_true (g_file_set_contents (blocked, "", 0, NULL));
  g_settings_set_string (f->settings, "output-folder", inside);
  zis_gallery_model_open (f->model);
  g_set_object (&picture, add (f, 6));
  g_assert_true (zis_gallery_model_trash (f->model, picture, &error));
  g_assert_no_error (error);
  wait_saved (f);
  g_assert_cmpint (f->n_failed, ==, 0);
  g_assert_null (zis_gallery_model_get_unsaved (f->model));
  g_assert_cmpuint (get_n (f->model), ==, 0);
  g_settings_set_string (f->settings, "output-folder", f->folder);
}

/* What lies elsewhere is fetched, and what cannot be is an error, not a crash. */
static void
test_elsewhere (void)
{
  g_autoptr(GFile) file = g_file_new_for_uri ("nowhere://example.com/a.png");
  g_autoptr(ZisPicture) picture = zis_picture_new_for_file (file, 0);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (g_file_peek_path (file));
  zis_picture_load_async (picture, NULL, on_result, &result);
  while (!result)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (zis_picture_load_finish (picture, result, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "nowhere://example.com/a.png"));
}

int
main (int argc, char *argv[])
{
  g_autofree char *cache = g_dir_make_tmp ("zis-cache-XXXXXX", NULL);

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/gallery/kept", Fixture, NULL, set_up, test_kept, tear_down);
  g_test_add ("/gallery/not-kept", Fixture, NULL, set_up, test_not_kept, tear_down);
  g_test_add ("/gallery/failed-save", Fixture, NULL, set_up, test_failed_save, tear_down);
  g_test_add ("/gallery/moved", Fixture, NULL, set_up, test_moved, tear_down);
  g_test_add ("/gallery/deleted-while-saving", Fixture, NULL, set_up, test_deleted_while_saving, tear_down);
  g_test_add_func ("/gallery/elsewhere", test_elsewhere);
  return g_test_run ();
}
