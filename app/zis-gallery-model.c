/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-gallery-model"

#include "zis-gallery-model.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <glib/gi18n.h>

#include "zis-desktop.h"

#define NAME_MAX_CHARS 48

struct _ZisGalleryModel
{
  GObject parent_instance;

  GSettings *settings;       /* owned */
  GListStore *pictures;      /* owned */
  GFile *folder;             /* owned or NULL */
  GFileMonitor *monitor;     /* owned or NULL */
  GCancellable *reading;     /* owned or NULL */
  char *session_folder;      /* owned or NULL: of pictures not to be kept */
  GPtrArray *unsaved;        /* owned, of owned ZisPicture: what could not be saved, the oldest first */
  GPtrArray *saving;         /* owned, of borrowed Saving: on their way to their files */
};

enum
{
  PROP_0,
  PROP_N_SAVING,
  N_PROPS
};

enum
{
  SIGNAL_SAVE_FAILED,
  N_SIGNALS
};

static GParamSpec *properties[N_PROPS];
static guint signals[N_SIGNALS];

static void zis_gallery_model_list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ZisGalleryModel, zis_gallery_model, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, zis_gallery_model_list_model_init))

static GType
zis_gallery_model_get_item_type (GListModel *model)
{
  return ZIS_TYPE_PICTURE;
}

static guint
zis_gallery_model_get_n_items (GListModel *model)
{
  return g_list_model_get_n_items (G_LIST_MODEL (ZIS_GALLERY_MODEL (model)->pictures));
}

static gpointer
zis_gallery_model_get_item (GListModel *model, guint position)
{
  return g_list_model_get_item (G_LIST_MODEL (ZIS_GALLERY_MODEL (model)->pictures), position);
}

static void
zis_gallery_model_list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = zis_gallery_model_get_item_type;
  iface->get_n_items = zis_gallery_model_get_n_items;
  iface->get_item = zis_gallery_model_get_item;
}

/* --- the folder --------------------------------------------------------------------------------------------- */

static int
compare_newest_first (gconstpointer a, gconstpointer b, gpointer user_data)
{
  gint64 first = zis_picture_get_modified ((ZisPicture *) a), second = zis_picture_get_modified ((ZisPicture *) b);

  return first > second ? -1 : first < second;
}

static int
compare_pointers (gconstpointer a, gconstpointer b)
{
  return compare_newest_first (*(gpointer const *) a, *(gpointer const *) b, NULL);
}

static guint
find_file (ZisGalleryModel *self, GFile *file)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->pictures));

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(ZisPicture) picture = g_list_model_get_item (G_LIST_MODEL (self->pictures), i);

      if (g_file_equal (zis_picture_get_file (picture), file))
        return i;
    }

  return GTK_INVALID_LIST_POSITION;
}

static gboolean
is_picture_name (const char *name)
{
  g_autofree char *lower = g_ascii_strdown (name, -1);

  return *name != '.' && g_str_has_suffix (lower, ".png");
}

typedef struct
{
  GFile *folder;             /* owned */
  GPtrArray *pictures;       /* owned, of owned ZisPicture */
} FolderRead;

static void
folder_read_free (gpointer data)
{
  FolderRead *self = data;

  g_object_unref (self->folder);
  g_clear_pointer (&self->pictures, g_ptr_array_unref);
  g_free (self);
}

static void
read_folder_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  FolderRead *self = data;
  g_autoptr(GFileEnumerator) files = NULL;
  GError *error = NULL;
  GFileInfo *info;
  GFile *file;

  files = g_file_enumerate_children (self->folder, G_FILE_ATTRIBUTE_STANDARD_NAME "," G_FILE_ATTRIBUTE_STANDARD_TYPE ","
                                     G_FILE_ATTRIBUTE_TIME_MODIFIED, G_FILE_QUERY_INFO_NONE, cancellable, &error);
  if (!files)
    {
      g_task_return_error (task, error);
      return;
    }

  while (g_file_enumerator_iterate (files, &info, &file, cancellable, &error) && info)
    if (g_file_info_get_file_type (info) == G_FILE_TYPE_REGULAR && is_picture_name (g_file_info_get_name (info)))
      g_ptr_array_add (self->pictures,
                       zis_picture_new_for_file (file, (gint64) g_file_info_get_attribute_uint64 (info, G_FILE_ATTRIBUTE_TIME_MODIFIED)));

  if (error)
    {
      g_task_return_error (task, error);
      return;
    }
  g_ptr_array_sort (self->pictures, compare_pointers);
  g_task_return_boolean (task, TRUE);
}

