/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-places-private.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "zie-file.h"
#include "zie-json.h"
#include "zie-lora.h"

const ZieModelPartRow zie_model_part_rows[ZIE_N_MODEL_PARTS] = {
  [ZIE_MODEL_TRANSFORMER] = { "transformer",
                              "diffusion_pytorch_model",
                              "_class_name",
                              "ZImageTransformer2DModel",
                              "the transformer",
                              "--transformer",
                              { "diffusion_models", "unet", "checkpoints", NULL } },
  [ZIE_MODEL_TEXT_ENCODER] = { "text_encoder",
                               "model",
                               "model_type",
                               "qwen3",
                               "the text encoder (Qwen3-4B)",
                               "--text-encoder",
                               { "text_encoders", "clip", "checkpoints", NULL } },
  [ZIE_MODEL_VAE] = { "vae",
                      "diffusion_pytorch_model",
                      "_class_name",
                      "AutoencoderKL",
                      "the VAE (ae.safetensors)",
                      "--vae",
                      { "vae", "checkpoints", NULL, NULL } },
};

void
zie_model_places_clear (ZieModelPlaces *self)
{
  g_clear_pointer (&self->folder, g_free);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      g_clear_pointer (&self->weights[i], g_free);
      g_clear_pointer (&self->configs[i], g_free);
    }
  g_clear_pointer (&self->tokenizer, g_free);
  g_clear_pointer (&self->name, g_free);
  if (self->notes != NULL)
    g_string_free (g_steal_pointer (&self->notes), TRUE);
}

static char *
file_in (const char *folder, const char *name)
{
  char *path = g_build_filename (folder, name, NULL);

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    g_clear_pointer (&path, g_free);
  return path;
}

static void
set_path (char **to, char *path /* transfer full */)
{
  g_free (*to);
  *to = path;
}

void
zie_model_places_add_note (ZieModelPlaces *self, const char *format, ...)
{
  va_list args;

  if (self->notes->len > 0)
    g_string_append_c (self->notes, '\n');
  va_start (args, format);
  g_string_append_vprintf (self->notes, format, args);
  va_end (args);
}

/* config.json of PART in FOLDER, if it is one: other programs leave files of this name too. */
char *
zie_model_find_config (const char *folder, ZieModelPartKind part)
{
  g_autofree char *path = file_in (folder, "config.json");
  JsonObject *object = path != NULL ? zie_json_load_object (path, NULL) : NULL;
  const char *value = NULL;
  gboolean fits;

  if (object == NULL)
    return NULL;
  fits = zie_json_get_string (object, path, zie_model_part_rows[part].key, "", &value, NULL) &&
         g_str_equal (value, zie_model_part_rows[part].value);
  json_object_unref (object);
  return fits ? g_steal_pointer (&path) : NULL;
}

/* models--org--name/snapshots/<hash> is called by its repository's name. */
static char *
name_of_folder (const char *folder)
{
  g_autofree char *name = g_path_get_basename (folder), *parent = g_path_get_dirname (folder);
  g_autofree char *parent_name = g_path_get_basename (parent);

  if (g_str_equal (parent_name, "snapshots"))
    {
      g_autofree char *repository = g_path_get_dirname (parent), *repository_name = g_path_get_basename (repository);
      const char *last = g_strrstr (repository_name, "--");

      if (last != NULL && last[2] != '\0')
        return g_strdup (last + 2);
    }
  return g_steal_pointer (&name);
}

/* tokenizer.json in FOLDER, or vocab.json of the older form; NULL: neither. */
char *
zie_model_find_tokenizer (const char *folder)
{
  g_autofree char *merges = NULL;
  char *path = file_in (folder, "tokenizer.json");

  if (path != NULL)
    return path;
  merges = file_in (folder, "merges.txt");
  return merges != NULL ? file_in (folder, "vocab.json") : NULL;
}

