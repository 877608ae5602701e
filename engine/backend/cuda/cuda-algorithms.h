/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What was found by timing, kept between runs: a text file of lines "KEY<tab>HEX", the newest last.  A key names card,
 * library and shape; a value is CUDA_ALGORITHM_SIZE bytes that mean nothing here.  A file that is missing, foreign, damaged or
 * cannot be written is as good as none: what is wrong is said in a debug line, and the work goes on.  Several processes may
 * use one file: it is replaced whole, and what others wrote in the meantime is kept.  One thread at a time for one object. */
typedef struct _CudaAlgorithms CudaAlgorithms;

#define CUDA_ALGORITHM_SIZE 64

/* PATH NULL: zimage-studio/cublaslt-algorithms in the user's cache folder.  Never fails. */
CudaAlgorithms *cuda_algorithms_new (const char *path);
void cuda_algorithms_free (CudaAlgorithms *self);

/* FALSE, and VALUE untouched, when there is none for KEY. */
gboolean cuda_algorithms_find (const CudaAlgorithms *self, const char *key, guint8 *value);
/* Puts it in and writes the file.  Tabs and line ends in KEY become spaces, in cuda_algorithms_find() too. */
void cuda_algorithms_put (CudaAlgorithms *self, const char *key, const guint8 *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CudaAlgorithms, cuda_algorithms_free)
