/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For the programs that check and time on a GPU: C and C++, without GLib. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cuda_runtime_api.h>

#define CHECK_SKIP 77

/* Ends the program where the card does not do as it is told. */
#define MUST(call) check_must ((int)(call), #call, __FILE__, __LINE__)

static inline void
check_must (int error, const char *call, const char *file, int line)
{
  if (error == 0)
    return;
  fprintf (stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString ((cudaError_t)error));
  exit (1);
}

/* Says what the card is; ends with CHECK_SKIP where there is none. */
static inline struct cudaDeviceProp
check_start (void)
{
  struct cudaDeviceProp properties;
  int n = 0;

  if (cudaGetDeviceCount (&n) != cudaSuccess || n == 0)
    {
      printf ("no GPU: skipped\n");
      exit (CHECK_SKIP);
    }
  MUST (cudaSetDevice (0));
  MUST (cudaGetDeviceProperties (&properties, 0));
  printf ("%s, %d SMs, compute capability %d.%d\n", properties.name, properties.multiProcessorCount, properties.major,
          properties.minor);
  return properties;
}

static inline void *
check_alloc (size_t size)
{
  void *p;

  MUST (cudaMalloc (&p, size));
  MUST (cudaMemset (p, 0xff, size));
  return p;
}
