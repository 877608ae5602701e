/* SPDX-License-Identifier: Apache-2.0 */

/* Catalogues, whole and broken. */

#include "fixture.h"

/* --- catalogues --- */

static void
test_own_catalogue (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieCatalogue) models = zie_catalogue_load (NULL, &error);
  const ZieHubModel *model;

  g_assert_no_error (error);
  model = zie_catalogue_find (models, NULL, &error);
  g_assert_true (model->is_recommended && model->is_size_exact);
  g_assert_cmpuint (model->n_bytes, >, 5000000000);
  model = zie_catalogue_find (models, "z-image-turbo", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (model->repositories[0].names[ZIE_HUB_HUGGING_FACE], ==, "Tongyi-MAI/Z-Image-Turbo");
  for (guint i = 0; i < zie_catalogue_get_n (models); i++)
    {
      model = zie_catalogue_get (models, i);
      g_assert_true (zie_hub_model_has_source (model, ZIE_HUB_HUGGING_FACE));
      for (guint k = 0; k < model->n_files; k++)
        g_assert_true (model->files[k].sha256 != NULL || model->files[k].md5 != NULL);
    }
  g_assert_null (zie_catalogue_find (models, "nonesuch", &error));
  assert_says (error, ZIE_ERROR_INVALID_REQUEST, "nonesuch", "z-image-turbo", NULL);
}

static const struct
{
  const char *old, *new;
  const char *words;
} broken[] = {
  { "{\"format\": 1", "", "JSON" },
  { "\"format\": 1", "\"format\": 2", "newer" },
  { "\"id\": \"tiny\"", "\"id\": 3", "id" },
  { "\"folder\": \"Tiny\"", "\"folder\": \"../Tiny\"", "folder" },
  { "\"folder\": \"Tiny\"", "\"folder\": \"/etc\"", "folder" },
  { "\"path\": \"model_index.json\"", "\"path\": \"../model_index.json\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"/etc/passwd\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"a//b\"", "path" },
  { "\"path\": \"model_index.json\"", "\"path\": \"a.part\"", "path" },
  { "\"from\": \"main\"", "\"from\": \"other\"", "from" },
  { "\"size\": 467", "\"size\": -1", "size" },
  { "\"size\": 467", "\"size\": \"467\"", "size" },
  { "\"size\": 467", "\"sized\": 467", "about" },
  { "\"sha256\": \"", "\"sha256\": \"x", "sha256" },
  { "\"recommended\": true", "\"recommended\": false", "recommended" },
  { "\"revision\": \"abc\"", "\"revision\": 1", "revision" },
  { "\"files\": [", "\"files\": [4, ", "files" },
  { "\"files\": [", "\"files\": [], \"x\": [", "files" },
};

static void
test_broken_catalogue (Fixture *self, gconstpointer data)
{
  g_autofree char *good = NULL, *deep = g_strnfill (5000, '[');
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_get_contents (self->catalogue, &good, NULL, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      const char *at = strstr (good, broken[i].old);
      g_autofree char *bad = NULL;

      g_assert_nonnull (at);
      bad = g_strdup_printf ("%.*s%s%s", (int)(at - good), good, broken[i].new, at + strlen (broken[i].old));
      g_assert_true (g_file_set_contents (self->catalogue, bad, -1, NULL));
      g_assert_null (zie_catalogue_load (self->catalogue, &error));
      assert_says (error, ZIE_ERROR_FILE_CORRUPT, self->catalogue, broken[i].words, NULL);
      g_clear_error (&error);
    }

  g_assert_true (g_file_set_contents (self->catalogue, deep, -1, NULL));
  g_assert_null (zie_catalogue_load (self->catalogue, &error));
  assert_says (error, ZIE_ERROR_FILE_CORRUPT, "deep", NULL);
  g_assert_null ((g_clear_error (&error), zie_catalogue_load ("/nonexistent", &error)));
  assert_says (error, ZIE_ERROR_FILE_NOT_FOUND, "/nonexistent", NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_unsetenv ("ZIE_CATALOGUE");

  g_test_add_func ("/hub/catalogue/own", test_own_catalogue);
  add ("/hub/catalogue/broken", NULL, test_broken_catalogue);
  return g_test_run ();
}