static void
on_folder_read (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisGalleryModel *self = ZIS_GALLERY_MODEL (object);
  FolderRead *read = g_task_get_task_data (G_TASK (result));
  g_autoptr(GError) error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      /* A folder that is not there yet is empty. */
      g_debug ("read folder: %s", error->message);
      return;
    }
  if (g_task_get_cancellable (G_TASK (result)) != self->reading)
    return;

  /* What was made while the folder was being read is already here. */
  for (guint i = read->pictures->len; i > 0; i--)
    if (find_file (self, zis_picture_get_file (g_ptr_array_index (read->pictures, i - 1))) != GTK_INVALID_LIST_POSITION)
      g_ptr_array_remove_index (read->pictures, i - 1);
  g_list_store_splice (self->pictures, g_list_model_get_n_items (G_LIST_MODEL (self->pictures)), 0, read->pictures->pdata,
                       read->pictures->len);
}

static void
on_folder_changed (GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user_data)
{
  ZisGalleryModel *self = user_data;
  g_autofree char *name = g_file_get_basename (file);
  g_autoptr(GFileInfo) info = NULL;
  g_autoptr(ZisPicture) picture = NULL;
  guint position = find_file (self, file);

  if (event == G_FILE_MONITOR_EVENT_DELETED && position != GTK_INVALID_LIST_POSITION)
    {
      g_autoptr(ZisPicture) gone = g_list_model_get_item (G_LIST_MODEL (self->pictures), position);

      if (zis_picture_is_saved (gone))
        g_list_store_remove (self->pictures, position);
    }

  if (event != G_FILE_MONITOR_EVENT_CHANGES_DONE_HINT || position != GTK_INVALID_LIST_POSITION || !is_picture_name (name))
    return;

  info = g_file_query_info (file, G_FILE_ATTRIBUTE_TIME_MODIFIED, G_FILE_QUERY_INFO_NONE, NULL, NULL);
  if (!info)
    return;
  picture = zis_picture_new_for_file (file, (gint64) g_file_info_get_attribute_uint64 (info, G_FILE_ATTRIBUTE_TIME_MODIFIED));
  g_list_store_insert_sorted (self->pictures, picture, compare_newest_first, NULL);
}

static GFile *
find_folder (ZisGalleryModel *self)
{
  g_autofree char *chosen = g_settings_get_string (self->settings, "output-folder");
  const char *pictures = g_get_user_special_dir (G_USER_DIRECTORY_PICTURES);

  if (*chosen)
    return g_file_new_for_path (chosen);
  /* In a sandbox the user's folders are reached through portals only: there a private one it is. */
  if (pictures && !zis_desktop_is_sandboxed ())
    return g_file_new_build_filename (pictures, "Z-Image Studio", NULL);
  return g_file_new_build_filename (g_get_user_data_dir (), "zimage-studio", "pictures", NULL);
}

static void move_unsaved (ZisGalleryModel *self);

void
zis_gallery_model_open (ZisGalleryModel *self)
{
  g_autoptr(GTask) task = NULL;
  FolderRead *read = g_new0 (FolderRead, 1);

  if (self->reading)
    g_cancellable_cancel (self->reading);
  g_clear_object (&self->reading);
  g_clear_object (&self->monitor);
  g_clear_object (&self->folder);
  g_list_store_remove_all (self->pictures);

  self->folder = find_folder (self);
  self->reading = g_cancellable_new ();
  self->monitor = g_file_monitor_directory (self->folder, G_FILE_MONITOR_NONE, NULL, NULL);
  if (self->monitor)
    g_signal_connect (self->monitor, "changed", G_CALLBACK (on_folder_changed), self);
  move_unsaved (self);

  read->folder = g_object_ref (self->folder);
  read->pictures = g_ptr_array_new_with_free_func (g_object_unref);
  task = g_task_new (self, self->reading, on_folder_read, NULL);
  g_task_set_source_tag (task, zis_gallery_model_open);
  g_task_set_task_data (task, read, folder_read_free);
  g_task_run_in_thread (task, read_folder_thread);
}

GFile *
zis_gallery_model_get_folder (ZisGalleryModel *self)
{
  return self->folder;
}

/* --- saving ------------------------------------------------------------------------------------------------- */

char *
zis_suggest_name (const ZieRequest *request)
{
  GString *name = g_string_new (NULL);
  int n = 0;

  for (const char *p = request->prompt; p && *p && n < NAME_MAX_CHARS; p = g_utf8_next_char (p), n++)
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_isalnum (c))
        g_string_append_unichar (name, g_unichar_tolower (c));
      else if (name->len > 0 && name->str[name->len - 1] != '-')
        g_string_append_c (name, '-');
    }
  while (name->len > 0 && name->str[name->len - 1] == '-')
    g_string_truncate (name, name->len - 1);
  if (name->len == 0)
    /* Translators: name of a file whose prompt has no letters. */
    g_string_append (name, _("picture"));
  g_string_append_printf (name, "-%" G_GUINT64_FORMAT, request->seed);

  return g_string_free (name, FALSE);
}

