/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-model-places.h"

#include <string.h>

#include <zie/zie-error.h>

#include "zie-file.h"

void
zie_model_candidate_free (ZieModelCandidate *self)
{
  if (self == NULL)
    return;
  g_free (self->path);
  g_free (self->name);
  g_free (self->form);
  g_free (self->place);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    g_free (self->parts[i]);
  g_free (self->missing);
  g_free (self);
}

/* Opens what can be opened, and says what cannot. */
static void
check_parts (ZieModelCandidate *self, const ZieModelPlaces *places)
{
  g_autoptr(GError) not_whole = NULL;

  if (!zie_model_places_check_whole (places, &not_whole) && self->missing == NULL)
    self->missing = g_strdup (not_whole->message);
  for (int i = 0; i < ZIE_N_MODEL_PARTS; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(ZieWeightFile) file = places->weights[i] != NULL ? zie_model_places_open (places, (ZieModelPartKind)i, &error) : NULL;

      if (file == NULL && error != NULL && self->missing == NULL)
        self->missing = g_strdup (error->message);
      for (guint k = 0; file != NULL && k < zie_weight_file_get_n (file); k++)
        self->n_bytes += zie_weight_file_get (file, k)->size;
      if (file != NULL)
        self->parts[i] = g_strdup (zie_weight_file_get_path (file));
    }
}

ZieModelCandidate *
zie_model_examine (const ZieModelSource *source, GError **error)
{
  g_auto(ZieModelPlaces) places = { NULL };
  ZieModelCandidate *self;

  if (!zie_model_places_find (&places, source, error))
    return NULL;
  self = g_new0 (ZieModelCandidate, 1);
  self->path = g_strdup (source->path ? source->path : places.weights[ZIE_MODEL_TRANSFORMER]);
  self->name = g_strdup (places.name);
  self->form = g_strdup (places.form);
  self->place = g_strdup ("");
  self->missing = zie_model_places_describe_missing (&places);
  check_parts (self, &places);
  return self;
}

static void
add_unreadable (GPtrArray *found, const ZieModelPlace *place, const GError *why)
{
  ZieModelCandidate *candidate = g_new0 (ZieModelCandidate, 1);

  candidate->path = g_strdup (place->path);
  candidate->name = g_path_get_basename (place->path);
  candidate->form = g_strdup ("folder");
  candidate->place = g_strdup (place->what);
  candidate->missing = g_strdup (why->message);
  g_ptr_array_add (found, candidate);
}

static void
add (GPtrArray *found, const char *path, const char *place)
{
  g_autoptr(GError) error = NULL;
  ZieModelCandidate *candidate = zie_model_examine (&(ZieModelSource) { .path = path }, &error);

  if (candidate == NULL)
    {
      g_debug ("find: passed over path=%s reason=%s", path, error->message);
      return;
    }
  g_free (candidate->place);
  candidate->place = g_strdup (place);
  g_ptr_array_add (found, candidate);
}

/* One candidate for a folder that may not be read, a diffusers directory or a folder of our own, else one for each transformer
 * that lies in it as a file. */
static void
add_place (GPtrArray *found, const ZieModelPlace *place)
{
  g_autofree char *snapshot = zie_model_find_snapshot (place->path);
  const char *folder = snapshot != NULL ? snapshot : place->path;
  g_autofree char *index = g_build_filename (folder, "model_index.json", NULL);
  g_autoptr(GPtrArray) files = NULL;
  g_autoptr(GError) error = NULL;

  if (!zie_file_check_readable (place->path, &error))
    {
      add_unreadable (found, place, error);
      return;
    }
  if (g_file_test (index, G_FILE_TEST_EXISTS) || place->is_own)
    {
      add (found, folder, place->what);
      return;
    }
  files = zie_model_scan (folder, 4, NULL);
  for (guint i = 0; i < files->len; i++)
    {
      const ZieFoundFile *file = files->pdata[i];
      if (file->parts & (1u << ZIE_MODEL_TRANSFORMER))
        add (found, file->path, place->what);
    }
}

static int
compare_candidates (gconstpointer a, gconstpointer b)
{
  const ZieModelCandidate *const *x = a, *const *y = b;
  gboolean x_whole = (*x)->missing == NULL, y_whole = (*y)->missing == NULL;

  return x_whole != y_whole ? y_whole - x_whole : strcmp ((*x)->path, (*y)->path);
}

GPtrArray *
zie_model_find_all (void)
{
  GPtrArray *found = g_ptr_array_new_with_free_func ((GDestroyNotify)zie_model_candidate_free);
  g_autoptr(GPtrArray) places = zie_model_list_places ();
  g_autofree char *demo = zie_model_find_demo (NULL);

  for (guint i = 0; i < places->len; i++)
    add_place (found, places->pdata[i]);
  g_ptr_array_sort (found, compare_candidates);
  if (demo != NULL)
    add (found, demo, "demo");
  return found;
}
