/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-cublaslt.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT FakeCublasLt fake_cublaslt;

static FakeCublasLt *const fake = &fake_cublaslt;

static void *
make (size_t size)
{
  fake->n_live++;
  return calloc (1, size);
}

static cublasStatus_t
drop (void *p)
{
  fake->n_live--;
  free (p);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t
cublasLtCreate (cublasLtHandle_t *handle)
{
  if (fake->create_status == CUBLAS_STATUS_SUCCESS)
    *handle = make (1);
  return fake->create_status;
}

EXPORT cublasStatus_t cublasLtDestroy (cublasLtHandle_t handle) { return drop (handle); }
EXPORT size_t cublasLtGetVersion (void) { return fake->version; }
EXPORT const char *cublasLtGetStatusString (cublasStatus_t status) { return status ? "fake trouble" : "fine"; }

EXPORT cublasStatus_t
cublasLtMatmulDescCreate (cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale)
{
  *desc = make (sizeof **desc);
  return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

EXPORT cublasStatus_t cublasLtMatmulDescDestroy (cublasLtMatmulDesc_t desc) { return drop (desc); }

EXPORT cublasStatus_t
cublasLtMatmulDescSetAttribute (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size)
{
  void *to = attribute == CUBLASLT_MATMUL_DESC_TRANSA         ? (void *)&fake->transa
             : attribute == CUBLASLT_MATMUL_DESC_TRANSB       ? (void *)&fake->transb
             : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE     ? (void *)&fake->epilogue
             : attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? (void *)&fake->bias
                                                              : NULL;

  if (to == NULL)
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy (to, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

typedef struct { cudaDataType type; unsigned long long rows, cols; long long ld; } Layout;

EXPORT cublasStatus_t
cublasLtMatrixLayoutCreate (cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
  Layout value = { type, rows, cols, ld };

  *layout = make (sizeof **layout);
  memcpy (*layout, &value, sizeof value);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy (cublasLtMatrixLayout_t layout) { return drop (layout); }

EXPORT cublasStatus_t
cublasLtMatmulPreferenceCreate (cublasLtMatmulPreference_t *preference)
{
  *preference = make (sizeof **preference);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy (cublasLtMatmulPreference_t preference) { return drop (preference); }

EXPORT cublasStatus_t
cublasLtMatmulPreferenceSetAttribute (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                                      const void *value, size_t size)
{
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    memcpy (&fake->workspace_size, value, size);
  else if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    memcpy (&fake->reduction_mask, value, size);
  else
    memcpy (&fake->alignment, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

EXPORT cublasStatus_t
cublasLtMatmulAlgoGetHeuristic (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                cublasLtMatmulPreference_t preference, int n, cublasLtMatmulHeuristicResult_t *results, int *found)
{
  fake->n_heuristics++;
  *found = n < fake->n_candidates ? n : fake->n_candidates;
  memset (results, 0, (size_t)*found * sizeof *results);
  for (int i = 0; i < *found; i++)
    {
      results[i].algo.data[0] = (uint64_t)i + 100;
      results[i].algo.data[7] = 0x0123456789abcdefull;
      results[i].state = fake->candidates[i].state;
      results[i].workspaceSize = fake->candidates[i].workspace_size;
    }
  return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

EXPORT cublasStatus_t
cublasLtMatmulAlgoCheck (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                         cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algorithm,
                         cublasLtMatmulHeuristicResult_t *result)
{
  fake->n_checks++;
  result->workspaceSize = fake->candidates[(algorithm->data[0] - 100) % 8].workspace_size;
  return algorithm->data[7] == 0x0123456789abcdefull ? fake->check_status : CUBLAS_STATUS_INVALID_VALUE;
}

EXPORT cublasStatus_t
cublasLtMatmul (cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a, cublasLtMatrixLayout_t a_layout,
                const void *b, cublasLtMatrixLayout_t b_layout, const void *beta, const void *c, cublasLtMatrixLayout_t c_layout,
                void *d, cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                size_t workspace_size, cudaStream_t stream)
{
  fake->n_matmuls++;
  if (*(const float *)alpha != 1 || *(const float *)beta != 0 || c != d || c_layout != d_layout)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (fake->matmul_status != CUBLAS_STATUS_SUCCESS)
    return fake->matmul_status;
  memcpy (&fake->layouts[0], a_layout, sizeof fake->layouts[0]);
  memcpy (&fake->layouts[1], b_layout, sizeof fake->layouts[1]);
  memcpy (&fake->layouts[2], d_layout, sizeof fake->layouts[2]);
  fake->a = a;
  fake->b = b;
  fake->d = d;
  fake->last_algorithm = algorithm->data[0];
  fake->now += fake->candidates[(algorithm->data[0] - 100) % 8].ms;
  return CUBLAS_STATUS_SUCCESS;
}
