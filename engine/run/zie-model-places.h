/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-model.h>

#include "zie-weight-file.h"

/* Where the pieces of one model lie.  All strings but FORM are owned. */
typedef struct
{
  char *folder;                          /* a diffusers directory, which says what the model is; NULL: single files */
  char *weights[ZIE_N_MODEL_PARTS];      /* a file, or a component's folder; NULL: not found */
  char *configs[ZIE_N_MODEL_PARTS];      /* config.json; NULL: to be derived from the weights */
  char *tokenizer;                       /* tokenizer.json; NULL: the program's own */
  char *name;
  const char *form;                      /* static: "diffusers directory", "ComfyUI files", "GGUF", "mixed files" */
  GString *notes;                        /* what was chosen where there was a choice, a sentence a line; may be empty */
} ZieModelPlaces;

void zie_model_places_clear (ZieModelPlaces *self);

/* Finds them for SOURCE; parts that are nowhere stay NULL.  By content: names only decide between files of the same kind.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT, MODEL_UNSUPPORTED (no part of Z-Image), FAILED (unreadable). */
gboolean zie_model_places_find (ZieModelPlaces *self, const ZieModelSource *source, GError **error);

/* What is missing, as a sentence; NULL: nothing.  Free with g_free(). */
char *zie_model_places_describe_missing (const ZieModelPlaces *self);

/* FALSE, and FILE_NOT_FOUND that names them: files are missing of a diffusers directory, beside weights, of which their reader speaks.
 * Or what reading model_index.json says. */
gboolean zie_model_places_check_whole (const ZieModelPlaces *self, GError **error);

/* The weights of PART. */
ZieWeightFile *zie_model_places_open (const ZieModelPlaces *self, ZieModelPartKind part, GError **error);

/* Bits (1 << part) of the parts of Z-Image that FILE holds. */
guint zie_model_identify (const ZieWeightFile *file);

/* "the transformer and the VAE (ae.safetensors); name it with --transformer or --vae" of such bits; NULL: there are none.  Free
 * with g_free(). */
char *zie_model_describe_parts (guint parts);

/* The snapshot of a Hugging Face repository folder (models--org--name) that is to be used, or NULL: there is none.  Free
 * with g_free(). */
char *zie_model_find_snapshot (const char *folder);

/* Folders of models that other programs keep, those that exist: the repositories of the Hugging Face and ModelScope caches,
 * ComfyUI's models folders and our own.  An array of ZieModelPlace. */
typedef struct
{
  char *path;                /* owned */
  const char *what;          /* static: "Hugging Face cache" */
  gboolean is_own;           /* a folder in which this program keeps one model */
} ZieModelPlace;

GPtrArray *zie_model_list_places (void);

/* A weights file in a folder and what it holds. */
typedef struct
{
  char *path;                /* owned */
  guint parts;               /* bits (1 << part) */
  guint64 size;              /* bytes of its tensors */
} ZieFoundFile;

/* Weights files below FOLDER, DEPTH folders deep (0: in it alone), that hold parts of Z-Image; of a sharded set its index.
 * Sorted by path.  What cannot be read is passed over.  *IS_CUT (may be NULL) is whether there were more than ZIE_MODEL_SCAN_MAX files, of
 * which the rest was not looked at. */
#define ZIE_MODEL_SCAN_MAX 2000

GPtrArray *zie_model_scan (const char *folder, int depth, gboolean *is_cut);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZieModelPlaces, zie_model_places_clear)