/* The tokenizer beside the text encoder in FOLDER, or of the diffusers directory that FOLDER is in; NULL: none. */
static char *
find_tokenizer_near (const char *folder)
{
  g_autofree char *parent = g_path_get_dirname (folder), *of_model = g_build_filename (parent, "tokenizer", NULL);
  char *path = zie_model_find_tokenizer (folder);

  return path != NULL || !has_file (parent, "model_index.json") ? path : zie_model_find_tokenizer (of_model);
}

static void
use_diffusers (ZieModelPlaces *self, const char *folder)
{
  g_autofree char *tokenizers = NULL;
  char *tokenizer;

  set_path (&self->folder, g_strdup (folder));
  set_path (&self->name, name_of_folder (folder));
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      set_path (&self->weights[i], g_build_filename (folder, zie_model_part_rows[i].folder, NULL));
      set_path (&self->configs[i], g_build_filename (folder, zie_model_part_rows[i].folder, "config.json", NULL));
    }
  tokenizers = g_build_filename (folder, "tokenizer", NULL);
  if ((tokenizer = zie_model_find_tokenizer (tokenizers)) == NULL) /* then it is what messages speak of */
    tokenizer = g_build_filename (tokenizers, "tokenizer.json", NULL);
  set_path (&self->tokenizer, tokenizer);
}

void
zie_model_places_use_file (ZieModelPlaces *self, ZieModelPartKind part, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  set_path (&self->weights[part], g_strdup (path));
  set_path (&self->configs[part], zie_model_find_config (folder, part));
  if (part == ZIE_MODEL_TEXT_ENCODER && self->tokenizer == NULL)
    self->tokenizer = find_tokenizer_near (folder);
}

/* The index of the set that PATH is a shard of, or PATH. */
static char *
index_of_shard (const char *path)
{
  const char *of = g_strrstr (path, "-of-");
  g_autofree char *stem = of != NULL ? g_strndup (path, (gsize)(of - path)) : NULL;
  char *dash = stem != NULL ? strrchr (stem, '-') : NULL, *index;

  if (dash == NULL || !g_str_has_suffix (path, ".safetensors"))
    return g_strdup (path);
  *dash = '\0';
  index = g_strconcat (stem, ".safetensors.index.json", NULL);
  if (g_file_test (index, G_FILE_TEST_EXISTS))
    return index;
  g_free (index);
  return g_strdup (path);
}

/* The parts that the file at PATH holds; 0 with an error. */
static guint
identify_path (const char *path, GError **error)
{
  g_autoptr(ZieWeightFile) file = zie_weight_file_open (path, error);
  guint parts;

  if (file == NULL)
    return 0;
  if ((parts = zie_model_identify (file)) == 0 && zie_lora_is_one (file))
    g_set_error (
        error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
        "%s: is no part of a model but a LoRA, which changes a model; name it with --lora, and the model as before",
        path);
  else if (parts == 0)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                 "%s: holds no part of Z-Image: neither its transformer, nor a Qwen3 text encoder, nor Flux's VAE (its first tensor is %s)",
                 path, zie_weight_file_get_n (file) > 0 ? zie_weight_file_get (file, 0)->name : "none");
  return parts;
}

char *
zie_model_describe_parts (guint parts)
{
  g_autoptr(GString) words = g_string_new (NULL), options = g_string_new (NULL);

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (parts & (1u << i))
      {
        g_string_append_printf (words, "%s%s", words->len > 0 ? " and " : "", zie_model_part_rows[i].words);
        g_string_append_printf (options, "%s%s", options->len > 0 ? " or " : "", zie_model_part_rows[i].option);
      }
  return parts != 0 ? g_strdup_printf ("%s; name it with %s", words->str, options->str) : NULL;
}

/* PATH was named for PART, and PARTS are in it. */
static void
set_wrong_part (GError **error, const char *path, ZieModelPartKind part, guint parts)
{
  g_autofree char *found = zie_model_describe_parts (parts);

  if (found == NULL)
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                 "%s: its config.json is not that of %s, for which it was named", path,
                 zie_model_part_rows[part].words);
  else
    g_set_error (error, ZIE_ERROR, ZIE_ERROR_MODEL_UNSUPPORTED,
                 "%s: is not %s, for which it was named, but %s, and another file with %s or none", path,
                 zie_model_part_rows[part].words, found, zie_model_part_rows[part].option);
}

