/* SPDX-License-Identifier: Apache-2.0 */

/* Kernels that a test of the op table links with and never calls.  Their real types are of no interest here. */

#include <stdlib.h>

#define MISSING(name) \
  void name (void); \
  void name (void) { abort (); }

MISSING (cudaMemcpy2DAsync)
MISSING (cudaMemset2DAsync)
MISSING (zie_cublaslt_gemm)
MISSING (zie_cublaslt_supports)
MISSING (zie_cublaslt_tune)
MISSING (zie_cuda_add)
MISSING (zie_cuda_affine)
MISSING (zie_cuda_attention)
MISSING (zie_cuda_conv)
MISSING (zie_cuda_conv_pack)
MISSING (zie_cuda_conv_scratch)
MISSING (zie_cuda_fill_rows)
MISSING (zie_cuda_group_norm_add)
MISSING (zie_cuda_group_norm_finish)
MISSING (zie_cuda_group_norm_scratch)
MISSING (zie_cuda_layer_norm)
MISSING (zie_cuda_linear_small)
MISSING (zie_cuda_patchify)
MISSING (zie_cuda_pixels_to_planes)
MISSING (zie_cuda_planes_to_pixels)
MISSING (zie_cuda_qk_norm_rope)
MISSING (zie_cuda_resid_norm)
MISSING (zie_cuda_rms_norm)
MISSING (zie_cuda_rows_to_rgb8)
MISSING (zie_cuda_softmax_rows)
MISSING (zie_cuda_swiglu)
MISSING (zie_cuda_transpose)
MISSING (zie_cuda_unary)
MISSING (zie_cuda_unpatchify)
