/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

typedef struct
{
  const char *id;            /* "square-1024" */
  int width, height;
} ZiePreset;

typedef enum
{
  ZIE_MODEL_TRANSFORMER,
  ZIE_MODEL_TEXT_ENCODER,
  ZIE_MODEL_VAE,
  ZIE_N_MODEL_PARTS
} ZieModelPartKind;

/* Where a model is: a folder or one of its files, and parts that were picked by hand, which win.  Any may be NULL. */
typedef struct
{
  const char *path;
  const char *parts[ZIE_N_MODEL_PARTS];      /* files, or folders in which they are */
  const char *tokenizer;                     /* tokenizer.json, vocab.json, a GGUF file or a folder; NULL: what lies with the text
                                              * encoder or in its file, or the program's own */
} ZieModelSource;

typedef struct
{
  const char *name;          /* of the part: "transformer" … */
  const char *path;          /* of its weights */
  const char *form;          /* "safetensors", "sharded safetensors" or "GGUF" */
  const char *types;         /* "BF16" or "Q8_0, F32" */
  guint64 n_parameters;
  guint64 n_bytes;
} ZieModelPart;

/* All strings belong to the model. */
typedef struct
{
  const char *path;
  const char *name;          /* the folder's name: "Z-Image-Turbo" */
  const char *form;          /* "diffusers directory", "single files (ComfyUI)" … */
  const char *tokenizer;     /* the file it was read from; "" after a feed */
  const char *notes;         /* what is odd or was chosen where there was a choice, a sentence a line; "" when nothing */
  gboolean is_distilled;     /* Turbo: 8 steps, no guidance */
  gboolean is_kind_known;    /* something in the files says whether it is; else Turbo is assumed */
  gboolean is_demo;
  int default_width, default_height, default_steps;
  double default_guidance, shift;
  int max_side;              /* pixels */
  int max_prompt_ids;        /* 512, the template's 8 counted */
  const ZiePreset *presets;
  guint n_presets;
  ZieModelPart parts[ZIE_N_MODEL_PARTS];
} ZieModelInfo;

/* Opens a model: maps its files, reads and checks headers, configurations and every tensor's shape.  Reads no
 * weights, touches no device.  PATH is a diffusers directory, a repository's folder in the Hugging Face or ModelScope cache,
 * ComfyUI's models folder or another folder of files, or one file; what a file does not hold is looked for beside it, in the
 * ComfyUI folders around it, and among what zie_model_find_all() knows.  Blocking (tens of ms for the full tokenizer).
 * The model is immutable afterwards: any thread.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT, TENSOR_MISSING, MODEL_UNSUPPORTED, FAILED. */
ZIE_API ZieModel *zie_model_open (const char *path, GError **error);
ZIE_API ZieModel *zie_model_open_source (const ZieModelSource *source, GError **error);
ZIE_API ZieModel *zie_model_ref (ZieModel *self);
ZIE_API void zie_model_unref (ZieModel *self);
ZIE_API const ZieModelInfo *zie_model_get_info (const ZieModel *self);

/* A model that was found, whole or not.  All strings are owned. */
typedef struct
{
  char *path;                /* for zie_model_open() */
  char *name;
  char *form;
  char *place;               /* "Hugging Face cache", "ModelScope cache", "ComfyUI", "models folder", "demo" or "" */
  char *parts[ZIE_N_MODEL_PARTS];      /* files or folders; NULL: missing */
  char *missing;             /* why it cannot be used, a sentence; NULL: it is whole */
  guint64 n_bytes;           /* of the weights that are there */
} ZieModelCandidate;

ZIE_API void zie_model_candidate_free (ZieModelCandidate *self);

/* What is at SOURCE, without its tokenizer being read; errors only where nothing of a model is there. */
ZIE_API ZieModelCandidate *zie_model_examine (const ZieModelSource *source, GError **error);

/* All models on this machine: our own folder, the caches of Hugging Face and ModelScope (their environment variables are
 * followed), ComfyUI's folders, the demo model; one for each of these folders that may not be read.  An array that owns its
 * ZieModelCandidates, whole ones first.  Blocking: it reads the headers of many files. */
ZIE_API GPtrArray *zie_model_find_all (void);

/* Where this program keeps its models: $XDG_DATA_HOME/zimage-studio/models, maybe not there yet.  Free with g_free(). */
ZIE_API char *zie_model_get_folder (void);

/* Where the demo model is: $ZIE_DEMO_MODEL, the build's source tree, or the installed data.  NULL and an error when
 * it is nowhere.  Free with g_free(). */
ZIE_API char *zie_model_find_demo (GError **error);

/* Sets REQUEST, initialised before, to the model's defaults of size, steps and guidance. */
ZIE_API void zie_model_init_request (const ZieModel *self, ZieRequest *request);

/* Ids of PROMPT inside the chat template (its 8 counted), untruncated. */
ZIE_API guint zie_model_count_tokens (const ZieModel *self, const char *prompt);
/* The ids themselves: an array of gint32 (transfer full) of *N_IDS.  TEMPLATE FALSE: of the bare text. */
ZIE_API gint32 *zie_model_tokenize (const ZieModel *self, const char *text, gboolean with_template, guint *n_ids);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieModel, zie_model_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieModelCandidate, zie_model_candidate_free)

G_END_DECLS