static char *
name_of_file (const char *path)
{
  char *name = g_path_get_basename (path), *dot = strrchr (name, '.');

  if (dot != NULL && dot != name)
    *dot = '\0';
  return name;
}

static gboolean
resolve_file (ZieModelPlaces *self, const char *given, GError **error)
{
  g_autofree char *path = index_of_shard (given), *folder = g_path_get_dirname (path), *parent = g_path_get_dirname (folder);
  guint parts = identify_path (path, error);

  if (parts == 0)
    return FALSE;
  if (has_file (parent, "model_index.json"))       /* a file of a diffusers directory brings the others along */
    use_diffusers (self, parent);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (parts & (1u << i))
      zie_model_places_use_file (self, (ZieModelPartKind)i, path);
  set_path (&self->name, name_of_file (path));
  return TRUE;
}

/* In our own folder of models each has a folder that is called what it is. */
static gboolean
is_own_folder (const char *folder)
{
  g_autofree char *own = zie_model_get_folder (), *parent = g_path_get_dirname (folder);
  return g_str_equal (own, parent);
}

/* A folder of files: ComfyUI's models folder, a repository of single files, a folder of downloads. */
static gboolean
resolve_loose (ZieModelPlaces *self, const char *folder, GError **error)
{
  gboolean is_cut;
  g_autoptr(GPtrArray) found = zie_model_scan (folder, SCAN_DEPTH, &is_cut);

  if (found->len == 0 && is_cut)
    {
      g_set_error (
          error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
          "%s: none of the first %d files in it holds a part of Z-Image; name the folder that the model's files are in",
          folder, ZIE_MODEL_SCAN_MAX);
      return FALSE;
    }
  if (found->len == 0)
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: no model_index.json in it, and no file that holds a part of Z-Image; expected a diffusers directory "
                   "(model_index.json, scheduler, text_encoder, tokenizer, transformer and vae), ComfyUI's models folder, or files of "
                   "type safetensors or GGUF", folder);
      return FALSE;
    }
  if (is_cut)
    zie_model_places_add_note (self, "%s holds more than %d files, only those were looked at", folder,
                               ZIE_MODEL_SCAN_MAX);
  zie_model_places_fill_from (self, found);
  if (self->tokenizer == NULL)
    self->tokenizer = zie_model_find_tokenizer (folder);
  set_path (&self->name, self->weights[ZIE_MODEL_TRANSFORMER] != NULL && !is_own_folder (folder)
                           ? name_of_file (self->weights[ZIE_MODEL_TRANSFORMER]) : name_of_folder (folder));
  return TRUE;
}

static gboolean
resolve_folder (ZieModelPlaces *self, const char *folder, GError **error)
{
  g_autofree char *snapshot = NULL, *parent = NULL, *component = NULL, *models = NULL;

  if (!zie_file_check_readable (folder, error))
    return FALSE;
  if (has_file (folder, "model_index.json"))
    {
      use_diffusers (self, folder);
      return TRUE;
    }
  if ((snapshot = zie_model_find_snapshot (folder)) != NULL)
    return resolve_folder (self, snapshot, error);
  models = g_build_filename (folder, "models", NULL);
  if (zie_model_is_comfy (models)) /* ComfyUI's own folder, with the program's thousands of files */
    return resolve_loose (self, models, error);

  parent = g_path_get_dirname (folder);
  component = g_build_filename (folder, "transformer", NULL);
  if (has_file (parent, "model_index.json") && has_file (folder, "config.json"))
    return resolve_folder (self, parent, error);
  if (has_file (component, "config.json"))           /* half of a diffusers directory is not taken for a model */
    {
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: no model_index.json in it; expected a diffusers directory: model_index.json, scheduler, text_encoder, tokenizer, "
                   "transformer and vae", folder);
      return FALSE;
    }
  return resolve_loose (self, folder, error);
}

/* The part that FOLDER, a component's, says it is, as a bit; 0: none. */
static guint
identify_component (const char *folder)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      g_autofree char *config = zie_model_find_config (folder, (ZieModelPartKind)i);
      if (config != NULL)
        return 1u << i;
    }
  return 0;
}

