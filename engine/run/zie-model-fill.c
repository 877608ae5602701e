/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

/* Parts that nobody named: which of the files found to take for them, and where to look. */

#include "zie-model-places-private.h"

#include <string.h>

#include "zie-dit.h"
#include "zie-qwen3.h"
#include "zie-vae.h"

/* How much FILE is what one would take for PART: by what it is called among its like, then by size. */
static int
name_rank (const char *path, ZieModelPartKind part)
{
  static const char *const words[ZIE_N_MODEL_PARTS][4] = {
    [ZIE_MODEL_TRANSFORMER] = { "turbo", "z_image", "z-image", "zimage" },
    [ZIE_MODEL_TEXT_ENCODER] = { "qwen_3_4b", "qwen3-4b", "qwen3_4b", "qwen" },
    [ZIE_MODEL_VAE] = { "ae.", "flux", "z_image", "z-image" },
  };
  g_autofree char *name = g_path_get_basename (path), *lower = g_ascii_strdown (name, -1);

  for (int i = 0; i < 4; i++)
    if (strstr (lower, words[part][i]) != NULL)
      return 4 - i;
  return 0;
}

/* Sizes by which parts fit each other: the transformer's and the encoder's width, the latents' channels; 0: not known. */
typedef struct
{
  int text_dim, channels;
} Fit;

static gboolean
get_fit (const char *path, ZieModelPartKind part, Fit *fit)
{
  g_autoptr(ZieWeightFile) file = zie_weight_file_open (path, NULL);
  ZieDitConfig dit;
  ZieQwen3Config text;
  ZieVaeConfig vae;

  *fit = (Fit) { 0, 0 };
  if (file == NULL)
    return FALSE;
  switch (part)
    {
    case ZIE_MODEL_TRANSFORMER:
      if (!zie_dit_config_from_file (&dit, file, NULL))
        return FALSE;
      *fit = (Fit) { dit.cap_dim, dit.in_channels };
      return TRUE;
    case ZIE_MODEL_TEXT_ENCODER:
      if (!zie_qwen3_config_from_file (&text, file, NULL))
        return FALSE;
      fit->text_dim = text.dim;
      return TRUE;
    default:
      if (!zie_vae_config_from_file (&vae, file, NULL))
        return FALSE;
      fit->channels = vae.latent_channels;
      return TRUE;
    }
}

static gboolean
fits (const Fit *a, const Fit *b)
{
  return (a->text_dim == 0 || b->text_dim == 0 || a->text_dim == b->text_dim)
         && (a->channels == 0 || b->channels == 0 || a->channels == b->channels);
}

/* The file of FOUND to take for PART: of those that fit WANTED the best named, of these the largest; NULL: none. */
static const ZieFoundFile *
choose (ZieModelPlaces *self, GPtrArray *found, ZieModelPartKind part, const Fit *wanted)
{
  const ZieFoundFile *best = NULL;
  guint n_fitting = 0;

  for (guint i = 0; i < found->len; i++)
    {
      const ZieFoundFile *file = found->pdata[i];
      Fit fit;

      if (!(file->parts & (1u << part)) || !get_fit (file->path, part, &fit) || !fits (&fit, wanted))
        continue;
      n_fitting++;
      if (best == NULL || name_rank (file->path, part) > name_rank (best->path, part)
          || (name_rank (file->path, part) == name_rank (best->path, part) && file->size > best->size))
        best = file;
    }
  if (n_fitting > 1)
    zie_model_places_add_note (self, "%u files could be %s: took %s", n_fitting, zie_model_part_rows[part].words, best->path);
  return best;
}

/* What the parts found so far ask of the others. */
static Fit
get_wanted (const ZieModelPlaces *self)
{
  Fit wanted = { 0, 0 };

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      Fit fit;

      if (self->weights[i] == NULL || is_folder (self->weights[i]) || !get_fit (self->weights[i], (ZieModelPartKind)i, &fit))
        continue;
      wanted.text_dim = wanted.text_dim ? wanted.text_dim : fit.text_dim;
      wanted.channels = wanted.channels ? wanted.channels : fit.channels;
    }
  return wanted;
}

void
zie_model_places_fill_from (ZieModelPlaces *self, GPtrArray *found)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (self->weights[i] == NULL)
      {
        Fit wanted = get_wanted (self);
        const ZieFoundFile *file = choose (self, found, (ZieModelPartKind)i, &wanted);

        if (file != NULL)
          zie_model_places_use_file (self, (ZieModelPartKind)i, file->path);
      }
}

