/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"
#include "zie-weight-file.h"

/* The weights of a network as a sequence of blocks.  A network names the block it is about to use and the one after it
 * is fetched ahead; whether weights lie in a mapped file, on a device or in host memory is the plan's affair. */
typedef struct _ZieWeights ZieWeights;

ZieWeights *zie_weights_new (void);
void zie_weights_free (ZieWeights *self);

/* Looks up the first of NAMES (NULL-terminated) in FILE, checks that it is [rows, cols] (a vector: rows = 1; axes of
 * length one do not count) of a type that can be computed with, and adds it to the block begun last.
 * Errors: TENSOR_MISSING, FILE_CORRUPT (shape), MODEL_UNSUPPORTED (type). */
gboolean zie_weights_bind (ZieWeights *self, const ZieWeightFile *file, const char *const *names, gint64 rows, gint64 cols,
                           ZieWeight *out, GError **error);
/* The same, of rows [from, from + rows) out of TOTAL. */
gboolean zie_weights_bind_rows (ZieWeights *self, const ZieWeightFile *file, const char *name, gint64 from, gint64 rows,
                                gint64 total, gint64 cols, ZieWeight *out, GError **error);

/* Says what the weight that was bound last is for (else a matrix or vector): in the network's copy and here. */
void zie_weights_set_use (ZieWeights *self, ZieWeight *weight, ZieWeightUse use, int ksize);

/* Begins the next block and returns its number, from 0. */
int zie_weights_begin_block (ZieWeights *self);
guint64 zie_weights_get_block_size (const ZieWeights *self, int block);     /* bytes */
guint zie_weights_get_n_blocks (const ZieWeights *self);
const ZieWeightBlock *zie_weights_get_block (const ZieWeights *self, int block);   /* once all is bound */
guint64 zie_weights_get_size (const ZieWeights *self);
guint64 zie_weights_get_n_parameters (const ZieWeights *self);
char *zie_weights_describe_types (const ZieWeights *self);                  /* "BF16, F32"; free with g_free() */

/* Around the use of a block. */
void zie_weights_acquire (const ZieWeights *self, ZieOpCtx *ctx, int block);
void zie_weights_release (const ZieWeights *self, ZieOpCtx *ctx, int block);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieWeights, zie_weights_free)