/* One part from PATH, picked by hand: a file or a component that is that part, or a folder of a model that has it. */
static gboolean
resolve_part (ZieModelPlaces *self, ZieModelPartKind part, const char *path, GError **error)
{
  g_auto(ZieModelPlaces) other = { .notes = g_string_new (NULL) };
  gboolean is_component = is_folder (path) && !has_file (path, "model_index.json") && has_file (path, "config.json");
  guint parts = 0;

  if (is_component)
    {
      parts = identify_component (path);
      other.weights[part] = g_strdup (path);
      other.configs[part] = zie_model_find_config (path, part);
      if (part == ZIE_MODEL_TEXT_ENCODER)
        other.tokenizer = find_tokenizer_near (path);
    }
  else if (is_folder (path))
    {
      if (!resolve_folder (&other, path, error))
        return FALSE;
      for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
        parts |= other.weights[i] != NULL ? 1u << i : 0;
    }
  else
    {
      g_autofree char *file = index_of_shard (path);

      if ((parts = identify_path (file, error)) == 0)
        return FALSE;
      zie_model_places_use_file (&other, part, file);
      other.name = name_of_file (file);
    }

  if (!(parts & (1u << part)))
    {
      set_wrong_part (error, path, part, parts);
      return FALSE;
    }
  set_path (&self->weights[part], g_steal_pointer (&other.weights[part]));
  set_path (&self->configs[part], g_steal_pointer (&other.configs[part]));
  if (part == ZIE_MODEL_TEXT_ENCODER && other.tokenizer != NULL)
    set_path (&self->tokenizer, g_steal_pointer (&other.tokenizer));
  if (part == ZIE_MODEL_TRANSFORMER || self->name == NULL)
    set_path (&self->name, other.name != NULL ? g_steal_pointer (&other.name) : name_of_folder (path));
  return TRUE;
}

/* The file at PATH is one, whatever it is called. */
static gboolean
is_gguf (const char *path)
{
  char magic[4] = "";
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  gboolean is = fd >= 0 && read (fd, magic, sizeof magic) == (gssize)sizeof magic && memcmp (magic, "GGUF", 4) == 0;

  if (fd >= 0)
    close (fd);
  return is;
}

/* "GGUF" where a part is one, "diffusers directory" where all parts are of one. */
static const char *
describe_form (const ZieModelPlaces *self)
{
  gboolean has_gguf = FALSE, has_folder = FALSE, has_file = FALSE;

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (self->weights[i] != NULL)
      {
        gboolean is_component = is_folder (self->weights[i]) ||
                                !g_file_test (self->weights[i], G_FILE_TEST_EXISTS); /* that was to be there */

        has_folder = has_folder || is_component;
        has_file = has_file || !is_component;
        has_gguf = has_gguf || is_gguf (self->weights[i]);
      }
  if (!has_file)
    return self->folder != NULL ? "diffusers directory" : "diffusers components";
  return has_folder ? "mixed parts" : has_gguf ? "single files, GGUF" : "single files (ComfyUI)";
}

gboolean
zie_model_places_find (ZieModelPlaces *self, const ZieModelSource *source, GError **error)
{
  const char *anchor = source->path;

  *self = (ZieModelPlaces) { .notes = g_string_new (NULL) };
  if (anchor != NULL && !g_file_test (anchor, G_FILE_TEST_EXISTS))
    {
      if (!zie_file_check_readable (anchor, error))
        goto fail;
      g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
                   "%s: there is no such folder or file; expected a model: a diffusers directory, a ComfyUI models folder, or a file of type "
                   "safetensors or GGUF", anchor);
      goto fail;
    }
  if (anchor != NULL && !(is_folder (anchor) ? resolve_folder (self, anchor, error) : resolve_file (self, anchor, error)))
    goto fail;
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (source->parts[i] != NULL)
      {
        if (!resolve_part (self, (ZieModelPartKind)i, source->parts[i], error))
          goto fail;
        anchor = anchor != NULL ? anchor : source->parts[i];
      }
  if (anchor == NULL)
    {
      g_set_error_literal (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "no model was named");
      goto fail;
    }
  if (source->tokenizer != NULL)
    {
      char *found = zie_model_find_tokenizer (source->tokenizer);

      set_path (&self->tokenizer, found != NULL                   ? found
                                  : is_folder (source->tokenizer) ? g_build_filename (source->tokenizer, "tokenizer.json", NULL)
                                                                  : g_strdup (source->tokenizer));
    }
  if (!zie_model_places_is_complete (self))
    zie_model_places_fill_missing (self, anchor);
  self->form = describe_form (self);
  return TRUE;

