/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-places-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zie-dit.h"
#include "zie-file.h"
#include "zie-qwen3.h"
#include "zie-vae.h"

#define INDEX_SUFFIX ".safetensors.index.json"

guint
zie_model_identify (const ZieWeightFile *file)
{
  ZieQwen3Names text;
  ZieVaeNames vae;

  return (zie_dit_find_prefix (file) != NULL ? 1u << ZIE_MODEL_TRANSFORMER : 0)
         | (zie_qwen3_find_names (file, &text) ? 1u << ZIE_MODEL_TEXT_ENCODER : 0)
         | (zie_vae_find_names (file, &vae) ? 1u << ZIE_MODEL_VAE : 0);
}

/* Whether the first bytes are a weights file's: most files of a folder are not even opened by the readers. */
static gboolean
looks_like_weights (const char *path)
{
  guint8 head[9];
  struct stat st;
  gboolean is;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

  if (fd < 0)
    return FALSE;
  is = fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && read (fd, head, sizeof head) == (gssize)sizeof head
       && (memcmp (head, "GGUF", 4) == 0 || (head[8] == '{' && head[5] == 0 && head[6] == 0 && head[7] == 0));
  close (fd);
  return is;
}

static void
found_file_free (gpointer data)
{
  ZieFoundFile *self = data;

  g_free (self->path);
  g_free (self);
}

static void
add_file (GPtrArray *found, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieWeightFile) file = zie_weight_file_open (path, &error);
  ZieFoundFile *item;
  guint parts;

  if (file == NULL)
    {
      g_debug ("scan: passed over path=%s reason=%s", path, error->message);
      return;
    }
  if ((parts = zie_model_identify (file)) == 0)
    return;

  item = g_new0 (ZieFoundFile, 1);
  item->path = g_strdup (path);
  item->parts = parts;
  for (guint i = 0; i < zie_weight_file_get_n (file); i++)
    item->size += zie_weight_file_get (file, i)->size;
  g_ptr_array_add (found, item);
}

/* NAME is a shard of a set whose index lies beside it. */
static gboolean
is_shard (const char *name, GPtrArray *indexes)
{
  for (guint i = 0; i < indexes->len; i++)
    {
      const char *index = indexes->pdata[i];
      gsize stem = strlen (index) - strlen (INDEX_SUFFIX);

      if (strncmp (name, index, stem) == 0 && name[stem] == '-' && strstr (name + stem, "-of-") != NULL)
        return TRUE;
    }
  return FALSE;
}

static void
scan (GPtrArray *found, const char *folder, int depth, guint *n_left)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free), indexes = g_ptr_array_new ();
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL && names->len <= ZIE_MODEL_SCAN_MAX)
    if (*name != '.')
      {
        g_ptr_array_add (names, g_strdup (name));
        if (g_str_has_suffix (name, INDEX_SUFFIX))
          g_ptr_array_add (indexes, names->pdata[names->len - 1]);
      }

  for (guint i = 0; i < names->len && *n_left > 0; i++)
    {
      g_autofree char *path = g_build_filename (folder, names->pdata[i], NULL);

      (*n_left)--;
      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        {
          if (depth > 0)
            scan (found, path, depth - 1, n_left);
        }
      else if (g_str_has_suffix (names->pdata[i], INDEX_SUFFIX) || (!is_shard (names->pdata[i], indexes) && looks_like_weights (path)))
        add_file (found, path);
    }
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  const ZieFoundFile *const *x = a, *const *y = b;

  return strcmp ((*x)->path, (*y)->path);
}

GPtrArray *
zie_model_scan (const char *folder, int depth, gboolean *is_cut)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (found_file_free);
  guint n_left = ZIE_MODEL_SCAN_MAX + 1;

  scan (found, folder, depth, &n_left);
  g_ptr_array_sort (found, compare_paths);
  if (is_cut != NULL)
    *is_cut = n_left == 0;
  return found;
}

/* --- where other programs keep models ------------------------------------------------------------------------------- */

static void
place_free (gpointer data)
{
  ZieModelPlace *self = data;

  g_free (self->path);
  g_free (self);
}

