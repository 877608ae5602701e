/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-hub"

#include "zie-hub-private.h"

#include <string.h>

#include "config.h"

#define FORMAT 1
#define MAX_SIZE (1 << 20)       /* of a catalogue */
#define MAX_DEPTH 32
#define MAX_FILE_SIZE (G_GUINT64_CONSTANT (1) << 50)

struct _ZieCatalogue
{
  ZieHubModel *models;
  guint n_models;
};

/* json-glib descends by recursion: brackets are counted before it does. */
static gboolean
is_shallow (const char *text, gsize length)
{
  gboolean in_string = FALSE;
  int depth = 0;

  for (gsize i = 0; i < length; i++)
    if (in_string && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      in_string = !in_string;
    else if (!in_string && (text[i] == '[' || text[i] == '{') && ++depth > MAX_DEPTH)
      return FALSE;
    else if (!in_string && (text[i] == ']' || text[i] == '}'))
      depth--;

  return TRUE;
}

JsonNode *
zie_hub_parse_json (const char *text, gsize length, const char *where, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new_immutable ();
  g_autoptr(GError) local = NULL;

  if (!g_utf8_validate (text, (gssize)length, NULL))
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: is no text in UTF-8", where);
  else if (!is_shallow (text, length))
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: is nested more than %d levels deep", where, MAX_DEPTH);
  else if (!json_parser_load_from_data (parser, text, (gssize)length, &local))
    {
      g_autofree char *words = g_utf8_make_valid (local->message, -1);      /* it quotes what it stumbled over, and cuts letters */
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: is no JSON: %s", where, words);
    }
  else if (json_parser_get_root (parser) == NULL)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: is empty, expected JSON", where);
  else
    return json_node_ref (json_parser_get_root (parser));

  return NULL;
}

gboolean
zie_hub_is_checksum (const char *text, gsize length)
{
  return strlen (text) == length && strspn (text, "0123456789abcdef") == length;
}

/* --- reading --- */

typedef struct
{
  const char *where;
  GError *error;             /* the first; nothing is read after it */
} Reader;

static void
fail (Reader *self, const char *key, const char *expected)
{
  if (self->error == NULL)
    self->error = g_error_new (ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: “%s” is missing or not what is expected: %s", self->where, key, expected);
}

static JsonNode *
get_value (JsonObject *object, const char *key, GType type)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type ? node : NULL;
}

/* Of OBJECT's KEY a copy; with OPTIONAL NULL where there is none. */
static char *
read_string (Reader *self, JsonObject *object, const char *key, gboolean optional)
{
  JsonNode *node = get_value (object, key, G_TYPE_STRING);

  if (node != NULL && *json_node_get_string (node) != '\0')
    return json_node_dup_string (node);
  if (!optional || json_object_has_member (object, key))
    fail (self, key, "a string");
  return NULL;
}

static guint64
read_size (Reader *self, JsonObject *object, const char *key)
{
  JsonNode *node = get_value (object, key, G_TYPE_INT64);

  if (node != NULL && json_node_get_int (node) > 0 && (guint64)json_node_get_int (node) < MAX_FILE_SIZE)
    return (guint64)json_node_get_int (node);
  if (json_object_has_member (object, key))
    fail (self, key, "a number of bytes");
  return 0;
}

static char *
read_checksum (Reader *self, JsonObject *object, const char *key, gsize length)
{
  char *text = read_string (self, object, key, TRUE);

  if (text != NULL && !zie_hub_is_checksum (text, length))
    {
      fail (self, key, length == 64 ? "64 lower-case hexadecimal digits" : "32 lower-case hexadecimal digits");
      g_clear_pointer (&text, g_free);
    }
  return text;
}

static JsonObject *
read_object (Reader *self, JsonObject *object, const char *key, gboolean optional)
{
  JsonNode *node = json_object_get_member (object, key);

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    return json_node_get_object (node);
  if (!optional || node != NULL)
    fail (self, key, "an object");
  return NULL;
}

/* The objects in OBJECT's array KEY; NULL where it is none, or empty. */
static JsonArray *
read_array (Reader *self, JsonObject *object, const char *key)
{
  JsonNode *node = json_object_get_member (object, key);
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    if (!JSON_NODE_HOLDS_OBJECT (json_array_get_element (array, i)))
      array = NULL;
  if (array == NULL || json_array_get_length (array) == 0)
    {
      fail (self, key, "an array of objects");
      return NULL;
    }
  return array;
}

/* A path that stays inside of the folder that it is put into, and that is nothing of ours. */
static gboolean
is_safe_path (const char *path)
{
  g_auto(GStrv) names = g_strsplit (path, "/", -1);

  for (guint i = 0; names[i] != NULL; i++)
    if (*names[i] == '\0' || *names[i] == '.' || strchr (names[i], '\\') != NULL || g_str_has_suffix (names[i], ".part"))
      return FALSE;
  return g_utf8_validate (path, -1, NULL);
}

static void
read_repositories (Reader *self, JsonObject *object, ZieHubModel *model, GPtrArray *keys)
{
  JsonObject *all = read_object (self, object, "repositories", FALSE);
  g_autoptr(GList) names = all != NULL ? json_object_get_members (all) : NULL;
  guint i = 0;

  model->n_repositories = g_list_length (names);
  model->repositories = g_new0 (ZieHubRepository, model->n_repositories);
  for (GList *l = names; l != NULL && self->error == NULL; l = l->next, i++)
    {
      JsonObject *repository = read_object (self, all, l->data, FALSE);

      g_ptr_array_add (keys, g_strdup (l->data));
      for (int s = 0; s < ZIE_N_HUB_SOURCES && repository != NULL; s++)
        {
          JsonObject *source = read_object (self, repository, zie_hub_source_name ((ZieHubSource)s), TRUE);

          if (source == NULL)
            continue;
          model->repositories[i].names[s] = read_string (self, source, "repository", FALSE);
          model->repositories[i].revisions[s] = read_string (self, source, "revision", FALSE);
        }
    }
}

static void
read_file (Reader *self, JsonObject *object, ZieHubFile *file, GPtrArray *keys)
{
  g_autofree char *from = read_string (self, object, "from", FALSE);

  file->path = read_string (self, object, "path", FALSE);
  file->remote = read_string (self, object, "remote", TRUE);
  file->size = read_size (self, object, "size");
  file->about = file->size != 0 ? file->size : read_size (self, object, "about");
  file->sha256 = read_checksum (self, object, "sha256", 64);
  file->md5 = read_checksum (self, object, "md5", 32);

  if (self->error == NULL && !is_safe_path (file->path))
    fail (self, "path", "a relative path without hidden names and “..”");
  if (self->error == NULL && !g_ptr_array_find_with_equal_func (keys, from, g_str_equal, &file->repository))
    fail (self, "from", "the name of a repository");
  if (self->error == NULL && file->about == 0)
    fail (self, "about", "a number of bytes, because there is no “size”");
  if (self->error == NULL && file->remote == NULL)
    file->remote = g_strdup (file->path);
}

static void
read_model (Reader *self, JsonObject *object, ZieHubModel *model)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  JsonObject *licence = read_object (self, object, "licence", FALSE);
  JsonArray *files = read_array (self, object, "files");
  JsonNode *recommended = get_value (object, "recommended", G_TYPE_BOOLEAN);

  model->id = read_string (self, object, "id", FALSE);
  model->name = read_string (self, object, "name", FALSE);
  model->summary = read_string (self, object, "summary", FALSE);
  model->form = read_string (self, object, "form", FALSE);
  model->page = read_string (self, object, "page", FALSE);
  model->folder = read_string (self, object, "folder", FALSE);
  if (licence != NULL)
    {
      model->licence = read_string (self, licence, "name", FALSE);
      model->licence_url = read_string (self, licence, "url", FALSE);
    }
  if (self->error == NULL && (!is_safe_path (model->folder) || strchr (model->folder, '/') != NULL))
    fail (self, "folder", "the name of a folder");
  model->is_recommended = recommended != NULL && json_node_get_boolean (recommended);
  read_repositories (self, object, model, keys);

  model->is_size_exact = TRUE;
  model->n_files = files != NULL ? json_array_get_length (files) : 0;
  model->files = g_new0 (ZieHubFile, model->n_files);
  for (guint i = 0; i < model->n_files && self->error == NULL; i++)
    {
      read_file (self, json_array_get_object_element (files, i), &model->files[i], keys);
      model->n_bytes += model->files[i].about;
      model->is_size_exact = model->is_size_exact && model->files[i].size != 0;
    }
}

