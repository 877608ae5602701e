/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <cublasLt.h>

/* A library that stands in for cuBLASLt in test-cuda-cublaslt.c: it computes nothing, does what it is told and remembers what
 * it was asked.  Exported as fake_cublaslt. */
typedef struct
{
  /* what it shall do */
  size_t version;
  cublasStatus_t create_status, check_status, matmul_status;
  int n_candidates;
  struct { cublasStatus_t state; size_t workspace_size; double ms; } candidates[8];

  /* what it saw */
  double now;                            /* ms: products take their time */
  int n_live, n_heuristics, n_checks, n_matmuls;
  unsigned long long last_algorithm;
  cublasOperation_t transa, transb;
  cublasLtEpilogue_t epilogue;
  const void *bias, *a, *b, *d;
  unsigned reduction_mask, alignment;
  unsigned long long workspace_size;
  struct { cudaDataType type; unsigned long long rows, cols; long long ld; } layouts[3];      /* of the last product: A, B, D */
} FakeCublasLt;
