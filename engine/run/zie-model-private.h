/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-model.h>

#include "zie-dit.h"
#include "zie-preview.h"
#include "zie-qwen3.h"
#include "zie-tokenizer.h"
#include "zie-vae.h"
#include "zie-weight-file.h"

struct _ZieModel
{
  gint ref_count;            /* atomic */
  guint64 serial;            /* never used again in this process: a key for caches */
  ZieModelInfo info;         /* strings owned below */
  GPtrArray *strings;        /* owned */
  GArray *presets;           /* of ZiePreset, owned */

  ZieTokenizer *tokenizer;   /* owned, as all that follows; NULL only after zie_model_open_for_feed() */
  ZieWeightFile *text_file, *transformer_file, *vae_file;
  ZieQwen3 text_encoder;
  ZieDit transformer;
  ZieVae vae;
  ZiePreview preview;
};

/* FALSE: FILE is quantised in a way that we cannot compute with, named in the error. */
gboolean zie_model_check_quantisation (const ZieWeightFile *file, GError **error);

/* As zie_model_open() for jobs that are fed their token ids: a tokenizer need not be there, and no prompt may be encoded
 * with the model where it is not. */
ZieModel *zie_model_open_for_feed (const char *path, GError **error);

/* Ids of PROMPT as the pipeline runs them: inside the template, cut at the model's limit if TRUNCATE.  Transfer full. */
gint32 *zie_model_encode_prompt (const ZieModel *self, const char *prompt, gboolean truncate, guint *n_ids);