gboolean
zie_model_places_is_complete (const ZieModelPlaces *self)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    if (self->weights[i] == NULL)
      return FALSE;
  return TRUE;
}

gboolean
zie_model_is_comfy (const char *folder)
{
  int n_known = 0;

  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      const char *const *names = zie_model_part_rows[i].comfy;
      n_known += has_file (folder, names[0]) || (names[1] != NULL && has_file (folder, names[1]));
    }
  return n_known >= 2;
}

/* The folder that holds ComfyUI's folders of models, above FILE; NULL: FILE is not in one. */
static char *
find_comfy_root (const char *file)
{
  g_autofree char *folder = g_path_get_dirname (file);

  for (int level = 0; level < 4; level++)
    {
      char *parent = g_path_get_dirname (folder);

      if (zie_model_is_comfy (folder))
        {
          g_free (parent);
          return g_steal_pointer (&folder);
        }
      g_free (folder);
      folder = parent;
    }
  return NULL;
}

static void
fill_from_comfy (ZieModelPlaces *self, const char *root)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    for (int k = 0; self->weights[i] == NULL && zie_model_part_rows[i].comfy[k] != NULL; k++)
      {
        g_autofree char *folder = g_build_filename (root, zie_model_part_rows[i].comfy[k], NULL);
        g_autoptr(GPtrArray) found = zie_model_scan (folder, 2, NULL);
        Fit wanted = get_wanted (self);
        const ZieFoundFile *file = choose (self, found, (ZieModelPartKind)i, &wanted);

        if (file != NULL)
          zie_model_places_use_file (self, (ZieModelPartKind)i, file->path);
      }
}

/* A component of a whole diffusers directory, where it fits. */
static void
fill_from_diffusers (ZieModelPlaces *self, const char *folder)
{
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      g_autofree char *component = g_build_filename (folder, zie_model_part_rows[i].folder, NULL);
      g_autofree char *config = self->weights[i] == NULL ? zie_model_find_config (component, (ZieModelPartKind)i) : NULL;
      g_autoptr(ZieWeightFile) file = config != NULL ? zie_weight_file_open_component (component, zie_model_part_rows[i].stem, NULL) : NULL;
      Fit wanted = get_wanted (self), fit;

      if (file == NULL || !get_fit (zie_weight_file_get_path (file), (ZieModelPartKind)i, &fit) || !fits (&fit, &wanted))
        continue;
      self->weights[i] = g_steal_pointer (&component);
      self->configs[i] = g_steal_pointer (&config);
      if (i == ZIE_MODEL_TEXT_ENCODER && self->tokenizer == NULL)
        {
          g_autofree char *tokenizer = g_build_filename (folder, "tokenizer", NULL);
          self->tokenizer = zie_model_find_tokenizer (tokenizer);
        }
      zie_model_places_add_note (self, "%s was taken from %s", zie_model_part_rows[i].words, folder);
    }
}

/* Parts that were not named: beside the one that was, in the ComfyUI folders around it, in what else is on this machine. */
void
zie_model_places_fill_missing (ZieModelPlaces *self, const char *anchor)
{
  g_autofree char *beside = is_folder (anchor) ? g_strdup (anchor) : g_path_get_dirname (anchor), *root = find_comfy_root (anchor);
  g_autoptr(GPtrArray) found = zie_model_scan (beside, 0, NULL), places = NULL;

  zie_model_places_fill_from (self, found);
  if (root != NULL && !zie_model_places_is_complete (self))
    fill_from_comfy (self, root);
  if (zie_model_places_is_complete (self))
    return;

  places = zie_model_list_places ();
  for (guint i = 0; i < places->len && !zie_model_places_is_complete (self); i++)
    {
      const ZieModelPlace *place = places->pdata[i];
      g_autofree char *snapshot = zie_model_find_snapshot (place->path);
      const char *folder = snapshot != NULL ? snapshot : place->path;

      if (has_file (folder, "model_index.json"))
        fill_from_diffusers (self, folder);
      else if (zie_model_is_comfy (folder))
        fill_from_comfy (self, folder);
      else
        {
          g_autoptr(GPtrArray) files = zie_model_scan (folder, SCAN_DEPTH, NULL);
          zie_model_places_fill_from (self, files);
        }
    }
}

