/* SPDX-License-Identifier: Apache-2.0 */
#include <glib/gstdio.h>

#include "zis-recipe.h"

static void
fill (ZisRecipe *recipe)
{
  g_object_set (recipe, "prompt", "一只红色的狐狸 🦊 \"quoted\"", "width", 320, "height", 192, "steps", 6, "n-images", 3, "seed",
                G_GUINT64_CONSTANT (18446744073709551615), "seed-locked", TRUE, "noise", (guint) ZIE_NOISE_CUDA, "sampler", (guint) ZIE_SAMPLER_RES_MULTISTEP,
                "loras", g_variant_new_parsed ("[('soft', 0.5), ('hard', -1.0)]"), NULL);
}

static void
assert_filled (ZisRecipe *recipe)
{
  g_autoptr(GVariant) loras = g_variant_ref_sink (g_variant_new_parsed ("[('soft', 0.5), ('hard', -1.0)]"));
  guint noise;
  int n_images;

  g_object_get (recipe, "noise", &noise, "n-images", &n_images, NULL);
  g_assert_cmpstr (zis_recipe_get_prompt (recipe), ==, "一只红色的狐狸 🦊 \"quoted\"");
  g_assert_cmpint (zis_recipe_get_width (recipe), ==, 320);
  g_assert_cmpint (zis_recipe_get_height (recipe), ==, 192);
  g_assert_cmpint (zis_recipe_get_steps (recipe), ==, 6);
  g_assert_cmpuint (zis_recipe_get_seed (recipe), ==, G_MAXUINT64);
  g_assert_true (zis_recipe_get_seed_locked (recipe));
  g_assert_cmpuint (noise, ==, ZIE_NOISE_CUDA);
  g_assert_cmpint (n_images, ==, 3);
  g_assert_cmpuint (zis_recipe_get_sampler (recipe), ==, ZIE_SAMPLER_RES_MULTISTEP);
  g_assert_cmpvariant (zis_recipe_get_loras (recipe), loras);
}

static void
test_request (void)
{
  g_autoptr(ZisRecipe) first = zis_recipe_new (), second = zis_recipe_new ();
  g_auto(ZieRequest) request = { 0 };

  fill (first);
  zis_recipe_get_request (first, &request);
  zis_recipe_set_request (second, &request);
  assert_filled (second);
}

static void
test_settings (void)
{
  g_autoptr(GSettings) settings = g_settings_new (ZIS_APP_ID);
  g_autoptr(ZisRecipe) first = zis_recipe_new (), second = zis_recipe_new ();

  fill (first);
  zis_recipe_save (first, settings);
  zis_recipe_load (second, settings);
  assert_filled (second);
}

/* Through a PNG: what a picture carries is the recipe that made it. */
static void
test_png (void)
{
  g_autoptr(ZisRecipe) first = zis_recipe_new (), second = zis_recipe_new ();
  g_autofree char *folder = g_dir_make_tmp ("zis-recipe-XXXXXX", NULL), *path = g_build_filename (folder, "a.png", NULL);
  g_autoptr(ZieImage) image = zie_image_new (16, 16, 48, g_bytes_new_take (g_malloc0 (16 * 48), 16 * 48));
  g_auto(ZieRequest) written = { 0 }, read = { 0 };
  g_autoptr(GError) error = NULL;

  fill (first);
  zis_recipe_get_request (first, &written);
  g_assert_true (zie_image_save_png (image, path, &written, &error));
  g_assert_no_error (error);
  zie_request_init (&read);
  g_assert_true (zie_request_from_png (&read, path, &error));
  g_assert_no_error (error);
  zis_recipe_set_request (second, &read);
  /* A picture is one of those that were asked for. */
  g_object_set (second, "n-images", 3, NULL);
  assert_filled (second);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_strips_prompt (void)
{
  g_autoptr(ZisRecipe) recipe = zis_recipe_new ();
  g_auto(ZieRequest) request = { 0 };

  zis_recipe_set_prompt (recipe, "\n  a fox \n");
  zis_recipe_get_request (recipe, &request);
  g_assert_cmpstr (request.prompt, ==, "a fox");
}

static void
test_adapt (void)
{
  const ZieModelInfo demo = { .is_distilled = TRUE, .default_width = 256, .default_height = 256, .default_steps = 8, .max_side = 512 };
  g_autoptr(ZisRecipe) recipe = zis_recipe_new ();
  double guidance;

  /* Nothing set yet, and sizes that this model cannot make, become its own; what it can make stays. */
  zis_recipe_adapt (recipe, &demo, FALSE);
  g_assert_cmpint (zis_recipe_get_width (recipe), ==, 256);
  zis_recipe_set_size (recipe, 1024, 1024);
  g_object_set (recipe, "guidance", 4.0, "steps", 4, NULL);
  zis_recipe_adapt (recipe, &demo, FALSE);
  g_object_get (recipe, "guidance", &guidance, NULL);
  g_assert_cmpint (zis_recipe_get_height (recipe), ==, 256);
  g_assert_cmpfloat (guidance, ==, 0);
  g_assert_cmpint (zis_recipe_get_steps (recipe), ==, 4);
  zis_recipe_set_size (recipe, 320, 192);
  zis_recipe_adapt (recipe, &demo, FALSE);
  g_assert_cmpint (zis_recipe_get_width (recipe), ==, 320);
  zis_recipe_adapt (recipe, &demo, TRUE);
  g_assert_cmpint (zis_recipe_get_width (recipe), ==, 256);
  g_assert_cmpint (zis_recipe_get_steps (recipe), ==, 8);
}

static void
count (GObject *object, GParamSpec *pspec, gpointer user_data)
{
  (*(int *) user_data)++;
}

static void
test_notifies_changes_only (void)
{
  g_autoptr(ZisRecipe) recipe = zis_recipe_new ();
  int n = 0;

  g_signal_connect (recipe, "notify", G_CALLBACK (count), &n);
  g_object_set (recipe, "prompt", "a", "seed", G_GUINT64_CONSTANT (5), NULL);
  g_assert_cmpint (n, ==, 2);
  g_object_set (recipe, "prompt", "a", "seed", G_GUINT64_CONSTANT (5), "steps", 8, NULL);
  g_assert_cmpint (n, ==, 2);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/recipe/request", test_request);
  g_test_add_func ("/recipe/settings", test_settings);
  g_test_add_func ("/recipe/png", test_png);
  g_test_add_func ("/recipe/strips-prompt", test_strips_prompt);
  g_test_add_func ("/recipe/adapt", test_adapt);
  g_test_add_func ("/recipe/notifies-changes-only", test_notifies_changes_only);
  return g_test_run ();
}
