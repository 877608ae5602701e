/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-error.h>

#include "zie-dtype.h"

/* One tensor of a mapped file. */
typedef struct
{
  const char *name;          /* as in the file */
  ZieDtype dtype;
  const char *dtype_name;    /* the file's word for it, also where dtype is OTHER */
  int n_dims;                /* more than 4: the first four are in dims, and dtype is OTHER */
  gint64 dims[4];            /* slowest first, as the model's text writes shapes (GGUF's order is reversed here) */
  const guint8 *data;        /* in the mapping, maybe unaligned */
  gsize size;                /* bytes */
  const char *file;          /* path, for messages */
} ZieTensorInfo;

/* A set of mapped files seen as one table of tensors: a safetensors file, a sharded set by its index, or a GGUF. */
typedef struct _ZieWeightFile ZieWeightFile;

/* PATH: *.safetensors, *.safetensors.index.json or *.gguf; content decides.  Maps, checks every offset, reads no data.
 * A sharded set holds the tensors that its index names.  Immutable afterwards: any thread.
 * Errors: FILE_NOT_FOUND, FILE_CORRUPT, TENSOR_MISSING (not in the shard that the index names), MODEL_UNSUPPORTED (a
 * split GGUF, another version), FAILED (system). */
ZieWeightFile *zie_weight_file_open (const char *path, GError **error);

/* The weights of a component folder: STEM.safetensors.index.json, STEM.safetensors, STEM.gguf or the folder's only
 * *.gguf, in this order. */
ZieWeightFile *zie_weight_file_open_component (const char *folder, const char *stem, GError **error);
void zie_weight_file_free (ZieWeightFile *self);
const ZieTensorInfo *zie_weight_file_lookup (const ZieWeightFile *self, const char *name);   /* NULL: not there */
/* The sizes of tensor NAME, axes of length one dropped and those after the first joined: a matrix [rows, cols], a vector
 * [1, n].  A GGUF's shape from before it was flattened counts.  FALSE: there is no such tensor. */
gboolean zie_weight_file_get_matrix (const ZieWeightFile *self, const char *name, gint64 *rows, gint64 *cols);
guint zie_weight_file_get_n (const ZieWeightFile *self);
const ZieTensorInfo *zie_weight_file_get (const ZieWeightFile *self, guint index);            /* in file order */
const char *zie_weight_file_get_path (const ZieWeightFile *self);
/* "safetensors", "sharded safetensors" or "GGUF". */
const char *zie_weight_file_get_form (const ZieWeightFile *self);
/* A metadata value as text: a GGUF's (arrays as [a, b, …]), or a string of a safetensors file's __metadata__.  NULL
 * when absent.  Free with g_free(). */
char *zie_weight_file_get_meta (const ZieWeightFile *self, const char *key);

/* As zie_map_check() and zie_map_set_flag(), of each file of the set: whether data was missing when it was read. */
gboolean zie_weight_file_check (const ZieWeightFile *self, GError **error);
void zie_weight_file_set_flag (ZieWeightFile *self, gint *flag);

/* The advice to the kernel that [data, data + size) will be read soon. */
void zie_weight_file_prefetch (const void *data, gsize size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ZieWeightFile, zie_weight_file_free)
