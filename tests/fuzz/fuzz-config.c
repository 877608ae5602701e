/* SPDX-License-Identifier: Apache-2.0 */

/* The five JSON files that say what a model is: the input stands in for each of the demo model's in turn. */

#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zie-model-config.h"

#define N_FOLDERS 2

static const char *const parts[ZIE_N_MODEL_PARTS] = {
  [ZIE_MODEL_TRANSFORMER] = "transformer",
  [ZIE_MODEL_TEXT_ENCODER] = "text_encoder",
  [ZIE_MODEL_VAE] = "vae",
};
static char *demo, *configs[ZIE_N_MODEL_PARTS];

/* Of these two, which are looked for by name, the first folder has the input as one, the second as the other. */
static const char *const names[N_FOLDERS] = { "model_index.json", "scheduler/scheduler_config.json" };
static char *folders[N_FOLDERS];

static void
clean_up (void)
{
  for (int i = 0; i < N_FOLDERS; i++)
    {
      g_autofree char *scheduler = g_build_filename (folders[i], "scheduler", NULL);

      for (int k = 0; k < N_FOLDERS; k++)
        {
          g_autofree char *link = g_build_filename (folders[i], names[k], NULL);
          unlink (link);
        }
      rmdir (scheduler);
      rmdir (folders[i]);
    }
}

static void
set_up (const char *path)
{
  demo = g_build_filename (fuzz_data_dir (), "demo-model", NULL);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    configs[i] = g_build_filename (demo, parts[i], "config.json", NULL);
  for (int i = 0; i < N_FOLDERS; i++)
    {
      g_autofree char *scheduler = NULL;

      folders[i] = g_dir_make_tmp ("zie-fuzz-XXXXXX", NULL);
      scheduler = g_build_filename (folders[i], "scheduler", NULL);
      if (mkdir (scheduler, 0700) != 0)
        fuzz_fail ("no temporary folder");
      for (int k = 0; k < N_FOLDERS; k++)
        {
          g_autofree char *link = g_build_filename (folders[i], names[k], NULL), *good = g_build_filename (demo, names[k], NULL);

          if (symlink (k == i ? path : good, link) != 0)
            fuzz_fail ("no links in the temporary folder");
        }
    }
  atexit (clean_up);
}

static void
load (const ZieModelPlaces *places, const char *about)
{
  g_autoptr(GArray) presets = g_array_new (FALSE, FALSE, sizeof (ZiePreset));
  g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func (g_free);
  ZieModelConfig config;
  GError *error = NULL;

  if (!zie_model_config_load (&config, places, &error) || !zie_model_config_finish (&config, places, presets, strings, &error))
    {
      fuzz_check_error (error, about);
      return;
    }
  g_assert_no_error (error);
  /* What later code multiplies and divides by. */
  g_assert_cmpint (config.transformer.n_heads, >, 0);
  g_assert_cmpint (config.text_encoder.n_kv_heads, >, 0);
  g_assert_cmpint (config.vae.latent_channels, >, 0);
  g_assert_cmpint (config.info.max_side, >, 0);
  for (guint i = 0; i < presets->len; i++)
    g_assert_cmpint (g_array_index (presets, ZiePreset, i).width, >, 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *path = fuzz_file (data, size);

  if (folders[0] == NULL)
    set_up (path);

  for (int i = 0; i < N_FOLDERS; i++)
    {
      ZieModelPlaces places = { .folder = folders[i] };

      memcpy (places.configs, configs, sizeof configs);
      load (&places, "/");
    }
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      ZieModelPlaces places = { .folder = demo };

      memcpy (places.configs, configs, sizeof configs);
      places.configs[i] = (char *)path;
      load (&places, "/");
    }
  return 0;
}
