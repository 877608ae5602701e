/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <cuda_runtime_api.h>

#include <zie/zie-device.h>

#include "zie-backend.h"

#include "cuda-cublaslt.h"
#include "cuda-kernels.h"
#include "cuda-nvml.h"

#if CUDART_VERSION < 12050       /* there it asks for the runtime's own version, which has what we ask for */
#define cudaGetDriverEntryPointByVersion(symbol, pointer, version, flags, result) \
  cudaGetDriverEntryPoint (symbol, pointer, flags, result)
#endif

/* How far the host may be ahead of the device: after each PACE_OPS launches a mark is set, and launching waits for the
 * mark PACE_MARKS before.  A cancelled job is over when what was launched is, so this bounds the wait. */
#define PACE_OPS 16
#define PACE_MARKS 3

/* Copies between pageable and device memory pass through these blocks of pinned memory. */
#define CUDA_STAGE_SIZE ((gsize)32 << 20)
#define CUDA_N_STAGES 4
#define CUDA_BOUNCE_SIZE ((gsize)16 << 20)

typedef struct _CudaWeights CudaWeights;
typedef struct _CudaProfile CudaProfile;

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
  CudaKernelChoice gemm, conv;   /* asked for by the environment; attention.cu asks it by itself, for its variants' names */
  gboolean use_cublaslt;
  guint8 *workspace;             /* of cuBLASLt, device */
  gsize workspace_size;

  cudaEvent_t marks[PACE_MARKS];
  guint n_launched, n_marks;
  guint8 *bounce;                /* pinned, CUDA_BOUNCE_SIZE */
  cudaEvent_t bounced;

  int *broken;                   /* of ZieOpCtx, device; and the pinned number that downloads bring it to */
  int *broken_seen;

  guint64 base_size;             /* what opening took */
  _Atomic guint64 allocated, held_peak, n_loaded, n_streamed;        /* bytes: of ZieBackendUse */

  const char *op;                /* that is being launched: for messages */
  CudaProfile *profile;          /* NULL: nothing is timed */
  CudaWeights *weights;
} CudaBackend;

/* Keeps the first failure of a job and stops it; CODE cudaSuccess is nothing.  Any thread.  TRUE: all is well. */
gboolean cuda_ok (CudaBackend *self, cudaError_t code, const char *what);
void cuda_set_error (GError **error, cudaError_t code, const char *what);

/* cuda-weights.c.  The loader has a thread of its own. */
CudaWeights *cuda_weights_new (CudaBackend *backend, ZieThreads *threads);
void cuda_weights_free (CudaWeights *self);
gsize cuda_weight_size (const ZieWeight *weight);
gsize cuda_weight_scratch (const ZieWeight *weight);
/* What a matrix of DTYPE stays on the card, to be expanded before each product; CUDA_N_STORED: it becomes bf16 when it is loaded. */
CudaStored cuda_stored_type (ZieDtype dtype, gint64 rows, gint64 cols);
/* Ends what is being loaded and computed; what waits to be loaded is forgotten. */
void cuda_weights_settle (CudaWeights *self);
gboolean cuda_weights_place (CudaWeights *self, const ZieWeightPlaces *places, GError **error);
/* All memory of the device goes back, and locked copies too unless they are to be kept. */
void cuda_weights_drop (CudaWeights *self, gboolean keep_host_copies);
guint64 cuda_weights_get_held (CudaWeights *self);
/* Host memory that copies of blocks lock, of all cards of this process.  Any thread. */
guint64 cuda_weights_get_total_locked (void);
/* Makes the compute stream wait for BLOCK to be on the device. */
void cuda_weights_acquire (CudaWeights *self, const ZieOpCtx *ctx, const ZieWeightBlock *block);
void cuda_weights_release (CudaWeights *self, const ZieWeightBlock *block);
/* Device address of WEIGHT: bf16 [rows, cols] or as stored (cuda_stored_type()), f32 [cols] for a vector, or packed for conv.
 * NULL, and the job fails, where it was not placed. */
void *cuda_weights_find (CudaWeights *self, const ZieWeight *weight);
/* The factors of a matrix as stored; NULL: it has none. */
const float *cuda_weights_find_scales (CudaWeights *self, const ZieWeight *weight);

/* cuda-profile.c: the device's clock before and after each op.  Worker's thread, or between jobs. */
CudaProfile *cuda_profile_new (void);
void cuda_profile_free (CudaProfile *self);
void cuda_profile_begin (CudaProfile *self, cudaStream_t stream, const char *op, const ZieOpShape *shape);
void cuda_profile_end (CudaProfile *self, cudaStream_t stream);    /* the last one counts */
/* Waits for STREAM; forgets what it returns. */
guint cuda_profile_take (CudaProfile *self, cudaStream_t stream, gboolean with_yardstick, ZieProfileRow *rows, guint max_rows);

/* cuda-ops.c */
void cuda_ops_init (ZieOps *ops);