typedef struct
{
  ZieImage *image;           /* owned */
  ZieRequest request;        /* owned */
  ZisPicture *picture;       /* owned */
  char *path;                /* owned */
  gboolean is_unwanted;      /* the picture was deleted meanwhile */
} Saving;

static void
saving_free (gpointer data)
{
  Saving *self = data;

  zie_image_unref (self->image);
  zie_request_clear (&self->request);
  g_object_unref (self->picture);
  g_free (self->path);
  g_free (self);
}

static void
save_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Saving *self = data;
  g_autofree char *folder = g_path_get_dirname (self->path);
  GError *error = NULL;

  if (g_mkdir_with_parents (folder, 0755) != 0)
    g_set_error (&error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: this folder cannot be made: %s", folder, g_strerror (errno));
  else
    zie_image_save_png (self->image, self->path, &self->request, &error);

  if (error)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_saved (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ZisGalleryModel *self = ZIS_GALLERY_MODEL (object);
  Saving *saving = g_task_get_task_data (G_TASK (result));
  g_autoptr(GError) error = NULL;
  gboolean is_written = g_task_propagate_boolean (G_TASK (result), &error);
  GStatBuf info;

  g_ptr_array_remove (self->saving, saving);
  if (saving->is_unwanted)
    {
      if (is_written)
        g_unlink (saving->path);
    }
  else if (is_written)
    {
      zis_picture_set_saved (saving->picture, g_stat (saving->path, &info) == 0 ? (gint64) info.st_mtime
                                                                                : g_get_real_time () / G_USEC_PER_SEC);
      g_ptr_array_remove (self->unsaved, saving->picture);
    }
  else
    {
      if (!g_ptr_array_find (self->unsaved, saving->picture, NULL))
        g_ptr_array_add (self->unsaved, g_object_ref (saving->picture));
      g_signal_emit (self, signals[SIGNAL_SAVE_FAILED], 0, saving->picture, error);
    }

  g_object_notify_by_pspec (object, properties[PROP_N_SAVING]);
}

static void
save (ZisGalleryModel *self, ZisPicture *picture, ZieImage *image, const ZieRequest *request)
{
  g_autoptr(GTask) task = g_task_new (self, NULL, on_saved, NULL);
  Saving *saving = g_new0 (Saving, 1);

  g_ptr_array_add (self->saving, saving);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_N_SAVING]);
  saving->image = zie_image_ref (image);
  saving->picture = g_object_ref (picture);
  saving->path = g_file_get_path (zis_picture_get_file (picture));
  zie_request_copy (&saving->request, request);
  g_task_set_source_tag (task, save);
  g_task_set_task_data (task, saving, saving_free);
  g_task_run_in_thread (task, save_thread);
}

/* A name that neither a file nor a picture on its way has. */
static GFile *
choose_file (ZisGalleryModel *self, const ZieRequest *request)
{
  g_autofree char *base = zis_suggest_name (request);
  g_autoptr(GFile) folder = NULL;

  if (g_settings_get_boolean (self->settings, "keep-pictures"))
    folder = g_object_ref (self->folder);
  else
    {
      if (!self->session_folder)
        self->session_folder = g_dir_make_tmp ("zimage-studio-XXXXXX", NULL);
      folder = g_file_new_for_path (self->session_folder ? self->session_folder : g_get_tmp_dir ());
    }

  for (int i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup_printf ("%s.png", base) : g_strdup_printf ("%s-%d.png", base, i);
      g_autoptr(GFile) file = g_file_get_child (folder, name);

      if (find_file (self, file) == GTK_INVALID_LIST_POSITION && !g_file_query_exists (file, NULL))
        return g_steal_pointer (&file);
    }
}

ZisPicture *
zis_gallery_model_add (ZisGalleryModel *self, ZieImage *image, const ZieRequest *request)
{
  g_autoptr(GFile) file = choose_file (self, request);
  g_autoptr(ZisPicture) picture = zis_picture_new_for_image (image, request, file);

  g_list_store_insert (self->pictures, 0, picture);
  save (self, picture, image, request);

  return picture;      /* the list holds it */
}

static void
on_loaded_to_save (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_autoptr(ZisGalleryModel) self = user_data;
  ZisPicture *picture = ZIS_PICTURE (object);
  g_autoptr(ZieImage) image = zis_picture_load_finish (picture, result, NULL);

  /* Not if it was deleted meanwhile. */
  if (image && zis_picture_get_request (picture) && zis_gallery_model_find (self, picture) != GTK_INVALID_LIST_POSITION)
    save (self, picture, image, zis_picture_get_request (picture));
}

