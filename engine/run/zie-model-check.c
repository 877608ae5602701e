/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-private.h"

#include <string.h>

#include <zie/zie-error.h>

#include "zie-json.h"

#define QUANT_SUFFIX ".comfy_quant"
#define QUANT_MAX_SIZE 4096

/* TEXT is a layer's description: {"format": "float8_e4m3fn", …}. */
static gboolean
check_format (const char *path, const char *layer, JsonObject *object, GError **error)
{
  static const char *const known[] = { "float8_e4m3fn", "float8_e5m2", NULL };
  const char *format = json_object_has_member (object, "format") ? json_object_get_string_member_with_default (object, "format", "") : "";

  if (g_strv_contains (known, format))
    return TRUE;
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
               "%s: %s is quantised as \"%.60s\", which this program cannot compute with; take the bf16, fp8 (float8_e4m3fn) or GGUF "
               "file of this model instead", path, layer, format);
  return FALSE;
}

/* ComfyUI's newer files describe each quantised layer in a tensor of JSON text beside its weight (spec 1.4). */
static gboolean
check_layers (const ZieWeightFile *file, GError **error)
{
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    {
      const ZieTensorInfo *info = zie_weight_file_get (file, i);
      JsonObject *object;
      gboolean ok;

      if (!g_str_has_suffix (info->name, QUANT_SUFFIX) || info->dtype != ZIE_DTYPE_U8)
        continue;
      if (info->size > QUANT_MAX_SIZE || (object = zie_json_parse_object ((const char *)info->data, info->size, info->file, NULL)) == NULL)
        {
          g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: tensor %s holds %" G_GSIZE_FORMAT " bytes that are no JSON object",
                       info->file, info->name, info->size);
          return FALSE;
        }
      ok = check_format (info->file, info->name, object, error);
      json_object_unref (object);
      if (!ok)
        return FALSE;
    }
  return TRUE;
}

/* … or all of them in the metadata: {"layers": {name: {"format": …}}}. */
static gboolean
check_metadata (const ZieWeightFile *file, GError **error)
{
  const char *path = zie_weight_file_get_path (file), *name;
  g_autofree char *text = zie_weight_file_get_meta (file, "_quantization_metadata");
  JsonObject *object = text != NULL ? zie_json_parse_object (text, strlen (text), path, NULL) : NULL;
  gboolean ok = TRUE;
  JsonObjectIter iter;
  JsonNode *node;

  if (object == NULL)
    return TRUE;
  node = json_object_get_member (object, "layers");
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    {
      json_object_iter_init (&iter, json_node_get_object (node));
      while (ok && json_object_iter_next (&iter, &name, &node))
        ok = !JSON_NODE_HOLDS_OBJECT (node) || check_format (path, name, json_node_get_object (node), error);
    }
  json_object_unref (object);
  return ok;
}

gboolean
zie_model_check_quantisation (const ZieWeightFile *file, GError **error)
{
  return check_layers (file, error) && check_metadata (file, error);
}
