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

/* Reads the tokenizer.json at PATH, or its gzip, into BPE (empty) and ADDED (of ZieAddedToken), and checks that everything in it that
 * decides ids is as in Qwen's (spec 2.1).  Every single byte is a token afterwards. */
gboolean zie_tokenizer_file_read (const char *path, ZieBpe *bpe, GArray *added, GError **error);
