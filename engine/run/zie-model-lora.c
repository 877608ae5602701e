/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-private.h"

#include <string.h>

#include <zie/zie-error.h>

#include "zie-model-places.h"

/* A recipe names a LoRA by its file's name: where such files are looked for. */
static char *
find_file (const char *name, GError **error)
{
  g_autoptr(GPtrArray) places = NULL;
  char *path;

  if (g_file_test (name, G_FILE_TEST_EXISTS))
    return g_strdup (name);
  if (strchr (name, G_DIR_SEPARATOR) == NULL)
    {
      path = g_build_filename (g_get_user_data_dir (), "zimage-studio", "loras", name, NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return path;
      g_free (path);

      places = zie_model_list_places ();
      for (guint i = 0; i < places->len; i++)
        {
          path = g_build_filename (((const ZieModelPlace *)places->pdata[i])->path, "loras", name, NULL);
          if (g_file_test (path, G_FILE_TEST_EXISTS))
            return path;
          g_free (path);
        }
    }
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
               "%s: there is no such LoRA file, neither here nor in %s/zimage-studio/loras or ComfyUI's models/loras", name, g_get_user_data_dir ());
  return NULL;
}

/* The file of the LoRA in FOLDER, as PEFT and diffusers save one. */
static char *
find_in_folder (const char *folder, GError **error)
{
  static const char *const names[] = { "adapter_model.safetensors", "pytorch_lora_weights.safetensors" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      char *path = g_build_filename (folder, names[i], NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return path;
      g_free (path);
    }
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "%s: holds neither %s nor %s; name the LoRA's file itself",
               folder, names[0], names[1]);
  return NULL;
}

/* The LoRA at GIVEN, a file or a folder of one; where it is a part of a model instead, the error says which. */
static ZieLora *
open_lora (ZieModel *self, const char *given, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(ZieWeightFile) file = NULL;
  g_autofree char *parts = NULL,
                  *path = g_file_test (given, G_FILE_TEST_IS_DIR) ? find_in_folder (given, error) : g_strdup (given);
  ZieLora *lora;

  if (path == NULL)
    return NULL;
  if ((lora = zie_lora_open (path, &self->transformer, &local)) != NULL)
    return lora;
  if (g_error_matches (local, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED) &&
      (file = zie_weight_file_open (path, NULL)) != NULL &&
      (parts = zie_model_describe_parts (zie_model_identify (file))) != NULL)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED, "%s: is not a LoRA, for which it was named, but %s",
                 path, parts);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

const ZieLora *
zie_model_get_lora (ZieModel *self, const char *name, GError **error)
{
  g_autofree char *path = NULL;
  ZieLora *lora;

  g_mutex_lock (&self->lora_lock);
  lora = g_hash_table_lookup (self->loras, name);
  if (lora == NULL && (path = find_file (name, error)) != NULL && (lora = open_lora (self, path, error)) != NULL)
    {
      zie_weight_file_set_flag (zie_lora_get_file (lora), &self->is_lost);
      g_hash_table_insert (self->loras, g_strdup (name), lora);
    }
  g_mutex_unlock (&self->lora_lock);
  return lora;
}

gboolean
zie_model_load_loras (ZieModel *self, const ZieRequest *request, GError **error)
{
  for (guint i = 0; i < request->n_loras; i++)
    if (zie_model_get_lora (self, request->loras[i].file, error) == NULL)
      return FALSE;
  return TRUE;
}

char *
zie_model_describe_loras (ZieModel *self, const ZieRequest *request)
{
  g_autoptr(GString) s = g_string_new (NULL);

  for (guint i = 0; i < request->n_loras; i++)
    {
      const ZieLora *lora = zie_model_get_lora (self, request->loras[i].file, NULL);
      g_autofree char *name = g_path_get_basename (request->loras[i].file);
      const char *const *unmatched;
      guint n;

      if (lora == NULL)
        continue;
      unmatched = zie_lora_get_unmatched (lora, &n);
      if (n > 0)
        g_string_append_printf (s, "%s%u tensors of the LoRA %s belong to no layer of this model and are left out (%s%s)", s->len > 0 ? "; " : "", n,
                                name, unmatched[0], n > 1 ? " …" : "");
      if (zie_lora_has_text_encoder (lora))
        g_string_append_printf (s, "%sthe LoRA %s has a part for a text encoder, which is left out", s->len > 0 ? "; " : "", name);
    }
  return s->len > 0 ? g_string_free (g_steal_pointer (&s), FALSE) : NULL;
}
