/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-model-places.h"

#define SCAN_DEPTH 4                     /* folders below one that is named */

/* What the files that find a model's parts share. */
typedef struct
{
  const char *folder, *stem;             /* in a diffusers directory */
  const char *key, *value;               /* what its config.json says it is */
  const char *words, *option;
  const char *comfy[4];                  /* folders below ComfyUI's models */
} ZieModelPartRow;

extern const ZieModelPartRow zie_model_part_rows[ZIE_N_MODEL_PARTS];

static inline gboolean
is_folder (const char *path)
{
  return g_file_test (path, G_FILE_TEST_IS_DIR);
}

static inline gboolean
has_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

/* zie-model-places.c: what was named. */
void zie_model_places_add_note (ZieModelPlaces *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* config.json of PART in FOLDER, if it is one: other programs leave files of this name too.  NULL: it is not; free with g_free(). */
char *zie_model_find_config (const char *folder, ZieModelPartKind part);
/* tokenizer.json in FOLDER, or vocab.json of the older form; NULL: neither.  Free with g_free(). */
char *zie_model_find_tokenizer (const char *folder);
/* PATH for PART, with the configuration and the tokenizer beside it. */
void zie_model_places_use_file (ZieModelPlaces *self, ZieModelPartKind part, const char *path);

/* zie-model-fill.c: what was not. */
gboolean zie_model_places_is_complete (const ZieModelPlaces *self);
/* FOLDER has ComfyUI's folders of models in it. */
gboolean zie_model_is_comfy (const char *folder);
/* From FOUND, of ZieFoundFile, what fits. */
void zie_model_places_fill_from (ZieModelPlaces *self, GPtrArray *found);
/* Beside ANCHOR, which was named, in the ComfyUI folders around it, in what else is on this machine. */
void zie_model_places_fill_missing (ZieModelPlaces *self, const char *anchor);

/* zie-model-comfy.c: folders of models that the extra_model_paths.yaml at PATH names, as owned strings, whether they are there or not. */
GPtrArray *zie_model_read_comfy_paths (const char *path);