/* Also what may not be read: it is named with its remedy. */
static void
add_place (GPtrArray *places, const char *path, const char *what, gboolean is_own)
{
  ZieModelPlace *place;

  if (!g_file_test (path, G_FILE_TEST_IS_DIR) && zie_file_check_readable (path, NULL))
    return;
  for (guint i = 0; i < places->len; i++)
    if (g_str_equal (((ZieModelPlace *)places->pdata[i])->path, path))
      return;
  place = g_new (ZieModelPlace, 1);
  *place = (ZieModelPlace) { g_strdup (path), what, is_own };
  g_ptr_array_add (places, place);
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *
list_folders (const char *folder)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (*name != '.')
      g_ptr_array_add (names, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (names, compare_strings);
  return names;
}

/* ROOT, which others are looked for in, where it may not be read. */
static void
add_unreadable (GPtrArray *places, const char *root, const char *what)
{
  if (!zie_file_check_readable (root, NULL))
    add_place (places, root, what, FALSE);
}

/* The folder that VARIABLE names, ~ being the home folder; NULL: none. */
static char *
get_named (const char *variable)
{
  const char *value = g_getenv (variable);

  if (value == NULL || *value == '\0')
    return NULL;
  return value[0] == '~' && (value[1] == '\0' || value[1] == G_DIR_SEPARATOR)
             ? g_build_filename (g_get_home_dir (), value + 1, NULL)
             : g_strdup (value);
}

/* The environment's order is huggingface_hub's own (spec 1.2). */
static char *
find_hugging_face_root (void)
{
  g_autofree char *home = get_named ("HF_HOME"), *cache = get_named ("XDG_CACHE_HOME");
  char *root;

  if ((root = get_named ("HF_HUB_CACHE")) != NULL || (root = get_named ("HUGGINGFACE_HUB_CACHE")) != NULL)
    return root;
  if (home != NULL)
    return g_build_filename (home, "hub", NULL);
  if (cache != NULL)
    return g_build_filename (cache, "huggingface", "hub", NULL);
  return g_build_filename (g_get_home_dir (), ".cache", "huggingface", "hub", NULL);
}

static void
add_hugging_face (GPtrArray *places)
{
  g_autofree char *root = find_hugging_face_root ();
  g_autoptr(GPtrArray) folders = list_folders (root);

  add_unreadable (places, root, "Hugging Face cache");
  for (guint i = 0; i < folders->len; i++)
    {
      g_autofree char *name = g_path_get_basename (folders->pdata[i]);
      if (g_str_has_prefix (name, "models--"))
        add_place (places, folders->pdata[i], "Hugging Face cache", FALSE);
    }
}

/* <root>/<org>/<name>, under the names that clients of different age gave the root's inside. */
static void
add_model_scope (GPtrArray *places)
{
  static const char *const insides[] = { "models", "hub" G_DIR_SEPARATOR_S "models", "hub" };
  g_autofree char *named = get_named ("MODELSCOPE_CACHE");
  g_autofree char *root = named != NULL ? g_strdup (named) : g_build_filename (g_get_home_dir (), ".cache", "modelscope", NULL);

  add_unreadable (places, root, "ModelScope cache");
  for (guint i = 0; i <= G_N_ELEMENTS (insides); i++)
    {
      g_autofree char *inside = i < G_N_ELEMENTS (insides) ? g_build_filename (root, insides[i], NULL) : g_strdup (root);
      g_autoptr(GPtrArray) orgs = list_folders (inside);

      if (i == G_N_ELEMENTS (insides) && named == NULL)
        break;                     /* the variable may name the inside itself */
      for (guint o = 0; o < orgs->len; o++)
        {
          g_autoptr(GPtrArray) names = list_folders (orgs->pdata[o]);
          g_autofree char *org = g_path_get_basename (orgs->pdata[o]);

          if (g_str_equal (org, "models") || g_str_equal (org, "hub"))
            continue;
          for (guint n = 0; n < names->len; n++)
            add_place (places, names->pdata[n], "ModelScope cache", FALSE);
        }
    }
}

static void
add_comfy (GPtrArray *places)
{
  static const char *const below_home[] = { "ComfyUI", "comfyui", "comfy" G_DIR_SEPARATOR_S "ComfyUI", "Documents" G_DIR_SEPARATOR_S "ComfyUI" };

  for (guint i = 0; i < G_N_ELEMENTS (below_home); i++)
    {
      g_autofree char *path = g_build_filename (g_get_home_dir (), below_home[i], "models", NULL);
      g_autofree char *others = g_build_filename (g_get_home_dir (), below_home[i], "extra_model_paths.yaml", NULL);
      g_autoptr(GPtrArray) elsewhere = zie_model_read_comfy_paths (others);

      add_place (places, path, "ComfyUI", FALSE);
      for (guint k = 0; k < elsewhere->len; k++)
        add_place (places, elsewhere->pdata[k], "ComfyUI", FALSE);
    }
}

char *
zie_model_get_folder (void)
{
  return g_build_filename (g_get_user_data_dir (), "zimage-studio", "models", NULL);
}

GPtrArray *
zie_model_list_places (void)
{
  GPtrArray *places = g_ptr_array_new_with_free_func (place_free);
  g_autofree char *own = zie_model_get_folder ();
  g_autoptr(GPtrArray) folders = list_folders (own);

  add_unreadable (places, own, "models folder");
  for (guint i = 0; i < folders->len; i++)
    add_place (places, folders->pdata[i], "models folder", TRUE);
  add_hugging_face (places);
  add_model_scope (places);
  add_comfy (places);
  return places;
}

char *
zie_model_find_snapshot (const char *folder)
{
  g_autofree char *reference = g_build_filename (folder, "refs", "main", NULL), *all = g_build_filename (folder, "snapshots", NULL);
  g_autofree char *hash = NULL, *best = NULL;
  g_autoptr(GPtrArray) snapshots = NULL;

  if (!g_file_test (all, G_FILE_TEST_IS_DIR))
    return NULL;
  if (g_file_get_contents (reference, &hash, NULL, NULL) && *g_strstrip (hash) != '\0' && strchr (hash, G_DIR_SEPARATOR) == NULL)
    {
      char *path = g_build_filename (all, hash, NULL);
      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        return path;
      g_free (path);
    }

  snapshots = list_folders (all);
  for (guint i = 0; i < snapshots->len; i++)
    {
      g_autofree char *index = g_build_filename (snapshots->pdata[i], "model_index.json", NULL);
      if (best == NULL || g_file_test (index, G_FILE_TEST_EXISTS))
        {
          g_free (best);
          best = g_strdup (snapshots->pdata[i]);
        }
    }
  return g_steal_pointer (&best);
}
