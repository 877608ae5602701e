/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-kernels.h"

/* Between the files of products and convolutions: the Hopper kernels.  _takes: whether the card has them, the shape fits
 * (16-byte rows for the tensor maps) and, where CHOICE leaves it open, they are the faster ones. */
bool cuda_gemm_hopper_takes (const CudaCard *card, const CudaGemm *g, CudaKernelChoice choice);
int cuda_gemm_hopper (const CudaCard *card, CudaStream stream, const CudaGemm *g);
bool cuda_conv_hopper_takes (const CudaCard *card, const CudaConv *c, CudaKernelChoice choice);
int cuda_conv_hopper (const CudaCard *card, CudaStream stream, const CudaConv *c);

/* Packed weights of a convolution are [phase][tap][out, padded][in, padded], zeros between. */
static inline int
cuda_conv_padded_in (int in)
{
  return (in + 31) / 32 * 32;
}

static inline int
cuda_conv_padded_out (int out)
{
  return (out + 7) / 8 * 8;
}
