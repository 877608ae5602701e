/* SPDX-License-Identifier: Apache-2.0 */

/* What a weights file is, by the names and shapes in it: the transformer, the text encoder, the VAE, or a LoRA for the demo model.  The
 * input is the header of a safetensors file; the numbers that it speaks of are there, all zero. */

#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "zie-dit.h"
#include "zie-lora.h"
#include "zie-qwen3.h"
#include "zie-vae.h"

#define MOST_DATA ((guint64)4 << 20)

static ZieDit demo;

static void
set_up (void)
{
  g_autofree char *folder = g_build_filename (fuzz_data_dir (), "demo-model", "transformer", NULL);
  static ZieWeightFile *file;
  ZieDitConfig config;

  file = zie_weight_file_open_component (folder, "diffusion_pytorch_model", NULL);
  if (file == NULL || !zie_dit_config_from_file (&config, file, NULL) || !zie_dit_init (&demo, &config, file, NULL))
    fuzz_fail ("%s: the demo model cannot be opened", folder);
}

/* The largest end of a tensor that TEXT names, as far as it can be had. */
static guint64
find_end (const char *text, size_t size)
{
  static const char key[] = "data_offsets\":[";
  guint64 most = 0;

  for (const char *at = text, *stop = text + size; (at = memmem (at, (size_t)(stop - at), key, strlen (key))) != NULL; )
    {
      char number[24] = "";
      const char *comma;

      at += strlen (key);
      if ((comma = memchr (at, ',', (size_t)(stop - at))) == NULL)
        break;
      memcpy (number, comma + 1, MIN (sizeof number - 1, (size_t)(stop - comma - 1)));
      most = MAX (most, g_ascii_strtoull (number, NULL, 10));
    }
  return MIN (most, MOST_DATA);
}

/* The file: zeros take no memory until they are looked at. */
static const char *
write_input (const uint8_t *data, size_t size)
{
  static char path[64];
  static int fd = -1;
  guint64 length = GUINT64_TO_LE ((guint64)size);

  if (fd < 0)
    {
      fd = memfd_create ("fuzz", 0);
      g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    }
  if (ftruncate (fd, 0) != 0 || pwrite (fd, &length, 8, 0) != 8 || pwrite (fd, data, size, 8) != (ssize_t)size
      || ftruncate (fd, (off_t)(8 + size + find_end ((const char *)data, size))) != 0)
    fuzz_fail ("cannot write the input");
  return path;
}

static void
look_at_all (const ZieWeightFile *file, const char *path)
{
  GError *error = NULL;
  ZieDitConfig dit_config;
  ZieQwen3Config qwen3_config;
  ZieVaeConfig vae_config;
  ZieDit dit = { 0 };
  ZieQwen3 qwen3 = { 0 };

  if (zie_dit_config_from_file (&dit_config, file, &error) && zie_dit_init (&dit, &dit_config, file, &error))
    {
      g_free (zie_dit_describe_extras (file));
      zie_dit_clear (&dit);
    }
  else
    fuzz_check_error (g_steal_pointer (&error), path);
  if (zie_qwen3_config_from_file (&qwen3_config, file, &error) && zie_qwen3_init (&qwen3, &qwen3_config, file, &error))
    zie_qwen3_clear (&qwen3);
  else
    fuzz_check_error (g_steal_pointer (&error), path);
  if (!zie_vae_config_from_file (&vae_config, file, &error))
    fuzz_check_error (g_steal_pointer (&error), path);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *path = write_input (data, size);
  GError *error = NULL;
  g_autoptr(ZieWeightFile) file = NULL;
  g_autoptr(ZieLora) lora = NULL;

  if (demo.weights == NULL)
    set_up ();
  if ((file = zie_weight_file_open (path, &error)) == NULL)
    {
      fuzz_check_error (error, path);
      return 0;
    }
  look_at_all (file, path);
  if ((lora = zie_lora_open (path, &demo, &error)) == NULL)
    fuzz_check_error (error, path);
  else
    {
      guint n;

      g_assert_cmpuint (zie_lora_get_n_layers (lora), >, 0);
      for (const char *const *name = zie_lora_get_unmatched (lora, &n); *name != NULL; name++)
        g_assert_true (g_utf8_validate (*name, -1, NULL));
    }
  return 0;
}
