/* SPDX-License-Identifier: Apache-2.0 */

/* Quantised weights to bf16 on a GPU: the very bits of the reference dequantisation (base/zie-dtype.c), nothing written behind
 * them; then timed at the size of the transformer's widest product, beside a copy on the card.
 *
 * usage: cuda-check-expand [--quick]       --quick: not timed
 * Ends with 0: all right, 1: something is wrong, 77: no GPU. */

#include <stdlib.h>
#include <string.h>

#include "cuda-kernels.h"
#include "zie-dtype.h"

#include "cuda-check.h"

#define GUARD 256
#define ROUNDS 7

static const struct
{
  CudaStored type;
  ZieDtype dtype;
} types[] = {
  { CUDA_STORED_Q4_0, ZIE_DTYPE_Q4_0 }, { CUDA_STORED_Q4_1, ZIE_DTYPE_Q4_1 }, { CUDA_STORED_Q5_0, ZIE_DTYPE_Q5_0 },
  { CUDA_STORED_Q5_1, ZIE_DTYPE_Q5_1 }, { CUDA_STORED_Q8_0, ZIE_DTYPE_Q8_0 }, { CUDA_STORED_Q2_K, ZIE_DTYPE_Q2_K },
  { CUDA_STORED_Q3_K, ZIE_DTYPE_Q3_K }, { CUDA_STORED_Q4_K, ZIE_DTYPE_Q4_K }, { CUDA_STORED_Q5_K, ZIE_DTYPE_Q5_K },
  { CUDA_STORED_Q6_K, ZIE_DTYPE_Q6_K }, { CUDA_STORED_F8_E4M3, ZIE_DTYPE_F8_E4M3 }, { CUDA_STORED_F8_E5M2, ZIE_DTYPE_F8_E5M2 },
};

static cudaStream_t stream;
static int n_failed;

/* N random bytes on the host (owned) and on the card. */
static guint8 *
random_bytes (gsize n, guint32 seed, void *device)
{
  g_autoptr(GRand) rng = g_rand_new_with_seed (seed);
  guint32 *words = g_new (guint32, (n + 3) / 4);

  for (gsize i = 0; i < (n + 3) / 4; i++)
    words[i] = g_rand_int (rng);
  MUST (cudaMemcpy (device, words, n, cudaMemcpyHostToDevice));
  return (guint8 *)words;
}

static void
check (CudaStored type, ZieDtype dtype, gint64 rows, gint64 cols, gint64 n_scales)
{
  gsize n = (gsize)(rows * cols), size = zie_dtype_row_size (dtype, rows * cols), n_wrong = 0;
  void *stored = check_alloc (size + 16), *scales_device = check_alloc ((gsize)(n_scales + 1) * 4);
  cuda_bf16 *y = check_alloc (n * 2 + GUARD);
  g_autofree guint8 *bytes = random_bytes (size, 7, stored), *got = g_malloc (n * 2 + GUARD);
  g_autofree float *expected = g_new (float, n), *scales = g_new (float, (gsize)n_scales + 1);
  const guint16 *numbers = (const guint16 *)(gconstpointer)got;
  CudaExpand a = { y, stored, n_scales ? scales_device : NULL, type, n_scales, rows, cols };

  for (gint64 i = 0; i < n_scales; i++)
    scales[i] = 0.25f + (float)i / 17;
  MUST (cudaMemcpy (scales_device, scales, (gsize)n_scales * 4, cudaMemcpyHostToDevice));
  MUST (zie_cuda_expand ((CudaStream)stream, &a));
  MUST (cudaStreamSynchronize (stream));
  MUST (cudaMemcpy (got, y, n * 2 + GUARD, cudaMemcpyDeviceToHost));

  zie_dtype_to_f32 (dtype, expected, bytes, rows * cols);
  for (gsize i = 0; i < n; i++)
    {
      float e = n_scales ? expected[i] * scales[n_scales > 1 ? (gint64)i / cols : 0] : expected[i];

      n_wrong += e != e ? (numbers[i] & 0x7fff) <= 0x7f80 : numbers[i] != zie_f32_to_bf16 (e);
    }
  for (gsize i = n * 2; i < n * 2 + GUARD; i++)
    n_wrong += got[i] != 0xff;
  printf ("%-8s %5d x %5d, %4d scales  %s", zie_dtype_name (dtype), (int)rows, (int)cols, (int)n_scales, n_wrong ? "WRONG" : "ok");
  if (n_wrong)
    printf (": %zu numbers", (size_t)n_wrong);
  printf ("\n");
  n_failed += n_wrong > 0;
  cudaFree (stored);
  cudaFree (scales_device);
  cudaFree (y);
}

