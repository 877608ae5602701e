/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-model.h>

#include <zie/zie-request.h>

#include "zie-dit.h"
#include "zie-lora.h"
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

  gint is_lost;              /* atomic: what is mapped of it was missing when it was read */

  GMutex lora_lock;
  GHashTable *loras;         /* ZieLora by the name that asked for it, owned; only added to, so that blocks keep their identity */
};

/* FALSE, FILE_LOST: a file of it, or of a LoRA, was missing when it was read.  What was computed with it does not count, and it may be
 * used for nothing more. */
gboolean zie_model_check_files (ZieModel *self, GError **error);
/* As soon as that is so, work in CTX stops. */
void zie_model_watch_files (ZieModel *self, ZieOpCtx *ctx);

/* FALSE: FILE is quantised in a way that we cannot compute with, named in the error. */
gboolean zie_model_check_quantisation (const ZieWeightFile *file, GError **error);

/* As zie_model_open() for jobs that are fed their token ids: a tokenizer need not be there, and no prompt may be encoded
 * with the model where it is not. */
ZieModel *zie_model_open_for_feed (const char *path, GError **error);

/* The LoRA of this file or name, bound to the transformer; it lives as long as the model. */
const ZieLora *zie_model_get_lora (ZieModel *self, const char *name, GError **error);
/* All of REQUEST's; afterwards zie_model_get_lora() finds each of them. */
gboolean zie_model_load_loras (ZieModel *self, const ZieRequest *request, GError **error);
/* What of them is left out, or NULL.  Free with g_free(). */
char *zie_model_describe_loras (ZieModel *self, const ZieRequest *request);

/* Ids of PROMPT as the pipeline runs them: inside the template, cut at the model's limit if TRUNCATE.  Transfer full. */
gint32 *zie_model_encode_prompt (const ZieModel *self, const char *prompt, gboolean truncate, guint *n_ids);
