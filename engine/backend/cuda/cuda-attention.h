/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For attention.cu, attention-hopper.cu and what measures them.  Every way to run attention has a name, which
 * ZIE_CUDA_ATTENTION takes too. */

/* The names, best on Hopper first; NULL after the last. */
extern const char *const zie_cuda_attention_variants[];

/* As zie_cuda_attention(), by the variant NAME.  cudaErrorNotSupported where it does not serve this card or shape,
 * cudaErrorInvalidValue where there is no such name. */
int zie_cuda_attention_variant (const CudaCard *card, CudaStream stream, const CudaAttention *a, const char *name);

/* Whether attention-hopper.cu serves the card and the shape: 9.0, d = 128, not causal, tensor maps possible. */
int zie_cuda_attention_hopper_serves (const CudaCard *card, const CudaAttention *a);

/* VARIANT: 0 ... ZIE_CUDA_ATTENTION_HOPPER_VARIANTS - 1, 0 the best. */
int zie_cuda_attention_hopper (const CudaCard *card, CudaStream stream, const CudaAttention *a, int variant);

#ifdef __cplusplus
}
#endif
