/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <string.h>

/* How the two hubs are called, and where they are. */
static const struct
{
  const char *name, *title;
  const char *endpoint;
  const char *variable;                /* of the environment: another endpoint */
} source_rows[ZIE_N_HUB_SOURCES] = {
  [ZIE_HUB_HUGGING_FACE] = { "huggingface", "Hugging Face", "https://huggingface.co", "HF_ENDPOINT" },
  [ZIE_HUB_MODELSCOPE] = { "modelscope", "ModelScope", "https://www.modelscope.cn", "MODELSCOPE_DOMAIN" },
};

const char *
zie_hub_source_name (ZieHubSource source)
{
  return source_rows[source].name;
}

const char *
zie_hub_source_title (ZieHubSource source)
{
  return source_rows[source].title;
}

gboolean
zie_hub_source_from_name (const char *name, ZieHubSource *out)
{
  for (int i = 0; i < ZIE_N_HUB_SOURCES; i++)
    if (g_str_equal (source_rows[i].name, name))
      {
        *out = (ZieHubSource)i;
        return TRUE;
      }
  return FALSE;
}

char *
zie_hub_get_endpoint (ZieHubSource source, const char *named, GError **error)
{
  const char *from_environment = g_getenv (source_rows[source].variable);
  const char *text = named != NULL && *named != '\0' ? named
                     : from_environment != NULL && *from_environment != '\0' ? from_environment
                                                                             : source_rows[source].endpoint;
  /* MODELSCOPE_DOMAIN is a host alone. */
  g_autofree char *url = strstr (text, "://") == NULL && text == from_environment ? g_strconcat ("https://", text, NULL) : g_strdup (text);
  g_autoptr(GUri) uri = g_uri_parse (url, G_URI_FLAGS_NONE, NULL);

  if (uri == NULL || g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0'
      || (!g_str_equal (g_uri_get_scheme (uri), "https") && !g_str_equal (g_uri_get_scheme (uri), "http")))
    {
      g_autofree char *shown = g_utf8_make_valid (text, -1);

      g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "the endpoint “%s” is no address; expected one like %s", shown,
                   source_rows[source].endpoint);
      return NULL;
    }
  for (gsize n = strlen (url); n > 0 && url[n - 1] == '/'; n--)
    url[n - 1] = '\0';
  return g_steal_pointer (&url);
}

static char *
escape (const char *text)
{
  return g_uri_escape_string (text, "/", FALSE);
}

char *
zie_hub_file_url (ZieHubSource source, const char *endpoint, const ZieHubModel *model, const ZieHubFile *file)
{
  const ZieHubRepository *repository = &model->repositories[file->repository];
  g_autofree char *name = escape (repository->names[source]), *revision = escape (repository->revisions[source]), *path = escape (file->remote);

  return g_strdup_printf ("%s%s/%s/resolve/%s/%s", endpoint, source == ZIE_HUB_HUGGING_FACE ? "" : "/models", name, revision, path);
}

char *
zie_hub_list_url (ZieHubSource source, const char *endpoint, const ZieHubRepository *repository)
{
  g_autofree char *name = escape (repository->names[source]), *revision = escape (repository->revisions[source]);

  if (source == ZIE_HUB_HUGGING_FACE)
    return g_strdup_printf ("%s/api/models/%s/tree/%s?recursive=true", endpoint, name, revision);
  return g_strdup_printf ("%s/api/v1/models/%s/repo/files?Revision=%s&Recursive=True", endpoint, name, revision);
}

static JsonObject *
get_object (JsonObject *object, const char *key)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, key) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static const char *
get_string (JsonObject *object, const char *key)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, key) : NULL;

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node) : NULL;
}

static guint64
get_size (JsonObject *object, const char *key)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, key) : NULL;

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64 && json_node_get_int (node) > 0
           ? (guint64)json_node_get_int (node) : 0;
}

/* The array of files: the answer itself, or {"Data": {"Files": […]}}. */
static JsonArray *
find_files (ZieHubSource source, JsonNode *list)
{
  JsonObject *data;
  JsonNode *files;

  if (source == ZIE_HUB_HUGGING_FACE)
    return JSON_NODE_HOLDS_ARRAY (list) ? json_node_get_array (list) : NULL;
  data = JSON_NODE_HOLDS_OBJECT (list) ? get_object (json_node_get_object (list), "Data") : NULL;
  files = data != NULL ? json_object_get_member (data, "Files") : NULL;
  return files != NULL && JSON_NODE_HOLDS_ARRAY (files) ? json_node_get_array (files) : NULL;
}

guint
zie_hub_apply_list (ZieHubSource source, JsonNode *list, ZieHubModel *model, guint repository)
{
  gboolean is_hf = source == ZIE_HUB_HUGGING_FACE;
  JsonArray *files = find_files (source, list);
  guint n = 0;

  for (guint i = 0; files != NULL && i < json_array_get_length (files); i++)
    {
      JsonNode *node = json_array_get_element (files, i);
      JsonObject *entry = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      const char *path = get_string (entry, is_hf ? "path" : "Path");
      const char *sha256 = is_hf ? get_string (get_object (entry, "lfs"), "oid") : get_string (entry, "Sha256");

      for (guint k = 0; path != NULL && k < model->n_files; k++)
        {
          ZieHubFile *file = &model->files[k];

          if (file->repository != repository || !g_str_equal (file->remote, path))
            continue;
          n++;
          if (file->size == 0 && (file->size = get_size (entry, is_hf ? "size" : "Size")) != 0)
            file->about = file->size;
          if (file->sha256 == NULL && sha256 != NULL && zie_hub_is_checksum (sha256, 64))
            file->sha256 = g_strdup (sha256);
        }
    }
  return n;
}
