/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-run"

#include <zie/zie-image.h>
#include <zie/zie-request.h>

#include "zie-png.h"
#include "zie-recipe.h"

gboolean
zie_image_save_png (const ZieImage *self, const char *path, const ZieRequest *recipe, GError **error)
{
  g_auto(ZieNewFile) file = ZIE_NEW_FILE_INIT;
  g_autofree char *parameters = recipe != NULL ? zie_request_to_parameters (recipe) : NULL;
  g_autofree char *json = recipe != NULL ? zie_request_to_json (recipe) : NULL;
  ZiePngText texts[] = { { ZIE_RECIPE_PARAMETERS, parameters }, { ZIE_RECIPE_JSON, json } };

  g_return_val_if_fail (self != NULL && path != NULL, FALSE);

  return zie_new_file_open (&file, path, error)
         && zie_png_write (&file, zie_image_get_width (self), zie_image_get_height (self), zie_image_get_stride (self),
                           g_bytes_get_data (zie_image_get_pixels (self), NULL), texts,
                           recipe != NULL ? G_N_ELEMENTS (texts) : 0, error)
         && zie_new_file_commit (&file, error);
}

ZieImage *
zie_image_load_png (const char *path, GError **error)
{
  GBytes *pixels;
  int width, height;

  g_return_val_if_fail (path != NULL, NULL);

  if (!(pixels = zie_png_read (path, &width, &height, error)))
    return NULL;
  return zie_image_new (width, height, 3 * (gsize)width, pixels);
}