/* Milliseconds of one of the calls, the best of some rounds; A NULL: a copy of SIZE bytes. */
static double
time_call (const CudaExpand *a, gsize size, void *to, const void *from)
{
  cudaEvent_t begin, end;
  float ms, best = 1e9f;
  const int n = 20;

  MUST (cudaEventCreate (&begin));
  MUST (cudaEventCreate (&end));
  for (int round = 0; round < ROUNDS; round++)
    {
      MUST (cudaEventRecord (begin, stream));
      for (int i = 0; i < n; i++)
        if (a != NULL)
          MUST (zie_cuda_expand ((CudaStream)stream, a));
        else
          MUST (cudaMemcpyAsync (to, from, size, cudaMemcpyDeviceToDevice, stream));
      MUST (cudaEventRecord (end, stream));
      MUST (cudaEventSynchronize (end));
      MUST (cudaEventElapsedTime (&ms, begin, end));
      best = MIN (best, ms / (float)n);
    }
  cudaEventDestroy (begin);
  cudaEventDestroy (end);
  return (double)best;
}

static void
time_all (gint64 rows, gint64 cols)
{
  gsize n = (gsize)(rows * cols), copied = (gsize)512 << 20;
  void *stored = check_alloc (MAX (n * 2, copied)), *y = check_alloc (MAX (n * 2, copied));
  float *scales = check_alloc ((gsize)rows * 4);
  double copy = 2.0 * (double)copied / time_call (NULL, copied, y, stored);

  printf ("a copy on the card: %.0f GB/s, read and written\n", copy * 1e-6);
  MUST (cudaMemset (stored, 0x11, n * 2));
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    for (gint64 n_scales = 0; n_scales <= (zie_dtype_block (types[i].dtype) == 1 ? rows : 0); n_scales += rows)
      {
        CudaExpand a = { y, stored, n_scales ? scales : NULL, types[i].type, n_scales, rows, cols };
        double ms = time_call (&a, 0, NULL, NULL), size = (double)n * 2 + (double)zie_dtype_row_size (types[i].dtype, rows * cols);

        printf ("%-8s %5d x %5d%s %8.4f ms %6.0f GB/s, %3.0f %% of a copy\n", zie_dtype_name (types[i].dtype), (int)rows, (int)cols,
                n_scales ? ", scales" : "        ", ms, size / ms * 1e-6, 100 * size / ms / copy);
      }
  cudaFree (stored);
  cudaFree (y);
  cudaFree (scales);
}

int
main (int argc, char **argv)
{
  check_start ();
  MUST (cudaStreamCreate (&stream));
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      gboolean is_f8 = zie_dtype_block (types[i].dtype) == 1;

      check (types[i].type, types[i].dtype, 2, 256, 0);
      check (types[i].type, types[i].dtype, 5, 2304, is_f8 ? 5 : 0);
      check (types[i].type, types[i].dtype, 700, 3840, is_f8 ? 700 : 0);
      if (is_f8)
        check (types[i].type, types[i].dtype, 77, 3848, 1);
    }
  if (argc < 2 || strcmp (argv[1], "--quick") != 0)
    time_all (20480, 3840);
  printf (n_failed ? "%d checks FAILED\n" : "all checks passed\n", n_failed);
  return n_failed != 0;
}
