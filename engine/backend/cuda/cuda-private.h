/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <cuda_runtime_api.h>

#include "zie-backend.h"

#include "cuda-cublaslt.h"
#include "cuda-kernels.h"
#include "cuda-nvml.h"

/* How far the host may be ahead of the device: after each PACE_OPS launches a mark is set, and launching waits for the
 * mark PACE_MARKS before.  A cancelled job is over when what was launched is, so this bounds the wait. */
#define PACE_OPS 16
#define PACE_MARKS 3

/* Copies between pageable and device memory pass through these blocks of pinned memory. */
#define CUDA_STAGE_SIZE ((gsize)16 << 20)
#define CUDA_N_STAGES 4

typedef struct _CudaWeights CudaWeights;

/* A device that was opened: ZieBackend.data. */
typedef struct
{
  CudaCard card;
  int index;
  cudaStream_t compute, copy;
  gboolean has_error;            /* of this job; worker's thread */
  gint failed;                   /* atomic: ZieOpCtx.failed */
  GMutex lock;                   /* of failure and failure_code */
  char *failure;
  cudaError_t failure_code;

  ZieCublasLt *cublaslt;         /* NULL: own products only */
  CudaKernelChoice attention, gemm, conv;      /* asked for by the environment */
  gboolean use_cublaslt;
  guint8 *workspace;             /* of cuBLASLt, device */
  gsize workspace_size;

  cudaEvent_t marks[PACE_MARKS];
  guint n_launched, n_marks;
  guint8 *bounce;                /* pinned, CUDA_STAGE_SIZE */
  cudaEvent_t bounced;

  CudaWeights *weights;
} CudaBackend;

/* Keeps the first failure of a job and stops it; CODE cudaSuccess is nothing.  Any thread.  TRUE: all is well. */
gboolean cuda_ok (CudaBackend *self, cudaError_t code, const char *what);
void cuda_set_error (GError **error, cudaError_t code, const char *what);

/* cuda-weights.c.  The loader has a thread of its own. */
CudaWeights *cuda_weights_new (CudaBackend *backend, ZieThreads *threads);
void cuda_weights_free (CudaWeights *self);
gsize cuda_weight_size (const ZieWeight *weight);
gboolean cuda_weights_place (CudaWeights *self, const ZieWeightPlaces *places, GError **error);
void cuda_weights_drop (CudaWeights *self);
guint64 cuda_weights_get_held (CudaWeights *self);
/* Makes the compute stream wait for BLOCK to be on the device. */
void cuda_weights_acquire (CudaWeights *self, const ZieOpCtx *ctx, const ZieWeightBlock *block);
void cuda_weights_release (CudaWeights *self, const ZieWeightBlock *block);
/* Device address of WEIGHT: bf16 [rows, cols], f32 [cols] for a vector, or packed for conv.  NULL, and the job fails,
 * where it was not placed. */
void *cuda_weights_find (CudaWeights *self, const ZieWeight *weight);

/* cuda-ops.c */
void cuda_ops_init (ZieOps *ops);
