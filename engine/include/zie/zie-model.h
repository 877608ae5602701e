/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

typedef struct
{
  const char *id;            /* "square-1024" */
  int width, height;
} ZiePreset;

typedef struct
{
  const char *name;          /* of the part: "transformer" … */
  const char *types;         /* "BF16" or "Q8_0, F32" */
  guint64 n_parameters;
  guint64 n_bytes;
} ZieModelPart;

/* All strings belong to the model. */
typedef struct
{
  const char *path;
  const char *name;          /* the folder's name: "Z-Image-Turbo" */
  const char *form;          /* "diffusers directory" */
  gboolean is_distilled;     /* Turbo: 8 steps, no guidance */
  gboolean is_demo;
  int default_width, default_height, default_steps;
  double default_guidance, shift;
  int max_side;              /* pixels */
  int max_prompt_ids;        /* 512, the template's 8 counted */
  const ZiePreset *presets;
  guint n_presets;
  ZieModelPart parts[3];     /* transformer, text encoder, VAE */
} ZieModelInfo;

/* Opens a model: maps its files, reads and checks headers, configurations and every tensor's shape.  Reads no
 * weights, touches no device.  PATH is a diffusers directory.  Blocking (tens of ms for the full tokenizer).
 * The model is immutable afterwards: any thread. */
ZIE_API ZieModel *zie_model_open (const char *path, GError **error);
ZIE_API ZieModel *zie_model_ref (ZieModel *self);
ZIE_API void zie_model_unref (ZieModel *self);
ZIE_API const ZieModelInfo *zie_model_get_info (const ZieModel *self);

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

G_END_DECLS