fail:
  zie_model_places_clear (self);
  return FALSE;
}

char *
zie_model_places_describe_missing (const ZieModelPlaces *self)
{
  GString *s = g_string_new (NULL);
  int n = 0;

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (self->weights[i] == NULL)
      g_string_append_printf (s, "%s%s", n++ > 0 ? " and " : "", zie_model_part_rows[i].words);
  if (n > 0)
    g_string_append (s, n > 1 ? " are missing" : " is missing");
  return g_string_free (s, n == 0);
}

/* Nothing is there, not even something that may not be read. */
static gboolean
is_missing (const char *path)
{
  return !g_file_test (path, G_FILE_TEST_EXISTS) && zie_file_check_readable (path, NULL);
}

/* "a, b and c": the files of FOLDER that are not there. */
static char *
join_missing (const char *folder, GPtrArray *paths)
{
  GString *words = g_string_new (NULL);

  for (guint i = 0; i < paths->len; i++)
    {
      const char *path = paths->pdata[i], *name = g_str_has_prefix (path, folder) ? path + strlen (folder) : path;

      g_string_append (words, i == 0 ? "" : i + 1 < paths->len ? ", " : " and ");
      g_string_append (words, name + strspn (name, G_DIR_SEPARATOR_S));
    }
  return g_string_free (words, FALSE);
}

gboolean
zie_model_places_check_whole (const ZieModelPlaces *self, GError **error)
{
  g_autoptr(GPtrArray) paths = g_ptr_array_new (); /* borrowed */
  g_autofree char *index = NULL, *scheduler = NULL, *words = NULL, *or_name = NULL;
  const char *option = NULL;
  JsonObject *object;

  if (self->folder == NULL)
    return TRUE;
  index = g_build_filename (self->folder, "model_index.json", NULL);
  if ((object = zie_json_load_object (index, error)) == NULL) /* then it is no model at all */
    return FALSE;
  json_object_unref (object);

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (self->configs[i] != NULL && is_missing (self->configs[i]))
      {
        g_ptr_array_add (paths, is_missing (self->weights[i]) ? self->weights[i] : self->configs[i]);
        option = zie_model_part_rows[i].option;
      }
  scheduler = g_build_filename (self->folder, "scheduler", "scheduler_config.json", NULL);
  if (is_missing (scheduler))
    g_ptr_array_add (paths, scheduler);
  if (self->tokenizer != NULL && is_missing (self->tokenizer))
    g_ptr_array_add (paths, self->tokenizer);
  if (paths->len == 0)
    return TRUE;

  words = join_missing (self->folder, paths);
  or_name =
      paths->len == 1 && option != NULL ? g_strdup_printf (", or name another file with %s", option) : g_strdup ("");
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND,
               "%s: is not the whole model: %s %s missing; fetch the model again or put %s there%s", self->folder,
               words, paths->len == 1 ? "is" : "are", paths->len == 1 ? "it" : "them", or_name);
  return FALSE;
}

ZieWeightFile *
zie_model_places_open (const ZieModelPlaces *self, ZieModelPartKind part, GError **error)
{
  /* what is not there at all was to be a component's folder: its reader says best what it expected */
  if (is_folder (self->weights[part]) || !g_file_test (self->weights[part], G_FILE_TEST_EXISTS))
    return zie_weight_file_open_component (self->weights[part], zie_model_part_rows[part].stem, error);
  return zie_weight_file_open (self->weights[part], error);
}
