/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For attention.cu, attention-hopper.cu and what measures them.  Every way to run attention has a name, which
 * ZIE_CUDA_ATTENTION takes too. */

/* The names, NULL after the last. */
extern const char *const zie_cuda_attention_mma_variants[];
extern const char *const zie_cuda_attention_hopper_variants[];

/* As zie_cuda_attention(), by the variant NAME; "mma" and "hopper" are the best of each kind for the card and shape.
 * cudaErrorNotSupported where it does not serve them, cudaErrorInvalidValue where there is no such name. */
int zie_cuda_attention_variant (const CudaCard *card, CudaStream stream, const CudaAttention *a, const char *name);

/* Whether attention-hopper.cu serves the card and the shape: 9.0, d = 128, not causal, tensor maps possible. */
int zie_cuda_attention_hopper_serves (const CudaCard *card, const CudaAttention *a);

/* NAME: one of zie_cuda_attention_hopper_variants, or "hopper".  Only where it serves. */
int zie_cuda_attention_hopper (const CudaCard *card, CudaStream stream, const CudaAttention *a, const char *name);

#ifdef __cplusplus
}
#endif
