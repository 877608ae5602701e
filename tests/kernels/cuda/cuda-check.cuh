/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For the programs that check and time kernels on a GPU (cuda-check-*.cu): the card, random operands, poisoned outputs,
 * timing on a hot card.  Exit status 77 without a card, 1 after a failed check. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime.h>

#include "cuda-kernels.h"

#if CUDART_VERSION < 12050       /* there it asks for the runtime's own version, which has what we ask for */
#define cudaGetDriverEntryPointByVersion(symbol, pointer, version, flags, result) \
  cudaGetDriverEntryPoint (symbol, pointer, flags, result)
#endif

enum { CHECK_SKIPPED = 77, CHECK_GUARD = 256 };

static int check_n_failed;

#define CHECK_CUDA(call) \
  do \
    { \
      cudaError_t check_error = (cudaError_t)(call); \
      if (check_error != cudaSuccess) \
        { \
          fprintf (stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString (check_error)); \
          exit (1); \
        } \
    } \
  while (0)

/* What the first argument asks for: --check, --time, --quick (checks of small shapes), or all. */
typedef struct
{
  bool check, time, is_quick;
} CheckParts;

static CheckParts
check_parts (int argc, char **argv)
{
  const char *asked = argc > 1 ? argv[1] : "";
  bool is_quick = strcmp (asked, "--quick") == 0;

  return { strcmp (asked, "--time") != 0, !is_quick && strcmp (asked, "--check") != 0, is_quick };
}

static CudaCard
check_card (void)
{
  CudaCard card = {};
  cudaDeviceProp properties;
  cudaDriverEntryPointQueryResult found;
  int n = 0;

  if (cudaGetDeviceCount (&n) != cudaSuccess || n == 0)
    {
      printf ("no CUDA device: skipped\n");
      exit (CHECK_SKIPPED);
    }
  CHECK_CUDA (cudaGetDeviceProperties (&properties, 0));
  card.cc = properties.major * 10 + properties.minor;
  card.n_sms = properties.multiProcessorCount;
  card.max_smem = (int)properties.sharedMemPerBlockOptin;
  card.l2_bytes = properties.l2CacheSize;
  if (cudaGetDriverEntryPointByVersion ("cuTensorMapEncodeTiled", &card.encode_tiled, 12000, cudaEnableDefault, &found) != cudaSuccess
      || found != cudaDriverEntryPointSuccess)
    card.encode_tiled = NULL;
  card.allow_hopper = card.cc == 90;
  printf ("%s, compute capability %d, %d SMs, L2 %d MiB\n", properties.name, card.cc, card.n_sms, card.l2_bytes >> 20);
  return card;
}

/* --- memory --- */

/* SIZE bytes of 0xff (NaN in every type), and as many as CHECK_GUARD behind them. */
static void *
check_new (size_t size)
{
  void *p;

  CHECK_CUDA (cudaMalloc (&p, size + CHECK_GUARD));
  CHECK_CUDA (cudaMemset (p, 0xff, size + CHECK_GUARD));
  return p;
}

