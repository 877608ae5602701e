/* SPDX-License-Identifier: Apache-2.0 */

/* In place of what the CUDA module has beside the backend, its weights and its ops: no Hopper kernels, no cuBLASLt, no cuDNN, no NVML. */

#include <zie/zie-error.h>

#include "cuda-cudnn.h"
#include "cuda-private.h"

int
zie_cuda_hopper_is_built (void)
{
  return 0;
}

/* "Packed" takes as much as stored; zie_cuda_conv_pack() is each test's own. */
size_t
zie_cuda_conv_packed_size (int in, int out, int ksize, int upsample)
{
  return (size_t)in * (size_t)out * (size_t)(ksize * ksize) * sizeof (cuda_bf16);
}

ZieCublasLt *
zie_cublaslt_open (int cc, const char *device_name, GError **error)
{
  g_set_error (error, ZIE_ERROR, ZIE_ERROR_BACKEND_UNAVAILABLE, "not on this card");
  return NULL;
}

void
zie_cublaslt_free (ZieCublasLt *self)
{
}

size_t
zie_cublaslt_workspace_size (int cc)
{
  return 4096;
}

gboolean
cuda_nvml_query (const char *pci_id, CudaNvmlFacts *facts)
{
  return FALSE;
}

CudaCudnn *
cuda_cudnn_open (cudaStream_t stream)
{
  return NULL;
}

void
cuda_cudnn_close (CudaCudnn *self)
{
  g_assert_not_reached ();
}

double
cuda_cudnn_time (CudaCudnn *self, const ZieOpShape *shape)
{
  g_assert_not_reached ();
}
