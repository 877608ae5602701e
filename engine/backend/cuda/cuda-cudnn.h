/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <cuda_runtime_api.h>

#include "zie-ops.h"

/* cuDNN as a yardstick for what zimage bench times, opened at run time where it is installed; no picture is made with it. */
typedef struct _CudaCudnn CudaCudnn;

/* NULL: not there, or too old (9.14 is the first with what is asked of it). */
CudaCudnn *cuda_cudnn_open (cudaStream_t stream);
void cuda_cudnn_close (CudaCudnn *self);

/* Seconds that cuDNN takes for one op of SHAPE, its best of those that its heuristic offers first: a convolution without norm,
 * residual and up-sampling around it (of as many output pixels), attention with separate q, k, v.  0: none, or no memory. */
double cuda_cudnn_time (CudaCudnn *self, const ZieOpShape *shape);