static void
read_catalogue (Reader *self, JsonNode *root, ZieCatalogue *catalogue)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *format = object != NULL ? get_value (object, "format", G_TYPE_INT64) : NULL;
  JsonArray *models;
  guint n_recommended = 0;

  if (format == NULL || json_node_get_int (format) != FORMAT)
    {
      fail (self, "format", "1: a newer program wrote this, or it is no catalogue");
      return;
    }
  models = read_array (self, object, "models");
  catalogue->n_models = models != NULL ? json_array_get_length (models) : 0;
  catalogue->models = g_new0 (ZieHubModel, catalogue->n_models);
  for (guint i = 0; i < catalogue->n_models && self->error == NULL; i++)
    {
      ZieHubModel *model = &catalogue->models[i];

      read_model (self, json_array_get_object_element (models, i), model);
      n_recommended += model->is_recommended;
      for (guint k = 0; k < i && self->error == NULL; k++)
        if (g_str_equal (catalogue->models[k].id, model->id) || g_str_equal (catalogue->models[k].folder, model->folder))
          fail (self, "id", "an id and a folder that no other model has");
    }
  if (self->error == NULL && n_recommended != 1)
    fail (self, "recommended", "true for exactly one model");
}

static char *
find_catalogue (void)
{
  const char *named = g_getenv ("ZIE_CATALOGUE");
  const char *const paths[] = { ZIE_SOURCE_DATADIR "/catalogue.json", ZIE_DATADIR "/zimage-studio/catalogue.json" };

  if (named != NULL && *named != '\0')
    return g_strdup (named);
  return g_strdup (g_file_test (paths[0], G_FILE_TEST_EXISTS) ? paths[0] : paths[1]);
}

