/* SPDX-License-Identifier: Apache-2.0 */

/* What servers say of a model's files, and catalogues. */

#include "fuzz.h"

#include <string.h>

#include "zie-hub-private.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static ZieCatalogue *own;
  const char *path = fuzz_file (data, size);
  GError *error = NULL;
  ZieCatalogue *models = zie_catalogue_load (path, &error);
  g_autoptr(JsonNode) list = zie_hub_parse_json ((const char *)data, size, "list", NULL);

  if (models == NULL)
    fuzz_check_error (error, path);
  zie_catalogue_free (models);
  if (own == NULL)
    {
      g_autofree char *catalogue = g_build_filename (fuzz_data_dir (), "catalogue.json", NULL);
      own = zie_catalogue_load (catalogue, NULL);
    }
  for (int source = 0; source < ZIE_N_HUB_SOURCES && list != NULL; source++)
    {
      ZieHubModel model;

      zie_hub_model_copy (&model, zie_catalogue_find (own, "z-image-turbo", NULL));
      zie_hub_apply_list ((ZieHubSource)source, list, &model, 0);
      for (guint i = 0; i < model.n_files; i++)
        g_assert_true (model.files[i].sha256 == NULL || strlen (model.files[i].sha256) == 64);
      zie_hub_model_clear (&model);
    }
  return 0;
}
