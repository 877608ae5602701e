/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Byte-level byte pair encoding: a vocabulary of byte strings, and a ranked list of pairs to merge.
 *
 * Filled once (add_token, then add_merge in rank order), then only read: any thread. */
typedef struct _ZieBpe ZieBpe;

#define ZIE_BPE_MAX_ID ((1 << 22) - 1)      /* far above any vocabulary: keeps a broken file from asking for memory */

ZieBpe *zie_bpe_new (void);
void zie_bpe_free (ZieBpe *self);

/* FALSE if the bytes or the id are there already.  ID is at most ZIE_BPE_MAX_ID, LENGTH at least 1. */
gboolean zie_bpe_add_token (ZieBpe *self, const guint8 *bytes, gsize length, guint32 id);

/* The next merge: of LEFT and RIGHT, which are ids of tokens, into the token of their bytes together.  FALSE if there is
 * no such token.  A pair given twice keeps the later rank, as in the reference. */
gboolean zie_bpe_add_merge (ZieBpe *self, guint32 left, guint32 right);

/* FALSE if there is no token of these bytes. */
gboolean zie_bpe_find (const ZieBpe *self, const guint8 *bytes, gsize length, guint32 *id);

/* The bytes of a token (borrowed), or NULL. */
const guint8 *zie_bpe_get_token (const ZieBpe *self, guint32 id, gsize *length);

guint zie_bpe_get_vocab_size (const ZieBpe *self);      /* one more than the largest id */

/* Room to work in, so that a text of many words allocates once.  One thread at a time. */
typedef struct _ZieBpeScratch ZieBpeScratch;

ZieBpeScratch *zie_bpe_scratch_new (void);
void zie_bpe_scratch_free (ZieBpeScratch *self);

/* Appends to OUT (gint32) the ids of one word.  Every single byte must be a token.  Time is n log n. */
void zie_bpe_encode (const ZieBpe *self, ZieBpeScratch *scratch, const guint8 *word, gsize length, GArray *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieBpe, zie_bpe_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieBpeScratch, zie_bpe_scratch_free)