ZieCatalogue *
zie_catalogue_load (const char *path, GError **error)
{
  g_autofree char *found = path == NULL ? find_catalogue () : NULL, *text = NULL;
  g_autoptr(ZieCatalogue) self = g_new0 (ZieCatalogue, 1);
  g_autoptr(GError) local = NULL;
  g_autoptr(JsonNode) root = NULL;
  Reader reader = { path != NULL ? path : found, NULL };
  gsize length;

  if (!g_file_get_contents (reader.where, &text, &length, &local))
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "%s; it lists the models that can be fetched: reinstall the program",
                   local->message);
      return NULL;
    }
  if (length > MAX_SIZE)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_CORRUPT, "%s: has %zu bytes, expected at most %d", reader.where, length, MAX_SIZE);
      return NULL;
    }
  if ((root = zie_hub_parse_json (text, length, reader.where, error)) == NULL)
    return NULL;

  read_catalogue (&reader, root, self);
  if (reader.error != NULL)
    {
      g_propagate_error (error, reader.error);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
zie_hub_model_clear (ZieHubModel *self)
{
  char **const strings[] = { &self->id, &self->name, &self->summary, &self->form, &self->licence, &self->licence_url, &self->page, &self->folder };

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    g_clear_pointer (strings[i], g_free);
  for (guint i = 0; i < self->n_repositories; i++)
    for (int s = 0; s < ZIE_N_HUB_SOURCES; s++)
      {
        g_free (self->repositories[i].names[s]);
        g_free (self->repositories[i].revisions[s]);
      }
  for (guint i = 0; i < self->n_files; i++)
    {
      g_free (self->files[i].path);
      g_free (self->files[i].remote);
      g_free (self->files[i].sha256);
      g_free (self->files[i].md5);
    }
  g_clear_pointer (&self->repositories, g_free);
  g_clear_pointer (&self->files, g_free);
}

void
zie_hub_model_copy (ZieHubModel *dest, const ZieHubModel *src)
{
  *dest = *src;
  {
    char **const strings[] = { &dest->id, &dest->name, &dest->summary, &dest->form, &dest->licence, &dest->licence_url, &dest->page, &dest->folder };

    for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
      *strings[i] = g_strdup (*strings[i]);
  }
  dest->repositories = g_memdup2 (src->repositories, src->n_repositories * sizeof *src->repositories);
  dest->files = g_memdup2 (src->files, src->n_files * sizeof *src->files);
  for (guint i = 0; i < dest->n_repositories; i++)
    for (int s = 0; s < ZIE_N_HUB_SOURCES; s++)
      {
        dest->repositories[i].names[s] = g_strdup (src->repositories[i].names[s]);
        dest->repositories[i].revisions[s] = g_strdup (src->repositories[i].revisions[s]);
      }
  for (guint i = 0; i < dest->n_files; i++)
    {
      dest->files[i].path = g_strdup (src->files[i].path);
      dest->files[i].remote = g_strdup (src->files[i].remote);
      dest->files[i].sha256 = g_strdup (src->files[i].sha256);
      dest->files[i].md5 = g_strdup (src->files[i].md5);
    }
}

void
zie_catalogue_free (ZieCatalogue *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_models; i++)
    zie_hub_model_clear (&self->models[i]);
  g_free (self->models);
  g_free (self);
}

guint
zie_catalogue_get_n (const ZieCatalogue *self)
{
  return self->n_models;
}

const ZieHubModel *
zie_catalogue_get (const ZieCatalogue *self, guint index)
{
  g_return_val_if_fail (index < self->n_models, NULL);
  return &self->models[index];
}

const ZieHubModel *
zie_catalogue_find (const ZieCatalogue *self, const char *id, GError **error)
{
  GString *ids = g_string_new (NULL);

  for (guint i = 0; i < self->n_models; i++)
    {
      const ZieHubModel *model = &self->models[i];

      if (id != NULL ? g_str_equal (model->id, id) : model->is_recommended)
        {
          g_string_free (ids, TRUE);
          return model;
        }
      g_string_append_printf (ids, "%s%s", i > 0 ? ", " : "", model->id);
    }

  g_set_error (error, ZIE_ERROR, ZIE_ERROR_INVALID_REQUEST, "the catalogue has no model “%s”; it has %s", id, ids->str);
  g_string_free (ids, TRUE);
  return NULL;
}

gboolean
zie_hub_model_has_source (const ZieHubModel *self, ZieHubSource source)
{
  for (guint i = 0; i < self->n_repositories; i++)
    if (self->repositories[i].names[source] == NULL)
      return FALSE;
  return TRUE;
}
