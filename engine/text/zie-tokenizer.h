/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

/* Qwen's byte-level BPE (spec section 2).  Immutable after loading: any thread. */
typedef struct _ZieTokenizer ZieTokenizer;

/* Reads the tokenizer.json at PATH, the vocab.json with merges.txt beside it, or the tokenizer inside a GGUF file.  Only what Qwen's
 * does is accepted: another kind of tokenizer is MODEL_UNSUPPORTED, a file that cannot be read whole FILE_CORRUPT, none
 * FILE_NOT_FOUND. */
ZieTokenizer *zie_tokenizer_load (const char *path, GError **error);
/* PATH is a GGUF file with a tokenizer in it, of whatever kind. */
gboolean zie_tokenizer_is_inside (const char *path);
void zie_tokenizer_free (ZieTokenizer *self);
guint zie_tokenizer_get_vocab_size (const ZieTokenizer *self);    /* one more than the largest id */

/* Ids of TEXT (LENGTH bytes, -1 = up to NUL; below 2^28), added tokens recognised; bytes that are not UTF-8 become U+FFFD
 * (one for each maximal part of a sequence, as in browsers and Python).  Returns an array of *N_IDS (transfer full,
 * never NULL). */
gint32 *zie_tokenizer_encode (const ZieTokenizer *self, const char *text, gssize length, guint *n_ids);

/* Ids of PROMPT inside the chat template (spec 2.3), untruncated. */
gint32 *zie_tokenizer_encode_prompt (const ZieTokenizer *self, const char *prompt, guint *n_ids);

/* The text of ids, for tests and messages; what is no id or not UTF-8 becomes U+FFFD. */
char *zie_tokenizer_decode (const ZieTokenizer *self, const gint32 *ids, guint n_ids);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieTokenizer, zie_tokenizer_free)
