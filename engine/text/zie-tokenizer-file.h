/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

#include "zie-bpe.h"

/* A string that is never split, matched before anything else. */
typedef struct
{
  char *content;            /* owned */
  gsize length;
  guint32 id;
} ZieAddedToken;

void zie_added_token_clear (ZieAddedToken *self);

/* Reads the tokenizer at PATH into BPE (empty) and ADDED (of ZieAddedToken), and checks that everything in it that decides ids is as in
 * Qwen's (spec 2.1).  What PATH is, its content says: a tokenizer.json or its gzip, a vocab.json with merges.txt and the added
 * tokens of tokenizer_config.json (or added_tokens.json) beside it, or a GGUF file with a tokenizer inside.  Every single
 * byte is a token afterwards. */
gboolean zie_tokenizer_file_read (const char *path, ZieBpe *bpe, GArray *added, GError **error);