/* Uniform in -limit ... limit, the same for the same seed. */
template <bool F32>
static __global__ void
check_random_kernel (void *p, int64_t n, uint32_t seed, float limit)
{
  for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < n; i += (int64_t)gridDim.x * 256)
    {
      uint64_t h = ((uint64_t)seed << 32 | 0x9e3779b9u) ^ (uint64_t)i * 0xd1342543de82ef95ull;
      h = (h ^ h >> 31) * 0x9e6c63d0876a9a47ull;
      h = (h ^ h >> 32) * 0xbf58476d1ce4e5b9ull;
      float v = ((float)(uint32_t)(h >> 40) * 0x1p-23f - 1) * limit;
      uint32_t bits = __float_as_uint (v);
      if (F32)
        ((float *)p)[i] = v;
      else
        ((cuda_bf16 *)p)[i] = (cuda_bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

static void *
check_new_random (int64_t n, bool is_f32, uint32_t seed, float limit)
{
  void *p = check_new ((size_t)n * (is_f32 ? 4 : 2));

  if (is_f32)
    check_random_kernel<true><<<1024, 256>>> (p, n, seed, limit);
  else
    check_random_kernel<false><<<1024, 256>>> (p, n, seed, limit);
  CHECK_CUDA (cudaGetLastError ());
  return p;
}

/* A value of an operand, in double. */
static __device__ double
check_value (const void *p, bool is_f32, int64_t at)
{
  return is_f32 ? ((const float *)p)[at] : __uint_as_float ((uint32_t)((const cuda_bf16 *)p)[at] << 16);
}

/* count[0]: values of y that are not finite; count[1]: bytes of the guard that changed; count[2]: bytes unlike OTHER's. */
static __global__ void
check_scan_kernel (unsigned long long *count, const void *y, const void *other, bool is_f32, int64_t n)
{
  int64_t size = n * (is_f32 ? 4 : 2);

  for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < n; i += (int64_t)gridDim.x * 256)
    {
      if (!isfinite (check_value (y, is_f32, i)))
        atomicAdd (&count[0], 1ull);
      if (other && (is_f32 ? ((const uint32_t *)y)[i] != ((const uint32_t *)other)[i] : ((const uint16_t *)y)[i] != ((const uint16_t *)other)[i]))
        atomicAdd (&count[2], 1ull);
    }
  if (blockIdx.x == 0)
    for (int i = threadIdx.x; i < CHECK_GUARD; i += 256)
      if (((const unsigned char *)y)[size + i] != 0xff)
        atomicAdd (&count[1], 1ull);
}

/* What is wrong with Y, N values of check_new(): nothing written, written behind, unlike OTHER (a second run, or NULL); prints
 * it with NAME. */
static bool
check_scan (const char *name, const void *y, const void *other, bool is_f32, int64_t n)
{
  static unsigned long long *count;
  unsigned long long host[3];

  if (!count)
    CHECK_CUDA (cudaMalloc (&count, sizeof host));
  CHECK_CUDA (cudaMemset (count, 0, sizeof host));
  check_scan_kernel<<<1024, 256>>> (count, y, other, is_f32, n);
  CHECK_CUDA (cudaGetLastError ());
  CHECK_CUDA (cudaMemcpy (host, count, sizeof host, cudaMemcpyDeviceToHost));
  if (!host[0] && !host[1] && !host[2])
    return true;
  printf ("FAILED %s: %llu of %lld values not finite or not written, %llu bytes behind the end, %llu values another in a second run\n",
          name, host[0], (long long)n, host[1], host[2]);
  check_n_failed++;
  return false;
}

/* Relative L2 of N pairs (computed, expected) in device memory against TOLERANCE. */
static bool
check_pairs (const char *name, const double *pairs, int n, double tolerance)
{
  double *host = (double *)malloc (sizeof (double) * 2 * n), error = 0, norm = 0, worst = 0;
  int at = 0;

  CHECK_CUDA (cudaMemcpy (host, pairs, sizeof (double) * 2 * n, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; i++)
    {
      double d = host[2 * i] - host[2 * i + 1];
      error += d * d;
      norm += host[2 * i + 1] * host[2 * i + 1];
      if (!(fabs (d) <= worst))
        {
          worst = fabs (d);
          at = i;
        }
    }
  error = sqrt (error / norm);
  bool good = error < tolerance;
  if (!good)
    {
      printf ("FAILED %s: relative error %.3g, at most %.3g expected; worst is sample %d of %d: %g instead of %g\n", name, error, tolerance,
              at, n, host[2 * at], host[2 * at + 1]);
      check_n_failed++;
    }
  free (host);
  return good;
}

/* --- time --- */

/* Milliseconds a call of FN, over calls that take about MILLISECONDS together after as many that warm up. */
template <class Fn>
static double
check_time (Fn fn, double milliseconds)
{
  cudaEvent_t start, end;
  float ms = 0;
  int n = 1;

  CHECK_CUDA (cudaEventCreate (&start));
  CHECK_CUDA (cudaEventCreate (&end));
  for (int pass = 0; pass < 3; pass++)
    {
      CHECK_CUDA (cudaEventRecord (start));
      for (int i = 0; i < n; i++)
        fn ();
      CHECK_CUDA (cudaEventRecord (end));
      CHECK_CUDA (cudaEventSynchronize (end));
      CHECK_CUDA (cudaEventElapsedTime (&ms, start, end));
      if (pass < 2)
        n = pass == 0 ? 3 : (int)fmax (3, fmin (10000, milliseconds / (ms / n)));
    }
  CHECK_CUDA (cudaEventDestroy (start));
  CHECK_CUDA (cudaEventDestroy (end));
  return ms / n;
}
