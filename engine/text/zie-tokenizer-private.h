/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-json-reader.h"
#include "zie-json.h"
#include "zie-tokenizer-file.h"

/* What the readers of a tokenizer's forms share (zie-tokenizer-file.c, -vocab.c, -gguf.c). */

#define ZIE_TOKENIZER_MAX_SIZE ((gsize)256 << 20)      /* of a file */
#define ZIE_TOKENIZER_MAX_ADDED 256                    /* bytes of an added token */

typedef enum
{
  ZIE_ALPHABET_FINE,
  ZIE_ALPHABET_FOREIGN,      /* a character that stands for no byte */
  ZIE_ALPHABET_EMPTY,
} ZieAlphabet;

/* Puts the bytes that TOKEN, UTF-8 text in the vocabulary's alphabet, stands for in its place.  With SPLIT, one space (which is not in
 * the alphabet) stands in it: *SPLIT is the number of bytes before it; EMPTY where nothing is on one side. */
ZieAlphabet zie_tokenizer_to_bytes (GString *token, gsize *split);

/* Reads an object of tokens and their ids; the reader's problem says what is wrong. */
void zie_tokenizer_read_vocab (ZieJsonReader *reader, ZieBpe *bpe);

/* Where PART ("model.vocab: ") of PATH stopped making sense. */
gboolean zie_tokenizer_set_problem (const char *path, const char *part, const ZieJsonReader *reader, GError **error);

/* FALSE, and an error: CONTENT, of what WHERE says, is empty or too long for a token that is never split. */
gboolean zie_tokenizer_check_added (const char *content, const char *where, GError **error);
/* FALSE, and an error that names PATH: not every byte is a token. */
gboolean zie_tokenizer_check_bytes (const char *path, const ZieBpe *bpe, GError **error);

/* vocab.json, whose TEXT is at hand, and what lies beside it. */
gboolean zie_tokenizer_read_vocab_files (const char *path, const char *text, gsize length, ZieBpe *bpe, GArray *added, GError **error);
/* The flags and the content of one added token, an object; the id is the caller's. */
gboolean zie_tokenizer_read_added (JsonNode *node, const char *where, ZieAddedToken *token, GError **error);

/* The tokenizer inside the GGUF file at PATH. */
gboolean zie_tokenizer_read_gguf (const char *path, ZieBpe *bpe, GArray *added, GError **error);