void
zis_gallery_model_save_again (ZisGalleryModel *self, ZisPicture *picture)
{
  if (!zis_picture_is_saved (picture))
    zis_picture_load_async (picture, NULL, on_loaded_to_save, g_object_ref (self));
}

/* Another folder is the natural way out of one that cannot be written: what is still here goes there. */
static void
move_unsaved (ZisGalleryModel *self)
{
  for (guint i = 0; i < self->unsaved->len; i++)
    {
      ZisPicture *picture = g_ptr_array_index (self->unsaved, i);
      g_autoptr(GFile) file = choose_file (self, zis_picture_get_request (picture));

      zis_picture_set_file (picture, file);
      g_list_store_insert (self->pictures, 0, picture);
      zis_gallery_model_save_again (self, picture);
    }
}

ZisPicture *
zis_gallery_model_get_unsaved (ZisGalleryModel *self)
{
  return self->unsaved->len > 0 ? g_ptr_array_index (self->unsaved, 0) : NULL;
}

void
zis_gallery_model_forget_unsaved (ZisGalleryModel *self, ZisPicture *picture)
{
  g_ptr_array_remove (self->unsaved, picture);
}

guint
zis_gallery_model_find (ZisGalleryModel *self, ZisPicture *picture)
{
  guint position;

  return g_list_store_find (self->pictures, picture, &position) ? position : GTK_INVALID_LIST_POSITION;
}

gboolean
zis_gallery_model_trash (ZisGalleryModel *self, ZisPicture *picture, GError **error)
{
  guint position = zis_gallery_model_find (self, picture);

  if (zis_picture_is_saved (picture) && !g_file_trash (zis_picture_get_file (picture), NULL, error))
    return FALSE;
  if (position != GTK_INVALID_LIST_POSITION)
    g_list_store_remove (self->pictures, position);
  zis_gallery_model_forget_unsaved (self, picture);
  for (guint i = 0; i < self->saving->len; i++)
    {
      Saving *saving = g_ptr_array_index (self->saving, i);

      saving->is_unwanted |= saving->picture == picture;
    }

  return TRUE;
}

guint
zis_gallery_model_get_n_saving (ZisGalleryModel *self)
{
  return self->saving->len;
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
remove_session_folder (ZisGalleryModel *self)
{
  g_autoptr(GDir) folder = self->session_folder ? g_dir_open (self->session_folder, 0, NULL) : NULL;
  const char *name;

  while (folder && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->session_folder, name, NULL);

      g_unlink (path);
    }
  if (self->session_folder)
    g_rmdir (self->session_folder);
  g_clear_pointer (&self->session_folder, g_free);
}

static void
zis_gallery_model_dispose (GObject *object)
{
  ZisGalleryModel *self = ZIS_GALLERY_MODEL (object);

  if (self->reading)
    g_cancellable_cancel (self->reading);
  g_clear_object (&self->reading);
  g_clear_object (&self->monitor);
  g_clear_object (&self->folder);
  g_clear_object (&self->pictures);
  g_clear_object (&self->settings);
  g_clear_pointer (&self->unsaved, g_ptr_array_unref);
  g_clear_pointer (&self->saving, g_ptr_array_unref);
  remove_session_folder (self);

  G_OBJECT_CLASS (zis_gallery_model_parent_class)->dispose (object);
}

static void
zis_gallery_model_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  switch (prop_id)
    {
    case PROP_N_SAVING: g_value_set_uint (value, ZIS_GALLERY_MODEL (object)->saving->len); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
zis_gallery_model_class_init (ZisGalleryModelClass *klass)
{
  G_OBJECT_CLASS (klass)->get_property = zis_gallery_model_get_property;
  G_OBJECT_CLASS (klass)->dispose = zis_gallery_model_dispose;

  properties[PROP_N_SAVING] = g_param_spec_uint ("n-saving", NULL, NULL, 0, G_MAXUINT, 0,
                                                 G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (G_OBJECT_CLASS (klass), N_PROPS, properties);

  signals[SIGNAL_SAVE_FAILED] = g_signal_new ("save-failed", ZIS_TYPE_GALLERY_MODEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                              G_TYPE_NONE, 2, ZIS_TYPE_PICTURE, G_TYPE_POINTER);
}

static void
zis_gallery_model_init (ZisGalleryModel *self)
{
  self->pictures = g_list_store_new (ZIS_TYPE_PICTURE);
  self->unsaved = g_ptr_array_new_with_free_func (g_object_unref);
  self->saving = g_ptr_array_new ();
  g_signal_connect_swapped (self->pictures, "items-changed", G_CALLBACK (g_list_model_items_changed), self);
}

ZisGalleryModel *
zis_gallery_model_new (GSettings *settings)
{
  ZisGalleryModel *self = g_object_new (ZIS_TYPE_GALLERY_MODEL, NULL);

  self->settings = g_object_ref (settings);

  return self;
}
