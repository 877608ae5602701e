/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-export"

#include "zis-export.h"

#include <string.h>

#include <glib/gstdio.h>

#include "config.h"

#ifdef HAVE_WEBP
#include <webp/encode.h>
#endif

#define JPEG_QUALITY "93"
#define WEBP_QUALITY 92

typedef gboolean (*Encode) (ZieImage *image, char **data, gsize *size, GError **error);

static gboolean
encode_jpeg (ZieImage *image, char **data, gsize *size, GError **error)
{
  g_autoptr(GdkPixbuf) pixbuf = gdk_pixbuf_new_from_bytes (zie_image_get_pixels (image), GDK_COLORSPACE_RGB, FALSE, 8,
                                                           zie_image_get_width (image), zie_image_get_height (image),
                                                           (int) zie_image_get_stride (image));

  return gdk_pixbuf_save_to_buffer (pixbuf, data, size, "jpeg", error, "quality", JPEG_QUALITY, NULL);
}

#ifdef HAVE_WEBP
static gboolean
encode_webp (ZieImage *image, char **data, gsize *size, GError **error)
{
  uint8_t *encoded = NULL;

  *size = WebPEncodeRGB (g_bytes_get_data (zie_image_get_pixels (image), NULL), zie_image_get_width (image),
                         zie_image_get_height (image), (int) zie_image_get_stride (image), WEBP_QUALITY, &encoded);
  if (*size == 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_WRITE, "the picture cannot be written as WebP (its sides may be at most %d)",
                   WEBP_MAX_DIMENSION);
      return FALSE;
    }
  *data = g_memdup2 (encoded, *size);
  WebPFree (encoded);

  return TRUE;
}
#endif

/* One row a kind; PNG has no encoder here because the engine writes it to a path, with the recipe inside. */
static const struct
{
  const char *name;
  const char *suffixes[3];
  Encode encode;
} kinds[] = {
  { N_("PNG picture, with its recipe"), { "png" }, NULL },
  { N_("JPEG picture"), { "jpg", "jpeg" }, encode_jpeg },
#ifdef HAVE_WEBP
  { N_("WebP picture"), { "webp" }, encode_webp },
#endif
};

const ZisCompatFilter *
zis_export_get_filters (guint *n)
{
  static ZisCompatFilter filters[G_N_ELEMENTS (kinds)];

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      filters[i].name = _(kinds[i].name);
      filters[i].suffix = kinds[i].suffixes[0];
    }
  *n = G_N_ELEMENTS (kinds);

  return filters;
}

static int
find_kind (const char *suffix)
{
  for (gsize i = 0; suffix && i < G_N_ELEMENTS (kinds); i++)
    for (int s = 0; kinds[i].suffixes[s]; s++)
      if (g_ascii_strcasecmp (suffix, kinds[i].suffixes[s]) == 0)
        return (int) i;

  return -1;
}

static int
find_kind_of_file (GFile *file)
{
  g_autofree char *name = g_file_get_basename (file);
  const char *dot = name ? strrchr (name, '.') : NULL;

  return dot ? find_kind (dot + 1) : -1;
}

gboolean
zis_export_knows (GFile *file)
{
  return find_kind_of_file (file) >= 0;
}

typedef struct
{
  ZieImage *image;           /* owned */
  ZieRequest recipe;         /* owned */
  gboolean has_recipe;
  GFile *file;               /* owned */
  int kind;                  /* -1: none */
} Export;

static void
export_free (gpointer data)
{
  Export *self = data;

  zie_image_unref (self->image);
  if (self->has_recipe)
    zie_request_clear (&self->recipe);
  g_object_unref (self->file);
  g_free (self);
}

/* For a place without a path, as a server that the desktop has connected: by way of a file of our own. */
static gboolean
encode_png (const Export *self, char **data, gsize *size, GError **error)
{
  g_autofree char *folder = g_dir_make_tmp ("zimage-studio-XXXXXX", error), *path = NULL;
  gboolean ok;

  if (!folder)
    return FALSE;
  path = g_build_filename (folder, "picture.png", NULL);
  ok = zie_image_save_png (self->image, path, self->has_recipe ? &self->recipe : NULL, error)
       && g_file_get_contents (path, data, size, error);
  g_unlink (path);
  g_rmdir (folder);

  return ok;
}

static void
export_thread (GTask *task, gpointer source, gpointer user_data, GCancellable *cancellable)
{
  Export *self = user_data;
  g_autofree char *path = g_file_get_path (self->file), *data = NULL;
  int kind = self->kind;
  GError *error = NULL;
  gboolean ok;
  gsize size;

  if (kind < 0)
    g_set_error (&error, ZIE_ERROR, ZIE_ERROR_WRITE, "%s: the name must end in .png, .jpg or .webp", g_file_peek_path (self->file));

  if (error)
    ok = FALSE;
  else if (!kinds[kind].encode && path)
    ok = zie_image_save_png (self->image, path, self->has_recipe ? &self->recipe : NULL, &error);
  else
    ok = (kinds[kind].encode ? kinds[kind].encode (self->image, &data, &size, &error) : encode_png (self, &data, &size, &error))
         && g_file_replace_contents (self->file, data, size, NULL, FALSE, G_FILE_CREATE_NONE, NULL, cancellable, &error);

  if (ok)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
zis_export_async (ZieImage *image, const ZieRequest *recipe, GFile *file, const char *type, GCancellable *cancellable,
                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Export *self = g_new0 (Export, 1);

  self->image = zie_image_ref (image);
  self->file = g_object_ref (file);
  self->kind = find_kind_of_file (file) >= 0 ? find_kind_of_file (file) : find_kind (type);
  if ((self->has_recipe = recipe != NULL))
    zie_request_copy (&self->recipe, recipe);
  g_task_set_source_tag (task, zis_export_async);
  g_task_set_task_data (task, self, export_free);
  g_task_run_in_thread (task, export_thread);
}

gboolean
zis_export_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
